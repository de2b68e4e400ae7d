import HTTP

/// What happened to an object of a type that is watched.
package enum WatchEvent: Sendable {
    case added(KubernetesObject)
    case modified(KubernetesObject)
    case deleted(KubernetesObject)
    /// Nothing, up to here.
    case bookmark(resourceVersion: String)
}

extension KubernetesClient {
    /// How long the server may keep a watch; each has another time, so that they do not all end at once.
    private static let watchSeconds = 300...600
    /// Of one event: objects are 1.5 MiB at most where they are stored.
    private static let eventLimit = 16 << 20

    /// Passes on what happens after a state, until the server ends the watch, which it does every few minutes.
    /// - Parameters:
    ///   - namespace: nil for all.
    ///   - parts: of each object.
    ///   - resourceVersion: of a list, or of the last event.
    ///   - begun: is called when the server has taken the watch.
    /// - Throws: ``KubernetesError/isGone`` when the server does not know any more what has happened since; the next
    ///   watch must begin with a new list.
    package func watch(
        _ type: ResourceType, namespace: String? = nil, _ selection: Selection = .all, parts: ObjectParts = .all,
        from resourceVersion: String, begun: () -> Void = {}, _ take: (WatchEvent) -> Void
    ) async throws(KubernetesError) {
        let what = "watch \(type)" + (namespace.map { " of namespace '\($0)'" } ?? "")
        var request = request("GET", type, namespace)
        request.query =
            selection.query + [
                ("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", resourceVersion),
                ("timeoutSeconds", String(Int.random(in: Self.watchSeconds))),
            ]
        if parts == .metadata { request.headers["Accept"] = ObjectParts.accept("PartialObjectMetadata") }
        let body = try await stream(request, what)
        begun()
        var lines = EventLines(limit: Self.eventLimit)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 1)
        defer { buffer.deallocate() }
        while true {
            let count: Int
            do throws(TransportError) {
                count = try await body.read(into: buffer)
            } catch {
                throw KubernetesError(error, what)
            }
            guard count > 0 else { return }
            let whole = lines.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            for line in whole { take(try Self.event(line, type, what)) }
            if lines.isTooLong {
                throw KubernetesError(status: nil, message: "unable to \(what): an event is too long")
            }
        }
    }

    private static func event(
        _ line: [UInt8], _ type: ResourceType, _ what: String
    ) throws(KubernetesError) -> WatchEvent {
        guard let json = ServiceJSON(cutting: line, deepest: deepest), let kind = json["type"]?.string,
            let object = json["object"].flatMap({ KubernetesObject($0) })?.named(as: type)
        else { throw KubernetesError(status: nil, message: "unable to \(what): what came is no event") }
        switch kind {
        case "ADDED": return .added(object)
        case "MODIFIED": return .modified(object)
        case "DELETED": return .deleted(object)
        case "BOOKMARK": return .bookmark(resourceVersion: object.resourceVersion ?? "")
        case "ERROR": throw KubernetesError(status: object["code"]?.integer ?? 500, json: object.json, what)
        default: throw KubernetesError(status: nil, message: "unable to \(what): '\(kind)' is no kind of event")
        }
    }
}

/// Cuts what comes into lines.
struct EventLines {
    private var rest: [UInt8] = []
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    var isTooLong: Bool { rest.count > limit }

    /// The lines that are whole now, without their ends and without empty ones.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = 0
        for index in 0..<bytes.count where bytes[index] == UInt8(ascii: "\n") {
            rest.append(contentsOf: bytes[start..<index])
            if !rest.isEmpty { lines.append(rest) }
            rest = []
            start = index + 1
        }
        rest.append(contentsOf: bytes[start...])
        return lines
    }
}
