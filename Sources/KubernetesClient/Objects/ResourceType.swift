/// A kind of objects, as paths of the API name it.
package struct ResourceType: Sendable, Hashable, CustomStringConvertible {
    /// Empty for the core group.
    package var group: String
    package var version: String
    package var plural: String
    package var kind: String
    package var isNamespaced: Bool

    package init(_ group: String, _ version: String, _ plural: String, kind: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// `v1`, `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// As in messages: `pods`, `statefulsets.apps`.
    package var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

    package static let configMaps = ResourceType("", "v1", "configmaps", kind: "ConfigMap")
    package static let endpoints = ResourceType("", "v1", "endpoints", kind: "Endpoints")
    package static let coreEvents = ResourceType("", "v1", "events", kind: "Event")
    package static let namespaces = ResourceType("", "v1", "namespaces", kind: "Namespace", isNamespaced: false)
    package static let nodes = ResourceType("", "v1", "nodes", kind: "Node", isNamespaced: false)
    package static let persistentVolumeClaims = ResourceType(
        "", "v1", "persistentvolumeclaims", kind: "PersistentVolumeClaim")
    package static let pods = ResourceType("", "v1", "pods", kind: "Pod")
    package static let secrets = ResourceType("", "v1", "secrets", kind: "Secret")
    package static let serviceAccounts = ResourceType("", "v1", "serviceaccounts", kind: "ServiceAccount")
    package static let services = ResourceType("", "v1", "services", kind: "Service")
    package static let deployments = ResourceType("apps", "v1", "deployments", kind: "Deployment")
    package static let statefulSets = ResourceType("apps", "v1", "statefulsets", kind: "StatefulSet")
    package static let jobs = ResourceType("batch", "v1", "jobs", kind: "Job")
    package static let leases = ResourceType("coordination.k8s.io", "v1", "leases", kind: "Lease")
    package static let roles = ResourceType("rbac.authorization.k8s.io", "v1", "roles", kind: "Role")
    package static let roleBindings = ResourceType(
        "rbac.authorization.k8s.io", "v1", "rolebindings", kind: "RoleBinding")
    package static let customResourceDefinitions = ResourceType(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", kind: "CustomResourceDefinition",
        isNamespaced: false)
}

/// Where an object lies among those of its type.
package struct ObjectKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// nil for what has none.
    package var namespace: String?
    package var name: String

    package init(namespace: String?, name: String) {
        self.namespace = namespace
        self.name = name
    }

    package var description: String { namespace.map { "\($0)/\(name)" } ?? name }

    package static func < (one: ObjectKey, other: ObjectKey) -> Bool {
        (one.namespace ?? "", one.name) < (other.namespace ?? "", other.name)
    }
}
