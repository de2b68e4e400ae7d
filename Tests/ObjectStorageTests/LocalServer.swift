import Foundation
import Glibc
import HTTP
import ObjectStorage
import Synchronization

/// A small HTTP server on this machine that answers as a test says, down to the byte. A thread for each connection.
final class LocalServer: Sendable {
    struct Request: Sendable {
        var method: String
        /// With its query.
        var target: String
        /// Names in lower case.
        var headers: [String: String]
        var body: [UInt8]
        /// From 1, of all requests to the server.
        var number: Int
        var path: String { String(target.prefix { $0 != "?" }) }
    }

    enum Reply: Sendable {
        case answer(Int, [(String, String)] = [], [UInt8] = [])
        /// Just these bytes, then the connection is closed.
        case bytes([UInt8])
        /// The connection is closed without a word.
        case close
        /// Nothing, for longer than anybody waits.
        case silence

        static func raw(_ text: String) -> Reply { .bytes(Array(text.utf8)) }
        static func text(_ status: Int, _ text: String, _ headers: [(String, String)] = []) -> Reply {
            .answer(status, headers, Array(text.utf8))
        }
        /// As S3 says it.
        static func error(_ status: Int, _ code: String, _ headers: [(String, String)] = []) -> Reply {
            text(
                status,
                "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message>message of \(code)</Message>"
                    + "<RequestId>REQ1</RequestId></Error>", headers)
        }
    }

    let port: Int
    private let listener: Int32
    private let handler: @Sendable (Request) -> Reply
    private let requests = Mutex<[Request]>([])
    private let connections = Atomic<Int>(0)

    var origin: HTTPOrigin { HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port) }
    var seen: [Request] { requests.withLock { $0 } }
    var connectionCount: Int { connections.load(ordering: .relaxed) }

    init(_ handler: @escaping @Sendable (Request) -> Reply) throws {
        self.handler = handler
        signal(SIGPIPE, SIG_IGN)
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, size) == 0 && listen(socket, 64) == 0
                    && getsockname(socket, address, &size) == 0
            }
        }
        guard status else { throw POSIXError(.EADDRINUSE) }
        listener = socket
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(socket, nil, nil)
                if connection < 0 { return }
                guard let self else {
                    Glibc.close(connection)
                    return
                }
                connections.add(1, ordering: .relaxed)
                Thread.detachNewThread { self.serve(connection) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        Glibc.close(listener)
    }

    private func serve(_ connection: Int32) {
        defer { Glibc.close(connection) }
        var buffer: [UInt8] = []
        while let request = receive(connection, &buffer) {
            switch handler(request) {
            case .answer(let status, let headers, let body):
                var head = "HTTP/1.1 \(status) X\r\n"
                for (name, value) in headers { head += "\(name): \(value)\r\n" }
                if !headers.contains(where: { $0.0.lowercased() == "content-length" }) {
                    head += "Content-Length: \(body.count)\r\n"
                }
                send(connection, Array((head + "\r\n").utf8) + (request.method == "HEAD" ? [] : body))
            case .bytes(let bytes):
                send(connection, bytes)
                return
            case .close: return
            case .silence:
                sleep(30)
                return
            }
        }
    }

    private func receive(_ connection: Int32, _ buffer: inout [UInt8]) -> Request? {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let range = buffer.firstRange(of: end) {
                let lines = String(decoding: buffer[..<range.lowerBound], as: UTF8.self).components(
                    separatedBy: "\r\n")
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    headers[parts[0].lowercased()] =
                        parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
                }
                let length = Int(headers["content-length"] ?? "0") ?? 0
                buffer.removeSubrange(..<range.upperBound)
                while buffer.count < length { if !more(connection, &buffer) { return nil } }
                let words = lines[0].split(separator: " ")
                var request = Request(
                    method: String(words[0]), target: String(words[1]), headers: headers,
                    body: Array(buffer[..<length]),
                    number: 0)
                buffer.removeSubrange(..<length)
                requests.withLock {
                    request.number = $0.count + 1
                    $0.append(request)
                }
                return request
            }
            if !more(connection, &buffer) { return nil }
        }
    }

    private func more(_ connection: Int32, _ buffer: inout [UInt8]) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(connection, &chunk, chunk.count, 0)
        if count > 0 { buffer += chunk[..<count] }
        return count > 0
    }

    private func send(_ connection: Int32, _ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, 0) }
            if count <= 0 { return }
            done += count
        }
    }
}
