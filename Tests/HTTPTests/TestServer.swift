import BackupModel
import Foundation
import Synchronization

@testable import HTTP

/// A server on this machine with a handler that does what the path says.
final class TestServer: Sendable {
    let server: HTTPServer
    let port: Int
    private let lines: Lines
    let handler: TestHandler

    /// What it logged.
    var log: [String] { lines.all }

    static func plain(_ limits: ServerLimits = ServerLimits()) async throws -> TestServer {
        try await TestServer(.plain(address: "127.0.0.1", port: 0), limits)
    }

    static func tls(
        _ pair: Certificates.Pair? = nil, _ limits: ServerLimits = ServerLimits()
    ) async throws -> TestServer {
        let certificates = try Certificates.shared.get()
        let pair = pair ?? certificates.server
        return try await TestServer(
            .tls(
                address: "localhost", port: 0,
                ServerCertificates(
                    certificateFile: pair.certificate, keyFile: pair.key, caFile: certificates.authority)), limits)
    }

    init(
        _ listener: ServerOptions.Listener, _ limits: ServerLimits = ServerLimits(),
        executor: (any TaskExecutor)? = nil
    ) async throws {
        let lines = Lines()
        self.lines = lines
        var options = ServerOptions(listener)
        options.limits = limits
        options.executor = executor
        options.log = { lines.add($0) }
        handler = TestHandler()
        server = HTTPServer(options, handler: handler)
        port = try await server.start()
    }

    func origin(secure: Bool = true, host: String = "localhost") -> HTTPOrigin {
        HTTPOrigin(isSecure: secure, host: host, port: port)
    }

    func stop() async { await server.stop(graceful: .milliseconds(500)) }

    /// The first line that holds `text`, waited for.
    func logged(_ text: String) async throws -> String? {
        for _ in 0..<300 {
            if let line = log.first(where: { $0.contains(text) }) { return line }
            try await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }
}

/// - `/hello`, any method; `/echo` answers with what came; `/count` with the number and sum of its bytes
/// - `/bytes?n=1000` streams so many, with `chunked=1` in chunks, with `short`, `long`, `fail` wrongly
/// - `/who` answers with the client; `/target` with what was understood of the target
/// - `/ignore` reads nothing; `/wait` reads nothing until it is cancelled or `release` is called
struct TestHandler: ServerHandler {
    final class Events: Sendable {
        private let events = Mutex<[String]>([])
        func add(_ event: String) { events.withLock { $0.append(event) } }
        var all: [String] { events.withLock { $0 } }

        func happened(_ text: String, within: Duration = .seconds(30)) async throws -> Bool {
            let end = ContinuousClock.now + within
            while ContinuousClock.now < end {
                if all.contains(where: { $0.contains(text) }) { return true }
                try await Task.sleep(for: .milliseconds(5))
            }
            return false
        }
    }

    let events = Events()

    func respond(to request: ServerRequest) async -> ServerResponse {
        events.add("\(request.method) /\(request.path.joined(separator: "/"))")
        switch request.path.first {
        case "hello": return text("hello \(request.method)\n")
        case "echo": return await echo(request)
        case "count": return await count(request)
        case "bytes": return bytes(request)
        case "who": return text("\(request.client)")
        case "target": return text("\(request.path) \(request.query.map { "\($0.name)=\($0.value)" })")
        case "ignore": return text("ignored\n")
        case "thread": return text("\(OneThread.isCurrent)")
        case "nothing": return ServerResponse(204)
        case "wait":
            while !Task.isCancelled, !events.all.contains("release") { try? await Task.sleep(for: .milliseconds(5)) }
            events.add(Task.isCancelled ? "cancelled" : "released")
            return text("waited\n")
        default: return ServerResponse(404)
        }
    }

    private func text(_ text: String) -> ServerResponse {
        ServerResponse(200, headers: ["Content-Type": "text/plain"], body: .bytes(Array(text.utf8)))
    }

    private func echo(_ request: ServerRequest) async -> ServerResponse {
        do throws(TransportError) {
            return ServerResponse(200, body: .bytes(try await request.body.collect(limit: 8 << 20)))
        } catch {
            events.add("body failed: \(error.kind): \(error)")
            return ServerResponse(error.kind == .timeout ? 408 : 400)
        }
    }

    private func count(_ request: ServerRequest) async -> ServerResponse {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var total = 0
        do throws(TransportError) {
            while true {
                let count = try await request.body.read(into: buffer)
                if count == 0 { break }
                total += count
            }
        } catch {
            events.add("body failed: \(error.kind): \(error)")
            return ServerResponse(400)
        }
        return text("\(total)")
    }

    private func bytes(_ request: ServerRequest) -> ServerResponse {
        let count = request.parameter("n").flatMap { Int($0) } ?? 0
        let isChunked = request.parameter("chunked") != nil
        let announced =
            request.parameter("short") != nil ? count + 1 : request.parameter("long") != nil ? max(0, count - 1) : count
        let events = events
        let fails = request.parameter("fail") != nil
        return ServerResponse(
            200,
            body: .stream(length: isChunked ? nil : UInt64(announced)) { writer in
                let piece = [UInt8](repeating: 0x61, count: 1 << 20)
                var left = count
                do {
                    while left > 0 {
                        let part = min(left, piece.count)
                        try await writer.write(piece.span.extracting(0..<part).bytes)
                        left -= part
                    }
                } catch {
                    events.add("write failed: \(error)")
                    events.add("wrote \(count - left)")
                    throw error
                }
                if fails { throw Failure("the disk is gone") }
            })
    }
}

/// Where a handler may block.
final class OneThread: TaskExecutor {
    private static let key = DispatchSpecificKey<Bool>()
    private let queue = DispatchQueue(label: "handlers")

    static var isCurrent: Bool { DispatchQueue.getSpecific(key: key) == true }

    init() { queue.setSpecific(key: Self.key, value: true) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

extension ServerLimits {
    static var impatient: ServerLimits {
        var limits = ServerLimits()
        limits.handshake = .milliseconds(400)
        limits.idle = .milliseconds(600)
        limits.silence = .milliseconds(400)
        limits.farewell = .milliseconds(200)
        return limits
    }
}

/// Of this process, in MiB.
func residentMemory() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return pages * 4 / 1024
}
