package import KubernetesClient
import RepositoryStorage
package import TestSupport

/// The objects that a node and controllers look at, kept as the server has them.
package final class ClusterObjects: Sendable {
    package static let endpointsType = ResourceType("", "v1", "endpoints", kind: "Endpoints")

    package let pods: ObjectCache
    package let services: ObjectCache
    package let endpoints: ObjectCache
    package let configMaps: ObjectCache
    package let secrets: ObjectCache
    package let claims: ObjectCache
    package let statefulSets: ObjectCache
    package let deployments: ObjectCache
    package let jobs: ObjectCache

    /// Ends with the scratch directory; is there with all that the server has.
    package init(_ client: KubernetesClient, _ scratch: ScratchDirectory) async throws {
        func cache(_ type: ResourceType) -> ObjectCache {
            var options = ObjectCache.Options()
            options.backOff = RetryPolicy(shortest: .milliseconds(20), longest: .seconds(1))
            return ObjectCache(type, client, options)
        }
        pods = cache(.pods)
        services = cache(.services)
        endpoints = cache(Self.endpointsType)
        configMaps = cache(.configMaps)
        secrets = cache(.secrets)
        claims = cache(.persistentVolumeClaims)
        statefulSets = cache(.statefulSets)
        deployments = cache(.deployments)
        jobs = cache(.jobs)
        let all = [pods, services, endpoints, configMaps, secrets, claims, statefulSets, deployments, jobs]
        let tasks = all.map { cache in Task { await cache.run() } }
        scratch.atEnd {
            for task in tasks { task.cancel() }
            for task in tasks { await task.value }
        }
        for cache in all { try await cache.waitUntilFilled() }
    }

    func find(_ type: ResourceType, namespace: String?, name: String) -> KubernetesObject? {
        let key = ObjectKey(namespace: namespace, name: name)
        switch type {
        case .configMaps: return configMaps[key]
        case .secrets: return secrets[key]
        case .persistentVolumeClaims: return claims[key]
        default: return nil
        }
    }
}
