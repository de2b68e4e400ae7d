import BackupModel
import HTTP
import Jobs
import KubernetesClient

/// What is to be done before a cluster that is being deleted goes, because its finalizers say so. Without them nothing
/// of its data goes.
struct ClusterRemoval {
    let context: OperatorContext
    let dialect: DialectCaches
    let cluster: any ClusterManifest
    let wanted: WantedRemoval

    private var key: ObjectKey { cluster.object.key }
    private var pause: Duration { context.settings.second * 2 }

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        if let finalizer = wanted.backupsFinalizer {
            if let outcome = try await removeBackups() { return outcome }
            // What comes next ends the pods, without which this cannot be asked again.
            try await takeOff([finalizer])
            return .again(after: .milliseconds(20))
        }
        if wanted.removesVolumes, let outcome = try await removeVolumes() { return outcome }
        try await takeOff(wanted.finalizers)
        return .done
    }

    private func takeOff(_ finalizers: [String]) async throws(KubernetesError) {
        let object = cluster.object
        _ = try await context.client.patch(
            dialect.dialect.clusters, namespace: key.namespace, name: key.name,
            [
                "metadata": [
                    "resourceVersion": .text(object.resourceVersion ?? ""),
                    "finalizers": ServiceJSON(object.finalizers.filter { !finalizers.contains($0) }),
                ]
            ])
    }

    // MARK: Backups

    /// - Returns: nil when all are gone.
    private func removeBackups() async throws(KubernetesError) -> WorkOutcome? {
        context.watch.add(key, unlessKnown: true)
        let backups = context.backups(of: key, dialect).filter { $0.object.namespace == key.namespace }
        let agent = context.pods(of: key, .database).map(ClusterObservation.pod).first { $0.isPrimary && $0.isReady }
        guard let pod = agent?.name, let status = context.watch[key].status else {
            await tell("no pod of the cluster runs that could remove its backups")
            return .again(after: context.settings.second * 15)
        }
        for backup in backups where !backup.isFinished {
            if !backup.object.isBeingDeleted { try await delete(backup) }
            return .again(after: pause)
        }
        for repository in status.repositories {
            if let error = repository.error {
                await tell("repository \(repository.key) cannot be reached: \(error.text)")
                return .again(after: context.settings.second * 15)
            }
            // What is built on one goes with it.
            guard let first = repository.backups.first(where: { $0.type == "full" }) ?? repository.backups.first else {
                continue
            }
            if let fault = await remove(first, repository.key, pod) {
                await tell("backup \(first.label) cannot be removed: \(fault)")
                return .again(after: context.settings.second * 15)
            }
            context.watch.add(key)
            return .again(after: pause)
        }
        for backup in backups where !backup.object.isBeingDeleted { try await delete(backup) }
        return nil
    }

    private func remove(_ backup: StoredBackup, _ repository: Int, _ pod: String) async -> String? {
        do throws(BackupError) {
            let request = try JobRequest(
                .expire, stanza: OperatorNames.stanza,
                options: [
                    JobRequest.Option(.force, .flag(true)), JobRequest.Option(.repo, .texts(["\(repository)"])),
                    JobRequest.Option(.set, .texts([backup.label])),
                ], key: "remove-\(repository)-\(backup.label)-\(context.now() / 60)")
            guard let error = try await context.agents.run(request, of: key, pod: pod)?.error,
                error.code != .backupSetInvalid
            else { return nil }
            return error.message
        } catch {
            return error.message
        }
    }

    private func delete(_ backup: any BackupManifest) async throws(KubernetesError) {
        do throws(KubernetesError) {
            try await context.client.delete(
                dialect.dialect.backups, namespace: backup.object.namespace, name: backup.object.name,
                DeleteOptions(propagation: .background, uid: backup.object.uid))
        } catch {
            if !error.isNotFound { throw error }
        }
    }

    // MARK: Volumes

    /// - Returns: nil when all are gone, or going.
    private func removeVolumes() async throws(KubernetesError) -> WorkOutcome? {
        // Who has a volume mounted must end first; claims that a StatefulSet looks after would come again.
        var isRunning = false
        for (type, cache, name) in [
            (ResourceType.statefulSets, context.caches.statefulSets, key.name),
            (.deployments, context.caches.deployments, PodNames.repositoryHost(key.name)),
        ] {
            guard let present = cache[ObjectKey(namespace: key.namespace, name: name)] else { continue }
            isRunning = true
            if present.isBeingDeleted { continue }
            try await context.client.delete(
                type, namespace: key.namespace, name: name,
                DeleteOptions(propagation: .background, uid: present.uid))
        }
        let pods = context.pods(of: key, .database) + context.pods(of: key, .repositoryHost)
        if isRunning || !pods.isEmpty { return .again(after: pause) }
        let claims = context.caches.claims.objects(
            namespace: key.namespace, [.equals(OperatorNames.cluster, key.name)])
        for claim in claims where !claim.isBeingDeleted {
            try await context.client.delete(
                .persistentVolumeClaims, namespace: claim.namespace, name: claim.name,
                DeleteOptions(propagation: .background, uid: claim.uid))
        }
        for name in wanted.userSecrets {
            let place = ObjectKey(namespace: key.namespace, name: name)
            guard let secret = context.caches.secrets[place], secret.labels[OperatorNames.cluster] == key.name else {
                continue
            }
            try await context.client.delete(
                .secrets, namespace: key.namespace, name: name,
                DeleteOptions(propagation: .background, uid: secret.uid))
        }
        return nil
    }

    private func tell(_ what: String) async {
        guard context.isNews(what, about: cluster.object.uid) else { return }
        await context.events.record(.warning, "RemovalWaits", what, about: cluster.object)
    }
}
