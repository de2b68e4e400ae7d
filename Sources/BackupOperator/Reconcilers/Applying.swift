import HTTP
import KubernetesClient
import Synchronization

/// Brings objects to what they are to be, with a call of the API only where something has changed: on our side, which a
/// digest on the object tells, or on the other.
final class Applying: Sendable {
    private struct Known: Sendable {
        var digest: String
        var state: String
    }

    private let client: KubernetesClient
    /// What was applied by this process, and how the object was then.
    private let known = Mutex<[String: Known]>([:])

    init(_ client: KubernetesClient) { self.client = client }

    /// - Parameter present: the object as a cache has it.
    /// - Returns: whether a call was made.
    @discardableResult
    func apply(_ wanted: WantedObject, present: KubernetesObject?) async throws(KubernetesError) -> Bool {
        if wanted.isKept {
            guard present == nil else { return false }
            do throws(KubernetesError) {
                _ = try await client.create(wanted.type, wanted.object)
            } catch {
                if !error.isAlreadyExists { throw error }
            }
            return true
        }
        let digest = OperatorNames.digest(wanted.object.json.description)
        let place = "\(wanted.type)/\(wanted.object.key)"
        if let present, present.annotations[OperatorNames.applied] == digest, !present.isBeingDeleted {
            let state = Self.state(present)
            // After a start, an object that carries our digest is taken for what it says.
            let isUnchanged = known.withLock { known in
                guard let before = known[place], before.digest == digest else {
                    known[place] = Known(digest: digest, state: state)
                    return true
                }
                return before.state == state
            }
            if isUnchanged { return false }
        }
        var object = wanted.object
        object.annotations[OperatorNames.applied] = digest
        let applied = try await client.apply(wanted.type, object)
        known.withLock { $0[place] = Known(digest: digest, state: Self.state(applied)) }
        return true
    }

    /// What changes when somebody changes what we wrote: of objects that have a status, the generation.
    private static func state(_ object: KubernetesObject) -> String {
        let version = object.generation > 0 ? "\(object.generation)" : object.resourceVersion ?? ""
        return "\(object.uid) \(version)"
    }
}
