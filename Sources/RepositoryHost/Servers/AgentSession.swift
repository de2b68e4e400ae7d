import BackupEngine
import BackupModel
import Glibc
import HTTP
import PostgresAccess
import PostgresFormats
import RepositoryStorage

/// The primary of a backup that is made on a standby's host: what is asked of it goes to the agent beside it.
final class AgentSession: ClusterServer {
    let facts: ServerFacts
    let control: PostgresControl
    private let calls: AgentCalls
    private let path: [String]
    private let wait: Duration
    /// Of the last operation.
    private var number = 0
    private(set) var clockOffset = Duration.zero
    /// A standby that replays slowly, or a large repository, may leave the session without a question for long.
    private let keeper: Task<Void, Never>

    var place: String { "\(calls.agent.origin.host):\(facts.dataDirectory)" }
    var files: (any RemoteFiles)? { AgentFiles(calls: calls, path: path) }

    /// Between signs of life.
    private static let interval = Duration.seconds(30)
    private static let farewell = Duration.seconds(5)
    private static let clockAttempts = 5
    private static let promptly = Duration.milliseconds(500)

    private init(
        _ calls: AgentCalls, _ path: [String], _ wait: Duration, _ facts: ServerFacts, _ control: PostgresControl
    ) {
        self.calls = calls
        self.path = path
        self.wait = wait
        self.facts = facts
        self.control = control
        keeper = Self.keep(calls, path)
    }

    deinit { keeper.cancel() }

    private static func keep(_ calls: AgentCalls, _ path: [String]) -> Task<Void, Never> {
        var calls = calls
        calls.patience = .zero
        let request = calls.request("GET", path)
        return Task { [calls] in
            while (try? await Task.sleep(for: interval)) != nil { _ = try? await calls.answer(request) }
        }
    }

    /// - Parameter wait: how long the agent may keep an answer back.
    static func open(_ calls: AgentCalls, stanza: String, wait: Duration) async throws(BackupError) -> AgentSession {
        let id = ServerWire.hex((0..<16).map { _ in UInt8.random(in: 0...255) })
        let path = [stanza, "sessions", id]
        let json = try await result(of: calls.request("PUT", path), calls, wait)
        guard let facts = json["facts"].flatMap({ ServerFacts($0) }), let control = ServerWire.control(json) else {
            throw calls.strange("what are no facts of a server")
        }
        try control.requireSupported(in: "\(calls.agent.origin.host):\(facts.dataDirectory)")
        let session = AgentSession(calls, path, wait, facts, control)
        do throws(BackupError) {
            try await session.compareClocks()
        } catch {
            await session.close()
            throw error
        }
        return session
    }

    /// Asks the time until an answer comes at once: what was on its way for long says little.
    private func compareClocks() async throws(BackupError) {
        for _ in 0..<Self.clockAttempts {
            let start = ContinuousClock.now
            let time: Int64 = try await perform(.time) { ServerWire.number($0, "time") }
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            // Behind by the way here at most, and so never in the primary's future.
            clockOffset =
                .microseconds(time) - .seconds(Int64(now.tv_sec)) - .nanoseconds(Int64(now.tv_nsec))
            if ContinuousClock.now - start < Self.promptly { return }
        }
    }

    /// Asks until the agent knows how it ended.
    private static func result(
        of request: HTTPRequest, _ calls: AgentCalls, _ wait: Duration
    ) async throws(BackupError) -> ServiceJSON {
        var request = request
        let milliseconds = wait.components.seconds * 1000 + wait.components.attoseconds / 1_000_000_000_000_000
        request.query = [("wait", String(milliseconds))]
        while true {
            let (status, json) = try await calls.json(request)
            if status == 202 {
                // An agent that keeps nothing back must not be asked at once again.
                do { try await Task.sleep(for: .milliseconds(50)) } catch {
                    throw BackupError(.terminated, "terminated on signal")
                }
                continue
            }
            guard let result = json["result"] else { throw calls.strange("no result") }
            return result
        }
    }

    private func perform<Value>(
        _ operation: ServerOperation, _ read: (ServiceJSON) -> Value?
    ) async throws(BackupError) -> Value {
        number += 1
        var request = calls.request("PUT", path + ["operations", String(number)])
        request.headers = ["Content-Type": "application/json"]
        request.body = Array(operation.json.description.utf8)
        guard let value = read(try await Self.result(of: request, calls, wait)) else {
            throw calls.strange("another result than was asked for")
        }
        return value
    }

    private func all<Value>(
        _ json: ServiceJSON?, _ read: (ServiceJSON) -> Value?
    ) -> [Value]? {
        guard case .array(let elements)? = json else { return nil }
        let values = elements.compactMap(read)
        return values.count == elements.count ? values : nil
    }

    func isInRecovery() async throws(BackupError) -> Bool {
        try await perform(.inRecovery) { ServerWire.flag($0, "in-recovery") }
    }

