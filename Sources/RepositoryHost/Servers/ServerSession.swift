package import BackupEngine
package import BackupModel
import Glibc
import HTTP
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import Synchronization

/// Finds the server of a stanza that runs beside the agent.
package protocol ServerConnector: Sendable {
    func connect(_ stanza: String) async throws(BackupError) -> any ClusterServer
}

/// A client's session with a server: one operation after the other, each asked for as often as it takes to hear how it
/// ended. PostgreSQL ends the backup that it began when it is closed.
final class ServerSession: Sendable {
    let stanza: String
    /// The name in the certificate.
    let client: String

    /// Of one operation.
    enum Progress: Sendable {
        case running
        case done(ServiceJSON)
        case failed(BackupError)
    }

    private struct State {
        var number = 0
        var operation = ServerOperation.open
        var progress = Progress.running
        var task: Task<Void, Never>?
        var lastUsed = ContinuousClock.now
        var isClosed = false
    }
    private let state = Mutex(State())
    private let held: HeldServer
    /// The server's calls block it, for minutes where PostgreSQL waits for a checkpoint.
    private let thread = WorkerThreads(count: 1)

    private static let glance = Duration.milliseconds(10)

    init(stanza: String, client: String, spoolPath: String, connector: any ServerConnector) {
        self.stanza = stanza
        self.client = client
        held = HeldServer(stanza: stanza, spoolPath: spoolPath, connector: connector)
        state.withLock { $0.task = run(.open) }
    }

    var lastUsed: ContinuousClock.Instant { state.withLock { $0.lastUsed } }
    func touch() { state.withLock { $0.lastUsed = .now } }

    /// Begins operation `number`, which must be the next, or looks at it again when it is the last.
    /// - Returns: how it ended, or that it still runs after `wait`.
    func perform(
        _ number: Int, _ operation: ServerOperation, wait: Duration
    ) async throws(BackupError) -> Progress {
        try state.withLock { state throws(BackupError) in
            state.lastUsed = .now
            if number == state.number, operation == state.operation { return }
            guard number == state.number + 1, !state.isClosed, !state.progress.isRunning else {
                throw BackupError(.parameterInvalid, "operation \(number) is not the next one of this session")
            }
            state.number = number
            state.operation = operation
            state.progress = .running
            state.task = run(operation)
        }
        let end = ContinuousClock.now + wait
        while true {
            let progress = state.withLock { $0.progress }
            guard progress.isRunning, ContinuousClock.now < end, !Task.isCancelled else { return progress }
            try? await Task.sleep(for: Self.glance)
        }
    }

    /// nil before one was made.
    func listing() async -> ServerListing? { await held.listing }

    /// Ends what runs, and then the session with PostgreSQL.
    func close() {
        let (task, isFirst) = state.withLock { state in
            defer { state.isClosed = true }
            return (state.task, !state.isClosed)
        }
        guard isFirst else { return }
        task?.cancel()
        Task(executorPreference: thread) { [held, thread] in
            await held.close()
            withExtendedLifetime(thread) {}
        }
    }

    private func run(_ operation: ServerOperation) -> Task<Void, Never> {
        Task(executorPreference: thread) { [held, thread, weak self] in
            let progress: Progress
            do throws(BackupError) {
                progress = .done(try await held.perform(operation))
            } catch {
                progress = .failed(error)
            }
            self?.state.withLock { $0.progress = progress }
            withExtendedLifetime(thread) {}
        }
    }
}

extension ServerSession.Progress {
    var isRunning: Bool { if case .running = self { true } else { false } }
}

/// The server itself; its calls block.
private actor HeldServer {
    private let stanza: String
    private let spoolPath: String
    private let connector: any ServerConnector
    private var server: (any ClusterServer)?
    private(set) var listing: ServerListing?

    init(stanza: String, spoolPath: String, connector: any ServerConnector) {
        self.stanza = stanza
        self.spoolPath = spoolPath
        self.connector = connector
    }

    func close() async {
        await server?.close()
        server = nil
        listing = nil
    }

    func perform(_ operation: ServerOperation) async throws(BackupError) -> ServiceJSON {
        if operation == .open {
            let server = try await connector.connect(stanza)
            self.server = server
            return .object(["facts": server.facts.json, "control": .text(try control(server))])
        }
        guard let server else { throw BackupError(.databaseConnect, "the session has no server any more") }
        switch operation {
        case .open: return .object([:])
        case .inRecovery: return .object(["in-recovery": .bool(try await server.isInRecovery())])
        case .currentWAL: return .object(["segment": .text(try await server.currentWALSegment().description)])
        case .switchWAL: return .object(["segment": .text(try await server.switchWAL().description)])
        case .startBackup(let label, let fast): return try await server.startBackup(label: label, fast: fast).json
        case .stopBackup: return try await server.stopBackup().json
        case .databases: return .object(["databases": .array(try await server.databases().map(\.json))])
        case .tablespaces: return .object(["tablespaces": .array(try await server.tablespaces().map(\.json))])
        case .control: return .object(["control": .text(try control(server))])
        case .time: return .object(["time": .number(String(Self.microseconds()))])
        case .list(let excludes):
            // Those of now: one that is new is in the catalogue before it is in the directory.
            let names = try await server.tablespaces().map { ($0.oid, $0.name) }
            let scan = DataDirectoryScan(
                dataDirectory: server.facts.dataDirectory, version: server.control.version,
                catalogVersion: server.control.catalogVersion, isOnline: true,
                tablespaceNames: Dictionary(names) { first, _ in first }, excludes: excludes)
            let start = Int64(FileClock.now())
            let listing = try ServerListing.make(scan, in: spoolPath)
            self.listing = listing
            return .object([
                "size": .number(String(listing.size)), "start": .number(String(start)),
                "end": .number(String(Self.microseconds() / 1_000_000)),
            ])
        }
    }

    /// Since 1970.
    private static func microseconds() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
    }

    /// Its first bytes, all that is parsed, in hexadecimal digits.
    private func control(_ server: any ClusterServer) throws(BackupError) -> String {
        ServerWire.hex(
            try ClusterDirectory.controlBytes(server.facts.dataDirectory).prefix(PostgresControl.readSize))
    }
}
