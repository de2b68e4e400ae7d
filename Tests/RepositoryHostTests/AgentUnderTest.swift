import BackupEngine
import BackupModel
import Checksums
import Foundation
import HTTP
import PostgresAccess
import PostgresFormats
import Synchronization

@testable import RepositoryHost

/// A server that no PostgreSQL runs: what it is asked is counted.
final class PretendedServer: ClusterServer, Sendable {
    let facts: ServerFacts
    let control: PostgresControl
    let calls: Mutex<[String]>
    /// Whether the start of a backup waits, for a checkpoint that does not come.
    private let startWaits: Atomic<Bool>

    init(_ directory: String, _ control: PostgresControl, isInRecovery: Bool = false, startWaits: Bool = false) {
        facts = ServerFacts(
            versionNumber: 150004, version: control.version, dataDirectory: directory, archiveMode: "on",
            archiveCommand: "permafrost \"quoted\" %p", checkpointTimeout: .seconds(300), isInRecovery: isInRecovery,
            walSegmentSize: 16 << 20)
        self.control = control
        self.startWaits = Atomic(startWaits)
        calls = Mutex([])
    }

    var place: String { facts.dataDirectory }
    var files: (any RemoteFiles)? { nil }
    var clockOffset: Duration { .zero }

    private func note(_ call: String) { calls.withLock { $0.append(call) } }
    func count(_ call: String) -> Int { calls.withLock { $0.count { $0 == call } } }

    func checkpoint() { startWaits.store(false, ordering: .relaxed) }

    private static func segment(_ number: UInt64) -> WALSegment {
        WALSegment(timeline: 1, containing: LSN(rawValue: number << 24), segmentSize: 16 << 20)
    }

    static let start = BackupStart(lsn: LSN(rawValue: 0x3000028), segment: segment(3))
    static let stop = BackupStop(
        lsn: LSN(rawValue: 0x4000100), segment: segment(4),
        backupLabel: "START WAL LOCATION: 0/3000028\nLABEL: \"ü\"\n", tablespaceMap: nil)

    func isInRecovery() throws(BackupError) -> Bool {
        note("recovery")
        return facts.isInRecovery
    }
    func currentWALSegment() throws(BackupError) -> WALSegment { Self.start.segment }
    func switchWAL() throws(BackupError) -> WALSegment {
        note("switch")
        return Self.start.segment
    }
    func startBackup(label: String, fast: Bool) throws(BackupError) -> BackupStart {
        note("start \(label) \(fast)")
        while startWaits.load(ordering: .relaxed) {
            if Task.isCancelled { throw BackupError(.terminated, "terminated") }
            usleep(10_000)
        }
        return Self.start
    }
    func stopBackup() throws(BackupError) -> BackupStop {
        note("stop")
        return Self.stop
    }
    func databases() throws(BackupError) -> [DatabaseFact] { [DatabaseFact(name: "a \"b\"", oid: 5, lastSystemOID: 4)] }
    func tablespaces() throws(BackupError) -> [TablespaceFact] { [TablespaceFact(oid: 16400, name: "space")] }
    func readControl() throws(BackupError) -> PostgresControl { control }
    func scan(tablespaces: [UInt32: String], excludes: [String]) throws(BackupError) -> ClusterListing {
        throw BackupError(.unknown, "the service scans by itself")
    }
    func close() { note("close") }
}

/// An agent beside a pretended server on a data directory.
struct AgentUnderTest {
    let directory: TemporaryDirectory
    let server: PretendedServer
    let handler: HostHandler
    let sessions: ServerSessions
    var data: String { directory.path + "/data" }

