import BackupModel
import HTTP
import Jobs
import KubernetesClient

/// Brings one backup to its end. Each run begins at the beginning and does what is not done yet, so it may end
/// anywhere: the object's status, the Lease and the Job say how far it is.
struct BackupReconciler {
    let context: OperatorContext
    let dialect: DialectCaches
    let key: ObjectKey

    private var pause: Duration { context.settings.second * 5 }
    /// Where what is waited for tells of itself.
    private var longPause: Duration { context.settings.second * 120 }
    private var type: ResourceType { dialect.dialect.backups }

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        guard let backup = dialect.backup(key) else { return .done }
        let object = backup.object
        if backup.isLeftAlone { return .done }
        if object.isBeingDeleted {
            return try await BackupDeletion(context: context, dialect: dialect, backup: backup).reconcile()
        }
        if backup.phase == .failed { return .done }
        // A copy without a status is one of nothing.
        if backup.isCopy, backup.phase != .completed { return .done }
        if object.annotations[OperatorNames.expired] == "true" { return .done }
        guard object.finalizers.contains(OperatorNames.finalizer) else {
            _ = try await context.client.patch(
                type, namespace: key.namespace, name: key.name,
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
    private func lock(_ backup: any BackupManifest) -> BackupLock {
        BackupLock(context: context, dialect: dialect, cluster: backup.cluster)
    }

    // MARK: Before

    private func begin(_ backup: any BackupManifest) async throws(KubernetesError) -> WorkOutcome {
        if let refusal = backup.refusal {
            try await fail(backup, refusal.message, pod: nil)
            return .done
        }
        let wanted: DatabaseCluster
        let repository: WantedRepository
        do throws(Refusal) {
            (wanted, repository) = try place(backup)
        } catch {
            guard error.isTemporary, !isLate(backup) else {
                try await fail(backup, error.message, pod: nil)
                return .done
            }
            try await wait(backup, error.reason, error.message)
            return .again(after: nextLook(at: backup))
        }
        let said = context.status(of: wanted)
        guard let seen = said?[repository.key], seen.isReady, said?.isInRecovery == false else {
            let why = said?[repository.key]?.error?.message ?? "the repository is not ready yet"
            // While the cluster is not up, or makes the stanza, nothing is wrong.
            if said?.isInRecovery == false, said?[repository.key]?.isWithoutStanza != true, isLate(backup) {
                try await fail(backup, why, pod: nil)
                return .done
            }
            try await wait(backup, "RepositoryNotReady", why)
            return .again(after: nextLook(at: backup))
        }
        // Made by a run whose Job is gone since.
        if let stored = seen.backups.last(where: { $0.annotations[OperatorNames.backupUID] == backup.object.uid }) {
            try await complete(backup, stored, said, pod: backup.jobPod)
            return .done
        }
        // Begun for another place than there is now: what is written there once stays.
        if let place = try? backup.location(), !backup.isStored(in: repository.location) {
            try await fail(
                backup,
                "it was begun in '\(place.options["path"] ?? "")', and the repository is elsewhere now: ask for another",
                pod: nil)
            return .done
        }
        if let other = earlier(than: backup) {
            try await wait(backup, "WaitingForOther", "\(type.kind) '\(other)' was asked for before", isTurn: true)
            return .again(after: pause)
        }
        if let other = try await lock(backup).take(for: backup) {
            try await wait(backup, "WaitingForOther", "\(type.kind) '\(other)' runs", isTurn: true)
            return .again(after: pause)
        }
        try await patch(backup, .begun(repository, cluster: wanted, now: context.now()))
        var annotations = [OperatorNames.backupUID: backup.object.uid]
        if backup.isHeld { annotations["hold"] = holdReason }
        annotations.merge(backup.storedAnnotations(job: jobName)) { own, _ in own }
        let limits = ["compress-type", "process-max", "rate-limit-disk", "rate-limit-network"]
        let own = Set(backup.options.map(\.name))
        let job = BackupJob(
            name: jobName, backup: backup.object, key: repository.key, type: backup.kind, annotations: annotations,
            options: repository.settings.filter { limits.contains($0.key) && !own.contains($0.key) }
                .sorted { $0.key < $1.key }.map { ($0.key, $0.value) } + backup.options,
            retries: backup.retries ?? repository.retries,
            timeoutSeconds: (backup.timeoutSeconds ?? repository.timeoutSeconds).flatMap { $0 > 0 ? $0 : nil },
            labels: backup.jobLabels)
        try await context.apply(job.object(ClusterObjects(wanted, context.settings)))
        await context.events.record(
            .normal, "BackupStarted", "Job '\(jobName)' makes a backup in \(repository.name)", about: backup.object)
        return .done
    }

    /// One that was asked for before and waits for nothing but its turn.
    private func earlier(than backup: any BackupManifest) -> String? {
        func place(_ backup: any BackupManifest) -> (Int64, String) {
            (backup.object.creationTime ?? 0, backup.object.name)
        }
        return context.backups(of: backup.cluster, dialect).filter { other in
            place(other) < place(backup) && (other.phase == nil || other.phase == .pending) && isReady(other)
        }.map(\.object.name).min()
    }

    private func isReady(_ backup: any BackupManifest) -> Bool {
        guard backup.object.namespace == key.namespace, !backup.object.isBeingDeleted, !backup.isCopy,
            !backup.isLeftAlone, backup.refusal == nil, let (wanted, repository) = try? self.place(backup)
        else { return false }
        let said = context.status(of: wanted)
        return said?[repository.key]?.isReady == true && said?.isInRecovery == false
    }

    /// Seconds for which it waits yet for a repository that cannot be used; nil where it waits for ever.
    private func patience(_ backup: any BackupManifest) -> Int64? {
        guard let patience = dialect.dialect.backupPatience, backup.scheduledTime == nil else { return nil }
        return patience - (context.now() - (backup.waitingSince ?? context.now()))
    }

    private func isLate(_ backup: any BackupManifest) -> Bool { patience(backup).map { $0 <= 0 } ?? false }

    private func nextLook(at backup: any BackupManifest) -> Duration {
        guard let rest = patience(backup), rest > 0 else { return longPause }
        return min(longPause, context.settings.second * Int(rest + 1))
    }

    /// Where it goes, as the cluster says now.
    private func place(_ backup: any BackupManifest) throws(Refusal) -> (DatabaseCluster, WantedRepository) {
        let kind = dialect.dialect.clusters.kind
        guard let cluster = context.cluster(backup.cluster), dialect.clusters[backup.cluster] != nil else {
            throw Refusal("ClusterNotFound", "\(kind) '\(backup.cluster)' does not exist", isTemporary: true)
        }
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try cluster.wanted(context.lookup(key.namespace))
        } catch {
            throw Refusal(error.reason, error.message, isTemporary: true)
        }
        if let standby = wanted.standby {
            throw Refusal(
                "Standby", "\(kind) '\(backup.cluster)' follows another, which makes the backups",
                isTemporary: standby.isToEnd)
        }
        guard let number = backup.repositoryKey ?? wanted.firstRepository else {
            throw Refusal("NoRepository", "\(kind) '\(backup.cluster)' has no repository", isTemporary: true)
        }
        if let fault = wanted.faultyRepositories.first(where: { $0.key == number })?.fault {
            throw Refusal(fault.reason, fault.message, isTemporary: true)
        }
        guard let repository = wanted.repositories.first(where: { $0.key == number }) else {
            throw Refusal(
                "NoRepository", "repository \(number) of \(kind) '\(backup.cluster)' is not there",
                isTemporary: !dialect.dialect.refusesUnknownRepositories)
        }
        return (wanted, repository)
    }

    /// Why a backup is kept: the value of the annotation `hold` in the repository.
    private var holdReason: String { "\(type.kind) \(key)" }

    private func wait(
        _ backup: any BackupManifest, _ reason: String, _ message: String, isTurn: Bool = false
    ) async throws(KubernetesError) {
        try await patch(
            backup, .waiting(reason: reason, message: message, now: isTurn ? nil : context.now()))
        // Once: it may wait for days.
        guard context.isNews("\(reason) \(message)", about: backup.object.uid) else { return }
        await context.events.record(.normal, reason, message, about: backup.object)
    }

    // MARK: While it runs

    private func follow(
        _ backup: any BackupManifest, _ job: KubernetesObject
    ) async throws(KubernetesError) -> WorkOutcome {
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
            try await complete(backup, stored, status, pod: pods.last?.name)
            return .done
        }
        if let failed = isTrue("Failed") {
            if let stored = stored(backup) {
                try await complete(backup, stored, context.watch[backup.cluster].status, pod: pods.last?.name)
                return .done
            }
            let said = pods.reversed().lazy.compactMap { Self.failure($0) }.first
            try await fail(
                backup, said ?? failed["message"]?.string ?? failed["reason"]?.string ?? "the Job failed",
                pod: pods.last?.name)
            return .done
        }
        try await patch(backup, .running(job: job.name, pod: pods.last?.name))
        try await lock(backup).keep(for: backup)
        return .again(after: context.settings.second * 20)
    }

