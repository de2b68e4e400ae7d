import HTTP

/// A type of objects that the server has.
package struct ServedType: Sendable, Hashable {
    package var group: String
    package var version: String
    package var plural: String
    package var kind: String
    package var isNamespaced: Bool
    package var hasStatus: Bool
    package var shortNames: [String]

    package init(
        _ group: String, _ version: String, _ plural: String, _ kind: String, isNamespaced: Bool = true,
        hasStatus: Bool = false, shortNames: [String] = []
    ) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
        self.hasStatus = hasStatus
        self.shortNames = shortNames
    }

    var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// As in messages.
    var qualified: String { group.isEmpty ? plural : "\(plural).\(group)" }
    var isCustom: Bool { group.contains(".") && !group.hasSuffix(".k8s.io") }

    static let builtIn: [ServedType] = [
        ServedType("", "v1", "namespaces", "Namespace", isNamespaced: false, hasStatus: true, shortNames: ["ns"]),
        ServedType("", "v1", "nodes", "Node", isNamespaced: false, hasStatus: true, shortNames: ["no"]),
        pods,
        ServedType("", "v1", "services", "Service", hasStatus: true, shortNames: ["svc"]),
        ServedType("", "v1", "endpoints", "Endpoints", shortNames: ["ep"]),
        ServedType("", "v1", "secrets", "Secret"),
        ServedType("", "v1", "configmaps", "ConfigMap", shortNames: ["cm"]),
        ServedType("", "v1", "events", "Event", shortNames: ["ev"]),
        ServedType("", "v1", "serviceaccounts", "ServiceAccount", shortNames: ["sa"]),
        ServedType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", hasStatus: true, shortNames: ["pvc"]),
        ServedType("apps", "v1", "statefulsets", "StatefulSet", hasStatus: true, shortNames: ["sts"]),
        ServedType("apps", "v1", "deployments", "Deployment", hasStatus: true, shortNames: ["deploy"]),
        ServedType("batch", "v1", "jobs", "Job", hasStatus: true),
        ServedType("batch", "v1", "cronjobs", "CronJob", hasStatus: true, shortNames: ["cj"]),
        ServedType("coordination.k8s.io", "v1", "leases", "Lease"),
        ServedType("events.k8s.io", "v1", "events", "Event", shortNames: ["ev"]),
        ServedType("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", hasStatus: true, shortNames: ["pdb"]),
        ServedType("rbac.authorization.k8s.io", "v1", "roles", "Role"),
        ServedType("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
        ServedType("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", isNamespaced: false),
        ServedType("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", isNamespaced: false),
        customResourceDefinitions,
    ]

    static let pods = ServedType("", "v1", "pods", "Pod", hasStatus: true, shortNames: ["po"])

    static let customResourceDefinitions = ServedType(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", isNamespaced: false,
        hasStatus: true, shortNames: ["crd"])

    /// What a definition makes the server serve.
    static func served(by definition: ServiceJSON) -> [ServedType] {
        let spec = definition["spec"]
        let names = spec?["names"]
        guard let group = spec?["group"]?.string, let plural = names?["plural"]?.string,
            let kind = names?["kind"]?.string
        else { return [] }
        return (spec?["versions"]?.elements ?? []).compactMap { version in
            guard version["served"]?.bool != false, let name = version["name"]?.string else { return nil }
            return ServedType(
                group, name, plural, kind, isNamespaced: spec?["scope"]?.string != "Cluster",
                hasStatus: version["subresources"]?["status"] != nil,
                shortNames: names?["shortNames"]?.elements.compactMap(\.string) ?? [])
        }
    }
}
