package import BackupModel
import HTTP
package import KubernetesClient

/// Which dialects the cluster knows. Two operators for the same objects undo each other's work: beside the original of a
/// dialect this one does not start.
package struct NeighbourCheck: Sendable {
    private let client: KubernetesClient
    private let settings: OperatorSettings

    private static let dialects: [any Dialect] = [StackGresDialect(), PerconaDialect()]

    package init(_ client: KubernetesClient, _ settings: OperatorSettings) {
        self.client = client
        self.settings = settings
    }

    /// - Throws: `.config` with what was found, or that no resource is defined.
    package func run() async throws(BackupError) -> [any Dialect] {
        var known: [any Dialect] = []
        var missing: ResourceType?
        do throws(KubernetesError) {
            for dialect in Self.dialects where try await isServed(dialect.clusters) {
                known.append(dialect)
                for type in [dialect.backups] + dialect.references + (dialect.restores.map { [$0] } ?? []) {
                    if try await !isServed(type) { missing = type }
                }
            }
        } catch {
            throw error.error
        }
        if let missing {
            throw BackupError(
                .config, "the cluster does not know '\(missing)', which belongs to definitions that it knows",
                hint: "apply all definitions: 'kubectl apply --server-side -k deploy/crds'")
        }
        guard !known.isEmpty else {
            let names = Self.dialects.map { "'\($0.clusters)'" }.joined(separator: " nor ")
            throw BackupError(
                .config, "the cluster does not know \(names)",
                hint: "apply the definitions first: 'kubectl apply --server-side -k deploy/crds'")
        }
        for dialect in known {
            try await checkConversion(dialect.clusters)
            if let label = dialect.labelOfOriginal { try await checkOriginal(label, dialect.clusters) }
        }
        return known
    }

    private func isServed(_ type: ResourceType) async throws(KubernetesError) -> Bool {
        do throws(KubernetesError) {
            // Of no object: whether it is answered at all.
            _ = try await client.list(
                type, namespace: settings.watchedNamespaces.first, Selection(labels: [.exists(OperatorNames.probe)]))
            return true
        } catch {
            if error.isNotFound { return false }
            throw error
        }
    }

    /// A Deployment with a label that only the original of a dialect has; one of no replicas does no harm.
    private func checkOriginal(_ label: String, _ type: ResourceType) async throws(BackupError) {
        let namespaces: [String?] = settings.watchedNamespaces.isEmpty ? [nil] : settings.watchedNamespaces
        for namespace in namespaces {
            let found: [KubernetesObject]
            do throws(KubernetesError) {
                found = try await client.list(
                    .deployments, namespace: namespace, Selection(labels: [.exists(label)])
                ).objects
            } catch {
                if error.isForbidden { continue }
                throw error.error
            }
            guard let original = found.first(where: { $0["spec", "replicas"]?.integer != 0 }) else { continue }
            throw BackupError(
                .config, "'\(type)' belongs to another operator: Deployment '\(original.key)'",
                hint: "scale it to 0 first, or remove it, but not its definitions: the objects would go with them")
        }
    }

    /// The original of StackGres converts versions by its own web hook, of which we have none.
    private func checkConversion(_ type: ResourceType) async throws(BackupError) {
        let definition: KubernetesObject?
        do throws(KubernetesError) {
            definition = try await client.find(.customResourceDefinitions, name: type.description)
        } catch {
            // An operator of single namespaces may not look.
            if error.isForbidden { return }
            throw error.error
        }
        guard let definition, definition["spec", "conversion", "strategy"]?.string == "Webhook" else { return }
        let service = definition["spec", "conversion", "webhook", "clientConfig", "service"]
        throw BackupError(
            .config,
            "'\(type)' belongs to another operator: its versions are converted by Service "
                + "'\(service?["namespace"]?.string ?? "?")/\(service?["name"]?.string ?? "?")'",
            hint: "remove that operator first, but not its definitions: the objects would go with them")
    }
}

extension OperatorCaches {
    /// Of the Secret with a cluster's certificate, as it was seen last.
    package func certificateVersion(of cluster: ObjectKey) -> String? {
        secrets[ObjectKey(namespace: cluster.namespace, name: ClusterObjects.configurationName(cluster.name))]?
            .resourceVersion
    }
}