    func currentWALSegment() async throws(BackupError) -> WALSegment {
        try await perform(.currentWAL) { $0["segment"]?.string.flatMap { WALSegment($0) } }
    }

    func switchWAL() async throws(BackupError) -> WALSegment {
        try await perform(.switchWAL) { $0["segment"]?.string.flatMap { WALSegment($0) } }
    }

    func startBackup(label: String, fast: Bool) async throws(BackupError) -> BackupStart {
        try await perform(.startBackup(label: label, fast: fast)) { BackupStart($0) }
    }

    func stopBackup() async throws(BackupError) -> BackupStop {
        try await perform(.stopBackup) { BackupStop($0) }
    }

    func databases() async throws(BackupError) -> [DatabaseFact] {
        try await perform(.databases) { json in all(json["databases"]) { DatabaseFact($0) } }
    }

    func tablespaces() async throws(BackupError) -> [TablespaceFact] {
        try await perform(.tablespaces) { json in all(json["tablespaces"]) { TablespaceFact($0) } }
    }

    func readControl() async throws(BackupError) -> PostgresControl {
        try await perform(.control) { ServerWire.control($0) }
    }

    /// The agent knows the tablespaces itself.
    func scan(tablespaces: [UInt32: String], excludes: [String]) async throws(BackupError) -> ClusterListing {
        let (size, start, end) = try await perform(.list(excludes: excludes)) { json -> (UInt64, Int64, Int64)? in
            guard let size: UInt64 = ServerWire.number(json, "size"),
                let start: Int64 = ServerWire.number(json, "start"), let end: Int64 = ServerWire.number(json, "end"),
                (0...Int64.max / 2).contains(end), start <= end
            else { return nil }
            return (size, start, end)
        }
        let reader = PieceReader(calls, path + ["listing"], name: "the listing")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: ServerWire.pieceSize, alignment: 16)
        defer { buffer.deallocate() }
        var result = DataDirectoryScan.Result()
        var rest: [UInt8] = []
        var received: UInt64 = 0
        while true {
            let count = try await reader.fill(buffer)
            if count == 0 { break }
            received += UInt64(count)
            var bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])[...]
            while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
                rest.append(contentsOf: bytes[..<end])
                guard let entry = ListingLine.entry(rest) else { throw calls.strange("a listing with a bad line") }
                result.take(entry)
                rest.removeAll(keepingCapacity: true)
                bytes = bytes[(end + 1)...]
            }
            rest.append(contentsOf: bytes)
        }
        guard received == size, rest.isEmpty else { throw calls.strange("a part of a listing") }
        result.sort()
        return ClusterListing(found: result, start: start, end: end)
    }

    /// In a task of its own: this one may have been cancelled.
    func close() async {
        keeper.cancel()
        var calls = calls
        calls.patience = Self.farewell
        let request = calls.request("DELETE", path)
        await Task { [calls] in _ = try? await calls.answer(request) }.value
    }
}

private struct AgentFiles: RemoteFiles {
    let calls: AgentCalls
    let path: [String]

    func open(_ name: String) async throws(BackupError) -> (any ObjectReader)? {
        let reader = PieceReader(calls, path + ["files"] + name.split(separator: "/").map(String.init), name: name)
        return try await reader.begin() ? reader : nil
    }
}

/// Reads a file by pieces, each asked for when it is needed.
private final class PieceReader: ObjectReader {
    private let calls: AgentCalls
    private let path: [String]
    private let name: String
    private var piece: ArraySlice<UInt8> = []
    /// Of the next piece.
    private var offset: UInt64 = 0
    private var isAtEnd = false
    private var version: String?

    init(_ calls: AgentCalls, _ path: [String], name: String) {
        self.calls = calls
        self.path = path
        self.name = name
    }

    /// False when there is no such file.
    func begin() async throws(BackupError) -> Bool { try await next() }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int { try await fill(buffer) }

    func fill(_ buffer: UnsafeMutableRawBufferPointer) async throws(BackupError) -> Int {
        if piece.isEmpty, !isAtEnd, try await !next() { throw changed() }
        let count = min(buffer.count, piece.count)
        piece.prefix(count).withUnsafeBytes { buffer.copyMemory(from: $0) }
        piece = piece.dropFirst(count)
        return count
    }

    func close() async { piece = [] }

    private func next() async throws(BackupError) -> Bool {
        var request = calls.request("GET", path)
        request.query = [("from", String(offset))]
        let answer = try await calls.answer(request)
        if answer.status == 204 { return false }
        let found = answer.headers[ServerWire.versionHeader]
        if offset > 0, found != version { throw changed() }
        version = found
        offset += UInt64(answer.body.count)
        isAtEnd = answer.body.count < ServerWire.pieceSize
        piece = answer.body[...]
        return true
    }

    private func changed() -> BackupError {
        BackupError(
            .fileRead, "\(calls.agent.origin.host): '\(name)' was replaced while it was read",
            hint: "run the backup again")
    }
}