    private func stored(_ backup: any BackupManifest) -> StoredBackup? {
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

    static func failure(_ pod: KubernetesObject) -> String? {
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
        _ backup: any BackupManifest, _ stored: StoredBackup, _ status: StanzaStatus?, pod: String?
    ) async throws(KubernetesError) {
        let source = context.pods(of: backup.cluster, .database).map(ClusterObservation.pod).first { $0.isPrimary }
        let log = await log(pod)
        // Before it is told: once it is, nobody comes back to this.
        try await lock(backup).release(by: backup)
        try await patch(
            backup,
            .completed(
                BackupFacts(stored: stored, status: status, jobPod: pod, sourcePod: source?.name, log: log)))
        await context.events.record(
            .normal, "BackupCompleted",
            "backup \(stored.label), \(stored.repositorySize >> 10) KiB in the repository, \(stored.stop - stored.start) s",
            about: backup.object)
        context.watch.add(backup.cluster)
        context.queue.add(.cluster(backup.cluster))
    }

    private func fail(_ backup: any BackupManifest, _ message: String, pod: String?) async throws(KubernetesError) {
        try await lock(backup).release(by: backup)
        try await patch(backup, .failed(message, pod: pod, log: await log(pod)))
        await context.events.record(.warning, "BackupFailed", message, about: backup.object)
        context.queue.add(.cluster(backup.cluster))
    }

    /// The last lines of what a pod said, for dialects whose objects have it.
    private func log(_ pod: String?) async -> String? {
        guard let pod, dialect.dialect.backupsHaveLog else { return nil }
        guard let bytes = try? await context.client.log(namespace: key.namespace ?? "", pod: pod) else { return nil }
        return String(decoding: bytes.suffix(4000), as: UTF8.self)
    }

    // MARK: Afterwards

    /// Brings the hold in the repository to what the object says.
    private func keep(_ backup: any BackupManifest) async throws(KubernetesError) -> WorkOutcome {
        guard backup.phase == .completed, !backup.isCopy, let label = backup.label,
            backup.isHeld != backup.isStoredHeld
        else { return .done }
        guard
            let pod = context.pods(of: backup.cluster, .database).map(ClusterObservation.pod)
                .first(where: { $0.isPrimary && $0.isReady })?.name,
            let wanted = try? context.cluster(backup.cluster)?.wanted(context.lookup(backup.cluster.namespace)),
            let repository = wanted.repositories.first(where: { backup.isStored(in: $0.location) })
        else { return .again(after: context.settings.second * 30) }
        let hold = backup.isHeld ? holdReason : ""
        do throws(BackupError) {
            let request = try JobRequest(
                .annotate, stanza: OperatorNames.stanza,
                options: [
                    JobRequest.Option(.annotation, .texts(["hold=\(hold)"])),
                    JobRequest.Option(.repo, .texts(["\(repository.key)"])),
                    JobRequest.Option(.set, .texts([label])),
                ], key: "hold-\(backup.object.uid)-\(backup.object.generation)-\(context.now() / 30)")
            guard let result = try await context.agents.run(request, of: backup.cluster, pod: pod) else {
                return .again(after: pause)
            }
            if let error = result.error { throw error }
        } catch {
            await context.events.record(
                .warning, "LifecycleFailed",
                "whether retention may remove the backup could not be changed: \(error.message)",
                about: backup.object)
            return .failed
        }
        try await patch(backup, .held(backup.isHeld))
        return .done
    }

    private func patch(_ backup: any BackupManifest, _ progress: BackupProgress) async throws(KubernetesError) {
        let status = backup.status(progress)
        guard !status.isEmpty else { return }
        _ = try await context.client.patch(
            type, namespace: key.namespace, name: key.name,
            ["metadata": ["uid": .text(backup.object.uid)], "status": status],
            dialect.dialect.backupsHaveStatus ? .status : nil)
    }
}
