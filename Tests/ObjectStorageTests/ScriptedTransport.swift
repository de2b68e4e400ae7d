import HTTP
import ObjectStorage
import Synchronization

/// Answers requests as a test says, without a network.
final class ScriptedTransport: HTTPTransport {
    enum Reply: Sendable {
        case answer(Int, HTTPHeaders = [:], [UInt8] = [])
        /// The body ends after so many of the bytes that the head announces.
        case cut(Int, HTTPHeaders, [UInt8], after: Int)
        case failure(TransportError.Kind)

        static func text(_ status: Int, _ text: String, _ headers: HTTPHeaders = [:]) -> Reply {
            .answer(status, headers, Array(text.utf8))
        }
    }

    private let requests = Mutex<[HTTPRequest]>([])
    private let handler: @Sendable (_ request: HTTPRequest, _ number: Int) -> Reply

    /// - Parameter handler: is told the number of the request, from 1.
    init(_ handler: @escaping @Sendable (HTTPRequest, Int) -> Reply) { self.handler = handler }

    var seen: [HTTPRequest] { requests.withLock { $0 } }

    func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        let number = requests.withLock {
            $0.append(request)
            return $0.count
        }
        switch handler(request, number) {
        case .failure(let kind): throw TransportError(kind, "the network is \(kind)")
        case .answer(let status, let headers, let body):
            return response(status, headers, body, announced: body.count)
        case .cut(let status, let headers, let body, let count):
            return response(status, headers, Array(body[..<count]), announced: body.count)
        }
    }

    private func response(_ status: Int, _ headers: HTTPHeaders, _ body: [UInt8], announced: Int) -> HTTPResponse {
        var headers = headers
        if headers["Content-Length"] == nil { headers["Content-Length"] = "\(announced)" }
        return HTTPResponse(status: status, headers: headers, body: ScriptedBody(body, isCut: announced > body.count))
    }
}

private final class ScriptedBody: HTTPBody {
    private let rest: Mutex<ArraySlice<UInt8>>
    private let isCut: Bool

    init(_ bytes: [UInt8], isCut: Bool) {
        rest = Mutex(bytes[...])
        self.isCut = isCut
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        let chunk = rest.withLock { rest in
            let chunk = rest.prefix(buffer.count)
            rest = rest.dropFirst(chunk.count)
            return chunk
        }
        if chunk.isEmpty, isCut { throw TransportError(.broken, "the connection broke") }
        buffer.copyBytes(from: chunk)
        return chunk.count
    }

    func close() async {}
}

extension HTTPRequest {
    func value(_ name: String) -> String? { query.first { $0.name == name }?.value }
}
