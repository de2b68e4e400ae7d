package import KubernetesClient
package import Logging
import HTTP
import Synchronization

/// Keeps all clusters and backups as their manifests say, until its task is cancelled.
package final class Operator: Sendable {
    let context: OperatorContext
    private let isFilled = Atomic(false)
    private let changes: Changes

    /// Caches tell of changes from their first object on, before there is a queue for them.
    private final class Changes: Sendable {
        let take: Mutex<(@Sendable (ResourceType, ObjectChange) -> Void)?> = Mutex(nil)
    }

    private static let workers = 8

    package init(
        _ settings: OperatorSettings, _ client: KubernetesClient, _ dialects: [any Dialect],
        agents: (OperatorCaches) -> any ClusterAgents, logger: Logger, now: @escaping @Sendable () -> Int64
    ) {
        let changes = Changes()
        let caches = OperatorCaches(
            client, dialects, namespaces: settings.watchedNamespaces, backOff: settings.backOff,
            changed: { type, change in changes.take.withLock { $0 }?(type, change) },
            failed: { type, error in
                if let error { logger.warning("no news of \(type): \(error.message)") }
            })
        let queue = KeyedWorkQueue<WorkKey>(workers: Self.workers, backOff: settings.backOff)
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
                for known in caches.dialects {
                    for object in known.backups.objects(namespace: cluster.namespace) {
                        let backup = known.dialect.backup(object)
                        guard backup.cluster == cluster, !backup.isFinished else { continue }
                        queue.add(.backup(known.dialect.backups, object.key))
                    }
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
    package var counts: (clusters: Int, queued: Int) {
        (context.caches.dialects.reduce(0) { $0 + $1.clusters.count }, context.queue.count)
    }

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
            case .backup(let type, let backup):
                guard let dialect = context.dialect(type) else { return .done }
                return try await BackupReconciler(context: context, dialect: dialect, key: backup).reconcile()
            case .restore(let type, let restore):
                guard let dialect = context.dialect(type) else { return .done }
                return try await RestoreReconciler(context: context, dialect: dialect, key: restore).reconcile()
            }
        } catch {
            // What it was about has gone meanwhile.
            if error.isCancelled || error.isNotFound && object(key, context) == nil { return .done }
            // Somebody else was faster: what has changed comes by the watch.
            if error.isConflict { return .again(after: .milliseconds(200)) }
            context.logger.warning("\(described(key)): \(error.message)")
            if error.isInvalid || error.status == nil || error.isForbidden, let object = object(key, context) {
                await context.events.record(.warning, "ReconcileFailed", error.message, about: object)
            }
            return .failed
        }
    }

    private static func object(_ key: WorkKey, _ context: OperatorContext) -> KubernetesObject? {
        switch key {
        case .cluster(let key): context.cluster(key)?.object
        case .backup(let type, let key), .restore(let type, let key): context.caches.cache(of: type)?[key]
        }
    }

    private static func described(_ key: WorkKey) -> String {
        switch key {
        case .cluster(let key): "cluster '\(key)'"
        case .backup(let type, let key), .restore(let type, let key): "\(type.kind) '\(key)'"
        }
    }

    // MARK: Changes

    private static func note(_ type: ResourceType, _ change: ObjectChange, _ context: OperatorContext) {
        let queue = context.queue
        if change.new == nil, let old = change.old { context.applying.forget(type, old) }
        if let known = context.dialect(type) {
            if type == known.dialect.clusters {
                clusterChanged(change, context)
            } else if type == known.dialect.restores {
                queue.add(.restore(type, change.key))
                guard let restore = (change.new ?? change.old).flatMap({ known.dialect.restore($0) }) else { return }
                queue.add(.cluster(restore.cluster))
            } else {
                backupChanged(change, known, context)
            }
            return
        }
        if let object = change.new ?? change.old, let name = object.labels[OperatorNames.cluster] {
            queue.add(.cluster(ObjectKey(namespace: object.namespace, name: name)))
            if type == .jobs || type == .pods { backupOf(object, context) }
            return
        }
        referenceChanged(type, change.key, context)
    }

    private static func clusterChanged(_ change: ObjectChange, _ context: OperatorContext) {
        context.queue.add(.cluster(change.key))
        if change.new == nil, context.cluster(change.key) == nil {
            context.watch.forget(change.key)
            context.agents.forget(change.key)
        }
        // A cluster that backups wait for.
        guard change.old == nil else { return }
        for known in context.caches.dialects {
            for backup in context.backups(of: change.key, known) where !backup.isFinished {
                context.queue.add(.backup(known.dialect.backups, backup.object.key))
            }
        }
    }

    private static func backupChanged(_ change: ObjectChange, _ known: DialectCaches, _ context: OperatorContext) {
        context.queue.add(.backup(known.dialect.backups, change.key))
        guard let object = change.new ?? change.old else { return }
        context.queue.add(.cluster(known.dialect.backup(object).cluster))
        // What others wait for.
        if change.old.map({ known.dialect.backup($0).phase }) != change.new.map({ known.dialect.backup($0).phase }) {
            referenceChanged(known.dialect.backups, change.key, context)
        }
    }

    /// An object that clusters may name.
    private static func referenceChanged(_ type: ResourceType, _ key: ObjectKey, _ context: OperatorContext) {
        let find = context.lookup(key.namespace)
        for known in context.caches.dialects {
            for object in known.clusters.objects(namespace: key.namespace)
            where known.dialect.cluster(object).refers(to: type, key.name, find) {
                context.queue.add(.cluster(object.key))
            }
        }
    }

    /// Jobs belong to backups, and pods to Jobs.
    private static func backupOf(_ object: KubernetesObject, _ context: OperatorContext) {
        for owner in object.ownerReferences {
            let key = ObjectKey(namespace: object.namespace, name: owner.name)
            if let known = context.caches.dialects.first(where: { $0.dialect.backups.kind == owner.kind }) {
                context.queue.add(.backup(known.dialect.backups, key))
            } else if let type = context.caches.dialects.lazy.compactMap(\.dialect.restores).first(where: {
                $0.kind == owner.kind
            }) {
                context.queue.add(.restore(type, key))
            } else if owner.kind == "Job", let job = context.caches.jobs[key] {
                backupOf(job, context)
            }
        }
    }
}
