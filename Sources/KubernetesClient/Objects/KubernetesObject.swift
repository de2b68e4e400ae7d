package import HTTP

/// Any object of the API: all of it as JSON, with names for what every object has.
package struct KubernetesObject: Sendable, Equatable {
    package var json: ServiceJSON

    /// nil for what is no JSON object.
    package init?(_ json: ServiceJSON) {
        guard case .object = json else { return nil }
        self.json = json
    }

    package init(_ type: ResourceType, namespace: String? = nil, name: String) {
        json = ["apiVersion": .text(type.apiVersion), "kind": .text(type.kind), "metadata": ["name": .text(name)]]
        if let namespace { self.namespace = namespace }
    }

    package subscript(path: String...) -> ServiceJSON? {
        get { json[path] }
        set { json[path] = newValue }
    }

    package var key: ObjectKey { ObjectKey(namespace: namespace, name: name) }
    package var apiVersion: String { json["apiVersion"]?.string ?? "" }
    package var kind: String { json["kind"]?.string ?? "" }

    package var name: String {
        get { text("name") ?? "" }
        set { json[["metadata", "name"]] = .text(newValue) }
    }
    package var namespace: String? {
        get { text("namespace") }
        set { json[["metadata", "namespace"]] = newValue.map { .text($0) } }
    }
    /// The server makes a name that begins so.
    package var generateName: String? {
        get { text("generateName") }
        set { json[["metadata", "generateName"]] = newValue.map { .text($0) } }
    }
    package var uid: String { text("uid") ?? "" }
    /// Opaque; in a change it says which state is meant.
    package var resourceVersion: String? {
        get { text("resourceVersion") }
        set { json[["metadata", "resourceVersion"]] = newValue.map { .text($0) } }
    }
    /// Grows with each change of what is wanted; 0 when the server does not count.
    package var generation: Int { json[["metadata", "generation"]]?.integer ?? 0 }
    package var labels: [String: String] {
        get { json[["metadata", "labels"]]?.texts ?? [:] }
        set { json[["metadata", "labels"]] = newValue.isEmpty ? nil : ServiceJSON(newValue) }
    }
    package var annotations: [String: String] {
        get { json[["metadata", "annotations"]]?.texts ?? [:] }
        set { json[["metadata", "annotations"]] = newValue.isEmpty ? nil : ServiceJSON(newValue) }
    }
    package var finalizers: [String] {
        get { json[["metadata", "finalizers"]]?.elements.compactMap(\.string) ?? [] }
        set { json[["metadata", "finalizers"]] = newValue.isEmpty ? nil : ServiceJSON(newValue) }
    }
    package var ownerReferences: [OwnerReference] {
        get { json[["metadata", "ownerReferences"]]?.elements.compactMap { OwnerReference($0) } ?? [] }
        set { json[["metadata", "ownerReferences"]] = newValue.isEmpty ? nil : .array(newValue.map(\.json)) }
    }
    /// Seconds since 1970.
    package var creationTime: Int64? { text("creationTimestamp").flatMap(ServiceTime.parseISO8601) }
    /// Seconds since 1970; of one that is being deleted, and goes when its finalizers are gone.
    package var deletionTime: Int64? { text("deletionTimestamp").flatMap(ServiceTime.parseISO8601) }
    package var isBeingDeleted: Bool { text("deletionTimestamp") != nil }

    private func text(_ name: String) -> String? {
        if case .text(let text)? = json[["metadata", name]] { text } else { nil }
    }

    /// As others name it that belong to it.
    package func owner(isController: Bool = true, blocksDeletion: Bool = true) -> OwnerReference {
        OwnerReference(
            apiVersion: apiVersion, kind: kind, name: name, uid: uid, isController: isController,
            blocksDeletion: blocksDeletion)
    }
}

/// An object that another one belongs to, and goes with.
package struct OwnerReference: Sendable, Hashable {
    package var apiVersion: String
    package var kind: String
    package var name: String
    package var uid: String
    package var isController: Bool
    package var blocksDeletion: Bool

    package init(
        apiVersion: String, kind: String, name: String, uid: String, isController: Bool, blocksDeletion: Bool
    ) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
        self.isController = isController
        self.blocksDeletion = blocksDeletion
    }

    init?(_ json: ServiceJSON) {
        guard let uid = json["uid"]?.string, let name = json["name"]?.string else { return nil }
        self.init(
            apiVersion: json["apiVersion"]?.string ?? "", kind: json["kind"]?.string ?? "", name: name, uid: uid,
            isController: json["controller"]?.bool ?? false,
            blocksDeletion: json["blockOwnerDeletion"]?.bool ?? false)
    }

    var json: ServiceJSON {
        var json: ServiceJSON = [
            "apiVersion": .text(apiVersion), "kind": .text(kind), "name": .text(name), "uid": .text(uid),
        ]
        if isController { json["controller"] = true }
        if blocksDeletion { json["blockOwnerDeletion"] = true }
        return json
    }
}
