package import KubernetesClient
package import Logging
import HTTP
import Synchronization

/// Keeps all clusters and backups as their manifests say, until its task is cancelled.
package final class Operator: Sendable {
    private let context: OperatorContext
    private let isFilled = Atomic(false)
    private let changes: Changes

    /// Caches tell of changes from their first object on, before there is a queue for them.
    private final class Changes: Sendable {
        let take: Mutex<(@Sendable (ResourceType, ObjectChange) -> Void)?> = Mutex(nil)
    }

    private static let workers = 8

    package init(
        _ settings: OperatorSettings, _ client: KubernetesClient, agents: (OperatorCaches) -> any ClusterAgents,
        logger: Logger, now: @escaping @Sendable () -> Int64
    ) {
        let changes = Changes()
        let caches = OperatorCaches(
            client, namespaces: settings.watchedNamespaces,
            changed: { type, change in changes.take.withLock { $0 }?(type, change) },
            failed: { type, error in
                if let error { logger.warning("no news of \(type): \(error.message)") }
            })
        let queue = KeyedWorkQueue<WorkKey>(workers: Self.workers)
        let agents = agents(caches)
        let watch = ClusterWatch(
            agents, settings,
            primary: { cluster in
                caches.pods.objects(
                    namespace: cluster.namespace,
                    [
                        .equals(OperatorNames.cluster, cluster.name),
                        .equals(OperatorNames.part, ClusterObjects.Part.database.rawValue),
                    ]
                ).map(ClusterObservation.pod).first { $0.isPrimary && $0.isReady }?.name
            },
            changed: { cluster in
                queue.add(.cluster(cluster))
                for backup in caches.backups.objects(namespace: cluster.namespace)
                where StackGresBackup(backup).cluster == cluster && !StackGresBackup(backup).isFinished {
                    queue.add(.backup(backup.key))
                }
            })
        context = OperatorContext(
            settings: settings, client: client, caches: caches, agents: agents, watch: watch, queue: queue,
            events: EventRecorder(
                client, component: OperatorNames.fieldManager, instance: settings.identity,
                failed: { logger.warning("\($0)") }),
            logger: logger, now: now)
        self.changes = changes
    }

    /// Whether everything was listed once.
    package var isReady: Bool { isFilled.load(ordering: .relaxed) }

    /// Clusters that are known, and what waits for a worker.
    package var counts: (clusters: Int, queued: Int) { (context.caches.clusters.count, context.queue.count) }

    package func run() async throws {
        let context = context
        changes.take.withLock { $0 = { Self.note($0, $1, context) } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await context.caches.run() }
            group.addTask { [self] in
                try await context.caches.waitUntilFilled()
                isFilled.store(true, ordering: .relaxed)
                context.logger.notice("all objects are known: work begins")
                await context.queue.run { await Self.work($0, context) }
            }
            group.addTask { await context.watch.run() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: Work

    private static func work(_ key: WorkKey, _ context: OperatorContext) async -> WorkOutcome {
        do throws(KubernetesError) {
            switch key {
            case .cluster(let cluster):
                return try await ClusterReconciler(context: context, key: cluster).reconcile()
            case .backup(let backup): return try await BackupReconciler(context: context, key: backup).reconcile()
            }
        } catch {
            // What it was about has gone meanwhile.
            if error.isCancelled || error.isNotFound { return .done }
            // Somebody else was faster: what has changed comes by the watch.
            if error.isConflict { return .again(after: .milliseconds(200)) }
            context.logger.warning("\(described(key)): \(error.message)")
            if error.isInvalid || error.status == nil || error.isForbidden,
                let object = context.caches.cache(of: place(key).type)?[place(key).key]
            {
                await context.events.record(.warning, "ReconcileFailed", error.message, about: object)
            }
            return .failed
        }
    }

    private static func place(_ key: WorkKey) -> (type: ResourceType, key: ObjectKey) {
        switch key {
        case .cluster(let key): (StackGres.clusters, key)
        case .backup(let key): (StackGres.backups, key)
        }
    }

    private static func described(_ key: WorkKey) -> String {
        switch key {
        case .cluster(let key): "cluster '\(key)'"
        case .backup(let key): "backup '\(key)'"
        }
    }

    // MARK: Changes

    private static func note(_ type: ResourceType, _ change: ObjectChange, _ context: OperatorContext) {
        let queue = context.queue
        switch type {
        case StackGres.clusters:
            queue.add(.cluster(change.key))
            if change.new == nil {
                context.watch.forget(change.key)
                context.agents.forget(change.key)
            }
            // A cluster that others begin from, or wait for.
            if change.old == nil {
                for backup in context.backups(of: change.key) where !backup.isFinished {
                    queue.add(.backup(backup.object.key))
                }
            }
        case StackGres.backups:
            queue.add(.backup(change.key))
            guard let object = change.new ?? change.old else { return }
            let backup = StackGresBackup(object)
            queue.add(.cluster(backup.cluster))
            if isNews(change) { restoring(from: change.key, context) }
        case StackGres.storages:
            for cluster in context.caches.clusters.objects(namespace: change.key.namespace)
            where uses(cluster, storage: change.key.name) {
                queue.add(.cluster(cluster.key))
            }
        case .secrets:
            secretChanged(change, context)
        default:
            guard let object = change.new ?? change.old, let name = object.labels[OperatorNames.cluster] else { return }
            queue.add(.cluster(ObjectKey(namespace: object.namespace, name: name)))
            if type == .jobs || type == .pods { backupOf(object, context) }
        }
    }

    /// Whether a status changed in what others wait for.
    private static func isNews(_ change: ObjectChange) -> Bool {
        change.old.map { StackGresBackup($0).phase } != change.new.map { StackGresBackup($0).phase }
    }

    private static func restoring(from backup: ObjectKey, _ context: OperatorContext) {
        for cluster in context.caches.clusters.objects(namespace: backup.namespace)
        where cluster["spec", "initialData", "restore", "fromBackup", "name"]?.string == backup.name {
            context.queue.add(.cluster(cluster.key))
        }
    }

    private static func uses(_ cluster: KubernetesObject, storage: String) -> Bool {
        (cluster["spec", "configurations", "backups"]?.elements ?? []).contains {
            $0["sgObjectStorage"]?.string == storage
        }
    }

    private static func secretChanged(_ change: ObjectChange, _ context: OperatorContext) {
        if let object = change.new ?? change.old, let name = object.labels[OperatorNames.cluster] {
            context.queue.add(.cluster(ObjectKey(namespace: object.namespace, name: name)))
            return
        }
        let storages = context.caches.storages.objects(namespace: change.key.namespace).filter { storage in
            guard let location = try? StackGresStorage(storage["spec"] ?? [:]).location(path: "") else { return false }
            return location.secretNames.contains(change.key.name)
        }
        for storage in storages {
            for cluster in context.caches.clusters.objects(namespace: change.key.namespace)
            where uses(cluster, storage: storage.name) {
                context.queue.add(.cluster(cluster.key))
            }
        }
    }

    /// Jobs belong to backups, and pods to Jobs.
    private static func backupOf(_ object: KubernetesObject, _ context: OperatorContext) {
        for owner in object.ownerReferences {
            if owner.kind == StackGres.backups.kind {
                context.queue.add(.backup(ObjectKey(namespace: object.namespace, name: owner.name)))
            } else if owner.kind == "Job",
                let job = context.caches.jobs[ObjectKey(namespace: object.namespace, name: owner.name)]
            {
                backupOf(job, context)
            }
        }
    }
}
