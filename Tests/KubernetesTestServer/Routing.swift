package import HTTP
import Synchronization

/// What the path of a request names.
struct RequestPlace: Sendable {
    var type: ServedType
    var namespace: String?
    var name: String?
    var subresource = ""

    var key: ObjectTable.Key { ObjectTable.Key(namespace: namespace ?? "", name: name ?? "") }

    init?(_ path: [String], _ types: Set<ServedType>) {
        var rest = path[...]
        let group: String
        switch rest.popFirst() {
        case "api": group = ""
        case "apis":
            guard let name = rest.popFirst() else { return nil }
            group = name
        default: return nil
        }
        guard let version = rest.popFirst() else { return nil }
        if rest.count > 2, rest.first == "namespaces",
            types.contains(where: { type in
                type.group == group && type.version == version && type.plural == rest[rest.startIndex + 2]
            })
        {
            namespace = rest[rest.startIndex + 1]
            rest = rest.dropFirst(2)
        }
        guard let plural = rest.popFirst(),
            let type = types.first(where: { $0.group == group && $0.version == version && $0.plural == plural })
        else { return nil }
        self.type = type
        name = rest.popFirst()
        if let subresource = rest.popFirst() { self.subresource = subresource }
        guard rest.isEmpty else { return nil }
    }
}

extension APITestServer: ServerHandler {
    package func respond(to request: ServerRequest) async -> ServerResponse {
        let behaviour = shared.withLock { shared in
            let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
            shared.requests.append(
                "\(request.method) /\(request.path.joined(separator: "/"))" + (query.isEmpty ? "" : "?\(query)"))
            return shared.behaviour
        }
        var request = request
        if request.path.last == "" { request.path.removeLast() }
        if let intercept = behaviour.intercept, let answer = await intercept(request) { return answer }
        if !behaviour.tokens.isEmpty {
            let given = request.headers["Authorization"] ?? ""
            guard behaviour.tokens.contains(where: { given == "Bearer \($0)" }) else {
                return Self.answer(APIFailure(code: 401, reason: "Unauthorized", message: "Unauthorized", details: nil))
            }
        }
        do throws(APIFailure) {
            return try await answer(request)
        } catch {
            return Self.answer(error)
        }
    }

    static func json(_ status: Int, _ json: ServiceJSON) -> ServerResponse {
        ServerResponse(
            status, headers: ["Content-Type": "application/json"], body: .bytes(Array(json.description.utf8)))
    }

    static func answer(_ failure: APIFailure) -> ServerResponse { json(failure.code, failure.json) }

    private func answer(_ request: ServerRequest) async throws(APIFailure) -> ServerResponse {
        let types = shared.withLock { $0.table.types }
        if request.method == "GET" {
            if [["healthz"], ["readyz"], ["livez"]].contains(request.path) {
                return ServerResponse(200, body: .bytes(Array("ok".utf8)))
            }
            if let found = Discovery.answer(request.path, types) { return Self.json(200, found) }
        }
        guard let place = RequestPlace(request.path, types) else { throw .noPath }
        let body: [UInt8]
        do {
            body = try await request.body.collect(limit: 8 << 20)
        } catch {
            throw .bad("\(error)")
        }
        if request.headers["Content-Type"]?.hasPrefix("application/vnd.kubernetes.protobuf") == true {
            throw APIFailure(
                code: 415, reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format - accepted media types include: "
                    + "application/json", details: [:])
        }
        if place.name != nil, place.subresource == "log", place.type.plural == "pods" {
            return try await log(place, request)
        }
        guard place.subresource.isEmpty || place.subresource == "status" && place.type.hasStatus else { throw .noPath }
        switch (request.method, place.name) {
        case ("GET", nil):
            return request.isTrue("watch")
                ? try watch(place, request) : try list(place, request)
        case ("GET", _?):
            let found = try shared.withLock { shared throws(APIFailure) in
                try shared.table.get(place.type, place.key).json
            }
            return Self.json(200, try MetadataForm(request, isList: false).seen(found))
        case ("POST", nil): return try create(place, request, try Self.parsed(body))
        case ("PUT", _?): return try replace(place, request, try Self.parsed(body))
        case ("PATCH", _?): return try patch(place, request, try Self.parsed(body))
        case ("DELETE", _?):
            let options = body.isEmpty ? Self.options(request) : try Self.parsed(body)
            let (object, isGone) = try change { table throws(APIFailure) in
                try table.delete(place.type, place.key, options)
            }
            guard isGone, !Self.answersWithObject.contains(place.type.plural) else { return Self.json(200, object) }
            var details = APIFailure.details(place.type, place.key.name)
            details["uid"] = object[["metadata", "uid"]]
            return Self.json(
                200,
                [
                    "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": details,
                ])
        case ("DELETE", nil):
            return try deleteAll(place, request, body.isEmpty ? Self.options(request) : try Self.parsed(body))
        default:
            throw APIFailure(
                code: 405, reason: "MethodNotAllowed",
                message: "the server does not allow this method on the requested resource", details: [:])
        }
    }

