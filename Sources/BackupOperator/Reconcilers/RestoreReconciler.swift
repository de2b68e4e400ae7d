import BackupModel
import HTTP
import Jobs
import KubernetesClient
import Logging

/// Brings one restore in place to its end. What can be checked is checked while the database runs; the replaced data
/// stays until the restored database is up, which is the agent's work. Each run begins at the beginning and goes on with
/// the stage that the object's status names, so it may end anywhere.
struct RestoreReconciler {
    let context: OperatorContext
    let dialect: DialectCaches
    let key: ObjectKey

    private var pause: Duration { context.settings.second * 3 }
    private var type: ResourceType? { dialect.dialect.restores }

    /// Runs of an agent that were lost, not ones that failed.
    private static let attempts = 5
    /// Seconds for which an agent may be out of reach before a check fails.
    private static let patience: Int64 = 120

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        guard let restore = dialect.restore(key) else { return .done }
        if restore.object.isBeingDeleted { return try await withdraw(restore) }
        if restore.isFinished { return .done }
        guard restore.object.finalizers.contains(OperatorNames.finalizer) else {
            try await setFinalizers(restore, restore.object.finalizers + [OperatorNames.finalizer])
            return .again(after: .milliseconds(20))
        }
        if restore.phase == nil { return try await begin(restore) }
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try cluster(of: restore)
        } catch {
            if restore.stage == .checking { return try await fail(restore, error.message) }
            try await patch(restore, .waiting(error.message))
            return .again(after: pause)
        }
        switch restore.stage {
        case .checking: return try await check(restore, wanted)
        case .stopping: return try await stop(restore)
        case .restoring: return try await run(restore, wanted)
        case .starting, .done: return try await finish(restore, wanted)
        }
    }

    // MARK: Before anything stops

    private func cluster(of restore: any RestoreManifest) throws(Refusal) -> DatabaseCluster {
        let kind = dialect.dialect.clusters.kind
        guard let manifest = dialect.cluster(restore.cluster), !manifest.object.isBeingDeleted else {
            throw Refusal("ClusterNotFound", "\(kind) '\(restore.cluster)' does not exist")
        }
        return try manifest.wanted(context.lookup(key.namespace))
    }

    private func begin(_ restore: any RestoreManifest) async throws(KubernetesError) -> WorkOutcome {
        if let refusal = restore.refusal { return try await fail(restore, refusal.message) }
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try cluster(of: restore)
        } catch {
            return try await fail(restore, error.message)
        }
        guard wanted.standby == nil else {
            return try await fail(restore, "the cluster follows another, whose data it has: restore that one")
        }
        guard let number = restore.repositoryKey, wanted.repositories.contains(where: { $0.key == number }) else {
            let fault = wanted.faultyRepositories.first { $0.key == restore.repositoryKey }?.fault.message
            return try await fail(
                restore, fault ?? "the cluster has no repository of number \(restore.repositoryKey ?? 0)")
        }
        guard wanted.instances > 0 else {
            return try await fail(restore, "the cluster is paused: let it run first")
        }
        if let other = try await lock(restore).take(for: restore) {
            try await patch(restore, .waiting("'\(other)' runs"))
            return .again(after: pause)
        }
        let target = restore.options.map { "--\($0.name)=\($0.value)" }.joined(separator: " ")
        try await patch(restore, .started(target: target, now: context.now()))
        await context.events.record(
            .normal, "RestoreStarted", "all that is needed is looked for; the database runs", about: restore.object)
        return .again(after: .milliseconds(20))
    }

    private func check(
        _ restore: any RestoreManifest, _ wanted: DatabaseCluster
    ) async throws(KubernetesError) -> WorkOutcome {
        var refused: BackupError?
        do throws(BackupError) {
            let request = try request(restore, key: "check-\(restore.object.uid)", isTrial: true)
            // After a failover it is another than the first, whose data is replaced: that one leads when all others went.
            let primary = context.pods(of: restore.cluster, .database).map(ClusterObservation.pod)
                .first { $0.isPrimary && $0.isReady }
            let pod = primary?.name ?? PodNames.pod(0, restore.cluster.name)
            guard let result = try await context.agents.run(request, of: restore.cluster, pod: pod) else {
                return .again(after: pause)
            }
            refused = result.error
        } catch {
            // An agent that does not answer may do so in a moment.
            if error.code == .hostConnect, context.now() - (restore.startTime ?? 0) < Self.patience {
                return .again(after: pause)
            }
            refused = error
        }
        if let refused {
            return try await fail(restore, refused.message + (refused.hint.map { "; \($0)" } ?? ""))
        }
        try await patch(restore, .stage(.stopping, attempt: 1, job: nil))
        context.queue.add(.cluster(restore.cluster))
        return .again(after: .milliseconds(20))
    }

    private func request(
        _ restore: any RestoreManifest, key: String, isTrial: Bool
    ) throws(BackupError) -> JobRequest {
        var options = [
            JobRequest.Option(.inPlace, .texts(["y"])),
            JobRequest.Option(.repo, .texts(["\(restore.repositoryKey ?? 1)"])),
        ]
        if isTrial { options.append(JobRequest.Option(.dryRun, .texts(["y"]))) }
        for (name, value) in restore.options {
            guard let option = OptionName(rawValue: name) else { continue }
            options.append(JobRequest.Option(option, .texts([value])))
        }
        return try JobRequest(.restore, stanza: OperatorNames.stanza, options: options, key: key)
    }

    // MARK: While it runs

    private func stop(_ restore: any RestoreManifest) async throws(KubernetesError) -> WorkOutcome {
        let first = PodNames.pod(0, restore.cluster.name)
        let pods = context.pods(of: restore.cluster, .database).map(ClusterObservation.pod)
        guard pods.allSatisfy({ $0.name == first }) else { return .again(after: pause) }
        // A standby is not restored: it would wait for a primary. One that is not ready may never lead, and need not.
        if pods.contains(where: { $0.isReady && !$0.isPrimary }) {
            try await patch(restore, .waiting("pod '\(first)' is to become the primary"))
            return .again(after: pause)
        }
        try await patch(restore, .stage(.restoring, attempt: restore.attempt, job: nil))
        await context.events.record(
            .normal, "RestoreRunning", "the data of pod '\(first)' is replaced", about: restore.object)
        return .again(after: .milliseconds(20))
    }

    private func jobName(_ attempt: Int) -> String {
        "\(OperatorNames.shortened(key.name, to: 50))-restore" + (attempt > 1 ? "-\(attempt)" : "")
    }

    private func run(
        _ restore: any RestoreManifest, _ wanted: DatabaseCluster
    ) async throws(KubernetesError) -> WorkOutcome {
        try await forgetMembers(restore.cluster)
        let name = jobName(restore.attempt)
        guard let job = context.caches.jobs[ObjectKey(namespace: key.namespace, name: name)],
            job.ownerReferences.contains(where: { $0.uid == restore.object.uid })
        else {
            var alone = wanted
            alone.instances = 1
            let job = RestoreJob(
                name: name, restore: restore.object, repository: restore.repositoryKey ?? 1, options: restore.options,
                key: "restore-\(restore.object.uid)-\(restore.attempt)")
            try await context.apply(job.object(ClusterObjects(alone, context.settings)))
            try await patch(restore, .stage(.restoring, attempt: restore.attempt, job: name))
            return .again(after: pause)
        }
        let conditions = job["status", "conditions"]?.elements ?? []
        func isTrue(_ type: String) -> ServiceJSON? {
            conditions.first { $0["type"]?.string == type && $0["status"]?.string == "True" }
        }
        let pods = context.caches.pods.objects(ownedBy: job.uid)
            .sorted { ($0.creationTime ?? 0, $0.name) < ($1.creationTime ?? 0, $1.name) }
        if isTrue("Complete") != nil {
            try await patch(restore, .stage(.starting, attempt: restore.attempt, job: name))
            context.watch.add(restore.cluster)
            context.queue.add(.cluster(restore.cluster))
            return .again(after: .milliseconds(20))
        }
        guard let failure = isTrue("Failed") else { return .again(after: pause) }
        let result = pods.reversed().lazy.compactMap { BackupReconciler.result($0) }.first
        // Of a run that was cut off nobody knows how far it came: the engine finds out, and goes on.
        if result == nil || result?.end == .lost, restore.attempt < Self.attempts {
            try await patch(restore, .stage(.restoring, attempt: restore.attempt + 1, job: nil))
            return .again(after: pause)
        }
        // Patroni tells of a primary a moment before PostgreSQL is one: nothing was touched, and it will be.
        if result?.error?.code == .hostInvalid, restore.attempt < Self.attempts {
            try await patch(restore, .stage(.stopping, attempt: restore.attempt + 1, job: nil))
            return .again(after: pause)
        }
        let said =
            result?.error.map { $0.message + ($0.hint.map { "; \($0)" } ?? "") }
            ?? pods.reversed().lazy.compactMap { BackupReconciler.failure($0) }.first
        return try await fail(
            restore, said ?? failure["message"]?.string ?? "Job '\(name)' failed", pod: pods.last?.name)
    }

    /// Patroni lets nobody lead but those that had all that was committed; and a restored one has not. How far the last
    /// leader had come is forgotten by what starts the restored server.
    private func forgetMembers(_ cluster: ObjectKey) async throws(KubernetesError) {
        let place = ObjectKey(namespace: cluster.namespace, name: "\(cluster.name)-sync")
        guard let present = context.caches.endpoints[place],
            ["leader", "sync_standby"].contains(where: { present.annotations[$0]?.isEmpty == false })
        else { return }
        _ = try await context.client.patch(
            .endpoints, namespace: place.namespace, name: place.name,
            ["metadata": ["annotations": ["leader": .null, "sync_standby": .null]]])
    }

    // MARK: The end

    private func finish(
        _ restore: any RestoreManifest, _ wanted: DatabaseCluster
    ) async throws(KubernetesError) -> WorkOutcome {
        let primary = context.pods(of: restore.cluster, .database).map(ClusterObservation.pod)
            .first { $0.isPrimary && $0.isReady }
        guard primary != nil else { return .again(after: pause) }
        let job = context.caches.jobs[ObjectKey(namespace: key.namespace, name: jobName(restore.attempt))]
        let pods = job.map { context.caches.pods.objects(ownedBy: $0.uid) } ?? []
        let result = pods.lazy.compactMap { BackupReconciler.result($0) }.first { $0.end == .completed }
        // What is restored to later must not need WAL of both timelines.
        let backup = dialect.dialect.backup(after: restore)
        do throws(KubernetesError) {
            _ = try await context.client.create(dialect.dialect.backups, backup)
        } catch {
            if !error.isAlreadyExists { throw error }
        }
        let log = await log(pods.last?.name)
        try await patch(
            restore, .succeeded(restored: result?.restored, backup: backup.name, log: log, now: context.now()))
        try await lock(restore).release(by: restore)
        await context.events.record(
            .normal, "RestoreCompleted", "the database is up again; backup '\(backup.name)' is made of it",
            about: restore.object)
        context.queue.add(.cluster(restore.cluster))
        return .done
    }

    private func fail(
        _ restore: any RestoreManifest, _ message: String, pod: String? = nil
    ) async throws(KubernetesError) -> WorkOutcome {
        try await patch(restore, .failed(message, log: await log(pod), now: context.now()))
        try await lock(restore).release(by: restore)
        await context.events.record(.warning, "RestoreFailed", message, about: restore.object)
        context.queue.add(.cluster(restore.cluster))
        return .done
    }

    /// The object is deleted: what runs is told to stop, and the agent lets the database go on as it was.
    private func withdraw(_ restore: any RestoreManifest) async throws(KubernetesError) -> WorkOutcome {
        guard restore.object.finalizers.contains(OperatorNames.finalizer) else { return .done }
        let jobs = context.caches.jobs.objects(ownedBy: restore.object.uid)
        for job in jobs where !job.isBeingDeleted {
            try await context.client.delete(
                .jobs, namespace: job.namespace, name: job.name, DeleteOptions(propagation: .foreground, uid: job.uid))
        }
        if !jobs.isEmpty { return .again(after: pause) }
        try await lock(restore).release(by: restore)
        try await setFinalizers(restore, restore.object.finalizers.filter { $0 != OperatorNames.finalizer })
        context.queue.add(.cluster(restore.cluster))
        return .done
    }

    // MARK: Writing

    private func lock(_ restore: any RestoreManifest) -> BackupLock {
        BackupLock(context: context, dialect: dialect, cluster: restore.cluster)
    }

    private func log(_ pod: String?) async -> String? {
        guard let pod else { return nil }
        guard let bytes = try? await context.client.log(namespace: key.namespace ?? "", pod: pod) else { return nil }
        return String(decoding: bytes.suffix(4000), as: UTF8.self)
    }

    private func setFinalizers(
        _ restore: any RestoreManifest, _ finalizers: [String]
    ) async throws(KubernetesError) {
        guard let type else { return }
        do throws(KubernetesError) {
            _ = try await context.client.patch(
                type, namespace: key.namespace, name: key.name,
                [
                    "metadata": [
                        "resourceVersion": .text(restore.object.resourceVersion ?? ""),
                        "finalizers": ServiceJSON(finalizers),
                    ]
                ])
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    private func patch(_ restore: any RestoreManifest, _ progress: RestoreProgress) async throws(KubernetesError) {
        let status = restore.status(progress)
        guard let type, !status.isEmpty else { return }
        _ = try await context.client.patch(
            type, namespace: key.namespace, name: key.name,
            ["metadata": ["uid": .text(restore.object.uid)], "status": status], .status)
    }
}
