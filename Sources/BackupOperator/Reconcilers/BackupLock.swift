import HTTP
import KubernetesClient

/// The Lease by which one backup of a cluster runs at a time, whichever dialect asked for it. Who has it is judged by the
/// backup that it names: one that has ended, or is gone, has it no more.
struct BackupLock {
    let context: OperatorContext
    let dialect: DialectCaches
    let cluster: ObjectKey

    private var name: String { "pg-\(cluster.name)-backup-lock" }

    /// - Returns: nil when it is ours now, or the name of who has it.
    func take(for backup: any BackupManifest) async throws(KubernetesError) -> String? {
        try await take(backup.object.name)
    }

    /// A restore holds backups up, and they it.
    func take(for restore: any RestoreManifest) async throws(KubernetesError) -> String? {
        try await take(Self.restorePrefix + restore.object.name)
    }

    /// No name of an object has a slash.
    private static let restorePrefix = "restore/"

    private func take(_ holder: String) async throws(KubernetesError) -> String? {
        guard var lease = try await context.client.find(.leases, namespace: cluster.namespace, name: name) else {
            var new = KubernetesObject(.leases, namespace: cluster.namespace, name: name)
            new.labels = [OperatorNames.cluster: cluster.name]
            if let object = dialect.clusters[cluster] { new.ownerReferences = [object.owner()] }
            new["spec"] = record(holder)
            do throws(KubernetesError) {
                _ = try await context.client.create(.leases, new)
                return nil
            } catch {
                if error.isAlreadyExists { return "another" }
                throw error
            }
        }
        let present = lease["spec", "holderIdentity"]?.string ?? ""
        if present == holder { return nil }
        if !present.isEmpty, try await isHolding(present, lease) { return present }
        lease["spec"] = record(holder)
        do throws(KubernetesError) {
            _ = try await context.client.replace(.leases, lease)
            return nil
        } catch {
            if error.isConflict { return "another" }
            throw error
        }
    }

    /// As the server has it: what it says of itself comes a moment after the Lease.
    private func isHolding(_ name: String, _ lease: KubernetesObject) async throws(KubernetesError) -> Bool {
        let isRestore = name.hasPrefix(Self.restorePrefix)
        let found = isRestore ? String(name.dropFirst(Self.restorePrefix.count)) : name
        guard let type = isRestore ? dialect.dialect.restores : dialect.dialect.backups,
            let object = try await context.client.find(type, namespace: cluster.namespace, name: found)
        else { return false }
        if isRestore {
            guard let restore = dialect.dialect.restore(object), !restore.isFinished else { return false }
            if restore.isActive { return true }
        } else {
            let backup = dialect.dialect.backup(object)
            if backup.isFinished { return false }
            if backup.phase == .running { return true }
        }
        let taken = (lease["spec", "acquireTime"]?.string.flatMap(ServiceTime.parseMicroseconds) ?? 0) / 1_000_000
        return !object.isBeingDeleted && abs(context.now() - taken) < Self.grace
    }

    /// Seconds within which whoever has taken it says that it runs.
    private static let grace: Int64 = 60

    /// Writes down that it is still in use, for people.
    func keep(for backup: any BackupManifest) async throws(KubernetesError) {
        do throws(KubernetesError) {
            _ = try await context.client.patch(
                .leases, namespace: cluster.namespace, name: name,
                ["spec": ["renewTime": .text(ServiceTime.rfc3339(microseconds: context.now() * 1_000_000))]])
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    func release(by backup: any BackupManifest) async throws(KubernetesError) {
        try await release(backup.object.name)
    }

    func release(by restore: any RestoreManifest) async throws(KubernetesError) {
        try await release(Self.restorePrefix + restore.object.name)
    }

    private func release(_ holder: String) async throws(KubernetesError) {
        guard var lease = try await context.client.find(.leases, namespace: cluster.namespace, name: name),
            lease["spec", "holderIdentity"]?.string == holder
        else { return }
        lease["spec", "holderIdentity"] = ""
        do throws(KubernetesError) {
            _ = try await context.client.replace(.leases, lease)
        } catch {
            if !error.isConflict && !error.isNotFound { throw error }
        }
    }

    private func record(_ holder: String) -> ServiceJSON {
        let now = ServiceJSON.text(ServiceTime.rfc3339(microseconds: context.now() * 1_000_000))
        return [
            "holderIdentity": .text(holder), "leaseDurationSeconds": 60, "acquireTime": now, "renewTime": now,
        ]
    }
}
