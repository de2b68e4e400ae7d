import HTTP
import Synchronization

/// Whose log is asked for.
package struct LogRequest: Sendable {
    package var namespace: String
    package var pod: String
    /// nil for a pod that has one.
    package var container: String?
    /// That of the run before the present one.
    package var isPrevious: Bool
}

/// What a container has said until now.
package struct ContainerLog: Sendable {
    package var bytes: [UInt8]
    /// Nothing will come any more.
    package var isOver: Bool

    package init(_ bytes: [UInt8], isOver: Bool) {
        self.bytes = bytes
        self.isOver = isOver
    }
}

extension APITestServer {
    func log(_ place: RequestPlace, _ request: ServerRequest) async throws(APIFailure) -> ServerResponse {
        let wanted = LogRequest(
            namespace: place.key.namespace, pod: place.key.name, container: request.parameter("container"),
            isPrevious: request.isTrue("previous"))
        let (said, hook) = try shared.withLock { shared throws(APIFailure) in
            _ = try shared.table.get(place.type, place.key)
            return (shared.logs["\(wanted.namespace)/\(wanted.pod)"] ?? "", shared.behaviour.logs)
        }
        var log = ContainerLog(Array(said.utf8), isOver: true)
        if let hook {
            guard let found = await hook(wanted) else {
                let name = wanted.container.map { "container \"\($0)\" in pod" } ?? "the container of pod"
                throw .bad(
                    wanted.isPrevious
                        ? "previous terminated \(name) \"\(wanted.pod)\" not found"
                        : "\(name) \"\(wanted.pod)\" is waiting to start")
            }
            log = found
        }
        let limit = request.parameter("limitBytes").flatMap { Int($0) } ?? .max
        let begun = log.bytes.count
        let head = Array(
            Self.last(request.parameter("tailLines").flatMap { Int($0) }, of: log.bytes).prefix(max(limit, 0)))
        let headers: HTTPHeaders = ["Content-Type": "text/plain"]
        guard request.isTrue("follow"), let hook, !log.isOver else {
            return ServerResponse(200, headers: headers, body: .bytes(head))
        }
        return ServerResponse(
            200, headers: headers,
            body: .stream(length: nil) { writer in
                if !head.isEmpty { try await writer.write(head.span.bytes) }
                var told = begun
                while let log = await hook(wanted) {
                    if log.bytes.count > told {
                        let news = Array(log.bytes[told...])
                        try await writer.write(news.span.bytes)
                        told = log.bytes.count
                    }
                    if log.isOver { return }
                    try await Task.sleep(for: .milliseconds(100))
                }
            })
    }

    private static func last(_ count: Int?, of bytes: [UInt8]) -> ArraySlice<UInt8> {
        guard let count else { return bytes[...] }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let whole = bytes.last == UInt8(ascii: "\n") ? lines.dropLast() : lines[...]
        guard count > 0, let first = whole.suffix(count).first else { return [] }
        return bytes[first.startIndex...]
    }
}

extension ServerRequest {
    /// As Go's ParseBool has it.
    func isTrue(_ name: String) -> Bool { ["1", "t", "T", "true", "TRUE", "True"].contains(parameter(name)) }
}
