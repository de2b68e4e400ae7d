import HTTP

enum Patches {
    /// RFC 7396.
    static func merge(_ patch: ServiceJSON, into value: ServiceJSON?) -> ServiceJSON {
        guard case .object(let changes) = patch else { return patch }
        var members = value?.members ?? [:]
        for (name, change) in changes { members[name] = change == .null ? nil : merge(change, into: members[name]) }
        return .object(members)
    }

    /// Kubernetes' own: as a merge patch, but elements of lists that have names are merged one by one.
    static func strategic(_ patch: ServiceJSON, into value: ServiceJSON?, field: String = "") -> ServiceJSON {
        switch (patch, value) {
        case (.object(let changes), _):
            var members = value?.members ?? [:]
            if changes["$patch"]?.string == "replace" { members = [:] }
            for (name, change) in changes where !name.hasPrefix("$") {
                members[name] = change == .null ? nil : strategic(change, into: members[name], field: name)
            }
            return .object(members)
        case (.array(let changes), .array(var elements)?)
        where changes.allSatisfy { FieldSets.key($0, of: field) != nil }:
            for change in changes {
                let key = FieldSets.key(change, of: field)
                let place = elements.firstIndex { FieldSets.key($0, of: field) == key }
                if change["$patch"]?.string == "delete" {
                    if let place { elements.remove(at: place) }
                } else if let place {
                    elements[place] = strategic(change, into: elements[place])
                } else {
                    elements.append(change)
                }
            }
            return .array(elements)
        default: return patch
        }
    }

    /// RFC 6902: add, replace, remove, test.
    static func operations(_ patch: ServiceJSON, on value: ServiceJSON) throws(APIFailure) -> ServiceJSON {
        var result = value
        for operation in patch.elements {
            guard let name = operation["op"]?.string, let path = operation["path"]?.string, path.hasPrefix("/") else {
                throw .bad("no operation of a JSON patch")
            }
            let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map {
                String($0).split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
                    .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
            }
            guard let changed = change(result, parts[...], name, operation["value"]) else {
                throw APIFailure(
                    code: 422, reason: "Invalid",
                    message: "the server rejected our request due to an error in our request",
                    details: nil)
            }
            result = changed
        }
        return result
    }

    private static func change(
        _ value: ServiceJSON, _ path: ArraySlice<String>, _ operation: String, _ new: ServiceJSON?
    ) -> ServiceJSON? {
        guard let name = path.first else {
            switch operation {
            case "add", "replace": return new
            case "test": return value == new ? value : nil
            default: return nil
            }
        }
        switch value {
        case .object(var members):
            if path.count == 1, operation == "remove" {
                return members.removeValue(forKey: name) == nil ? nil : .object(members)
            }
            if path.count == 1, operation == "add" {
                members[name] = new
                return .object(members)
            }
            guard let member = members[name], let changed = change(member, path.dropFirst(), operation, new) else {
                return nil
            }
            members[name] = changed
            return .object(members)
        case .array(var elements):
            let index = name == "-" ? elements.count : Int(name) ?? -1
            if path.count == 1, operation == "add", let new, (0...elements.count).contains(index) {
                elements.insert(new, at: index)
                return .array(elements)
            }
            guard elements.indices.contains(index) else { return nil }
            if path.count == 1, operation == "remove" {
                elements.remove(at: index)
                return .array(elements)
            }
            guard let changed = change(elements[index], path.dropFirst(), operation, new) else { return nil }
            elements[index] = changed
            return .array(elements)
        default: return nil
        }
    }
}
