package import HTTP
package import KubernetesClient

/// A `PerconaPGBackup`. Its data outlives it, as in the original, until retention removes it.
package struct PerconaBackup: BackupManifest {
    package let object: KubernetesObject
    private let read: Result<PerconaBackupOptions, Refusal>

    package init(_ object: KubernetesObject) {
        self.object = object
        do throws(Refusal) {
            read = .success(try PerconaBackupOptions(object["spec"]))
        } catch {
            read = .failure(error)
        }
    }

    private var status: ServiceJSON? { object["status"] }
    private var state: String { Percona.text(status, "state") ?? "" }

    package var cluster: ObjectKey {
        ObjectKey(namespace: object.namespace, name: Percona.text(object["spec"], "pgCluster") ?? "")
    }
    package var isLeftAlone: Bool { false }
    package var isCopy: Bool { false }

    package var phase: BackupPhase? {
        switch state {
        case "Starting", "Running": .running
        case "Succeeded": .completed
        case "Failed": .failed
        default: nil
        }
    }
    package var failure: String? { Percona.text(status, "error") }
    package var label: String? { Percona.text(status, "backupName") }
    package var endTime: Int64? { Percona.text(status, "completed").flatMap(ServiceTime.parseISO8601) }
    package var jobPod: String? { Percona.text(status, "permafrost", "jobPod") }

    package var scheduledTime: Int64? {
        object.annotations[OperatorNames.scheduledTime].flatMap(ServiceTime.parseISO8601)
    }
    package var waitingSince: Int64? {
        state.isEmpty ? Percona.text(status, "startTime").flatMap(ServiceTime.parseISO8601) : nil
    }
    package var repositoryKey: Int? { Percona.key(Percona.text(object["spec"], "repoName")) }
    package var kind: WantedSchedule.Kind { (try? read.get().kind) ?? .incr }
    package var options: [(name: String, value: String)] { (try? read.get().options) ?? [] }

    package var refusal: Refusal? {
        if let method = Percona.text(object["spec"], "method"), method != "pgbackrest" {
            return Refusal("MethodUnsupported", "spec.method: backups by \(method) are not there: pgbackrest is")
        }
        guard repositoryKey != nil else {
            return Refusal(
                "RepositoryInvalid",
                "spec.repoName '\(Percona.text(object["spec"], "repoName") ?? "")' is none of repo1 to repo4")
        }
        if case .failure(let refusal) = read { return refusal }
        return nil
    }

    package var timeoutSeconds: Int? { nil }
    package var retries: Int? { nil }
    package var isHeld: Bool { false }
    package var isStoredHeld: Bool? { false }
    package var isOwnerOfData: Bool { object.annotations[OperatorNames.deletesData] == "true" }
    package var needsClusterForRemoval: Bool { true }
    package var jobLabels: [String: String] {
        var labels = ["\(Percona.label)/pgbackrest": "", "\(Percona.label)/pgbackrest-backup": "manual"]
        labels["\(Percona.label)/pgbackrest-repo"] = Percona.text(object["spec"], "repoName")
        return labels
    }

    package func storedAnnotations(job: String) -> [String: String] {
        [Percona.storedName: object.name, Percona.storedJob: job, Percona.storedJobType: "manual"]
    }

    package func location() throws(Refusal) -> RepositoryLocation? {
        PerconaLocation.stored(status, cluster: cluster.name)
    }

    /// Scheduled backups of one time have one name: to make it twice is impossible.
    static func scheduled(of cluster: KubernetesObject, _ due: SchedulePlan.Due) -> KubernetesObject {
        let type = due.key.kind
        let stamp = ServiceTime.compact(due.time).filter { ("0"..."9").contains($0) }
        let ending = "-repo\(due.key.repository)-\(type.rawValue)-\(stamp)"
        var object = KubernetesObject(
            Percona.backups, namespace: cluster.namespace,
            name: OperatorNames.shortened(cluster.name, to: 56 - ending.utf8.count) + ending)
        object.labels = cluster["spec", "metadata", "labels"]?.texts ?? [:]
        object.labels[OperatorNames.cluster] = cluster.name
        object.annotations = [OperatorNames.scheduledTime: ServiceTime.rfc3339(due.time)]
        if due.wasMissed { object.annotations[OperatorNames.missed] = "true" }
        object["spec"] = [
            "pgCluster": .text(cluster.name), "repoName": .text("repo\(due.key.repository)"),
            "options": [.text("--type=\(type.rawValue)")],
        ]
        return object
    }

    private var restorableTime: String? { Percona.text(status, "latestRestorableTime") }

    /// As the option `--target` takes it: `2026-07-22 12:22:17.000000+0000`.
    static func target(_ microseconds: Int64) -> String {
        String(ServiceTime.rfc3339(microseconds: microseconds).dropLast()).replacing("T", with: " ") + "+0000"
    }

    // MARK: Status

    package func status(_ progress: BackupProgress) -> ServiceJSON {
        switch progress {
        case .waiting(_, let message, let now):
            guard state.isEmpty, failure != message || (now == nil) != (waitingSince == nil) else { return [:] }
            let since = now.map { .text(ServiceTime.rfc3339(waitingSince ?? $0)) } ?? ServiceJSON.null
            return ["state": "", "error": .text(message), "startTime": since]
        case .begun(let repository, _, let now):
            var status: ServiceJSON = ["state": "Starting", "error": .null]
            if status["startTime"] == nil { status["startTime"] = .text(ServiceTime.rfc3339(now)) }
            return status.merging(repository.record)
        case .running(let job, let pod):
            guard state != "Running" || jobPod != pod else { return [:] }
            var status: ServiceJSON = ["state": "Running", "jobName": .text(job)]
            if let pod { status[["permafrost", "jobPod"]] = .text(pod) }
            return status
        case .completed(let facts): return completed(facts)
        case .failed(let message, let pod, let log):
            var status: ServiceJSON = ["state": "Failed", "error": .text(message)]
            if let pod { status[["permafrost", "jobPod"]] = .text(pod) }
            if let log { status["log"] = .text(log) }
            return status
        case .held: return [:]
        case .restorable(let time):
            let text = Self.target(time)
            return restorableTime == text ? [:] : ["latestRestorableTime": .text(text)]
        }
    }

    private func completed(_ facts: BackupFacts) -> ServiceJSON {
        let stored = facts.stored
        var status: ServiceJSON = [
            "state": "Succeeded", "error": .null, "backupName": .text(stored.label),
            "backupType": .text(stored.type), "size": .number("\(stored.repositorySize)"),
            "startTime": .text(ServiceTime.rfc3339(stored.start)), "completed": .text(ServiceTime.rfc3339(stored.stop)),
        ]
        if let start = stored.startLSN { status[["lsn", "start"]] = .text(start) }
        if let stop = stored.stopLSN { status[["lsn", "stop"]] = .text(stop) }
        if let timeline = stored.timeline { status["timeline"] = ServiceJSON(Int(timeline)) }
        if let pod = facts.jobPod { status[["permafrost", "jobPod"]] = .text(pod) }
        if let log = facts.log { status["log"] = .text(log) }
        return status
    }
}
