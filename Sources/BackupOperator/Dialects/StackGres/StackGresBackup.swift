package import HTTP
package import KubernetesClient

/// An `SGBackup`: always a full backup, which is kept unless it is handed to retention.
package struct StackGresBackup: BackupManifest {
    private static let phases: [String: BackupPhase] = [
        "Pending": .pending, "Running": .running, "Completed": .completed, "Failed": .failed,
    ]

    package let object: KubernetesObject

    package init(_ object: KubernetesObject) { self.object = object }

    private var status: ServiceJSON? { object["status"] }

    package var phase: BackupPhase? { StackGres.text(status, "process", "status").flatMap { Self.phases[$0] } }
    package var failure: String? { StackGres.text(status, "process", "failure") }
    package var jobPod: String? { StackGres.text(status, "process", "jobPod") }

    package var label: String? { StackGres.text(status, "internalName") }
    package var path: String? { StackGres.text(status, "backupPath") }
    package var endTime: Int64? { StackGres.text(status, "process", "timing", "end").flatMap(ServiceTime.parseISO8601) }

    package var major: Int? {
        StackGres.text(status, "backupInformation", "postgresVersion").flatMap { text in
            Int(text).map { $0 >= 10_000 ? $0 / 10_000 : $0 }
        }
    }

    package var isHeld: Bool { object["spec", "managedLifecycle"]?.bool != true }
    package var isStoredHeld: Bool? { object["status", "process", "managedLifecycle"]?.bool.map { !$0 } }
    package var isLeftAlone: Bool { object.annotations[StackGres.reconciliationPause] == "true" }
    package var isOwnerOfData: Bool { true }
    package var kind: WantedSchedule.Kind { .full }
    package var options: [(name: String, value: String)] { [] }
    package var refusal: Refusal? { nil }
    package var jobLabels: [String: String] {
        ["stackgres.io/backup-name": String(object.name.prefix(63)), "stackgres.io/backup": "true"]
    }
    package var timeoutSeconds: Int? { object["spec", "timeout"]?.integer.map { max(0, $0) } }
    package var retries: Int? { object["spec", "maxRetries"]?.integer.map { max(0, $0) } }

    /// Of another namespace: `namespace.cluster`.
    package var isCopy: Bool { (StackGres.text(object["spec"], "sgCluster") ?? "").contains(".") }

    package var cluster: ObjectKey {
        let text = StackGres.text(object["spec"], "sgCluster") ?? ""
        if let dot = text.firstIndex(of: ".") {
            return ObjectKey(namespace: String(text[..<dot]), name: String(text[text.index(after: dot)...]))
        }
        return ObjectKey(namespace: object.namespace, name: text)
    }

    package var accountAnnotations: [String: String] {
        object["status", "permafrost", "accountAnnotations"]?.texts ?? [:]
    }
    package var storage: ServiceJSON? { object["status", "sgBackupConfig", "storage"] }

    package func location() throws(Refusal) -> RepositoryLocation? {
        guard let storage, let path else { return nil }
        return try StackGresStorage(storage).location(path: path)
    }

    package var waitingSince: Int64? { nil }
    package var scheduledTime: Int64? {
        object.annotations[OperatorNames.scheduledTime].flatMap(ServiceTime.parseISO8601)
    }
    package var repositoryKey: Int? { object.annotations[OperatorNames.repository].flatMap { Int($0) } }

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

    // MARK: Status

    package func status(_ progress: BackupProgress) -> ServiceJSON {
        switch progress {
        case .waiting: return phase == nil ? ["process": ["status": "Pending"]] : [:]
        case .begun(let repository, _, _):
            var status: ServiceJSON = ["process": ["status": "Running", "failure": .null]]
            // Written once: a copy of it is what a restore goes by.
            if storage == nil { status = status.merging(repository.record) }
            return status
        case .running(_, let pod):
            guard phase != .running || jobPod != pod else { return [:] }
            return process("Running", pod)
        case .completed(let facts): return completed(facts)
        case .failed(let message, let pod, _):
            var status = process("Failed", pod)
            status[["process", "failure"]] = .text(message)
            return status
        case .held(let isHeld): return ["process": ["managedLifecycle": .bool(!isHeld)]]
        case .restorable: return [:]
        }
    }

    private func process(_ state: String, _ pod: String?) -> ServiceJSON {
        var process: ServiceJSON = ["status": .text(state)]
        if let pod { process["jobPod"] = .text(pod) }
        return ["process": process]
    }

    private func completed(_ facts: BackupFacts) -> ServiceJSON {
        let stored = facts.stored
        var status = process("Completed", facts.jobPod)
        status[["process", "failure"]] = .null
        status[["process", "managedLifecycle"]] = .bool(!stored.isHeld)
        status[["process", "timing"]] = [
            "start": .text(ServiceTime.rfc3339(stored.start)), "end": .text(ServiceTime.rfc3339(stored.stop)),
            "stored": .text(ServiceTime.rfc3339(stored.stop)),
        ]
        var information: ServiceJSON = [
            "pgData": .text(EngineConfiguration.dataDirectory),
            "size": ["uncompressed": .number("\(stored.size)"), "compressed": .number("\(stored.repositorySize)")],
        ]
        var lsn: ServiceJSON = [:]
        if let number = StoredBackup.number(stored.startLSN) { lsn["start"] = .text(number) }
        if let number = StoredBackup.number(stored.stopLSN) { lsn["end"] = .text(number) }
        information["lsn"] = lsn
        if let pod = facts.sourcePod {
            information["hostname"] = .text(pod)
            information["sourcePod"] = .text(pod)
        }
        if let id = facts.status?.systemID { information["systemIdentifier"] = .text(id) }
        if let version = facts.status?.version.flatMap(Self.versionNumber) {
            information["postgresVersion"] = .text(version)
        }
        if let segment = stored.startSegment { information["startWalFile"] = .text(segment) }
        if let timeline = stored.timeline { information["timeline"] = .text("\(timeline)") }
        status["internalName"] = .text(stored.label)
        status["backupInformation"] = information
        return status
    }

    /// `server_version_num` of `17` or `17.6`.
    private static func versionNumber(_ text: String) -> String? {
        let parts = text.split(separator: ".").compactMap { Int($0) }
        return parts.first.map { "\($0 * 10_000 + (parts.count > 1 ? parts[1] : 0))" }
    }
}
