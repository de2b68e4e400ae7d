import BackupEngine
import Glibc
import HTTP
import ObjectStorage
import RepositoryStorage
import Synchronization

@testable import RepositoryHost

/// Hands requests to a service in the same process, and loses what it is told to lose.
final class LoopbackTransport: HTTPTransport {
    enum Loss: Sendable {
        case none
        /// The request never arrives.
        case request
        /// It is carried out, and nobody learns.
        case answer
        /// Half of the body arrives.
        case half
    }

    private let respond: @Sendable (ServerRequest) async -> ServerResponse
    private let client: ClientIdentity
    private let loss: @Sendable (_ request: HTTPRequest, _ number: Int) -> Loss
    let count = Atomic<Int>(0)

    init(
        _ service: StorageService, as client: String = "db",
        losing loss: @escaping @Sendable (HTTPRequest, Int) -> Loss = { _, _ in .none }
    ) {
        respond = { await service.respond(to: $0, $0.path.dropFirst(2)) }
        self.client = .certificate(commonName: client)
        self.loss = loss
    }

    init(
        _ handler: HostHandler, as client: String,
        losing loss: @escaping @Sendable (HTTPRequest, Int) -> Loss = { _, _ in .none }
    ) {
        respond = { await handler.respond(to: $0) }
        self.client = .certificate(commonName: client)
        self.loss = loss
    }

    func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        let number = count.add(1, ordering: .relaxed).newValue
        let loss = loss(request, number)
        if loss == .request { throw TransportError(.broken, "lost") }
        let parts = request.path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let incoming = ServerRequest(
            method: request.method, path: parts.map { PercentEncoding.decode(String($0)) ?? "?" },
            query: request.query, headers: request.headers, client: client,
            body: Pieces(request.body, breaksAt: loss == .half ? request.body.count / 2 : nil))
        let response = await respond(incoming)
        let body: [UInt8]
        switch response.body {
        case .bytes(let bytes): body = bytes
        case .stream(let length, let write):
            let sink = Sink()
            do {
                try await write(sink)
            } catch {
                throw TransportError(.broken, "\(error)")
            }
            body = sink.bytes.withLock { $0 }
            if let length, UInt64(body.count) != length { throw TransportError(.broken, "another length") }
        }
        if loss == .answer { throw TransportError(.broken, "lost") }
        var headers = response.headers
        headers["Content-Length"] = String(body.count)
        return HTTPResponse(
            status: response.status, headers: headers,
            body: Pieces(body, breaksAt: loss == .half && request.body.isEmpty ? body.count / 2 : nil))
    }

    private final class Sink: ResponseWriter {
        let bytes = Mutex<[UInt8]>([])
        func write(_ new: RawSpan) async throws {
            let copy = new.withUnsafeBytes { Array($0) }
            bytes.withLock { $0 += copy }
        }
    }

    /// A body that may break off.
    private final class Pieces: HTTPBody {
        private let bytes: [UInt8]
        private let end: Int?
        private let place = Atomic<Int>(0)

        init(_ bytes: [UInt8], breaksAt end: Int?) {
            self.bytes = bytes
            self.end = end
        }

        func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
            let start = place.load(ordering: .relaxed)
            let count = min(buffer.count, (end ?? bytes.count) - start, 100_000)
            if count == 0, end != nil { throw TransportError(.broken, "cut") }
            buffer.copyBytes(from: bytes[start..<start + count])
            place.store(start + count, ordering: .relaxed)
            return count
        }

        func close() async {}
    }
}

/// A host with one volume.
struct HostUnderTest {
    let directory: TemporaryDirectory
    let volume: HostVolume
    let service: StorageService
    var root: String { directory.path + "/not yet/there" }

    init(
        auth: [(key: String, value: String)] = [("db", "*")], allow: [(key: String, value: String)] = [],
        now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) throws {
        directory = try TemporaryDirectory()
        volume = HostVolume(
            key: 1, store: PosixStore(root: directory.path + "/not yet/there"), cipherPass: nil)
        service = StorageService(
            [volume], try HostAuthorization(auth: auth, allow: allow),
            HostLocks(lockPath: directory.path + "/lock", now: now), threads: WorkerThreads(count: 4),
            buffers: TransferBuffers(large: 2), pageSize: 100)
    }

    func store(
        as client: String = "db", partSize: Int = 1 << 20, patience: Duration = .seconds(60),
        losing loss: @escaping @Sendable (HTTPRequest, Int) -> LoopbackTransport.Loss = { _, _ in .none }
    ) -> HostStore {
        var options = HostOptions(origin: HTTPOrigin(host: "host.test", port: 8432), repositoryKey: 1)
        options.partSize = partSize
        let retry = RequestRetry(
            limit: patience, counters: RequestCounters(), wait: RetryPolicy(shortest: .zero), sleep: { _ in })
        return HostStore(
            options, LoopbackTransport(service, as: client, losing: loss), retry, now: { Int64(time(nil)) })
    }
}
