import HTTP
import KubernetesClient

/// The pods of a cluster: the database's, and the repository host's. Those that are there stay as they were made until the
/// manifest asks for other ones, or its user for those of this operator.
struct ClusterPods {
    let context: OperatorContext
    let objects: ClusterObjects

    private var key: ObjectKey { objects.cluster.key }

    func reconcile(
        secretFiles: [String], claim: DatabaseCluster.Volume
    ) async throws(KubernetesError) {
        let host = ObjectKey(namespace: key.namespace, name: PodNames.repositoryHost(key.name))
        let database = try await made(
            .statefulSets, context.caches.statefulSets[key], objects.databaseSource(secretFiles))
        try await context.apply(
            objects.statefulSet(objects.databaseTemplate(database, secretFiles: secretFiles), claim: claim))
        let server = try await made(.deployments, context.caches.deployments[host], objects.hostSource(secretFiles))
        let isNeeded = !context.pods(of: key, .database).isEmpty
        let template = objects.hostTemplate(server, secretFiles: secretFiles)
        for object in objects.repositoryHost(template, isNeeded: isNeeded) {
            try await context.apply(object)
        }
    }

    /// - Parameter present: without its spec.
    /// - Returns: nil where there is none.
    private func made(
        _ type: ResourceType, _ present: KubernetesObject?, _ source: String
    ) async throws(KubernetesError) -> MadeTemplate? {
        guard let present else { return nil }
        if let made = MadeTemplate(present.annotations[MadeTemplate.annotation]) { return made }
        // By an operator that did not write it down.
        let whole = try await context.client.find(type, namespace: present.namespace, name: present.name)
        return whole.flatMap { MadeTemplate(of: $0, source: source) }
    }
}

extension OperatorContext {
    /// The version of a cluster's pods, where it is not this operator's.
    func outdated(_ cluster: ObjectKey) -> (pods: String, operator: String)? {
        let host = ObjectKey(namespace: cluster.namespace, name: PodNames.repositoryHost(cluster.name))
        let tags = [caches.statefulSets[cluster], caches.deployments[host]].compactMap {
            MadeTemplate($0?.annotations[MadeTemplate.annotation])?.imageTag
        }
        return tags.first { $0 != settings.imageTag }.map { ($0, settings.imageTag) }
    }
}