    /// What is deleted, where others answer that it is.
    private static let answersWithObject: Set<String> = [
        "pods", "services", "serviceaccounts", "persistentvolumeclaims",
    ]

    private static func parsed(_ body: [UInt8]) throws(APIFailure) -> ServiceJSON {
        guard let json = ServiceJSON(body, deepest: 400) else { throw .bad("the body is no JSON") }
        return json
    }

    private static func options(_ request: ServerRequest) -> ServiceJSON {
        var options = ServiceJSON.object([:])
        if let policy = request.parameter("propagationPolicy") { options["propagationPolicy"] = .text(policy) }
        if let grace = request.parameter("gracePeriodSeconds").flatMap({ Int($0) }) {
            options["gracePeriodSeconds"] = ServiceJSON(grace)
        }
        return options
    }

    /// As the real one: what is before the first slash of the program's name.
    private static func manager(_ request: ServerRequest) -> String {
        request.parameter("fieldManager")
            ?? String((request.headers["User-Agent"] ?? "unknown").prefix { $0 != "/" && $0 != " " })
    }

    private static func isDry(_ request: ServerRequest) -> Bool { request.parameter("dryRun") == "All" }

    /// Of a dry run nothing stays.
    private func write(
        _ request: ServerRequest, _ body: (inout ObjectTable) throws(APIFailure) -> ServiceJSON
    ) throws(APIFailure) -> ServiceJSON {
        guard Self.isDry(request) else { return try change(body) }
        return try shared.withLock { shared throws(APIFailure) in
            var copy = shared.table
            return try body(&copy)
        }
    }

    private func list(_ place: RequestPlace, _ request: ServerRequest) throws(APIFailure) -> ServerResponse {
        let selectors = try Selectors(
            labels: request.parameter("labelSelector") ?? "", fields: request.parameter("fieldSelector") ?? "")
        let limit = request.parameter("limit").flatMap { Int($0) } ?? 0
        let form = try MetadataForm(request, isList: true)
        let (all, version, compacted) = shared.withLock { shared in
            (shared.table.list(place.type, place.namespace), shared.table.version, shared.table.compacted)
        }
        var listed = all
        var asOf = version
        if let token = request.parameter("continue"), !token.isEmpty {
            let parts = token.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3, let begun = Int(parts[0]) else { throw .bad("continue key is not valid") }
            guard begun >= compacted else { throw .expired(begun, compacted) }
            asOf = begun
            let last = ObjectTable.Key(namespace: parts[1], name: parts[2])
            listed = listed.filter { $0.key > last }
        }
        listed = listed.filter { selectors.matches($0.json) }
        var metadata: ServiceJSON = ["resourceVersion": .text(String(asOf))]
        if limit > 0, listed.count > limit {
            let rest = listed.count - limit
            listed = Array(listed.prefix(limit))
            if let last = listed.last {
                metadata["continue"] = .text("\(asOf)|\(last.key.namespace)|\(last.key.name)")
                metadata["remainingItemCount"] = ServiceJSON(rest)
            }
        }
        var answer: ServiceJSON = [
            "kind": .text(place.type.kind + "List"), "apiVersion": .text(place.type.apiVersion),
            "metadata": metadata, "items": .array(listed.map { form.seen($0.json) }),
        ]
        if form.isAsked {
            answer["kind"] = "PartialObjectMetadataList"
            answer["apiVersion"] = .text(MetadataForm.apiVersion)
            // As the real one has it.
            if listed.isEmpty { answer["items"] = .null }
        }
        return Self.json(200, answer)
    }

    private func create(
        _ place: RequestPlace, _ request: ServerRequest, _ body: ServiceJSON
    ) throws(APIFailure) -> ServerResponse {
        try Self.check(body, place)
        return Self.json(
            201,
            try write(request) { table throws(APIFailure) in
                try table.create(place.type, place.namespace ?? "", body, manager: Self.manager(request))
            })
    }

    private static func check(_ body: ServiceJSON, _ place: RequestPlace) throws(APIFailure) {
        guard case .object = body else { throw .bad("the body is no object") }
        if let kind = body["kind"]?.string, kind != place.type.kind {
            throw .bad("the kind in the data (\(kind)) does not match the expected kind (\(place.type.kind))")
        }
        if let namespace = body[["metadata", "namespace"]]?.string, !namespace.isEmpty,
            namespace != place.namespace ?? ""
        {
            throw .bad("the namespace of the provided object does not match the namespace sent on the request")
        }
        if let name = place.name, let given = body[["metadata", "name"]]?.string, given != name {
            throw .bad("the name of the object (\(given)) does not match the name on the URL (\(name))")
        }
    }

