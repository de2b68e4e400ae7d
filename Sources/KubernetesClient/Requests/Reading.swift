import HTTP

/// Objects of one answer, and the state that they are of.
package struct ObjectPage: Sendable {
    package var objects: [KubernetesObject]
    /// Where a watch goes on.
    package var resourceVersion: String
    /// nil for the last page.
    package var next: String?
}

/// How much of each object is asked for.
package enum ObjectParts: Sendable {
    case all
    /// Names, labels, annotations and owners: neither what is in it nor its status.
    case metadata

    /// A server that does not know the one kind answers with the other.
    static func accept(_ kind: String) -> String {
        "application/json;as=\(kind);g=meta.k8s.io;v=v1,application/json"
    }
}

extension KubernetesObject {
    /// With its kind, which elements of a list do not say, and metadata alone hides.
    func named(as type: ResourceType) -> KubernetesObject {
        var object = self
        if object.json["kind"] == nil || kind == "PartialObjectMetadata" {
            object.json["kind"] = .text(type.kind)
            object.json["apiVersion"] = .text(type.apiVersion)
        }
        return object
    }
}

extension KubernetesClient {
    package func get(
        _ type: ResourceType, namespace: String? = nil, name: String
    ) async throws(KubernetesError) -> KubernetesObject {
        let what = Self.described("get", type, ObjectKey(namespace: namespace, name: name))
        return try await object(request("GET", type, namespace, name), what, isRead: true)
    }

    /// nil when there is none.
    package func find(
        _ type: ResourceType, namespace: String? = nil, name: String
    ) async throws(KubernetesError) -> KubernetesObject? {
        do throws(KubernetesError) {
            return try await get(type, namespace: namespace, name: name)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// All objects, in as many requests as it takes.
    /// - Parameters:
    ///   - namespace: nil for those of all.
    ///   - parts: of each object.
    package func list(
        _ type: ResourceType, namespace: String? = nil, _ selection: Selection = .all, parts: ObjectParts = .all
    ) async throws(KubernetesError) -> ObjectPage {
        var whole = ObjectPage(objects: [], resourceVersion: "")
        whole.resourceVersion = try await list(type, namespace: namespace, selection, parts: parts) {
            whole.objects += $0
        }
        return whole
    }

    /// The same page by page.
    /// - Returns: the resource version that all pages are of.
    /// - Throws: ``KubernetesError/isGone`` when it took so long that the server does not know the rest any more.
    package func list(
        _ type: ResourceType, namespace: String? = nil, _ selection: Selection = .all, parts: ObjectParts = .all,
        _ take: ([KubernetesObject]) -> Void
    ) async throws(KubernetesError) -> String {
        var next: String?
        while true {
            let page = try await page(type, namespace: namespace, selection, parts: parts, from: next)
            take(page.objects)
            guard let more = page.next else { return page.resourceVersion }
            next = more
        }
    }

    package func page(
        _ type: ResourceType, namespace: String? = nil, _ selection: Selection = .all, parts: ObjectParts = .all,
        from token: String? = nil
    ) async throws(KubernetesError) -> ObjectPage {
        let what = "list \(type)" + (namespace.map { " of namespace '\($0)'" } ?? "")
        var request = request("GET", type, namespace)
        request.query = selection.query + [("limit", String(options.pageSize))]
        if let token { request.query.append(("continue", token)) }
        if parts == .metadata { request.headers["Accept"] = ObjectParts.accept("PartialObjectMetadataList") }
        let list = try await object(request, what, isRead: true)
        let items: [ServiceJSON]
        switch list["items"] {
        case .array(let given): items = given
        // An empty list, of metadata.
        case .null, nil: items = []
        default: throw KubernetesError(status: nil, message: "unable to \(what): the answer is no list")
        }
        let objects = items.compactMap { KubernetesObject($0)?.named(as: type) }
        let next = list["metadata", "continue"]?.string
        return ObjectPage(
            objects: objects, resourceVersion: list.resourceVersion ?? "", next: next?.isEmpty == true ? nil : next)
    }
}

/// What to take of the log of a pod.
package struct LogSelection: Sendable {
    /// Needed when the pod has several.
    package var container: String?
    /// That of the container before it was started again.
    package var isPrevious = false
    /// The last lines only.
    package var lines: Int?
    package var since: Duration?
    /// At most; what is beyond is left out.
    package var bytes = 1 << 20

    package init(container: String? = nil) { self.container = container }
}

extension KubernetesClient {
    /// What a pod's container has logged until now.
    package func log(
        namespace: String, pod: String, _ selection: LogSelection = LogSelection()
    ) async throws(KubernetesError) -> [UInt8] {
        var request = request("GET", .pods, namespace, pod, "log")
        // The server answers 406 to a wish for JSON alone.
        request.headers["Accept"] = "*/*"
        request.query = [("limitBytes", String(selection.bytes))]
        if let container = selection.container { request.query.append(("container", container)) }
        if selection.isPrevious { request.query.append(("previous", "true")) }
        if let lines = selection.lines { request.query.append(("tailLines", String(lines))) }
        if let since = selection.since {
            request.query.append(("sinceSeconds", String(max(1, since.components.seconds))))
        }
        return try await answer(request, "read the log of pod '\(namespace)/\(pod)'", isRead: true)
    }
}
