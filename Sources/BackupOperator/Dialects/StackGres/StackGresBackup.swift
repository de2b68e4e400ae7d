package import HTTP
package import KubernetesClient

/// An `SGBackup`: what is asked for, and what its status says.
package struct StackGresBackup: Sendable {
    package enum Phase: String, Sendable {
        case pending = "Pending"
        case running = "Running"
        case completed = "Completed"
        case failed = "Failed"
    }

    package let object: KubernetesObject

    package init(_ object: KubernetesObject) { self.object = object }

    private var status: ServiceJSON? { object["status"] }

    package var phase: Phase? { StackGres.text(status, "process", "status").flatMap { Phase(rawValue: $0) } }
    package var isFinished: Bool { phase == .completed || phase == .failed }
    package var failure: String? { StackGres.text(status, "process", "failure") }
    package var jobPod: String? { StackGres.text(status, "process", "jobPod") }

    /// The engine's name of the backup.
    package var label: String? { StackGres.text(status, "internalName") }
    package var path: String? { StackGres.text(status, "backupPath") }
    /// Seconds since 1970.
    package var endTime: Int64? { StackGres.text(status, "process", "timing", "end").flatMap(ServiceTime.parseISO8601) }

    package var major: Int? {
        StackGres.text(status, "backupInformation", "postgresVersion").flatMap { text in
            Int(text).map { $0 >= 10_000 ? $0 / 10_000 : $0 }
        }
    }

    /// Whether retention may remove it.
    package var isManaged: Bool { object["spec", "managedLifecycle"]?.bool ?? false }
    /// The same, as the repository has it; nil before it is there.
    package var isStoredManaged: Bool? { object["status", "process", "managedLifecycle"]?.bool }
    package var timeoutSeconds: Int? { object["spec", "timeout"]?.integer.flatMap { $0 > 0 ? $0 : nil } }
    package var retries: Int? { object["spec", "maxRetries"]?.integer.map { max(0, $0) } }

    /// A copy of another namespace's backup (`namespace.cluster`): nothing is run for it.
    package var isCopy: Bool { (StackGres.text(object["spec"], "sgCluster") ?? "").contains(".") }

    package var cluster: ObjectKey {
        let text = StackGres.text(object["spec"], "sgCluster") ?? ""
        if let dot = text.firstIndex(of: ".") {
            return ObjectKey(namespace: String(text[..<dot]), name: String(text[text.index(after: dot)...]))
        }
        return ObjectKey(namespace: object.namespace, name: text)
    }

    package var storage: ServiceJSON? { object["status", "sgBackupConfig", "storage"] }

    /// Where its data is; nil before that is in its status.
    package func location() throws(Refusal) -> RepositoryLocation? {
        guard let storage, let path else { return nil }
        return try StackGresStorage(storage).location(path: path)
    }

    /// When it was due, in seconds since 1970; nil for one that somebody asked for.
    package var scheduledTime: Int64? {
        object.annotations[OperatorNames.scheduledTime].flatMap(ServiceTime.parseISO8601)
    }
    /// The repository that it goes to; nil: the first.
    package var repositoryKey: Int? { object.annotations[OperatorNames.repository].flatMap { Int($0) } }

    /// Whether both are the same backup in the same place.
    package func isSameData(as other: StackGresBackup) -> Bool {
        guard label != nil, label == other.label, let storage = other.storage else { return false }
        return path == other.path && isStored(in: storage)
    }

    /// Whether its data is where a storage leads now; what else has changed there is of no matter.
    package func isStored(in storage: ServiceJSON) -> Bool {
        guard let path, let own = try? location(),
            let other = try? StackGresStorage(storage).location(path: path)
        else { return false }
        return own.identity == other.identity
    }

    /// Scheduled backups of one time have one name: to make it twice is impossible.
    package static func scheduled(
        cluster: ObjectKey, repository: Int, at time: Int64, wasMissed: Bool
    ) -> KubernetesObject {
        let civil = CivilTime(time)
        let stamp = [civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second]
            .map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: "-")
        let ending = "-\(stamp)" + (repository == 1 ? "" : "-\(repository)")
        var object = KubernetesObject(
            StackGres.backups, namespace: cluster.namespace,
            name: OperatorNames.shortened(cluster.name, to: 56 - ending.utf8.count) + ending)
        object.labels = [StackGres.scheduledBackup: "true", OperatorNames.cluster: cluster.name]
        object.annotations = [
            StackGres.scheduledBackup: "true", OperatorNames.scheduledTime: ServiceTime.rfc3339(time),
            OperatorNames.repository: "\(repository)",
        ]
        if wasMissed { object.annotations[OperatorNames.missed] = "true" }
        object["spec"] = ["sgCluster": .text(cluster.name), "managedLifecycle": true]
        return object
    }
}
