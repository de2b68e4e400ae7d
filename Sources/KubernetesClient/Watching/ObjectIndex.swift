/// Objects of one type by what they are looked for. A value: no clock, no network.
struct ObjectIndex: Sendable {
    private(set) var objects: [ObjectKey: KubernetesObject] = [:]
    private var names: [String: Set<ObjectKey>] = [:]
    private var owned: [String: Set<ObjectKey>] = [:]

    /// - Returns: what was there before.
    mutating func insert(_ object: KubernetesObject) -> KubernetesObject? {
        let key = object.key
        let old = remove(key)
        objects[key] = object
        names[key.namespace ?? "", default: []].insert(key)
        for owner in object.ownerReferences { owned[owner.uid, default: []].insert(key) }
        return old
    }

    mutating func remove(_ key: ObjectKey) -> KubernetesObject? {
        guard let old = objects.removeValue(forKey: key) else { return nil }
        Self.remove(key, of: key.namespace ?? "", from: &names)
        for owner in old.ownerReferences { Self.remove(key, of: owner.uid, from: &owned) }
        return old
    }

    private static func remove(_ key: ObjectKey, of name: String, from sets: inout [String: Set<ObjectKey>]) {
        sets[name]?.remove(key)
        if sets[name]?.isEmpty == true { sets[name] = nil }
    }

    /// By key.
    func objects(namespace: String?, _ labels: [LabelRequirement]) -> [KubernetesObject] {
        let keys = namespace.map { Array(names[$0] ?? []) } ?? Array(objects.keys)
        return keys.sorted().compactMap { objects[$0] }.filter { object in
            let own = object.labels
            return labels.allSatisfy { $0.matches(own) }
        }
    }

    func objects(ownedBy uid: String) -> [KubernetesObject] {
        (owned[uid] ?? []).sorted().compactMap { objects[$0] }
    }
}
