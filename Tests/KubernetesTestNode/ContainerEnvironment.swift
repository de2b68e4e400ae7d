import HTTP
import KubernetesClient

/// What a container's specification says of its environment, from the objects that it names. A value: no I/O.
struct ContainerEnvironment {
    var pod: KubernetesObject
    var container: ServiceJSON
    /// The object of a type in the pod's namespace.
    var find: (ResourceType, String) -> KubernetesObject?
    var podAddress: String
    var nodeAddress: String

    struct Missing: Error {
        var what: String
    }

    /// In the order of the specification, `$(NAME)` replaced by what came before.
    func variables(over basis: [String: String]) throws(Missing) -> [String: String] {
        var all = basis
        for source in container["envFrom"]?.elements ?? [] {
            let prefix = source["prefix"]?.string ?? ""
            if let reference = source["configMapRef"], let map = try object(.configMaps, reference) {
                for (name, text) in map["data"]?.texts ?? [:] { all[prefix + name] = text }
            }
            if let reference = source["secretRef"], let secret = try object(.secrets, reference) {
                for (name, text) in secret["data"]?.texts ?? [:] {
                    all[prefix + name] = String(decoding: Base64.decode(text) ?? [], as: UTF8.self)
                }
            }
        }
        for variable in container["env"]?.elements ?? [] {
            guard let name = variable["name"]?.string else { continue }
            if let source = variable["valueFrom"] {
                all[name] = try value(source)
            } else {
                all[name] = Self.expanded(variable["value"]?.string ?? "", all)
            }
        }
        return all
    }

    private func object(_ type: ResourceType, _ reference: ServiceJSON) throws(Missing) -> KubernetesObject? {
        let name = reference["name"]?.string ?? ""
        if let object = find(type, name) { return object }
        if reference["optional"]?.bool == true { return nil }
        throw Missing(what: "\(type.kind.lowercased()) \"\(name)\" not found")
    }

    /// nil for what may be missing, and is.
    private func value(_ source: ServiceJSON) throws(Missing) -> String? {
        if let reference = source["fieldRef"] { return field(reference["fieldPath"]?.string ?? "") }
        if let reference = source["resourceFieldRef"] { return resource(reference) }
        for (member, type) in [("configMapKeyRef", ResourceType.configMaps), ("secretKeyRef", .secrets)] {
            guard let reference = source[member] else { continue }
            guard let object = try object(type, reference) else { return nil }
            let key = reference["key"]?.string ?? ""
            if let bytes = object.content[key] { return String(decoding: bytes, as: UTF8.self) }
            if reference["optional"]?.bool == true { return nil }
            throw Missing(what: "couldn't find key \(key) in \(type.kind) \(pod.namespace ?? "")/\(object.name)")
        }
        return ""
    }

    /// As the downward API has it.
    func field(_ path: String) -> String {
        for (name, values) in [("labels", pod.labels), ("annotations", pod.annotations)]
        where path.hasPrefix("metadata.\(name)") {
            let key = path.dropFirst("metadata.\(name)".count)
            if key.hasPrefix("['"), key.hasSuffix("']") { return values[String(key.dropFirst(2).dropLast(2))] ?? "" }
            return values.sorted { $0.key < $1.key }.map { "\($0.key)=\(ServiceJSON.quoted($0.value))\n" }.joined()
        }
        switch path {
        case "status.podIP", "status.podIPs": return podAddress
        case "status.hostIP", "status.hostIPs": return nodeAddress
        case "spec.serviceAccountName": return pod["spec", "serviceAccountName"]?.string ?? "default"
        default: return pod.json[path.split(separator: ".").map(String.init)]?.string ?? ""
        }
    }

    func resource(_ reference: ServiceJSON) -> String {
        let name = reference["resource"]?.string ?? ""
        var container = container
        if let wanted = reference["containerName"]?.string,
            let other = pod["spec", "containers"]?.elements.first(where: { $0["name"]?.string == wanted })
        {
            container = other
        }
        let amount = container[["resources"] + name.split(separator: ".").map(String.init)]?.string ?? "0"
        let divisor = Self.quantity(reference["divisor"]?.string ?? "1")
        return String(Int64((Self.quantity(amount) / (divisor > 0 ? divisor : 1)).rounded(.up)))
    }

    static func quantity(_ text: String) -> Double {
        let units: [(String, Double)] = [
            ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776), ("m", 0.001),
            ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12),
        ]
        for (suffix, factor) in units where text.hasSuffix(suffix) {
            return (Double(text.dropLast(suffix.count)) ?? 0) * factor
        }
        return Double(text) ?? 0
    }

    /// `$(NAME)` becomes the value, where there is one; `$$` becomes `$`.
    static func expanded(_ text: String, _ variables: [String: String]) -> String {
        var result = ""
        var rest = text[...]
        while let mark = rest.firstIndex(of: "$") {
            result += rest[..<mark]
            rest = rest[rest.index(after: mark)...]
            if rest.first == "$" {
                result += "$"
                rest = rest.dropFirst()
            } else if rest.first == "(", let end = rest.firstIndex(of: ")") {
                let name = String(rest[rest.index(after: rest.startIndex)..<end])
                result += variables[name] ?? "$(\(name))"
                rest = rest[rest.index(after: end)...]
            } else {
                result += "$"
            }
        }
        return result + rest
    }
}

extension KubernetesObject {
    /// Of a ConfigMap or a Secret: bytes by key.
    var content: [String: [UInt8]] {
        var all: [String: [UInt8]] = [:]
        let isSecret = kind == "Secret"
        for (name, text) in self["data"]?.texts ?? [:] {
            all[name] = isSecret ? Base64.decode(text) ?? [] : Array(text.utf8)
        }
        for (name, text) in self["binaryData"]?.texts ?? [:] { all[name] = Base64.decode(text) ?? [] }
        return all
    }
}
