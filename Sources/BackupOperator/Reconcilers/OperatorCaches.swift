package import KubernetesClient
package import RepositoryStorage

/// What the operator watches: users' objects as they are, its own without what it wrote there itself.
package final class OperatorCaches: Sendable {
    let dialects: [DialectCaches]
    /// Of users, by name alone: what is in them is asked for when it is needed.
    let secrets: CacheSet
    /// That carry our label; with a status where it is looked at.
    let statefulSets: CacheSet
    let deployments: CacheSet
    let jobs: CacheSet
    let pods: CacheSet
    /// Of users too, by name alone: dialects may name them.
    let configMaps: CacheSet
    let claims: CacheSet
    let services: CacheSet
    let endpoints: CacheSet
    let accounts: CacheSet
    let roles: CacheSet
    let roleBindings: CacheSet

    package init(
        _ client: KubernetesClient, _ dialects: [any Dialect], namespaces: [String], backOff: RetryPolicy,
        changed: @escaping @Sendable (ResourceType, ObjectChange) -> Void,
        failed: @escaping @Sendable (ResourceType, KubernetesError?) -> Void
    ) {
        func caches(
            _ type: ResourceType, _ labels: [LabelRequirement] = [], parts: ObjectParts = .all,
            _ reduce: @escaping @Sendable (inout KubernetesObject) -> Void = { _ in }
        ) -> CacheSet {
            CacheSet(type, client, namespaces: namespaces) { options in
                options.selection = Selection(labels: labels)
                options.parts = parts
                options.backOff = backOff
                options.reduce = { object in
                    object["metadata", "managedFields"] = nil
                    reduce(&object)
                }
                options.changed = { changed(type, $0) }
                options.failed = { failed(type, $0) }
            }
        }
        let ours: [LabelRequirement] = [.exists(OperatorNames.cluster)]
        let withoutContent: @Sendable (inout KubernetesObject) -> Void = { object in
            object["spec"] = nil
            object["data"] = nil
            object["rules"] = nil
            object["subjects"] = nil
            object["subsets"] = nil
            // The content once more, by whoever applies without the server.
            object["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"] = nil
        }
        func metadata(_ type: ResourceType, _ labels: [LabelRequirement]) -> CacheSet {
            caches(type, labels, parts: .metadata, withoutContent)
        }
        self.dialects = dialects.map { dialect in
            DialectCaches(
                dialect: dialect, clusters: caches(dialect.clusters), backups: caches(dialect.backups),
                restores: dialect.restores.map { caches($0) }, references: dialect.references.map { caches($0) })
        }
        secrets = metadata(.secrets, [])
        statefulSets = caches(.statefulSets, ours, withoutContent)
        deployments = caches(.deployments, ours, withoutContent)
        jobs = caches(.jobs, ours, withoutContent)
        pods = caches(.pods, ours, withoutContent)
        configMaps = metadata(.configMaps, [])
        claims = caches(.persistentVolumeClaims, ours)
        services = metadata(.services, ours)
        endpoints = metadata(.endpoints, ours)
        accounts = metadata(.serviceAccounts, ours)
        roles = metadata(.roles, ours)
        roleBindings = metadata(.roleBindings, ours)
    }

    var all: [CacheSet] {
        dialects.flatMap { [$0.clusters, $0.backups] + ($0.restores.map { [$0] } ?? []) + $0.references } + [
            secrets, statefulSets, deployments, jobs, pods, configMaps, claims, services, endpoints, accounts, roles,
            roleBindings,
        ]
    }

    /// nil for a type that is not watched.
    func cache(of type: ResourceType) -> CacheSet? { all.first { $0.type == type } }

    /// Until the task is cancelled.
    package func run() async {
        await withTaskGroup { group in
            for set in all { group.addTask { await set.run() } }
        }
    }

    package func waitUntilFilled() async throws {
        for set in all { try await set.waitUntilFilled() }
    }
}

/// The objects of one dialect.
package struct DialectCaches: Sendable {
    package let dialect: any Dialect
    let clusters: CacheSet
    let backups: CacheSet
    let restores: CacheSet?
    let references: [CacheSet]

    func restore(_ key: ObjectKey) -> (any RestoreManifest)? { restores?[key].flatMap { dialect.restore($0) } }

    func cluster(_ key: ObjectKey) -> (any ClusterManifest)? { clusters[key].map { dialect.cluster($0) } }
    func backup(_ key: ObjectKey) -> (any BackupManifest)? { backups[key].map { dialect.backup($0) } }
}

/// Caches of one type in some namespaces, or in all.
package final class CacheSet: Sendable {
    package let type: ResourceType
    private let all: ObjectCache?
    private let byNamespace: [String: ObjectCache]

    init(
        _ type: ResourceType, _ client: KubernetesClient, namespaces: [String],
        _ set: (inout ObjectCache.Options) -> Void
    ) {
        self.type = type
        var options = ObjectCache.Options()
        set(&options)
        all = namespaces.isEmpty ? ObjectCache(type, client, options) : nil
        var caches: [String: ObjectCache] = [:]
        for namespace in namespaces {
            options.namespace = namespace
            caches[namespace] = ObjectCache(type, client, options)
        }
        byNamespace = caches
    }

    private var caches: [ObjectCache] { (all.map { [$0] } ?? []) + byNamespace.values }

    subscript(key: ObjectKey) -> KubernetesObject? { (all ?? byNamespace[key.namespace ?? ""])?[key] }

    func objects(namespace: String? = nil, _ labels: [LabelRequirement] = []) -> [KubernetesObject] {
        caches.flatMap { $0.objects(namespace: namespace, labels) }
    }

    var count: Int { caches.reduce(0) { $0 + $1.count } }

    func objects(ownedBy uid: String) -> [KubernetesObject] { caches.flatMap { $0.objects(ownedBy: uid) } }

    func run() async {
        await withTaskGroup { group in
            for cache in caches { group.addTask { await cache.run() } }
        }
    }

    func waitUntilFilled() async throws { for cache in caches { try await cache.waitUntilFilled() } }
}
