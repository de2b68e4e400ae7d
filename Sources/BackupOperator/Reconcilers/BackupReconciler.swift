import BackupModel
import HTTP
import Jobs
import KubernetesClient

/// Brings one `SGBackup` to its end. Each run begins at the beginning and does what is not done yet, so it may end
/// anywhere: the object's status, the Lease and the Job say how far it is.
struct BackupReconciler {
    let context: OperatorContext
    let key: ObjectKey

    private var pause: Duration { context.settings.second * 5 }
    /// Where what is waited for tells of itself.
    private var longPause: Duration { context.settings.second * 120 }

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        guard let object = context.caches.backups[key] else { return .done }
        let backup = StackGresBackup(object)
        if object.annotations[StackGres.reconciliationPause] == "true" { return .done }
        if object.isBeingDeleted { return try await BackupDeletion(context: context, backup: backup).reconcile() }
        if backup.phase == .failed { return .done }
        // A copy without a status is one of nothing.
        if backup.isCopy, backup.phase != .completed { return .done }
        if object.annotations[OperatorNames.expired] == "true" { return .done }
        guard object.finalizers.contains(OperatorNames.finalizer) else {
            _ = try await context.client.patch(
                StackGres.backups, namespace: key.namespace, name: key.name,
                [
                    "metadata": [
                        "resourceVersion": .text(object.resourceVersion ?? ""),
                        "finalizers": ServiceJSON(object.finalizers + [OperatorNames.finalizer]),
                    ]
                ])
            return .again(after: .milliseconds(20))
        }
        if backup.phase == .completed { return try await keep(backup) }
        if let job = context.caches.jobs[ObjectKey(namespace: key.namespace, name: jobName)],
            job.ownerReferences.contains(where: { $0.uid == object.uid })
        {
            return try await follow(backup, job)
        }
        return try await begin(backup)
    }

    private var jobName: String { "\(OperatorNames.shortened(key.name, to: 56))-backup" }

    // MARK: Before

    private func begin(_ backup: StackGresBackup) async throws(KubernetesError) -> WorkOutcome {
        let wanted: DatabaseCluster
        let repository: WantedRepository
        let storage: ServiceJSON
        let path: String
        do throws(Refusal) {
            (wanted, repository, storage, path) = try place(backup)
        } catch {
            try await wait(backup, error.reason, error.message)
            return .again(after: longPause)
        }
        let said = context.watch[backup.cluster].status
        guard let seen = said?[repository.key], seen.type == repository.location.options["type"], seen.isReady,
            said?.isInRecovery == false
        else {
            let why = said?[repository.key]?.error?.message ?? "the repository is not ready yet"
            try await wait(backup, "RepositoryNotReady", why)
            return .again(after: longPause)
        }
        // Made by a run whose Job is gone since.
        if let stored = seen.backups.last(where: { $0.annotations[OperatorNames.backupUID] == backup.object.uid }) {
            try await complete(backup, stored, said, jobPod: backup.jobPod)
            return .done
        }
        if let other = try await BackupLock(context: context, cluster: backup.cluster).take(for: backup) {
            try await wait(backup, "WaitingForOther", "SGBackup '\(other)' runs")
            return .again(after: pause)
        }
        var status: ServiceJSON = ["process": ["status": "Running", "failure": .null]]
        // Written once: a copy of it is what a restore goes by.
        if backup.storage == nil {
            status["backupPath"] = .text(path)
            status["sgBackupConfig"] = [
                "storage": storage,
                "baseBackups": ["compression": .text(compression(repository.settings["compress-type"]))],
            ]
        }
        try await patch(backup, status)
        var annotations = [OperatorNames.backupUID: backup.object.uid]
        if !backup.isManaged { annotations["hold"] = BackupHold.reason(backup.object) }
        let limits = ["compress-type", "process-max", "rate-limit-disk", "rate-limit-network"]
        let job = BackupJob(
            name: jobName, backup: backup.object, key: repository.key, type: .full, annotations: annotations,
            options: repository.settings.filter { limits.contains($0.key) },
            retries: backup.retries ?? repository.retries,
            timeoutSeconds: backup.timeoutSeconds ?? repository.timeoutSeconds,
            labels: ["stackgres.io/backup-name": String(key.name.prefix(63)), "stackgres.io/backup": "true"])
        try await context.apply(job.object(ClusterObjects(wanted, context.settings)))
        await context.events.record(
            .normal, "BackupStarted", "Job '\(jobName)' makes a backup in \(repository.name)", about: backup.object)
        return .done
    }

    /// Where it goes, as the cluster says now.
    private func place(
        _ backup: StackGresBackup
    ) throws(Refusal) -> (DatabaseCluster, WantedRepository, ServiceJSON, String) {
        guard let object = context.caches.clusters[backup.cluster] else {
            throw Refusal("ClusterNotFound", "SGCluster '\(backup.cluster)' does not exist", isTemporary: true)
        }
        let cluster = StackGresCluster(object)
        let wanted = try cluster.wanted(
            storage: { context.caches.storages[ObjectKey(namespace: key.namespace, name: $0)] },
            backup: { context.caches.backups[ObjectKey(namespace: key.namespace, name: $0)] })
        let elements = try cluster.elements()
        guard let number = backup.repositoryKey ?? elements.first?.key else {
            throw Refusal(
                "NoRepository", "SGCluster '\(backup.cluster)' has no spec.configurations.backups", isTemporary: true)
        }
        if let fault = wanted.faultyRepositories.first(where: { $0.key == number })?.fault { throw fault }
        guard let repository = wanted.repositories.first(where: { $0.key == number }),
            let element = elements.first(where: { $0.key == number }),
            let storage = context.caches.storages[ObjectKey(namespace: key.namespace, name: element.storage)]
        else {
            throw Refusal(
                "NoRepository", "repository \(number) of SGCluster '\(backup.cluster)' is not there any more",
                isTemporary: true)
        }
        return (wanted, repository, storage["spec"] ?? [:], element.path)
    }

    private func compression(_ type: String?) -> String { type == "zst" ? "zstd" : "lz4" }

    private func wait(_ backup: StackGresBackup, _ reason: String, _ message: String) async throws(KubernetesError) {
        if backup.phase == nil { try await patch(backup, ["process": ["status": "Pending"]]) }
        // Once: it may wait for days.
        guard context.isNews("\(reason) \(message)", about: backup.object.uid) else { return }
        await context.events.record(.normal, reason, message, about: backup.object)
    }

    // MARK: While it runs

    private func follow(_ backup: StackGresBackup, _ job: KubernetesObject) async throws(KubernetesError) -> WorkOutcome
    {
        let pods = context.caches.pods.objects(ownedBy: job.uid)
            .sorted { ($0.creationTime ?? 0, $0.name) < ($1.creationTime ?? 0, $1.name) }
        let conditions = job["status", "conditions"]?.elements ?? []
        func isTrue(_ type: String) -> ServiceJSON? {
            conditions.first { $0["type"]?.string == type && $0["status"]?.string == "True" }
        }
        if isTrue("Complete") != nil {
            let result = pods.reversed().lazy.compactMap { Self.result($0) }.first { $0.end == .completed }
            let status = context.watch[backup.cluster].status
            guard let stored = result?.info.flatMap({ StoredBackup(info: $0) }) ?? stored(backup) else {
                // The pod is gone with its message: the repository says what there is, as soon as it was looked at.
                context.watch.add(backup.cluster)
                return .again(after: pause)
            }
            try await complete(backup, stored, status, jobPod: pods.last?.name)
            return .done
        }
        if let failed = isTrue("Failed") {
            if let stored = stored(backup) {
                try await complete(backup, stored, context.watch[backup.cluster].status, jobPod: pods.last?.name)
                return .done
            }
            let said = pods.reversed().lazy.compactMap { Self.failure($0) }.first
            try await fail(
                backup, said ?? failed["message"]?.string ?? failed["reason"]?.string ?? "the Job failed",
                jobPod: pods.last?.name)
            return .done
        }
        if backup.phase != .running || backup.jobPod != pods.last?.name {
            var process: ServiceJSON = ["status": "Running"]
            if let pod = pods.last?.name { process["jobPod"] = .text(pod) }
            try await patch(backup, ["process": process])
        }
        try await BackupLock(context: context, cluster: backup.cluster).keep(for: backup)
        return .again(after: context.settings.second * 20)
    }

    private func stored(_ backup: StackGresBackup) -> StoredBackup? {
        context.watch[backup.cluster].status?.repositories.lazy.flatMap(\.backups)
            .first { $0.annotations[OperatorNames.backupUID] == backup.object.uid }
    }

    /// What the pod of a Job ended with.
    static func result(_ pod: KubernetesObject) -> JobResult? {
        for status in pod["status", "containerStatuses"]?.elements ?? [] {
            if let text = status[["state", "terminated", "message"]]?.string,
                let line = text.split(whereSeparator: \.isNewline).last,
                let result = ServiceJSON(Array(line.utf8)).flatMap({ JobResult($0) })
            {
                return result
            }
        }
        return nil
    }

    private static func failure(_ pod: KubernetesObject) -> String? {
        if let error = result(pod)?.error { return error.message + (error.hint.map { "; \($0)" } ?? "") }
        for status in pod["status", "containerStatuses"]?.elements ?? [] {
            if let text = status[["state", "terminated", "message"]]?.string, !text.isEmpty {
                return String(text.suffix(500))
            }
        }
        return nil
    }

    // MARK: The end

    private func complete(
        _ backup: StackGresBackup, _ stored: StoredBackup, _ status: StanzaStatus?, jobPod: String?
    ) async throws(KubernetesError) {
        let pod = context.pods(of: backup.cluster, .database).map(ClusterObservation.pod).first { $0.isPrimary }?.name
        var process: ServiceJSON = [
            "status": "Completed", "managedLifecycle": .bool(!stored.isHeld),
            "timing": [
                "start": .text(ServiceTime.rfc3339(stored.start)), "end": .text(ServiceTime.rfc3339(stored.stop)),
                "stored": .text(ServiceTime.rfc3339(stored.stop)),
            ],
        ]
        process["failure"] = .null
        if let jobPod { process["jobPod"] = .text(jobPod) }
        var information: ServiceJSON = [
            "pgData": .text(EngineConfiguration.dataDirectory),
            "size": ["uncompressed": .number("\(stored.size)"), "compressed": .number("\(stored.repositorySize)")],
        ]
        var lsn: ServiceJSON = [:]
        if let number = StoredBackup.number(stored.startLSN) { lsn["start"] = .text(number) }
        if let number = StoredBackup.number(stored.stopLSN) { lsn["end"] = .text(number) }
        information["lsn"] = lsn
        if let pod {
            information["hostname"] = .text(pod)
            information["sourcePod"] = .text(pod)
        }
        if let id = status?.systemID { information["systemIdentifier"] = .text(id) }
        if let version = status?.version.flatMap(Self.versionNumber) { information["postgresVersion"] = .text(version) }
        if let segment = stored.startSegment { information["startWalFile"] = .text(segment) }
        if let timeline = stored.timeline { information["timeline"] = .text("\(timeline)") }
        try await patch(
            backup,
            ["internalName": .text(stored.label), "process": process, "backupInformation": information])
        try await BackupLock(context: context, cluster: backup.cluster).release(by: backup)
        await context.events.record(
            .normal, "BackupCompleted",
            "backup \(stored.label), \(stored.repositorySize >> 10) KiB in the repository, \(stored.stop - stored.start) s",
            about: backup.object)
        context.watch.add(backup.cluster)
        context.queue.add(.cluster(backup.cluster))
    }

    /// `server_version_num` of `17` or `17.6`.
    private static func versionNumber(_ text: String) -> String? {
        let parts = text.split(separator: ".").compactMap { Int($0) }
        return parts.first.map { "\($0 * 10_000 + (parts.count > 1 ? parts[1] : 0))" }
    }

    private func fail(_ backup: StackGresBackup, _ message: String, jobPod: String?) async throws(KubernetesError) {
        var process: ServiceJSON = ["status": "Failed", "failure": .text(message)]
        if let jobPod { process["jobPod"] = .text(jobPod) }
        try await patch(backup, ["process": process])
        try await BackupLock(context: context, cluster: backup.cluster).release(by: backup)
        await context.events.record(.warning, "BackupFailed", message, about: backup.object)
        context.queue.add(.cluster(backup.cluster))
    }

    // MARK: Afterwards

    /// Brings the hold in the repository to what `managedLifecycle` says.
    private func keep(_ backup: StackGresBackup) async throws(KubernetesError) -> WorkOutcome {
        guard backup.phase == .completed, !backup.isCopy, let label = backup.label,
            backup.isManaged != backup.isStoredManaged
        else { return .done }
        guard
            let pod = context.pods(of: backup.cluster, .database).map(ClusterObservation.pod)
                .first(where: { $0.isPrimary && $0.isReady })?.name,
            let object = context.caches.clusters[backup.cluster],
            let element = (try? StackGresCluster(object).elements())?.first(where: { $0.path == backup.path })
        else { return .again(after: context.settings.second * 30) }
        let hold = backup.isManaged ? "" : BackupHold.reason(backup.object)
        do throws(BackupError) {
            let request = try JobRequest(
                .annotate, stanza: OperatorNames.stanza,
                options: [
                    JobRequest.Option(.annotation, .texts(["hold=\(hold)"])),
                    JobRequest.Option(.repo, .texts(["\(element.key)"])), JobRequest.Option(.set, .texts([label])),
                ], key: "hold-\(backup.object.uid)-\(backup.object.generation)-\(context.now() / 30)")
            guard let result = try await context.agents.run(request, of: backup.cluster, pod: pod) else {
                return .again(after: pause)
            }
            if let error = result.error { throw error }
        } catch {
            await context.events.record(
                .warning, "LifecycleFailed", "managedLifecycle could not be changed: \(error.message)",
                about: backup.object)
            return .failed
        }
        try await patch(backup, ["process": ["managedLifecycle": .bool(backup.isManaged)]])
        return .done
    }

    private func patch(_ backup: StackGresBackup, _ status: ServiceJSON) async throws(KubernetesError) {
        _ = try await context.client.patch(
            StackGres.backups, namespace: key.namespace, name: key.name,
            ["metadata": ["uid": .text(backup.object.uid)], "status": status])
    }
}

/// Why a backup is kept: the value of the annotation `hold` in the repository.
enum BackupHold {
    static func reason(_ backup: KubernetesObject) -> String { "SGBackup \(backup.key)" }
}
