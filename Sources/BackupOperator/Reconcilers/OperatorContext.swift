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

    /// What the agent said of the repositories that are wanted now.
    func status(of wanted: DatabaseCluster) -> StanzaStatus? {
        var status = watch[wanted.key].status
        let secret = caches.secrets[
            ObjectKey(namespace: wanted.key.namespace, name: ClusterObjects.configurationName(wanted.key.name))]
        status?.leave(only: wanted.repositories, accounts: Credentials.accounts(secret))
        return status
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

    /// What an object that is being deleted goes with.
    enum Going {
        /// This object, or some.
        case alone
        /// The namespace, or all objects of this kind: nobody asks for the end of the data by that.
        case whole
        case unknown
    }

    /// Where an object could still be made, it is this one that is to go. The server says so to whoever may make one,
    /// also where it does not show its definitions.
    func going(_ object: KubernetesObject, _ type: ResourceType) async throws(KubernetesError) -> Going {
        let name = "\(OperatorNames.shortened(object.name, to: 56))-probe"
        var probe = KubernetesObject(type, namespace: object.namespace, name: name)
        probe["spec"] = object["spec"]
        do throws(KubernetesError) {
            _ = try await client.create(type, probe, isTrial: true)
            return .alone
        } catch {
            // The definition goes; the namespace goes.
            if error.status == 405 || error.isNotFound { return .whole }
            if error.isForbidden,
                error.causes.contains(where: { $0.reason == "NamespaceTerminating" })
                    || error.message.contains("is being terminated")
            {
                return .whole
            }
            if error.isCancelled { throw error }
            logger.warning("\(object.kind) '\(object.key)' waits: \(error.message)")
            return .unknown
        }
    }

    /// nil for all.
    var watchedNamespaces: [String?] { settings.watchedNamespaces.isEmpty ? [nil] : settings.watchedNamespaces }

    /// The dialect of a type.
    func dialect(_ type: ResourceType) -> DialectCaches? {
        caches.dialects.first {
            $0.dialect.clusters == type || $0.dialect.backups == type || $0.dialect.restores == type
        }
    }

    /// Those that are at work on a cluster.
    func restores(of cluster: ObjectKey, _ dialect: DialectCaches) -> [any RestoreManifest] {
        (dialect.restores?.objects(namespace: cluster.namespace) ?? []).compactMap { dialect.dialect.restore($0) }
            .filter { $0.cluster == cluster && $0.isActive }
    }

    /// The dialects that have a cluster of a name; the objects of two would be the same, so that the older one counts.
    func dialects(with cluster: ObjectKey) -> [DialectCaches] {
        let found = caches.dialects.compactMap { dialect in dialect.clusters[cluster].map { (dialect, $0) } }
        if found.count < 2 { return found.map(\.0) }
        return found.sorted { ($0.1.creationTime ?? 0, $0.1.uid) < ($1.1.creationTime ?? 0, $1.1.uid) }.map(\.0)
    }

    func cluster(_ key: ObjectKey) -> (any ClusterManifest)? { dialects(with: key).first?.cluster(key) }

    /// Users' objects by type and name.
    func lookup(_ namespace: String?) -> ObjectLookup {
        { [caches] type, name in caches.cache(of: type)?[ObjectKey(namespace: namespace, name: name)] }
    }

    /// In its namespace, and the copies in others; of one dialect, or of all.
    func backups(of cluster: ObjectKey, _ dialect: DialectCaches? = nil) -> [any BackupManifest] {
        (dialect.map { [$0] } ?? caches.dialects).flatMap { known in
            known.backups.objects().map { known.dialect.backup($0) }.filter { $0.cluster == cluster }
        }
    }
}

/// What is worked on.
package enum WorkKey: Hashable, Sendable {
    case cluster(ObjectKey)
    case backup(ResourceType, ObjectKey)
    case restore(ResourceType, ObjectKey)
}
