import Glibc
import HTTP

/// All objects of the server, and what happened to them. A value: one lock around it makes every call one step.
struct ObjectTable: Sendable {
    struct Key: Hashable, Sendable, Comparable {
        var namespace: String
        var name: String

        static func < (one: Key, other: Key) -> Bool { (one.namespace, one.name) < (other.namespace, other.name) }
    }

    struct Stored: Sendable {
        var json: ServiceJSON
        var owners = FieldOwners()
    }

    struct Event: Sendable {
        var version: Int
        var type: ServedType
        var kind: String
        var object: ServiceJSON
        /// Before it.
        var previous: ServiceJSON?
    }

    var types = Set(ServedType.builtIn)
    private(set) var objects: [ServedType: [Key: Stored]] = [:]
    private(set) var history: [Event] = []
    private(set) var version = 1
    /// Nothing is known of what happened before.
    private(set) var compacted = 0
    private var lastUID: UInt64 = 0
    /// Of the objects that there are.
    private var uids: Set<String> = []

    private static let historyLimit = 20_000

    init() {
        for name in ["default", "kube-system"] {
            let json: ServiceJSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .text(name)]]
            _ = try? create(ServedType.builtIn[0], "", json, manager: "kube-apiserver")
        }
    }

    static func now() -> String { ServiceTime.rfc3339(Int64(time(nil))) }

    /// Versions of one kind of objects are served alike, from one place.
    private func place(_ type: ServedType) -> ServedType {
        if objects[type] != nil { return type }
        return objects.keys.first { $0.group == type.group && $0.plural == type.plural } ?? type
    }

    // MARK: Reading

    func find(plural: String, _ key: Key) -> ServiceJSON? {
        objects.first { $0.key.plural == plural }?.value[key]?.json
    }

    func find(_ type: ServedType, _ key: Key) -> Stored? { objects[place(type)]?[key] }

    func get(_ type: ServedType, _ key: Key) throws(APIFailure) -> Stored {
        guard let stored = find(type, key) else { throw .notFound(type, key.name) }
        return stored
    }

    func list(_ type: ServedType, _ namespace: String?) -> [(key: Key, json: ServiceJSON)] {
        (objects[place(type)] ?? [:]).filter { namespace == nil || $0.key.namespace == namespace }
            .sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) }
    }

    func events(of type: ServedType, after version: Int) -> ArraySlice<Event> {
        var low = 0
        var high = history.count
        while low < high {
            let middle = (low + high) / 2
            if history[middle].version <= version { low = middle + 1 } else { high = middle }
        }
        return history[low...]
    }

    mutating func compact() {
        compacted = version
        history = []
    }

    // MARK: Writing

    mutating func create(
        _ type: ServedType, _ namespace: String, _ json: ServiceJSON, manager: String
    ) throws(APIFailure) -> ServiceJSON {
        var object = json
        var name = object[["metadata", "name"]]?.string ?? ""
        if name.isEmpty, let prefix = object[["metadata", "generateName"]]?.string, !prefix.isEmpty {
            let letters = Array("bcdfghjklmnpqrstvwxz2456789")
            name = prefix + String((0..<5).compactMap { _ in letters.randomElement() })
        }
        guard !name.isEmpty else { throw .invalid(type, "", "metadata.name", "name or generateName is required") }
        guard Self.isName(name) else {
            throw .invalid(type, name, "metadata.name", "\"\(name)\": a lowercase RFC 1123 subdomain is wanted")
        }
        if type.isNamespaced {
            guard let holder = objects[ServedType.builtIn[0]]?[Key(namespace: "", name: namespace)] else {
                throw .notFound(ServedType.builtIn[0], namespace)
            }
            if holder.json[["metadata", "deletionTimestamp"]] != nil {
                throw APIFailure(
                    code: 403, reason: "Forbidden",
                    message: "\(type.qualified) \"\(name)\" is forbidden: unable to create new content in namespace "
                        + "\(namespace) because it is being terminated", details: APIFailure.details(type, name))
            }
        }
        let key = Key(namespace: namespace, name: name)
        let definition = Key(namespace: "", name: type.qualified)
        if find(.customResourceDefinitions, definition)?.json[["metadata", "deletionTimestamp"]] != nil {
            throw APIFailure(
                code: 405, reason: "MethodNotAllowed",
                message: "create not allowed while custom resource definition is terminating",
                details: APIFailure.details(type, name))
        }
        guard find(type, key) == nil else { throw .alreadyExists(type, name) }
        guard (object[["metadata", "resourceVersion"]]?.string ?? "").isEmpty else {
            throw .bad("resourceVersion should not be set on objects to be created")
        }
        lastUID += 1
        let digits = String(lastUID, radix: 16)
        object["apiVersion"] = .text(type.apiVersion)
        object["kind"] = .text(type.kind)
        object[["metadata", "name"]] = .text(name)
        if type.isNamespaced { object[["metadata", "namespace"]] = .text(namespace) }
        object[["metadata", "uid"]] = .text(
            "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits)
        object[["metadata", "creationTimestamp"]] = .text(Self.now())
        object[["metadata", "deletionTimestamp"]] = nil
        if !["secrets", "configmaps", "events", "leases", "serviceaccounts"].contains(type.plural) {
            object[["metadata", "generation"]] = 1
        }
        if type.hasStatus { object["status"] = nil }
        Self.complete(&object, type)
        var owners = FieldOwners()
        if manager.hasPrefix("apply:") {
            let name = String(manager.dropFirst(6))
            _ = owners.applied(
                .init(name: name, operation: "Apply", subresource: ""), object, to: [:], isForced: true, at: Self.now())
        } else {
            owners.updated(
                .init(name: manager, operation: "Update", subresource: ""), from: nil, to: object, at: Self.now())
        }
        let made = store(type, key, object, owners, "ADDED", previous: nil)
        // Whoever makes something for an owner that has gone meanwhile makes it in vain: the garbage collector takes it.
        if isOrphan(made) { _ = try? delete(type, key, [:]) }
        return made
    }

    /// What the server fills in.
    private static func complete(_ object: inout ServiceJSON, _ type: ServedType) {
        switch type.plural {
        case "secrets":
            for (name, text) in object["stringData"]?.texts ?? [:] {
                object[["data", name]] = .text(Base64.encode(text.utf8))
            }
            object["stringData"] = nil
            if object["type"] == nil { object["type"] = "Opaque" }
        case "pods" where object["status"] == nil: object["status"] = ["phase": "Pending"]
        case "namespaces" where object["status"] == nil: object["status"] = ["phase": "Active"]
        case "customresourcedefinitions" where object[["status", "conditions"]] == nil:
            object["status"] = [
                "acceptedNames": object[["spec", "names"]] ?? [:],
                "conditions": [
                    ["type": "NamesAccepted", "status": "True", "reason": "NoConflicts"],
                    ["type": "Established", "status": "True", "reason": "InitialNamesAccepted"],
                ],
            ]
        default: break
        }
    }

    /// - Parameters:
    ///   - change: gives the new object; what the server owns in it does not count.
    ///   - owner: of the fields that change.
    mutating func update(
        _ type: ServedType, _ key: Key, subresource: String, owner: String,
        _ change: (ServiceJSON, inout FieldOwners) throws(APIFailure) -> (object: ServiceJSON, isApplied: Bool)
    ) throws(APIFailure) -> ServiceJSON {
        let stored = try get(type, key)
        let old = stored.json
        var owners = stored.owners
        var (object, isApplied) = try change(old, &owners)
        if let wanted = object[["metadata", "resourceVersion"]]?.string, !wanted.isEmpty,
            wanted != old[["metadata", "resourceVersion"]]?.string
        {
            throw .modified(type, key.name)
        }
        if let uid = object[["metadata", "uid"]]?.string, !uid.isEmpty, uid != old[["metadata", "uid"]]?.string {
            throw .conflict(
                type, key.name,
                "Precondition failed: UID in precondition: \(uid), UID in object meta: "
                    + (old[["metadata", "uid"]]?.string ?? ""))
        }
        if subresource == "status" {
            var whole = old
            whole["status"] = object["status"]
            object = whole
        } else if type.hasStatus {
            object["status"] = old["status"]
        }
        object["apiVersion"] = old["apiVersion"]
        object["kind"] = old["kind"]
        for name in [
            "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields",
            "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
        ] { object[["metadata", name]] = old[["metadata", name]] }
        Self.complete(&object, type)
        guard object != old || isApplied && owners != stored.owners else { return old }
        if let generation = old[["metadata", "generation"]]?.integer {
            func wanted(_ json: ServiceJSON) -> ServiceJSON {
                var json = json
                json["metadata"] = nil
                if type.hasStatus { json["status"] = nil }
                return json
            }
            if wanted(object) != wanted(old) { object[["metadata", "generation"]] = ServiceJSON(generation + 1) }
        }
        if !isApplied {
            owners.updated(
                .init(name: owner, operation: "Update", subresource: subresource), from: old, to: object,
                at: Self.now())
        }
        if object[["metadata", "deletionTimestamp"]] != nil, Self.finalizers(object).isEmpty,
            (object[["metadata", "deletionGracePeriodSeconds"]]?.integer ?? 0) <= 0,
            type != ServedType.builtIn[0] || !hasContent(key.name)
        {
            return remove(type, key)
        }
        return store(type, key, object, owners, "MODIFIED", previous: old)
    }

    /// Seconds: of a pod that a node has and that has not ended.
    private static func grace(_ pod: ServiceJSON, _ options: ServiceJSON) -> Int {
        guard !(pod[["spec", "nodeName"]]?.string ?? "").isEmpty,
            !["Succeeded", "Failed"].contains(pod[["status", "phase"]]?.string)
        else { return 0 }
        let wanted =
            options["gracePeriodSeconds"]?.integer ?? pod[["spec", "terminationGracePeriodSeconds"]]?.integer ?? 30
        // What is ending already may only end sooner.
        return min(max(wanted, 0), pod[["metadata", "deletionGracePeriodSeconds"]]?.integer ?? .max)
    }

    static func finalizers(_ json: ServiceJSON) -> [String] {
        json[["metadata", "finalizers"]]?.elements.compactMap(\.string) ?? []
    }

    /// - Returns: the object as it was last, and whether it is gone.
    mutating func delete(
        _ type: ServedType, _ key: Key, _ options: ServiceJSON
    ) throws(APIFailure) -> (object: ServiceJSON, isGone: Bool) {
        var object = try get(type, key).json
        let old = object
        for name in ["uid", "resourceVersion"] {
            if let wanted = options[["preconditions", name]]?.string, wanted != object[["metadata", name]]?.string {
                throw .conflict(type, key.name, "Precondition failed: \(name) in precondition: \(wanted)")
            }
        }
        var finalizers = Self.finalizers(object)
        switch options["propagationPolicy"]?.string {
        case "Orphan":
            orphan(object)
        case "Foreground":
            let uid = object[["metadata", "uid"]]?.string ?? ""
            for (type, key) in dependents(of: uid) {
                _ = try? delete(type, key, ["propagationPolicy": "Foreground"])
            }
            if !dependents(of: uid).isEmpty, !finalizers.contains("foregroundDeletion") {
                finalizers.append("foregroundDeletion")
            }
        default: break
        }
        if type == ServedType.builtIn[0] {
            for other in objects.keys where other.isNamespaced {
                for key in (objects[other] ?? [:]).keys.sorted()
                where key.namespace == object[["metadata", "name"]]?.string {
                    _ = try? delete(other, key, [:])
                }
            }
        }
        let grace = type == ServedType.pods ? Self.grace(old, options) : 0
        let isHeld = type == ServedType.builtIn[0] && hasContent(key.name)
        guard !finalizers.isEmpty || grace > 0 || isHeld else { return (remove(type, key), true) }
        if object[["metadata", "deletionTimestamp"]] != nil, finalizers == Self.finalizers(old),
            grace == object[["metadata", "deletionGracePeriodSeconds"]]?.integer
        {
            return (object, false)
        }
        object[["metadata", "finalizers"]] = finalizers.isEmpty ? nil : ServiceJSON(finalizers)
        if isHeld { object[["status", "phase"]] = "Terminating" }
        let isNew = object[["metadata", "deletionTimestamp"]] == nil
        if isNew || grace != object[["metadata", "deletionGracePeriodSeconds"]]?.integer {
            object[["metadata", "deletionTimestamp"]] = .text(
                ServiceTime.rfc3339(Int64(time(nil)) + Int64(clamping: grace)))
            object[["metadata", "deletionGracePeriodSeconds"]] = ServiceJSON(grace)
        }
        if isNew {
            if let generation = object[["metadata", "generation"]]?.integer {
                object[["metadata", "generation"]] = ServiceJSON(generation + 1)
            }
        }
        return (store(type, key, object, find(type, key)?.owners ?? FieldOwners(), "MODIFIED", previous: old), false)
    }

    private mutating func remove(_ type: ServedType, _ key: Key) -> ServiceJSON {
        guard let stored = objects[place(type)]?.removeValue(forKey: key) else { return .null }
        version += 1
        if let uid = stored.json[["metadata", "uid"]]?.string { uids.remove(uid) }
        var last = stored.json
        last[["metadata", "resourceVersion"]] = .text(String(version))
        note(Event(version: version, type: place(type), kind: "DELETED", object: last, previous: stored.json))
        if type == .customResourceDefinitions { types.subtract(ServedType.served(by: last)) }
        collectGarbage(after: last)
        if let holder = stored.json[["metadata", "namespace"]]?.string { finish(holder) }
        return last
    }

    private func hasContent(_ namespace: String) -> Bool {
        objects.contains { type, table in type.isNamespaced && table.keys.contains { $0.namespace == namespace } }
    }

    /// A namespace that was deleted goes with the last object in it.
    private mutating func finish(_ namespace: String) {
        let key = Key(namespace: "", name: namespace)
        guard let holder = objects[ServedType.builtIn[0]]?[key]?.json,
            holder[["metadata", "deletionTimestamp"]] != nil, Self.finalizers(holder).isEmpty, !hasContent(namespace)
        else { return }
        _ = remove(ServedType.builtIn[0], key)
    }

    /// What belongs to nothing any more goes; an owner that waits for what belongs to it may go now.
    private mutating func collectGarbage(after gone: ServiceJSON) {
        let uid = gone[["metadata", "uid"]]?.string ?? ""
        for (type, key) in dependents(of: uid) {
            guard let stored = find(type, key) else { continue }
            if isOrphan(stored.json) { _ = try? delete(type, key, [:]) }
        }
        for owner in gone[["metadata", "ownerReferences"]]?.elements ?? [] {
            guard let uid = owner["uid"]?.string, let (type, key, json) = object(uid),
                Self.finalizers(json).contains("foregroundDeletion"), dependents(of: uid).isEmpty
            else { continue }
            _ = try? update(type, key, subresource: "", owner: "garbage-collector") { old, _ throws(APIFailure) in
                var object = old
                object[["metadata", "finalizers"]] = ServiceJSON(
                    Self.finalizers(old).filter { $0 != "foregroundDeletion" })
                return (object, false)
            }
        }
    }

    private mutating func orphan(_ owner: ServiceJSON) {
        let uid = owner[["metadata", "uid"]]?.string ?? ""
        for (type, key) in dependents(of: uid) {
            _ = try? update(type, key, subresource: "", owner: "garbage-collector") { old, _ throws(APIFailure) in
                var object = old
                let left = (old[["metadata", "ownerReferences"]]?.elements ?? []).filter { $0["uid"]?.string != uid }
                object[["metadata", "ownerReferences"]] = left.isEmpty ? nil : .array(left)
                return (object, false)
            }
        }
    }

    /// Whether all that it belongs to has gone.
    private func isOrphan(_ json: ServiceJSON) -> Bool {
        let owners = json[["metadata", "ownerReferences"]]?.elements ?? []
        return !owners.isEmpty && !owners.contains { $0["uid"]?.string.map(uids.contains) ?? false }
    }

    private func object(_ uid: String) -> (ServedType, Key, ServiceJSON)? {
        for (type, table) in objects {
            if let found = table.first(where: { $0.value.json[["metadata", "uid"]]?.string == uid }) {
                return (type, found.key, found.value.json)
            }
        }
        return nil
    }

    private func dependents(of uid: String) -> [(ServedType, Key)] {
        objects.flatMap { type, table in
            table.filter { _, stored in
                stored.json[["metadata", "ownerReferences"]]?.elements.contains { $0["uid"]?.string == uid } ?? false
            }.keys.sorted().map { (type, $0) }
        }
    }

    private mutating func store(
        _ type: ServedType, _ key: Key, _ json: ServiceJSON, _ owners: FieldOwners, _ kind: String,
        previous: ServiceJSON?
    ) -> ServiceJSON {
        let place = place(type)
        version += 1
        var json = json
        json[["metadata", "resourceVersion"]] = .text(String(version))
        json[["metadata", "managedFields"]] = owners.json(apiVersion: type.apiVersion)
        objects[place, default: [:]][key] = Stored(json: json, owners: owners)
        if let uid = json[["metadata", "uid"]]?.string { uids.insert(uid) }
        note(Event(version: version, type: place, kind: kind, object: json, previous: previous))
        if type == .customResourceDefinitions {
            if let previous { types.subtract(ServedType.served(by: previous)) }
            types.formUnion(ServedType.served(by: json))
        }
        return json
    }

    private mutating func note(_ event: Event) {
        history.append(event)
        if history.count > Self.historyLimit {
            compacted = history[Self.historyLimit / 2 - 1].version
            history.removeFirst(Self.historyLimit / 2)
        }
    }

    private static func isName(_ name: String) -> Bool {
        name.utf8.count <= 253
            && name.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || "-.:".utf8.contains($0)
            }
            && name.first != "-" && name.last != "-" && name.first != "." && name.last != "."
    }
}
