import HTTP
import KubernetesClient
import Synchronization

/// Brings objects to what they are to be, with a call of the API only where something has changed: on our side, which a
/// digest on the object tells, or on the other. An object of that name that is somebody else's stays as it is.
final class Applying: Sendable {
    private struct Place: Hashable, Sendable {
        var type: ResourceType
        var key: ObjectKey
    }

    private struct Known: Sendable {
        var digest: String
        var uid: String
        /// What changes when somebody changes what we wrote.
        var version: String

        init(_ object: KubernetesObject, _ digest: String) {
            self.digest = digest
            uid = object.uid
            // Of objects that have a status, the generation.
            version = object.generation > 0 ? "\(object.generation)" : object.resourceVersion ?? ""
        }
    }

    private let client: KubernetesClient
    /// What was applied by this process, and how the object was then.
    private let known = Mutex<[Place: Known]>([:])

    init(_ client: KubernetesClient) { self.client = client }

    var count: Int { known.withLock { $0.count } }

    /// - Parameter present: the object as a cache has it; caches know only what carries our label, and not at once.
    /// - Returns: whether a change was made.
    @discardableResult
    func apply(_ wanted: WantedObject, present: KubernetesObject?) async throws(KubernetesError) -> Bool {
        if wanted.isKept { return try await make(wanted, present: present) }
        let digest = OperatorNames.digest(wanted.object.json.description)
        var found = present
        if found == nil {
            found = try await client.find(wanted.type, namespace: wanted.object.namespace, name: wanted.object.name)
        }
        if let found {
            try Self.check(found, wanted.type, is: wanted.object)
            if found.annotations[OperatorNames.applied] == digest, !found.isBeingDeleted,
                isUnchanged(Place(type: wanted.type, key: found.key), Known(found, digest))
            {
                return false
            }
        }
        var object = wanted.object
        object.annotations[OperatorNames.applied] = digest
        // Whoever makes one of that name at this moment keeps it.
        let applied = try await client.apply(wanted.type, object, isForced: found != nil)
        known.withLock { $0[Place(type: wanted.type, key: applied.key)] = Known(applied, digest) }
        return true
    }

    /// After a start, an object that carries our digest is taken for what it says.
    private func isUnchanged(_ place: Place, _ now: Known) -> Bool {
        known.withLock { known in
            guard let before = known[place], before.digest == now.digest else {
                known[place] = now
                return true
            }
            return before.uid == now.uid && before.version == now.version
        }
    }

    private func make(_ wanted: WantedObject, present: KubernetesObject?) async throws(KubernetesError) -> Bool {
        if let present {
            try Self.check(present, wanted.type, is: wanted.object)
            return false
        }
        do throws(KubernetesError) {
            _ = try await client.create(wanted.type, wanted.object)
            return true
        } catch {
            if !error.isAlreadyExists { throw error }
        }
        if let found = try await client.find(
            wanted.type, namespace: wanted.object.namespace, name: wanted.object.name)
        {
            try Self.check(found, wanted.type, is: wanted.object)
        }
        return false
    }

    /// An object is gone.
    func forget(_ type: ResourceType, _ object: KubernetesObject) {
        let place = Place(type: type, key: object.key)
        known.withLock { known in
            // Another may have come in its place already.
            if known[place]?.uid == object.uid { known[place] = nil }
        }
    }

    /// - Parameter wanted: by its owner and its label it says what is ours.
    /// - Throws: when an object of its name is somebody else's, which we would change now and delete later.
    static func check(
        _ found: KubernetesObject, _ type: ResourceType, is wanted: KubernetesObject
    ) throws(KubernetesError) {
        let owners = found.ownerReferences
        let owner = wanted.ownerReferences.first
        let cluster = wanted.labels[OperatorNames.cluster]
        let isLabelled = cluster != nil && found.labels[OperatorNames.cluster] == cluster
        if let owner, owners.contains(where: { $0.uid == owner.uid }),
            // The original of a dialect has objects of the same name and the same owner.
            cluster == nil || isLabelled || found.annotations[OperatorNames.applied] != nil
        {
            return
        }
        if isLabelled {
            // Left by an owner that was to leave it.
            if owners.isEmpty { return }
            if let owner, owners.contains(where: { $0.kind == owner.kind && $0.name == owner.name }) {
                // Of one of that name that is gone: so is this in a moment.
                throw KubernetesError(
                    status: 409, reason: "Conflict", message: "\(type.kind) '\(found.key)' is about to be removed")
            }
        }
        // It may have backups, which nobody is to be told to remove.
        let remedy =
            type == .persistentVolumeClaims
            ? "if it has this cluster's data, label it \(OperatorNames.cluster)=\(cluster ?? ""), or else choose another name for "
                + "the cluster"
            : "remove it, or choose another name for \(owner.map { "\($0.kind) '\($0.name)'" } ?? "what it is for")"
        throw KubernetesError(
            status: nil, reason: "NotOurs", message: "\(type.kind) '\(found.key)' exists and is not ours: \(remedy)")
    }
}
