import BackupModel
import Foundation
import RepositoryStorage
import Synchronization

/// A store in memory behind a network: each call takes its time, however many there are, and an object is deleted by a
/// call of its own. It knows how many commits, reads and deletions were under way at once, and how many calls had to
/// wait for each other.
final class DistantStore: RepositoryStore {
    enum Kind: Hashable { case commit, read, delete }

    private struct State {
        var running: [Kind: Int] = [:]
        var most: [Kind: Int] = [:]
        var calls = 0
        var times: [(begin: ContinuousClock.Instant, end: ContinuousClock.Instant)] = []
    }
    private let state = Mutex(State())
    let memory: MemoryStore
    let latency: Duration
    private let fail: @Sendable (Kind, String) -> Bool

    var capabilities: StoreCapabilities { memory.capabilities }
    var location: String { memory.location }
    let concurrency: StoreConcurrency

    init(
        _ memory: MemoryStore = MemoryStore(), latency: Duration, concurrency: StoreConcurrency = .remote,
        fail: @escaping @Sendable (Kind, String) -> Bool = { _, _ in false }
    ) {
        self.memory = memory
        self.latency = latency
        self.concurrency = concurrency
        self.fail = fail
    }

    func most(_ kind: Kind) -> Int { state.withLock { $0.most[kind] ?? 0 } }
    /// Round trips of which each began after the one before had ended, so far.
    var depth: Int {
        var depth = 0
        var last: ContinuousClock.Instant?
        for time in state.withLock({ $0.times }).sorted(by: { $0.end < $1.end }) {
            if let last, time.begin < last { continue }
            depth += 1
            last = time.end
        }
        return depth
    }
    /// Calls so far, those that are under way among them.
    var calls: Int { state.withLock { $0.calls } }
    var running: Int { state.withLock { $0.running.values.reduce(0, +) } }

    func call<Value>(_ kind: Kind?, _ path: String, _ body: () async throws -> Value) async throws -> Value {
        let begin = ContinuousClock.now
        state.withLock { state in
            state.calls += 1
            guard let kind else { return }
            state.running[kind, default: 0] += 1
            state.most[kind] = max(state.most[kind] ?? 0, state.running[kind] ?? 0)
        }
        defer {
            state.withLock { state in
                if let kind { state.running[kind, default: 0] -= 1 }
                state.times.append((begin, .now))
            }
        }
        do {
            try await Task.sleep(for: latency)
        } catch {
            throw StorageError(BackupError(.terminated, "cancelled at '\(path)'"))
        }
        if let kind, fail(kind, path) {
            throw StorageError(BackupError(.fileWrite, "unable to \(kind) '\(path)': the network is gone"))
        }
        return try await body()
    }

    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await call(.read, path) { try await memory.read(path, range: range) }
    }
    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        DistantWriter(try await memory.write(path, mode), path, self)
    }
    func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await call(nil, directory) { try await memory.list(directory, prefix: prefix, from: token) }
    }
    func info(_ path: String) async throws -> ObjectInfo? { try await call(nil, path) { try await memory.info(path) } }
    func delete(_ paths: [String]) async throws {
        for path in paths { try await call(.delete, path) { try await memory.delete([path]) } }
    }
    func deleteTree(_ directory: String) async throws {
        try await call(.delete, directory) { try await memory.deleteTree(directory) }
    }
    func makeDirectory(_ path: String) async throws { try await memory.makeDirectory(path) }
    func syncAll(under directory: String) async throws { try await memory.syncAll(under: directory) }
    func link(_ path: String, to target: String) async throws { try await memory.link(path, to: target) }
}

private final class DistantWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let path: String
    private let store: DistantStore

    init(_ writer: any ObjectWriter, _ path: String, _ store: DistantStore) {
        self.writer = writer
        self.path = path
        self.store = store
    }

    func append(_ bytes: RawSpan) async throws { try await writer.append(bytes) }
    func commit() async throws { try await store.call(.commit, path) { try await writer.commit() } }
    func abort() async { await writer.abort() }
}
