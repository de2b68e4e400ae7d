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

    /// Seconds after which a cluster goes without what it asked for: what it waits for may never come.
    private static let patience: Int64 = 900

    /// By Jobs of their own, when no pod of the cluster runs any more: there may be none that does, and none archives then.
    /// - Returns: nil when all are gone, or stay for a reason that was told.
    private func removeBackups() async throws(KubernetesError) -> WorkOutcome? {
        let object = cluster.object
        if object.annotations[OperatorNames.keepsData] == "true" { return nil }
        let backups = context.backups(of: key, dialect).filter { $0.object.namespace == key.namespace }
        for backup in backups where !backup.isFinished {
            if !backup.object.isBeingDeleted { try await delete(backup) }
        }
        // With a namespace no data goes, and nothing new can be made in it.
        if try await goesWithAll() {
            await tell("the namespace, or the definition of its objects, goes: backups stay where they are")
            return nil
        }
        let isLate = object.deletionTime.map { context.now() - $0 > Self.patience } ?? false
        if try await !endPods() || backups.contains(where: { !$0.isFinished }) {
            if !isLate { return .again(after: pause) }
            await tell("backups stay where they are: pods or backups of the cluster do not end")
            return nil
        }
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try self.cluster.wanted(context.lookup(key.namespace))
        } catch {
            await tell("backups stay where they are: \(error.message)")
            return nil
        }
        for faulty in wanted.faultyRepositories where !wanted.repositories.contains(where: { $0.key == faulty.key }) {
            await tell("what is in \(faulty.name) stays there: \(faulty.fault.message)", about: faulty.name)
        }
        let map = ObjectKey(namespace: key.namespace, name: ClusterObjects.configurationName(key.name))
        if context.caches.configMaps[map] == nil {
            // Nothing was begun, or it was taken away by whoever deletes the cluster's objects before it.
            if !wanted.repositories.isEmpty {
                await tell("backups, if there are any, stay where they are: ConfigMap '\(map.name)' is gone")
            }
            return nil
        }
        let objects = ClusterObjects(wanted, context.settings)
        var isDone = true
        for repository in wanted.repositories where try await !remove(repository, objects, isLate) { isDone = false }
        guard isDone else { return .again(after: pause) }
        for backup in backups where !backup.object.isBeingDeleted { try await delete(backup) }
        return nil
    }

    private func goesWithAll() async throws(KubernetesError) -> Bool {
        let any = KubernetesObject(.configMaps, namespace: key.namespace, name: key.name)
        if try await context.going(any, .configMaps) == .whole { return true }
        // Where the operator may see definitions.
        let type = dialect.dialect.clusters
        let definition = try? await context.client.get(
            .customResourceDefinitions, namespace: nil, name: "\(type.plural).\(type.group)")
        return definition?.isBeingDeleted == true
    }

    /// - Returns: whether nothing is left to do in it.
    private func remove(
        _ repository: WantedRepository, _ objects: ClusterObjects, _ isLate: Bool
    ) async throws(KubernetesError) -> Bool {
        let place = ObjectKey(
            namespace: key.namespace, name: ClusterObjects.removalName(key.name, repository.key))
        guard let job = context.caches.jobs[place] else {
            try await context.apply(objects.stanzaRemoval(repository, secretFiles: objects.secretFiles))
            return false
        }
        func isTrue(_ type: String) -> Bool {
            (job["status", "conditions"]?.elements ?? []).contains {
                $0["type"]?.string == type && $0["status"]?.string == "True"
            }
        }
        if isTrue("Complete") { return true }
        let hasFailed = isTrue("Failed")
        if !hasFailed, !isLate { return false }
        // As the server has them: what a pod says comes to caches a moment after the Job, which is removed with it.
        let pods = try await context.client.list(
            .pods, namespace: key.namespace,
            Selection(labels: [
                .equals(OperatorNames.cluster, key.name),
                .equals(OperatorNames.part, ClusterObjects.Part.removal.rawValue),
            ])
        ).objects.filter { pod in pod.ownerReferences.contains { $0.uid == job.uid } }
        let said = pods.lazy.compactMap { BackupDeletion.message($0) }.first
        let why = said ?? (hasFailed ? "Job '\(job.name)' failed" : "Job '\(job.name)' does not end")
        if isLate {
            await tell("what is in \(repository.name) stays there: \(why)", about: repository.name)
            return true
        }
        await tell(
            "what is in \(repository.name) cannot be removed: \(why). It is tried again for a while; to let the cluster go "
                + "without it, annotate it with \(OperatorNames.keepsData)=true", about: repository.name)
        try await context.client.delete(
            .jobs, namespace: job.namespace, name: job.name, DeleteOptions(propagation: .background, uid: job.uid))
        return false
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

    /// - Returns: whether none is left.
    private func endPods() async throws(KubernetesError) -> Bool {
        var isRunning = !context.pods(of: key, .database).isEmpty
        for (type, cache, name) in [
            (ResourceType.statefulSets, context.caches.statefulSets, key.name),
            (.deployments, context.caches.deployments, PodNames.repositoryHost(key.name)),
        ] {
            guard let present = cache[ObjectKey(namespace: key.namespace, name: name)] else { continue }
            // The last WAL goes to the repository host, for which a database that ends would wait in vain.
            let isNeeded = type == .deployments && isRunning
            isRunning = true
            if present.isBeingDeleted || isNeeded { continue }
            try await context.client.delete(
                type, namespace: key.namespace, name: name,
                DeleteOptions(propagation: .background, uid: present.uid))
        }
        let pods = context.pods(of: key, .database) + context.pods(of: key, .repositoryHost)
        return !isRunning && pods.isEmpty
    }

    /// - Returns: nil when all are gone, or going.
    private func removeVolumes() async throws(KubernetesError) -> WorkOutcome? {
        // Who has a volume mounted must end first; claims that a StatefulSet looks after would come again.
        if try await !endPods() { return .again(after: pause) }
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

    private func tell(_ what: String, about repository: String = "") async {
        guard context.isNews(what, about: "\(cluster.object.uid) \(repository)") else { return }
        await context.events.record(.warning, "RemovalWaits", what, about: cluster.object)
    }
}
