package import BackupModel
import HTTP
package import KubernetesClient

/// Two operators for the same objects undo each other's work: beside StackGres' own this one does not start.
package struct NeighbourCheck: Sendable {
    private let client: KubernetesClient
    private let settings: OperatorSettings

    package init(_ client: KubernetesClient, _ settings: OperatorSettings) {
        self.client = client
        self.settings = settings
    }

    /// - Throws: `.config` with what was found, or that the resources are not defined.
    package func run() async throws(BackupError) {
        let name = "\(StackGres.clusters.plural).\(StackGres.group)"
        let definition: KubernetesObject?
        do throws(KubernetesError) {
            definition = try await client.find(.customResourceDefinitions, name: name)
        } catch {
            // An operator of single namespaces may not look.
            if error.isForbidden { return }
            throw error.error
        }
        guard let definition else {
            throw BackupError(
                .config, "the cluster does not know '\(name)'",
                hint: "apply the definitions first: 'kubectl apply --server-side -k deploy/crds/stackgres'")
        }
        // The original's versions are converted by its own web hook, of which we have none.
        if definition["spec", "conversion", "strategy"]?.string == "Webhook" {
            let service = definition["spec", "conversion", "webhook", "clientConfig", "service"]
            throw BackupError(
                .config,
                "'\(name)' belongs to another operator: its versions are converted by Service "
                    + "'\(service?["namespace"]?.string ?? "?")/\(service?["name"]?.string ?? "?")'",
                hint: "remove that operator first, but not its definitions: the objects would go with them")
        }
    }
}

extension OperatorCaches {
    /// Of the Secret with a cluster's certificate, as it was seen last.
    package func certificateVersion(of cluster: ObjectKey) -> String? {
        secrets[ObjectKey(namespace: cluster.namespace, name: ClusterObjects.configurationName(cluster.name))]?
            .resourceVersion
    }
}
