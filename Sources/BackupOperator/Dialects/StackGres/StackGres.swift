import HTTP
package import KubernetesClient

/// The names of `stackgres.io`, as section B of its documentation has them.
package enum StackGres {
    package static let group = "stackgres.io"
    package static let clusters = ResourceType(group, "v1", "sgclusters", kind: "SGCluster")
    package static let backups = ResourceType(group, "v1", "sgbackups", kind: "SGBackup")
    package static let storages = ResourceType(group, "v1beta1", "sgobjectstorages", kind: "SGObjectStorage")

    static let scheduledBackup = "stackgres.io/scheduled-backup"
    /// On any object: we leave it alone.
    static let reconciliationPause = "stackgres.io/reconciliation-pause"

    /// Of all pods of a cluster.
    static func labels(cluster: String, uid: String) -> [String: String] {
        [
            "app": "StackGresCluster", "stackgres.io/cluster-name": cluster, "stackgres.io/cluster-uid": uid,
            "stackgres.io/cluster": "true",
        ]
    }

    package static let majors = OperatorSettings.postgresMajors

    /// A path of members, as `spec.s3.bucket`.
    static func text(_ json: ServiceJSON?, _ path: String...) -> String? {
        guard case .text(let text)? = json?[path], !text.isEmpty else { return nil }
        return text
    }
}

/// What an object says that has no meaning for us, by the fields that have one.
struct SupportedFields: Sendable {
    private let whole: Set<String>
    private let beginnings: Set<String>

    /// - Parameter paths: as `configurations.backups[].retention`; all below them is understood.
    init(_ paths: [String]) {
        whole = Set(paths)
        var beginnings: Set<String> = []
        for path in paths {
            for (index, character) in zip(path.indices, path) where character == "." || character == "[" {
                beginnings.insert(String(path[..<index]))
                if character == "[" { beginnings.insert(String(path[..<index]) + "[]") }
            }
        }
        self.beginnings = beginnings
    }

    /// - Parameter path: of `json`, for the answer.
    func others(in json: ServiceJSON, at path: String) -> [String] {
        var found: [String] = []
        walk(json, shown: path, pattern: "", &found)
        return found.sorted()
    }

    private func walk(_ json: ServiceJSON, shown: String, pattern: String, _ found: inout [String]) {
        if whole.contains(pattern) { return }
        guard pattern.isEmpty || beginnings.contains(pattern) else {
            // What is said to be nothing asks for nothing.
            if !json.isEmpty { found.append(shown) }
            return
        }
        switch json {
        case .object(let members):
            for (name, value) in members {
                walk(value, shown: "\(shown).\(name)", pattern: pattern.isEmpty ? name : "\(pattern).\(name)", &found)
            }
        case .array(let elements):
            for (place, element) in elements.enumerated() {
                walk(element, shown: "\(shown)[\(place)]", pattern: "\(pattern)[]", &found)
            }
        default: break
        }
    }
}

extension ServiceJSON {
    /// Nothing, and lists and objects of nothing.
    var isEmpty: Bool {
        switch self {
        case .null: true
        case .array(let elements): elements.allSatisfy(\.isEmpty)
        case .object(let members): members.values.allSatisfy(\.isEmpty)
        default: false
        }
    }
}
