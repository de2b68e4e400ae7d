package import KubernetesClient
import Logging
import Synchronization

/// What all reconcilers work with.
final class OperatorContext: Sendable {
    let settings: OperatorSettings
    let client: KubernetesClient
    let caches: OperatorCaches
    let agents: any ClusterAgents
    let applying: Applying
    let events: EventRecorder
    let logger: Logger
    /// Seconds since 1970.
    let now: @Sendable () -> Int64
    let watch: ClusterWatch
    let queue: KeyedWorkQueue<WorkKey>
    private let zones = Mutex<[String: TimeZone]>([:])
    /// By the identity of what they are about.
    private let told = Mutex<[String: String]>([:])

    init(
        settings: OperatorSettings, client: KubernetesClient, caches: OperatorCaches, agents: any ClusterAgents,
        watch: ClusterWatch, queue: KeyedWorkQueue<WorkKey>, events: EventRecorder, logger: Logger,
        now: @escaping @Sendable () -> Int64
    ) {
        self.settings = settings
        self.client = client
        self.caches = caches
        self.agents = agents
        self.watch = watch
        self.queue = queue
        self.events = events
        self.logger = logger
        self.now = now
        applying = Applying(client)
    }

    /// nil for what is no zone.
    func zone(_ name: String?) -> TimeZone? {
        guard let name else { return .utc }
        if let known = zones.withLock({ $0[name] }) { return known }
        guard let zone = try? TimeZone.named(name) else { return nil }
        zones.withLock { $0[name] = zone }
        return zone
    }

    /// Whether something else was told last.
    func isNews(_ text: String, about uid: String) -> Bool {
        told.withLock { told in
            guard told[uid] != text else { return false }
            if told.count > 10_000 { told = [:] }
            told[uid] = text
            return true
        }
    }

    func apply(_ wanted: WantedObject) async throws(KubernetesError) {
        try await applying.apply(wanted, present: caches.cache(of: wanted.type)?[wanted.object.key])
    }

    /// Of one cluster, whatever they belong to.
    func pods(of cluster: ObjectKey, _ part: ClusterObjects.Part) -> [KubernetesObject] {
        caches.pods.objects(
            namespace: cluster.namespace,
            [.equals(OperatorNames.cluster, cluster.name), .equals(OperatorNames.part, part.rawValue)])
    }

    /// In its namespace, and the copies in others.
    func backups(of cluster: ObjectKey) -> [StackGresBackup] {
        caches.backups.objects().map { StackGresBackup($0) }.filter { $0.cluster == cluster }
    }
}

/// What is worked on.
package enum WorkKey: Hashable, Sendable {
    case cluster(ObjectKey)
    case backup(ObjectKey)
}
