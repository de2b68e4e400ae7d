/// A request that came in. For one task, like its body.
package struct ServerRequest: Sendable {
    package var method: String
    /// The components of the path, each percent-decoded: they may hold any UTF-8 text, slashes and `..` too.
    package var path: [String]
    /// Decoded, in their order.
    package var query: [(name: String, value: String)]
    package var headers: HTTPHeaders
    package var client: ClientIdentity
    /// Comes in only as fast as it is read. What is left of it when the answer is made is thrown away or, when it is
    /// long, ends the connection.
    package var body: any HTTPBody

    package init(
        method: String, path: [String], query: [(name: String, value: String)] = [], headers: HTTPHeaders = [:],
        client: ClientIdentity, body: any HTTPBody
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.client = client
        self.body = body
    }

    /// The first value of that name.
    package func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }
}

/// Who is at the other end.
package enum ClientIdentity: Sendable, Equatable {
    /// The common name of a certificate that our authority signed, and that is valid now.
    case certificate(commonName: String)
    /// A process of this host, through a socket in the file system.
    case local(userID: UInt32)
    /// Anybody: a server that asks for no certificate.
    case anonymous
}

package struct ServerResponse: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Is called once and writes the body. Without a length it is sent in chunks. When it throws, or writes another
        /// number of bytes than was announced, the connection is cut, so that nobody takes what came for all of it.
        case stream(length: UInt64?, @Sendable (any ResponseWriter) async throws -> Void)
    }

    /// 200 to 599.
    package var status: Int
    package var headers: HTTPHeaders
    package var body: Body

    package init(_ status: Int, headers: HTTPHeaders = [:], body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

package protocol ResponseWriter: Sendable {
    /// Takes all of `bytes`, which are not referred to after it returns; waits while the other side reads slowly.
    /// - Throws: ``TransportError`` when the connection is gone.
    func write(_ bytes: RawSpan) async throws
}

/// Answers requests, many at once, each in a task that is cancelled when its connection breaks.
package protocol ServerHandler: Sendable {
    func respond(to request: ServerRequest) async -> ServerResponse
}
