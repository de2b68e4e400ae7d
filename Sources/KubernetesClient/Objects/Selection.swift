/// Which objects of a type are meant; all of them without anything.
package struct Selection: Sendable, Hashable {
    package var labels: [LabelRequirement]
    /// As the API has it: `metadata.name=a,status.phase!=Running`.
    package var fields: String

    package init(labels: [LabelRequirement] = [], fields: String = "") {
        self.labels = labels
        self.fields = fields
    }

    package init(matching labels: [String: String]) {
        self.init(labels: labels.sorted { $0.key < $1.key }.map { .equals($0.key, $0.value) })
    }

    package static let all = Selection()

    var query: [(name: String, value: String)] {
        var query: [(name: String, value: String)] = []
        if !labels.isEmpty {
            query.append(("labelSelector", labels.map(\.description).joined(separator: ",")))
        }
        if !fields.isEmpty { query.append(("fieldSelector", fields)) }
        return query
    }
}

package enum LabelRequirement: Sendable, Hashable, CustomStringConvertible {
    case equals(String, String)
    case differs(String, String)
    case isOneOf(String, [String])
    case isNoneOf(String, [String])
    case exists(String)
    case isMissing(String)

    package var description: String {
        switch self {
        case .equals(let key, let value): "\(key)=\(value)"
        case .differs(let key, let value): "\(key)!=\(value)"
        case .isOneOf(let key, let values): "\(key) in (\(values.joined(separator: ",")))"
        case .isNoneOf(let key, let values): "\(key) notin (\(values.joined(separator: ",")))"
        case .exists(let key): key
        case .isMissing(let key): "!\(key)"
        }
    }

    /// What must differ may be missing too, as the API has it.
    package func matches(_ labels: [String: String]) -> Bool {
        switch self {
        case .equals(let key, let value): labels[key] == value
        case .differs(let key, let value): labels[key] != value
        case .isOneOf(let key, let values): labels[key].map(values.contains) ?? false
        case .isNoneOf(let key, let values): !(labels[key].map(values.contains) ?? false)
        case .exists(let key): labels[key] != nil
        case .isMissing(let key): labels[key] == nil
        }
    }
}