    private func replace(
        _ place: RequestPlace, _ request: ServerRequest, _ body: ServiceJSON
    ) throws(APIFailure) -> ServerResponse {
        try Self.check(body, place)
        if place.type.isCustom, (body[["metadata", "resourceVersion"]]?.string ?? "").isEmpty {
            throw .invalid(
                place.type, place.key.name, "metadata.resourceVersion", "0x0: must be specified for an update")
        }
        return Self.json(
            200,
            try write(request) { table throws(APIFailure) in
                try table.update(
                    place.type, place.key, subresource: place.subresource, owner: Self.manager(request)
                ) { _, _ throws(APIFailure) in (body, false) }
            })
    }

    private func patch(
        _ place: RequestPlace, _ request: ServerRequest, _ body: ServiceJSON
    ) throws(APIFailure) -> ServerResponse {
        let mediaType = (request.headers["Content-Type"] ?? "").prefix { $0 != ";" }
        let isCustom = place.type.isCustom
        if mediaType == "application/apply-patch+yaml" { return try apply(place, request, body) }
        guard
            ["application/merge-patch+json", "application/json-patch+json"].contains(mediaType)
                || mediaType == "application/strategic-merge-patch+json" && !isCustom
        else {
            throw APIFailure(
                code: 415, reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format - accepted media types include: "
                    + "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                details: [:])
        }
        return Self.json(
            200,
            try write(request) { table throws(APIFailure) in
                try table.update(
                    place.type, place.key, subresource: place.subresource, owner: Self.manager(request)
                ) { old, _ throws(APIFailure) in
                    switch mediaType {
                    case "application/merge-patch+json": (Patches.merge(body, into: old), false)
                    case "application/json-patch+json": (try Patches.operations(body, on: old), false)
                    default: (Patches.strategic(body, into: old), false)
                    }
                }
            })
    }

    private func apply(
        _ place: RequestPlace, _ request: ServerRequest, _ body: ServiceJSON
    ) throws(APIFailure) -> ServerResponse {
        try Self.check(body, place)
        guard let name = request.parameter("fieldManager"), !name.isEmpty else {
            throw .invalid(place.type, place.key.name, "fieldManager", "is required for apply patch")
        }
        guard body[["metadata", "managedFields"]] == nil else {
            throw .bad("metadata.managedFields must be nil")
        }
        let isForced = request.isTrue("force")
        var isNew = false
        let result = try write(request) { table throws(APIFailure) in
            if table.find(place.type, place.key) == nil {
                guard place.subresource.isEmpty else { throw .notFound(place.type, place.key.name) }
                isNew = true
                var body = body
                body[["metadata", "name"]] = .text(place.key.name)
                return try table.create(place.type, place.namespace ?? "", body, manager: "apply:\(name)")
            }
            let manager = FieldOwners.Manager(name: name, operation: "Apply", subresource: place.subresource)
            return try table.update(
                place.type, place.key, subresource: place.subresource, owner: name
            ) { old, owners throws(APIFailure) in
                var configuration = body
                if place.type.hasStatus {
                    if place.subresource == "status" {
                        configuration = ["status": body["status"] ?? [:]]
                        configuration["metadata"] = nil
                    } else {
                        configuration["status"] = nil
                    }
                }
                let (object, conflicts) = owners.applied(
                    manager, configuration, to: old, isForced: isForced, at: ObjectTable.now())
                guard conflicts.isEmpty else { throw Self.conflict(conflicts) }
                // What was read may be named.
                var result = object
                result[["metadata", "resourceVersion"]] = body[["metadata", "resourceVersion"]]
                return (result, true)
            }
        }
        return Self.json(isNew ? 201 : 200, result)
    }

    private static func conflict(_ conflicts: [FieldOwners.Conflict]) -> APIFailure {
        let causes = conflicts.map { conflict -> ServiceJSON in
            let path = conflict.path.map { $0.hasPrefix("f:") ? ".\($0.dropFirst(2))" : "[\($0.dropFirst(2))]" }
            return [
                "reason": "FieldManagerConflict", "message": "conflict with \"\(conflict.manager)\"",
                "field": .text(path.joined()),
            ]
        }
        let managers = Set(conflicts.map(\.manager)).sorted().map { "\"\($0)\"" }.joined(separator: ", ")
        return APIFailure(
            code: 409, reason: "Conflict",
            message: "Apply failed with \(conflicts.count) conflict\(conflicts.count == 1 ? "" : "s"): conflicts with "
                + "\(managers): " + causes.compactMap { $0["field"]?.string }.sorted().joined(separator: ", "),
            details: ["causes": .array(causes)])
    }

    private func deleteAll(
        _ place: RequestPlace, _ request: ServerRequest, _ options: ServiceJSON
    ) throws(APIFailure) -> ServerResponse {
        let selectors = try Selectors(
            labels: request.parameter("labelSelector") ?? "", fields: request.parameter("fieldSelector") ?? "")
        try change { table throws(APIFailure) in
            for (key, json) in table.list(place.type, place.namespace) where selectors.matches(json) {
                _ = try table.delete(place.type, key, options)
            }
        }
        return Self.json(200, ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success"])
    }
}
