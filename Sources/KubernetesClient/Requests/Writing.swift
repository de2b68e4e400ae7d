package import HTTP

/// Which part of an object is written.
package enum Subresource: String, Sendable {
    case status
    case scale
}

/// How an object goes.
package struct DeleteOptions: Sendable {
    package enum Propagation: String, Sendable {
        /// What belongs to it goes afterwards.
        case background = "Background"
        /// What belongs to it goes first.
        case foreground = "Foreground"
        /// What belongs to it stays.
        case orphan = "Orphan"
    }

    package var propagation: Propagation?
    /// Another object of that name is not meant.
    package var uid: String?
    /// Only as it was seen.
    package var resourceVersion: String?
    /// Seconds for a pod to end.
    package var gracePeriod: Int?

    package init(propagation: Propagation? = nil, uid: String? = nil) {
        self.propagation = propagation
        self.uid = uid
    }

    var json: ServiceJSON {
        var json: ServiceJSON = ["apiVersion": "v1", "kind": "DeleteOptions"]
        if let propagation { json["propagationPolicy"] = .text(propagation.rawValue) }
        if let gracePeriod { json["gracePeriodSeconds"] = ServiceJSON(gracePeriod) }
        if let uid { json[["preconditions", "uid"]] = .text(uid) }
        if let resourceVersion { json[["preconditions", "resourceVersion"]] = .text(resourceVersion) }
        return json
    }
}

extension KubernetesClient {
    /// - Parameter isTrial: all is checked and nothing is stored.
    /// - Throws: ``KubernetesError/isAlreadyExists``.
    package func create(
        _ type: ResourceType, _ object: KubernetesObject, isTrial: Bool = false
    ) async throws(KubernetesError) -> KubernetesObject {
        var key = object.key
        if key.name.isEmpty { key.name = (object.generateName ?? "") + "…" }
        var request = request("POST", type, object.namespace)
        if isTrial { request.query.append(("dryRun", "All")) }
        return try await write(request, object.json, Self.described("create", type, key))
    }

    /// Writes all of an object, whose resource version says which state was read.
    /// - Throws: ``KubernetesError/isConflict`` when it has changed since.
    package func replace(
        _ type: ResourceType, _ object: KubernetesObject, _ subresource: Subresource? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        try await write(
            request("PUT", type, object.namespace, object.name, subresource?.rawValue), object.json,
            Self.described(subresource == .status ? "replace the status of" : "replace", type, object.key))
    }

    /// Changes what a JSON merge patch (RFC 7396) names: null removes, a list is replaced as a whole.
    package func patch(
        _ type: ResourceType, namespace: String? = nil, name: String, _ changes: ServiceJSON,
        _ subresource: Subresource? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        try await write(
            request("PATCH", type, namespace, name, subresource?.rawValue), changes,
            Self.described(
                subresource == .status ? "patch the status of" : "patch", type,
                ObjectKey(namespace: namespace, name: name)),
            "application/merge-patch+json")
    }

    /// Server-side apply: makes the object if need be, and takes those fields for ours that it names. Those that we named
    /// the last time and do not name now go.
    /// - Parameter isForced: fields that another manager owns become ours; otherwise they are a conflict.
    package func apply(
        _ type: ResourceType, _ object: KubernetesObject, isForced: Bool = true, _ subresource: Subresource? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        var request = request("PATCH", type, object.namespace, object.name, subresource?.rawValue)
        request.query = [("force", isForced ? "true" : "false")]
        // To apply once more what was applied changes nothing.
        return try await write(
            request, object.json,
            Self.described(subresource == .status ? "apply the status of" : "apply", type, object.key),
            "application/apply-patch+yaml", isRepeatable: true)
    }

    /// - Returns: the object as it stays until its finalizers are gone; nil when there is none any more, or was none.
    @discardableResult
    package func delete(
        _ type: ResourceType, namespace: String? = nil, name: String, _ options: DeleteOptions = DeleteOptions()
    ) async throws(KubernetesError) -> KubernetesObject? {
        var request = request("DELETE", type, namespace, name)
        request.headers["Content-Type"] = "application/json"
        request.body = Array(options.json.description.utf8)
        let what = Self.described("delete", type, ObjectKey(namespace: namespace, name: name))
        do throws(KubernetesError) {
            // What has an identity cannot go twice.
            let isRepeatable = options.uid != nil || options.resourceVersion != nil
            let left = try await object(request, what, isRead: isRepeatable)
            return left.kind == "Status" || left.finalizers.isEmpty && !left.isBeingDeleted ? nil : left
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    private func write(
        _ request: HTTPRequest, _ body: ServiceJSON, _ what: String, _ mediaType: String = "application/json",
        isRepeatable: Bool = false
    ) async throws(KubernetesError) -> KubernetesObject {
        var request = request
        request.query.append(("fieldManager", options.fieldManager))
        request.headers["Content-Type"] = mediaType
        request.body = Array(body.description.utf8)
        return try await object(request, what, isRead: isRepeatable)
    }
}
