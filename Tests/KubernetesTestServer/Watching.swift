import HTTP
import Synchronization

/// One watch: what it has told, and to whom.
extension APITestServer {
    /// Cuts a connection as a network does.
    struct Cut: Error {}

    func watch(_ place: RequestPlace, _ request: ServerRequest) throws(APIFailure) -> ServerResponse {
        let selectors = try Selectors(
            labels: request.parameter("labelSelector") ?? "", fields: request.parameter("fieldSelector") ?? "")
        var place = place
        // kubectl watches one object as a list of one.
        place.name = nil
        let given = request.parameter("resourceVersion").flatMap { Int($0) } ?? 0
        let (version, compacted, now, behaviour, cuts) = shared.withLock { shared in
            (given, shared.table.compacted, shared.table.version, shared.behaviour, shared.cuts)
        }
        let seconds = request.parameter("timeoutSeconds").flatMap { Int($0) } ?? 1800
        let form = try MetadataForm(request, isList: false)
        let wantsBookmarks = request.isTrue("allowWatchBookmarks")
        let isGone = version != 0 && version < compacted
        if isGone, !behaviour.tellsGoneInWatch { throw .expired(version, compacted) }
        let (type, namespace) = (place.type, place.namespace)
        return ServerResponse(
            200, headers: ["Content-Type": "application/json"],
            body: .stream(length: nil) { [self] writer in
                if isGone {
                    try await Self.tell("ERROR", APIFailure.expired(version, compacted).json, to: writer)
                    return
                }
                var told = version
                if version == 0 {
                    // From nothing: all there is comes first.
                    let all = shared.withLock { $0.table.list(type, namespace) }
                    for (_, json) in all where selectors.matches(json) {
                        try await Self.tell("ADDED", form.seen(json), to: writer)
                    }
                    told = now
                }
                try await follow(
                    type, namespace, selectors, from: told, until: .now + .seconds(seconds),
                    bookmarks: wantsBookmarks ? behaviour.bookmarkPause : nil, cuts, form, writer)
            })
    }

    private func follow(
        _ type: ServedType, _ namespace: String?, _ selectors: Selectors, from version: Int,
        until end: ContinuousClock.Instant, bookmarks: Duration?, _ cuts: Int, _ form: MetadataForm,
        _ writer: any ResponseWriter
    ) async throws {
        let (news, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let id = shared.withLock { shared in
            shared.lastWatcher += 1
            shared.watchers[shared.lastWatcher] = continuation
            return shared.lastWatcher
        }
        let ticker = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: min(bookmarks ?? .seconds(60), max(end - .now, .milliseconds(10))))
                continuation.yield()
            }
        }
        defer {
            ticker.cancel()
            shared.withLock { _ = $0.watchers.removeValue(forKey: id) }
        }
        var told = version
        var nextBookmark = ContinuousClock.now + (bookmarks ?? .zero)
        continuation.yield()
        for await _ in news {
            let (events, now, isCut) = shared.withLock { shared in
                (Array(shared.table.events(of: type, after: told)), shared.table.version, shared.cuts != cuts)
            }
            for event in events {
                told = event.version
                guard event.type.group == type.group, event.type.plural == type.plural,
                    let (kind, object) = Self.seen(event, namespace, selectors)
                else { continue }
                try await Self.tell(kind, form.seen(object), to: writer)
            }
            told = max(told, now)
            if isCut { throw Cut() }
            if let bookmarks, ContinuousClock.now >= nextBookmark {
                nextBookmark = .now + bookmarks
                try await Self.tell(
                    "BOOKMARK",
                    form.seen([
                        "kind": .text(type.kind), "apiVersion": .text(type.apiVersion),
                        "metadata": ["resourceVersion": .text(String(told))],
                    ]), to: writer)
            }
            if ContinuousClock.now >= end { return }
        }
    }

    /// An event as one sees it who looks at a part only.
    private static func seen(
        _ event: ObjectTable.Event, _ namespace: String?, _ selectors: Selectors
    ) -> (String, ServiceJSON)? {
        func isSeen(_ json: ServiceJSON?) -> Bool {
            guard let json else { return false }
            return (namespace == nil || json[["metadata", "namespace"]]?.string == namespace) && selectors.matches(json)
        }
        let (was, isNow) = (isSeen(event.previous), event.kind != "DELETED" && isSeen(event.object))
        switch (was, isNow) {
        case (false, false): return nil
        case (false, true): return ("ADDED", event.object)
        case (true, true): return ("MODIFIED", event.object)
        case (true, false): return ("DELETED", event.object)
        }
    }

    private static func tell(_ kind: String, _ object: ServiceJSON, to writer: any ResponseWriter) async throws {
        let line = ServiceJSON.object(["type": .text(kind), "object": object]).description + "\n"
        let bytes = Array(line.utf8)
        try await writer.write(bytes.span.bytes)
    }
}
