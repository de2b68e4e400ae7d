import HTTP

/// Fields of an object as paths in the form of FieldsV1: `f:spec`, `k:{"name":"a"}`.
typealias FieldPath = [String]

enum FieldSets {
    /// Lists whose elements are known by a member; all other lists are one value.
    private static let keys: [String: [String]] = [
        "containers": ["name"], "initContainers": ["name"], "env": ["name"], "volumes": ["name"],
        "imagePullSecrets": ["name"], "volumeMounts": ["mountPath"], "ports": ["containerPort", "port"],
        "conditions": ["type"], "ownerReferences": ["uid"],
    ]

    /// The name of an element of a list; nil when the list is one value.
    static func key(_ element: ServiceJSON, of field: String) -> String? {
        for name in keys[field] ?? [] {
            if let value = element[name] { return "k:{\(ServiceJSON.quoted(name)):\(value)}" }
        }
        return nil
    }

    private static func isKeyed(_ elements: [ServiceJSON], _ field: String) -> Bool {
        !elements.isEmpty && elements.allSatisfy { key($0, of: field) != nil }
    }

    /// What cannot be owned.
    static func leaves(of object: ServiceJSON) -> [FieldPath: ServiceJSON] {
        var object = object
        object["apiVersion"] = nil
        object["kind"] = nil
        for name in [
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
            "deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "selfLink",
        ] { object[["metadata", name]] = nil }
        if object["metadata"] == .object([:]) { object["metadata"] = nil }
        var result: [FieldPath: ServiceJSON] = [:]
        collect(object, [], "", &result)
        return result
    }

    private static func collect(
        _ value: ServiceJSON, _ path: FieldPath, _ field: String, _ result: inout [FieldPath: ServiceJSON]
    ) {
        switch value {
        case .object(let members) where !members.isEmpty:
            for (name, member) in members { collect(member, path + ["f:" + name], name, &result) }
        case .array(let elements) where isKeyed(elements, field):
            for element in elements {
                guard let key = key(element, of: field) else { continue }
                collect(element, path + [key], "", &result)
            }
        default:
            if !path.isEmpty { result[path] = value }
        }
    }

    /// `applied` over `live`.
    static func merged(_ live: ServiceJSON?, _ applied: ServiceJSON, field: String = "") -> ServiceJSON {
        switch (live, applied) {
        case (.object(var members)?, .object(let new)):
            for (name, value) in new { members[name] = merged(members[name], value, field: name) }
            return .object(members)
        case (.array(var elements)?, .array(let new))
        where isKeyed(new, field) && (elements.isEmpty || isKeyed(elements, field)):
            for element in new {
                let key = key(element, of: field)
                if let place = elements.firstIndex(where: { self.key($0, of: field) == key }) {
                    elements[place] = merged(elements[place], element)
                } else {
                    elements.append(element)
                }
            }
            return .array(elements)
        default: return applied
        }
    }

    /// Without what lies at `path`, and without what is empty then.
    static func removing(_ path: ArraySlice<String>, from value: ServiceJSON, field: String = "") -> ServiceJSON? {
        guard let first = path.first else { return nil }
        switch value {
        case .object(var members):
            let name = String(first.dropFirst(2))
            guard first.hasPrefix("f:"), let member = members[name] else { return value }
            members[name] = removing(path.dropFirst(), from: member, field: name)
            return members.isEmpty ? nil : .object(members)
        case .array(var elements):
            guard let place = elements.firstIndex(where: { key($0, of: field) == first }) else { return value }
            let left = removing(path.dropFirst(), from: elements[place])
            // An element of which nothing but its name is left goes.
            if let left, left.members.count > 1 { elements[place] = left } else { elements.remove(at: place) }
            return elements.isEmpty ? nil : .array(elements)
        default: return value
        }
    }

    static func fieldsV1(_ paths: Set<FieldPath>) -> ServiceJSON {
        var result = ServiceJSON.object([:])
        for path in paths { result[path] = result[path] ?? .object([:]) }
        return result
    }
}

/// Who owns which fields of one object.
struct FieldOwners: Sendable, Equatable {
    struct Manager: Hashable, Sendable {
        var name: String
        /// `Apply` or `Update`.
        var operation: String
        var subresource: String
    }

    struct Conflict {
        var manager: String
        var path: FieldPath
    }

    private(set) var fields: [Manager: Set<FieldPath>] = [:]
    private var times: [Manager: String] = [:]

    /// Fields of `new` that are others in `old` are the manager's now, and nobody else's.
    mutating func updated(_ manager: Manager, from old: ServiceJSON?, to new: ServiceJSON, at time: String) {
        let before = old.map(FieldSets.leaves) ?? [:]
        let after = FieldSets.leaves(of: new)
        let changed = Set(after.filter { before[$0.key] != $0.value }.keys)
        for (other, paths) in fields {
            fields[other] = paths.filter { after[$0] != nil && (!changed.contains($0) || other == manager) }
        }
        if !changed.isEmpty {
            fields[manager, default: []].formUnion(changed)
            times[manager] = time
        }
        fields = fields.filter { !$0.value.isEmpty }
    }

    /// - Returns: the object with what is applied, and without what the manager applied before and no longer does.
    mutating func applied(
        _ manager: Manager, _ configuration: ServiceJSON, to live: ServiceJSON, isForced: Bool, at time: String
    ) -> (object: ServiceJSON, conflicts: [Conflict]) {
        let wanted = FieldSets.leaves(of: configuration)
        let present = FieldSets.leaves(of: live)
        var conflicts: [Conflict] = []
        for (other, paths) in fields where other != manager {
            let disputed = paths.filter { path in wanted[path].map { $0 != present[path] } ?? false }
            conflicts += disputed.map { Conflict(manager: other.name, path: $0) }
            if isForced { fields[other] = paths.subtracting(disputed) }
        }
        if !isForced, !conflicts.isEmpty { return (live, conflicts) }
        var object = FieldSets.merged(live, configuration)
        let others = fields.filter { $0.key != manager }.reduce(into: Set<FieldPath>()) { $0.formUnion($1.value) }
        for path in (fields[manager] ?? []) where wanted[path] == nil && !others.contains(path) {
            // It was empty, and has members now.
            if wanted.keys.contains(where: { $0.starts(with: path) }) { continue }
            object = FieldSets.removing(path[...], from: object) ?? object
        }
        fields[manager] = Set(wanted.keys)
        times[manager] = times[manager] ?? time
        if object != live { times[manager] = time }
        fields = fields.filter { !$0.value.isEmpty }
        return (object, [])
    }

    func json(apiVersion: String) -> ServiceJSON {
        .array(
            fields.sorted { ($0.key.name, $0.key.operation) < ($1.key.name, $1.key.operation) }.map { manager, paths in
                var entry: ServiceJSON = [
                    "manager": .text(manager.name), "operation": .text(manager.operation),
                    "apiVersion": .text(apiVersion), "fieldsType": "FieldsV1",
                    "time": .text(times[manager] ?? "1970-01-01T00:00:00Z"), "fieldsV1": FieldSets.fieldsV1(paths),
                ]
                if !manager.subresource.isEmpty { entry["subresource"] = .text(manager.subresource) }
                return entry
            })
    }
}
