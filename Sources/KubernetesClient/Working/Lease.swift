import Glibc
import HTTP
import Synchronization

/// One `Lease` (coordination.k8s.io/v1), which at most one holder has at a time.
///
/// Whether a holder has gone is judged by this host's monotonic clock alone: its lease has ended when it was seen
/// unchanged for as long as it was taken for. Times in the object are for people.
package final class Lease: Sendable {
    package enum Attempt: Sendable, Equatable {
        case held
        /// By whom; empty while two are taking it.
        case heldBy(String)
    }

    private struct Seen: Sendable {
        var record: ServiceJSON?
        var version: String?
        var at: Duration
    }

    package let key: ObjectKey
    package let holder: String
    package let duration: Duration
    private let client: KubernetesClient
    private let labels: [String: String]
    private let seen: Mutex<Seen?> = Mutex(nil)

    /// - Parameters:
    ///   - holder: who takes it: another name for each process.
    ///   - duration: without a renewal for so long it may be taken over; whole seconds, at least 1.
    package init(
        _ client: KubernetesClient, namespace: String, name: String, holder: String, duration: Duration,
        labels: [String: String] = [:]
    ) {
        self.client = client
        key = ObjectKey(namespace: namespace, name: name)
        self.holder = holder
        self.duration = .seconds(max(1, duration.components.seconds))
        self.labels = labels
    }

    /// Takes the lease, or renews it when it is ours.
    /// - Throws: when the server could not be asked; then a lease that was ours is ours until its time is over.
    package func take() async throws(KubernetesError) -> Attempt {
        let known: KubernetesObject?
        known = try await client.find(.leases, namespace: key.namespace, name: key.name)
        guard let known else {
            var new = KubernetesObject(.leases, namespace: key.namespace, name: key.name)
            new.labels = labels
            new["spec"] = record(since: nil, transitions: 0)
            return try await settle { () throws(KubernetesError) in try await client.create(.leases, new) }
        }
        note(known)
        let current = known["spec", "holderIdentity"]?.string ?? ""
        guard current.isEmpty || current == holder || hasEnded() else { return .heldBy(current) }
        var changed = known
        let transitions = known["spec", "leaseTransitions"]?.integer ?? 0
        let since = current == holder ? known["spec", "acquireTime"] : nil
        changed["spec"] = record(since: since, transitions: current == holder ? transitions : transitions + 1)
        let wanted = changed
        return try await settle { () throws(KubernetesError) in try await client.replace(.leases, wanted) }
    }

    /// Gives it back, so that the next holder need not wait. Nothing happens when it is another's.
    package func release() async throws(KubernetesError) {
        guard var lease = try await client.find(.leases, namespace: key.namespace, name: key.name),
            lease["spec", "holderIdentity"]?.string == holder
        else { return }
        lease["spec", "holderIdentity"] = ""
        lease["spec", "leaseDurationSeconds"] = 1
        lease["spec", "renewTime"] = .text(Self.wallTime())
        do throws(KubernetesError) {
            _ = try await client.replace(.leases, lease)
        } catch {
            // Somebody else took it, or it is gone.
            if !error.isConflict && !error.isNotFound { throw error }
        }
    }

    private func settle(
        _ write: () async throws(KubernetesError) -> KubernetesObject
    ) async throws(KubernetesError) -> Attempt {
        do throws(KubernetesError) {
            note(try await write())
            return .held
        } catch {
            if error.isConflict || error.isAlreadyExists { return .heldBy("") }
            throw error
        }
    }

    private func note(_ lease: KubernetesObject) {
        let now = client.options.time.now
        seen.withLock { seen in
            let record = lease["spec"]
            if let seen, seen.record == record, seen.version == lease.resourceVersion { return }
            seen = Seen(record: record, version: lease.resourceVersion, at: now)
        }
    }

    private func hasEnded() -> Bool {
        let now = client.options.time.now
        return seen.withLock { seen in
            guard let seen else { return false }
            let seconds = seen.record?["leaseDurationSeconds"]?.integer ?? Int(duration.components.seconds)
            return now - seen.at >= .seconds(max(1, seconds))
        }
    }

    private func record(since: ServiceJSON?, transitions: Int) -> ServiceJSON {
        let now = ServiceJSON.text(Self.wallTime())
        return [
            "holderIdentity": .text(holder), "leaseDurationSeconds": ServiceJSON(Int(duration.components.seconds)),
            "acquireTime": since ?? now, "renewTime": now, "leaseTransitions": ServiceJSON(transitions),
        ]
    }

    static func wallTime() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return ServiceTime.rfc3339(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }
}