    init(
        isInRecovery: Bool = false, startWaits: Bool = false, lifetime: Duration = .seconds(300),
        auth: [(key: String, value: String)] = [("standby", "main"), ("reader", "main"), ("other", "other")]
    ) throws {
        directory = try TemporaryDirectory()
        let root = directory.path
        let files = FileManager.default
        for name in ["data/base/5", "data/global", "data/pg_tblspc", "data/conf", "space/PG_15_202209061/5", "spool"] {
            try files.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
        }
        func write(_ name: String, _ bytes: [UInt8]) throws {
            try Data(bytes).write(to: URL(filePath: "\(root)/\(name)"))
        }
        try write("data/PG_VERSION", Array("15\n".utf8))
        try write("data/base/5/1234", [UInt8](repeating: 1, count: 8192))
        try write("data/conf/a b%.conf", Array("odd name".utf8))
        var large = Data()
        for part in UInt8(1)...26 { large.append(Data(repeating: part, count: 100_000)) }
        try large.write(to: URL(filePath: "\(root)/data/large"))
        try write("data/empty", [])
        try write("data/exactly", [UInt8](repeating: 9, count: 1 << 20))
        try write("space/PG_15_202209061/5/7", [UInt8](repeating: 2, count: 100))
        try write("outside", Array("secret".utf8))
        try write("elsewhere.conf", Array("linked".utf8))
        try files.createSymbolicLink(atPath: "\(root)/data/pg_tblspc/16400", withDestinationPath: "\(root)/space")
        try files.createSymbolicLink(
            atPath: "\(root)/data/linked.conf", withDestinationPath: "\(root)/elsewhere.conf")
        let control = Self.control()
        try write("data/global/pg_control", control)
        server = PretendedServer(
            "\(root)/data", try PostgresControl(parsing: control.span.bytes), isInRecovery: isInRecovery,
            startWaits: startWaits)
        sessions = ServerSessions(spoolPath: "\(root)/spool", lifetime: lifetime, limit: 2)
        let authorization = try HostAuthorization(auth: auth, allow: [("reader", "read")])
        handler = HostHandler(HostHandler.Services(storage: nil, jobs: nil))
        handler.use(
            HostHandler.Services(
                storage: nil, jobs: nil,
                servers: ServerService(
                    sessions, authorization, threads: WorkerThreads(count: 2), connector: Connector(server: server))))
    }

    private struct Connector: ServerConnector {
        let server: PretendedServer
        func connect(_ stanza: String) async throws(BackupError) -> any ClusterServer { server }
    }

    func servers(
        as client: String = "standby",
        losing loss: @escaping @Sendable (HTTPRequest, Int) -> LoopbackTransport.Loss = { _, _ in .none }
    ) -> AgentServers {
        AgentServers(
            stanza: "main", silence: .seconds(1),
            find: { [handler] _ in
                AgentAddress(
                    LoopbackTransport(handler, as: client, losing: loss), HTTPOrigin(host: "db1.test", port: 8433))
            }, notice: { _ in })
    }

    /// One request without a client of ours.
    func ask(
        _ method: String, _ path: String, _ body: String = "", as client: String = "standby", wait: Int = 2000
    ) async throws -> (status: Int, text: String) {
        var request = HTTPRequest(method, HTTPOrigin(host: "db1.test", port: 8433), path: "/v1/servers/\(path)")
        request.query = [("wait", String(wait))]
        request.body = Array(body.utf8)
        request.headers = ["Content-Length": String(request.body.count)]
        let answer = try await LoopbackTransport(handler, as: client).send(request)
        return (answer.status, String(decoding: try await answer.body.collect(limit: 8 << 20), as: UTF8.self))
    }

    /// A pg_control of PostgreSQL 15.
    private static func control() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8192)
        func put(_ value: UInt64, _ size: Int, at offset: Int) {
            for index in 0..<size { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
        }
        put(7_000_000_000_000_000_001, 8, at: 0)
        put(1300, 4, at: 8)
        put(202_209_061, 4, at: 12)
        put(0x300_0028, 8, at: 32)
        put(1, 4, at: 48)
        put(8192, 4, at: 216)
        put(16 << 20, 4, at: 228)
        let summed = Array(bytes[..<288])
        put(UInt64(crc32c(summed.span.bytes)), 4, at: 288)
        return bytes
    }
}
