/// Sends requests and gives back answers: the seam between the drivers, which know their services, and the network.
///
/// A transport keeps connections open and uses them again, checks certificates, honours time limits and proxies; it
/// knows nothing of signatures and makes no call again. All calls may be made from many tasks at once, and a task that
/// is cancelled ends its call.
package protocol HTTPTransport: Sendable {
    /// - Returns: the head of the answer, whatever its status, with a body that must be read to its end or closed.
    /// - Throws: when no whole head arrived.
    func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse
}

/// Where a request goes.
package struct HTTPOrigin: Sendable, Hashable {
    package var isSecure: Bool
    /// A name or an address, IPv6 without brackets.
    package var host: String
    /// 1 to 65535.
    package var port: Int

    package init(isSecure: Bool = true, host: String, port: Int? = nil) {
        self.isSecure = isSecure
        self.host = host
        self.port = port ?? (isSecure ? 443 : 80)
    }

    /// As in the header `Host`: the port only where it is not the scheme's own.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}

package struct HTTPRequest: Sendable {
    package var method: String
    package var origin: HTTPOrigin
    /// Begins with `/`; percent-encoded as it goes over the wire, as services sign it.
    package var path: String
    /// Names and values, not encoded, in the order in which they are sent.
    package var query: [(name: String, value: String)] = []
    /// In the order in which they are sent; `Content-Length` is the transport's, and so is `Host` unless it is given.
    package var headers: HTTPHeaders = HTTPHeaders()
    /// All of it: a request can be made again.
    package var body: [UInt8] = []

    package init(_ method: String, _ origin: HTTPOrigin, path: String) {
        self.method = method
        self.origin = origin
        self.path = path
    }
}

/// Header fields in their order; names compare without case.
package struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
    package private(set) var fields: [(name: String, value: String)] = []

    package init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { (name: $0.0, value: $0.1) }
    }
    package init(_ fields: [(name: String, value: String)] = []) { self.fields = fields }

    /// The first value of that name. Setting replaces all.
    package subscript(name: String) -> String? {
        get { fields.first { Self.isSame($0.name, name) }?.value }
        set {
            fields.removeAll { Self.isSame($0.name, name) }
            if let newValue { fields.append((name, newValue)) }
        }
    }

    private static func isSame(_ one: String, _ other: String) -> Bool {
        one.utf8.count == other.utf8.count && one.lowercased() == other.lowercased()
    }
}

/// The answer to a request.
package struct HTTPResponse: Sendable {
    /// 100 to 599.
    package var status: Int
    package var headers: HTTPHeaders
    package var body: any HTTPBody

    package init(status: Int, headers: HTTPHeaders, body: any HTTPBody) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// What follows the head, as it comes in. For one task at a time.
package protocol HTTPBody: Sendable {
    /// Fills the front of `buffer`; 0 means that all of it has come, as long as the head said it would be. A body that
    /// ends early throws.
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int

    /// Gives up the rest of it. One that is dropped closes itself.
    func close() async
}

/// The network failed, before a whole answer was there.
package struct TransportError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The name is unknown, the connection refused, or not made in time: the request was not seen.
        case notConnected
        /// No trust in the other side's certificate, or none in ours.
        case certificate
        /// The time limit was met.
        case timeout
        /// The connection broke, or what came was no HTTP: the request may have been carried out.
        case broken
        case cancelled
    }

    package var kind: Kind
    /// For people; no secret in it.
    package var reason: String

    package init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    package var description: String { reason }
}

extension HTTPBody {
    /// All of it.
    /// - Throws: `.broken` when it is longer than `limit` bytes, which no answer that is kept in memory may be.
    package func collect(limit: Int) async throws(TransportError) -> [UInt8] {
        var bytes: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(limit + 1, 1 << 16), alignment: 1)
        defer { buffer.deallocate() }
        while true {
            let count = try await read(into: buffer)
            if count == 0 { return bytes }
            guard bytes.count + count <= limit else {
                await close()
                throw TransportError(.broken, "the answer is longer than \(limit) bytes")
            }
            bytes.append(contentsOf: buffer[..<count])
        }
    }
}
