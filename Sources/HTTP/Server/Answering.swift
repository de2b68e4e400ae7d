import NIOCore

/// The task of one request: asks the handler, sends what it answers.
struct Answering: Sendable {
    let service: ServerService
    let connection: ServerConnection
    let head: RequestHead
    let body: IncomingBody

    /// A body of so many bytes goes out in one piece with its head.
    private static let small = 64 << 10

    func run(_ request: ServerRequest) async {
        let response = await service.handler.respond(to: request)
        do {
            let keepsAlive = try await send(response)
            tell { $0.answered(keepsAlive: keepsAlive) }
        } catch {
            // A peer that has gone is its own matter.
            if !(error is TransportError) {
                service.log.note(
                    "connection cut", Self.unmade, detail: "\(Self.unmade): \(error)", peer: connection.peer)
            }
            tell { $0.cut() }
        }
    }

    private static let unmade = "an answer could not be made"

    private func tell(_ body: @escaping @Sendable (ServerConnection) -> Void) {
        let connection = connection
        connection.channel.eventLoop.execute { body(connection) }
    }

    /// - Returns: whether the connection can be used again.
    private func send(_ response: ServerResponse) async throws -> Bool {
        let hasNoBody = response.status == 204 || response.status == 304
        var response = response
        let framing: ResponseHead.Framing
        switch response.body {
        case .bytes(let bytes): framing = hasNoBody ? .none : .length(UInt64(bytes.count))
        case .stream(let length, _): framing = hasNoBody ? .none : length.map { .length($0) } ?? .chunked
        }
        if framing == .chunked, head.isOld {
            response = ServerResponse(505, body: .bytes(Array("HTTP/1.1 is needed here\n".utf8)))
            return try await send(response)
        }
        let keepsAlive = head.keepsAlive && body.canBeDropped() && !service.registry.isStopping
        let lines = ResponseHead.bytes(response.status, response.headers, framing, closes: !keepsAlive)
        let stream = ResponseStream(framing) { [connection] bytes, stream in
            connection.channel.eventLoop.execute { connection.send(bytes, of: stream) }
        }
        switch response.body {
        case .bytes(let bytes) where hasNoBody || head.method == "HEAD" || bytes.isEmpty:
            try await stream.begin(lines)
        case .bytes(let bytes) where bytes.count <= Self.small: try await stream.write(bytes.span.bytes, head: lines)
        case .bytes(let bytes):
            try await stream.begin(lines)
            try await stream.write(bytes.span.bytes, head: nil)
        case .stream(_, let write):
            // At once: whoever follows something wants to know that it has begun.
            try await stream.begin(lines)
            guard !hasNoBody, head.method != "HEAD" else { break }
            try await write(stream)
            try await stream.finish()
        }
        return keepsAlive
    }
}
