import BackupModel
import HTTP
import Jobs
import KubernetesClient
import Logging

/// A backup that is being deleted takes its data with it, if it is its own and nobody else has it too: the removal of a
/// namespace, or of the resource's definition, or of the operator, asks for no such thing.
struct BackupDeletion {
    let context: OperatorContext
    let dialect: DialectCaches
    let backup: any BackupManifest

    private var object: KubernetesObject { backup.object }
    private var name: String { "\(OperatorNames.shortened(object.name, to: 56))-delete" }

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        guard object.finalizers.contains(OperatorNames.finalizer) else { return .done }
        // Who runs is told to stop, and the agent's job with it, before anything is removed.
        let jobs = context.caches.jobs.objects(ownedBy: object.uid).filter { $0.name != name }
        for job in jobs where !job.isBeingDeleted {
            try await context.client.delete(
                .jobs, namespace: job.namespace, name: job.name, DeleteOptions(propagation: .foreground, uid: job.uid))
        }
        if !jobs.isEmpty { return .again(after: context.settings.second * 2) }
        try await BackupLock(context: context, dialect: dialect, cluster: backup.cluster).release(by: backup)
        if try await keepsData() { return try await letGo() }
        guard let label = try await label() else { return try await letGo() }
        switch try await context.going(object, dialect.dialect.backups) {
        case .whole: return try await letGo()
        case .unknown: return .again(after: context.settings.second * 30)
        case .alone: break
        }
        let place: RepositoryLocation?
        do throws(Refusal) {
            place = try backup.location()
        } catch {
            await context.events.record(.warning, "DeletionFailed", error.message, about: object)
            return try await letGo()
        }
        guard let location = place else { return try await letGo() }
        if backup.needsClusterForRemoval { return try await removeByAgent(label, location) }
        let jobKey = ObjectKey(namespace: object.namespace, name: name)
        guard let job = context.caches.jobs[jobKey], job.ownerReferences.contains(where: { $0.uid == object.uid })
        else {
            return try await start(label, location)
        }
        let conditions = job["status", "conditions"]?.elements ?? []
        func isTrue(_ type: String) -> Bool {
            conditions.contains { $0["type"]?.string == type && $0["status"]?.string == "True" }
        }
        if isTrue("Complete") { return try await letGo() }
        guard isTrue("Failed") else { return .done }
        let pods = context.caches.pods.objects(ownedBy: job.uid)
        // Gone already: that is what was asked for.
        if pods.contains(where: Self.foundNothing) { return try await letGo() }
        let said = pods.lazy.compactMap { Self.message($0) }.first ?? "Job '\(name)' failed"
        await context.events.record(
            .warning, "DeletionFailed",
            "the data of \(label) could not be removed: \(said). To delete the object alone, annotate it with \(OperatorNames.keepsData)=true",
            about: object)
        try await context.client.delete(
            .jobs, namespace: job.namespace, name: job.name, DeleteOptions(propagation: .background, uid: job.uid))
        return .failed
    }

    // MARK: Whether

    private func keepsData() async throws(KubernetesError) -> Bool {
        if !backup.isOwnerOfData || object.annotations[OperatorNames.keepsData] == "true" { return true }
        // As the server has them: a copy may have been made a moment ago.
        for namespace in context.watchedNamespaces {
            let others = try await context.client.list(dialect.dialect.backups, namespace: namespace).objects
            let isShared = others.contains { other in
                other.uid != object.uid && !other.isBeingDeleted && dialect.dialect.backup(other).isSameData(as: backup)
            }
            if isShared { return true }
        }
        return false
    }

    /// The engine's name of it. One that was never told of, since the run was cut off, is looked for in the repository.
    private func label() async throws(KubernetesError) -> String? {
        if let label = backup.label { return label }
        let status = context.watch[backup.cluster].status
        return status?.repositories.lazy.flatMap(\.backups)
            .first { $0.annotations[OperatorNames.backupUID] == object.uid }?.label
    }

    // MARK: Removing

    /// A pod of its own with the configuration of this one repository: the cluster may be gone.
    private func start(_ label: String, _ location: RepositoryLocation) async throws(KubernetesError) -> WorkOutcome {
        // Its Job may be gone because all is done, and the backup too.
        let now = try await context.client.find(dialect.dialect.backups, namespace: object.namespace, name: object.name)
        guard let now, now.uid == object.uid, now.finalizers.contains(OperatorNames.finalizer) else { return .done }
        var secrets: [String: KubernetesObject] = [:]
        for name in location.secretNames {
            secrets[name] = try await context.client.find(.secrets, namespace: object.namespace, name: name)
        }
        let (credentials, missing) = Credentials.collect([(1, location)]) { secrets[$0.name]?.data($0.key) }
        if let selector = missing[1] {
            await context.events.record(
                .warning, "DeletionFailed",
                "the data of \(label) cannot be removed: there is no entry \(selector). To delete the object alone, annotate it with \(OperatorNames.keepsData)=true",
                about: object)
            return .again(after: context.settings.second * 30)
        }
        let cluster = ObjectKey(namespace: object.namespace, name: backup.cluster.name)
        let present = try? context.cluster(cluster)?.wanted(context.lookup(object.namespace))
        let removal = BackupRemoval(
            name: name, backup: object, cluster: backup.cluster.name, label: label, location: location,
            identity: present?.pods.accountAnnotations ?? backup.accountAnnotations)
        if !removal.identity.isEmpty { try await context.apply(removal.account) }
        for wanted in removal.objects(credentials, context.settings) { try await context.apply(wanted) }
        return .done
    }

    /// By a cluster that has the repository: its configuration alone says how to get there.
    private func removeByAgent(
        _ label: String, _ location: RepositoryLocation
    ) async throws(KubernetesError) -> WorkOutcome {
        let cluster = backup.cluster
        let wanted = try? context.cluster(cluster)?.wanted(context.lookup(cluster.namespace))
        let primary = context.pods(of: cluster, .database).map(ClusterObservation.pod)
            .first { $0.isPrimary && $0.isReady }
        guard let repository = wanted?.repositories.first(where: { $0.location.place == location.place }),
            let pod = primary?.name
        else {
            let what = "the data of \(label) can be removed when a cluster '\(cluster)' runs that has its repository"
            if context.isNews(what, about: object.uid) {
                await context.events.record(
                    .warning, "DeletionWaits",
                    "\(what). To delete the object alone, annotate it with \(OperatorNames.keepsData)=true",
                    about: object)
            }
            return .again(after: context.settings.second * 15)
        }
        do throws(BackupError) {
            let request = try JobRequest(
                .expire, stanza: OperatorNames.stanza,
                options: [
                    JobRequest.Option(.force, .flag(true)),
                    JobRequest.Option(.repo, .texts(["\(repository.key)"])),
                    JobRequest.Option(.set, .texts([label])),
                ], key: "delete-\(object.uid)-\(context.now() / 60)")
            guard let result = try await context.agents.run(request, of: cluster, pod: pod) else {
                return .again(after: context.settings.second * 5)
            }
            if let error = result.error, error.code != .backupSetInvalid { throw error }
        } catch {
            await context.events.record(
                .warning, "DeletionFailed", "the data of \(label) could not be removed: \(error.message)",
                about: object)
            return .failed
        }
        context.watch.add(cluster)
        return try await letGo()
    }

    private func letGo() async throws(KubernetesError) -> WorkOutcome {
        do throws(KubernetesError) {
            _ = try await context.client.patch(
                dialect.dialect.backups, namespace: object.namespace, name: object.name,
                [
                    "metadata": [
                        "resourceVersion": .text(object.resourceVersion ?? ""),
                        "finalizers": ServiceJSON(object.finalizers.filter { $0 != OperatorNames.finalizer }),
                    ]
                ])
        } catch {
            if !error.isNotFound { throw error }
        }
        context.queue.add(.cluster(backup.cluster))
        return .done
    }

    private static func foundNothing(_ pod: KubernetesObject) -> Bool {
        (pod["status", "containerStatuses"]?.elements ?? []).contains {
            $0[["state", "terminated", "exitCode"]]?.integer == Int(ErrorCode.backupSetInvalid.rawValue)
        }
    }

    static func message(_ pod: KubernetesObject) -> String? {
        let containers =
            (pod["status", "initContainerStatuses"]?.elements ?? [])
            + (pod["status", "containerStatuses"]?.elements ?? [])
        for status in containers {
            guard let end = status[["state", "terminated"]], end["exitCode"]?.integer != 0,
                let text = end["message"]?.string, !text.isEmpty
            else { continue }
            let error = text.firstRange(of: "ERROR:").map { text[$0.lowerBound...] } ?? text[...]
            return String(error.prefix(500))
        }
        return nil
    }
}
