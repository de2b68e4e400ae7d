import BackupModel
import RepositoryStorage
import Synchronization

/// What goes wrong with one call of a store.
enum FaultEffect: String, CaseIterable, Sendable {
    /// It does nothing.
    case before
    /// It does half of it: half of the objects are deleted, half of an in-place object's bytes are there.
    case partial
    /// It does all, and the answer is lost.
    case after
}

/// A fault to come: in the `call`-th call from now, counted from 1.
struct PlannedFault: Sendable, CustomStringConvertible {
    var call: Int
    var effect: FaultEffect
    /// No later call does anything either, as when the machine has stopped.
    var isLasting = false
    var isRetryable = false

    var description: String { "call \(call) \(effect.rawValue)\(isLasting ? ", and all after it" : "")" }
}

/// Counts the calls of all stores of one run and says which of them fail.
final class FaultSwitch: Sendable {
    struct Call: Sendable, CustomStringConvertible {
        var operation: MemoryStore.Operation
        var path: String
        var description: String { "\(operation) '\(path)'" }
    }
    private struct State {
        var plan: PlannedFault?
        var count = 0
        var hit: Call?
        var intrusion: (call: Int, body: @Sendable () async -> Void)?
    }
    static let mark = "injected fault"

    private let state = Mutex(State())

    func arm(_ plan: PlannedFault?) { state.withLock { $0 = State(plan: plan) } }

    /// Lets `body` happen right before the `call`-th call from now.
    func intrude(before call: Int, _ body: @escaping @Sendable () async -> Void) {
        state.withLock { $0 = State(intrusion: (call, body)) }
    }

    fileprivate func visit(_ operation: MemoryStore.Operation, _ path: String) async {
        let body = state.withLock { state -> (@Sendable () async -> Void)? in
            guard let intrusion = state.intrusion, state.count + 1 == intrusion.call, state.hit == nil else {
                return nil
            }
            state.hit = Call(operation: operation, path: path)
            return intrusion.body
        }
        await body?()
    }

    /// Ends the faults; the call that met the first of them, nil when the run had fewer calls.
    func disarm() -> Call? {
        state.withLock { state in
            defer { state = State() }
            return state.hit
        }
    }

    /// How many calls were made since the switch was armed.
    var count: Int { state.withLock { $0.count } }

    fileprivate func next(_ operation: MemoryStore.Operation, _ path: String) -> FaultEffect? {
        state.withLock { state in
            state.count += 1
            guard let plan = state.plan else { return nil }
            if state.hit != nil { return plan.isLasting ? .before : nil }
            guard state.count == plan.call else { return nil }
            state.hit = Call(operation: operation, path: path)
            return plan.effect
        }
    }

    fileprivate func error(_ operation: MemoryStore.Operation, _ path: String) -> StorageError {
        let isReading: Set = ["read", "readChunk", "list", "info"]
        return StorageError(
            BackupError(
                isReading.contains("\(operation)") ? .fileRead : .fileWrite,
                "unable to \(operation) '\(path)': \(Self.mark)"),
            isRetryable: state.withLock { $0.plan?.isRetryable ?? false })
    }
}

/// A store of which single calls fail, as the switch says.
struct FaultingStore: RepositoryStore {
    let store: any RepositoryStore
    let faults: FaultSwitch

    var capabilities: StoreCapabilities { store.capabilities }
    var location: String { store.location }
    var concurrency: StoreConcurrency { store.concurrency }

    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await call(.read, path) { FaultingReader(try await store.read(path, range: range), path, faults) }
    }
    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try await call(.write, path) { FaultingWriter(try await store.write(path, mode), store, path, mode, faults) }
    }
    func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await call(.list, directory) { try await store.list(directory, prefix: prefix, from: token) }
    }
    func info(_ path: String) async throws -> ObjectInfo? {
        try await call(.info, path) { try await store.info(path) }
    }
    func delete(_ paths: [String]) async throws {
        let half = paths.prefix(paths.count / 2)
        try await call(.delete, paths.first ?? "", half: { try await store.delete(Array(half)) }) {
            try await store.delete(paths)
        }
    }
    func deleteTree(_ directory: String) async throws {
        try await call(.deleteTree, directory, half: { try await deleteHalf(of: directory) }) {
            try await store.deleteTree(directory)
        }
    }
    func makeDirectory(_ path: String) async throws {
        try await call(.makeDirectory, path) { try await store.makeDirectory(path) }
    }
    func syncAll(under directory: String) async throws {
        try await call(.syncAll, directory) { try await store.syncAll(under: directory) }
    }
    func link(_ path: String, to target: String) async throws {
        try await call(.link, path) { try await store.link(path, to: target) }
    }

    private func call<Value>(
        _ operation: MemoryStore.Operation, _ path: String, half: () async throws -> Void = {},
        _ body: () async throws -> Value
    ) async throws -> Value {
        await faults.visit(operation, path)
        switch faults.next(operation, path) {
        case nil: return try await body()
        case .before: throw faults.error(operation, path)
        case .partial: try await half()
        case .after: _ = try await body()
        }
        throw faults.error(operation, path)
    }

    /// Every other object: which ones a deletion takes first is nobody's promise.
    private func deleteHalf(of directory: String) async throws {
        var isTurn = false
        for entry in try await store.list(directory, prefix: "", from: nil).entries {
            if entry.kind == .directory {
                try await deleteHalf(of: "\(directory)/\(entry.name)")
            } else {
                isTurn.toggle()
                if isTurn { try await store.delete(["\(directory)/\(entry.name)"]) }
            }
        }
    }
}

private final class FaultingReader: ObjectReader {
    private let reader: any ObjectReader
    private let path: String
    private let faults: FaultSwitch

    init(_ reader: any ObjectReader, _ path: String, _ faults: FaultSwitch) {
        self.reader = reader
        self.path = path
        self.faults = faults
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        await faults.visit(.readChunk, path)
        guard let effect = faults.next(.readChunk, path) else { return try await reader.read(into: buffer) }
        if effect != .before { _ = try await reader.read(into: buffer) }
        throw faults.error(.readChunk, path)
    }

    func close() async { await reader.close() }
}

private final class FaultingWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let store: any RepositoryStore
    private let path: String
    private let isInPlace: Bool
    private let faults: FaultSwitch
    private var bytes: [UInt8] = []

    init(
        _ writer: any ObjectWriter, _ store: any RepositoryStore, _ path: String, _ mode: WriteMode,
        _ faults: FaultSwitch
    ) {
        self.writer = writer
        self.store = store
        self.path = path
        self.faults = faults
        isInPlace = if case .inPlace = mode { true } else { false }
    }

    func append(_ bytes: RawSpan) async throws {
        await faults.visit(.append, path)
        let effect = faults.next(.append, path)
        if effect == nil || effect == .after {
            if isInPlace { bytes.withUnsafeBytes { self.bytes.append(contentsOf: $0) } }
            try await writer.append(bytes)
        }
        if effect != nil { throw faults.error(.append, path) }
    }

    func commit() async throws {
        await faults.visit(.commit, path)
        switch faults.next(.commit, path) {
        case nil: return try await writer.commit()
        case .before: break
        case .partial:
            // Only of in-place objects half can show.
            if isInPlace {
                let half = Array(bytes.prefix(bytes.count / 2))
                let torn = try await store.write(path, .inPlace)
                try await torn.append(half.span.bytes)
                try await torn.commit()
            }
        case .after: try await writer.commit()
        }
        throw faults.error(.commit, path)
    }

    func abort() async { await writer.abort() }
}
