import BackupModel
import Glibc
import Synchronization

/// A store in memory that behaves like a distant one: it takes its time, lists in pages, and fails when it is told to.
/// For tests and dry trials.
///
/// `.inPlace` objects show at `commit`, and ``losePower()`` takes them away again until `syncAll` went over them.
package final class MemoryStore: RepositoryStore {
    package enum Operation: Sendable, Equatable {
        case read, readChunk, write, append, commit, list, info, delete, deleteTree, makeDirectory, syncAll, link
    }

    /// What goes wrong with one call.
    package enum Fault: Sendable {
        /// The call does nothing and throws.
        case before(StorageError)
        /// The call does what it should and throws, as when the answer is lost on its way.
        case after(StorageError)
    }

    package let capabilities: StoreCapabilities
    package let location = "memory:"
    package let concurrency: StoreConcurrency
    private let latency: Duration
    private let pageSize: Int
    private let now: @Sendable () -> Int64
    private let fault: @Sendable (Operation, String) -> Fault?
    private let state = Mutex(MemoryTree())

    /// - Parameters:
    ///   - latency: of every call but `write`, `append` and `read(into:)`, which a store behind a network need not be
    ///     asked for.
    ///   - concurrency: nil: by whether there is a latency.
    ///   - pageSize: entries in a page of `list`.
    ///   - fault: asked once per call, with the path that it is about.
    ///   - now: seconds since 1970, for modification times.
    package init(
        capabilities: StoreCapabilities = [.createIfAbsent], latency: Duration = .zero,
        concurrency: StoreConcurrency? = nil, pageSize: Int = 1000,
        fault: @escaping @Sendable (Operation, String) -> Fault? = { _, _ in nil },
        now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) {
        self.capabilities = capabilities
        self.latency = latency
        self.concurrency = concurrency ?? (latency > .zero ? .remote : .local)
        self.pageSize = max(pageSize, 1)
        self.now = now
        self.fault = fault
    }

    /// Forgets what was not durable, as if the machine had stopped here.
    /// - Parameter keeping: of what was not durable, the objects that were written out all the same.
    package func losePower(keeping: (_ path: String) -> Bool = { _ in false }) {
        state.withLock { $0.losePower(keeping: keeping) }
    }

    /// All objects by path.
    package var content: [String: [UInt8]] {
        let objects = state.withLock { $0.objects }
        return Dictionary(
            uniqueKeysWithValues: objects.map { (String(decoding: $0.key, as: UTF8.self), $0.value.bytes) })
    }

    /// A store of its own that holds the same, without latency or faults.
    package func copy() -> MemoryStore {
        let copy = MemoryStore(capabilities: capabilities, concurrency: concurrency, pageSize: pageSize, now: now)
        let tree = state.withLock { $0 }
        copy.state.withLock { $0 = tree }
        return copy
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try StoragePath.validate(path)
        return try await call(.read, path) { () throws(StorageError) in
            guard let object = state.withLock({ $0.objects[Array(path.utf8)] }) else {
                throw StorageError(
                    BackupError(.fileMissing, "unable to open '\(path)' in repository '\(location)': no such object"),
                    isMissing: true)
            }
            let size = UInt64(object.bytes.count)
            let range = (range ?? 0..<size).clamped(to: 0..<size)
            return MemoryReader(self, path, object.bytes, Int(range.lowerBound)..<Int(range.upperBound))
        }
    }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try StoragePath.validate(path)
        if case .create = mode, !capabilities.contains(.createIfAbsent) { throw unable("create only if absent", path) }
        return try await call(.write, path) { MemoryWriter(self, path, mode) }
    }

    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try StoragePath.validateDirectory(directory)
        return try await call(.list, directory) {
            let entries = state.withLock { $0.entries(of: directory, prefix: prefix) }
            let rest = entries.drop { entry in
                token.map { !$0.utf8.lexicographicallyPrecedes(entry.name.utf8) } ?? false
            }
            let page = Array(rest.prefix(pageSize))
            return ListPage(entries: page, next: page.count < rest.count ? page.last?.name : nil)
        }
    }

    package func info(_ path: String) async throws -> ObjectInfo? {
        try StoragePath.validateDirectory(path)
        return try await call(.info, path) { state.withLock { $0.info(path) } }
    }

    package func delete(_ paths: [String]) async throws {
        for path in paths { try StoragePath.validate(path) }
        try await call(.delete, paths.first ?? "") {
            state.withLock { for path in paths { $0.remove(Array(path.utf8)) } }
        }
    }

    package func deleteTree(_ directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        try await call(.deleteTree, directory) { state.withLock { $0.removeTree(directory) } }
    }

    package func makeDirectory(_ path: String) async throws {
        try StoragePath.validateDirectory(path)
        guard capabilities.contains(.directories) else { return }
        try await call(.makeDirectory, path) { state.withLock { $0.makeDirectory(path) } }
    }

    package func syncAll(under directory: String) async throws {
        try StoragePath.validateDirectory(directory)
        try await call(.syncAll, directory) { state.withLock { $0.sync(under: directory) } }
    }

    package func link(_ path: String, to target: String) async throws {
        try StoragePath.validate(path)
        guard capabilities.contains(.symlinks) else { throw unable("link", path) }
        try await call(.link, path) {
            state.withLock {
                $0.remove(Array(path.utf8))
                $0.links[Array(path.utf8)] = target
            }
        }
    }

    package func hardLink(_ path: String, to existing: String) async throws {
        try StoragePath.validate(path)
        guard capabilities.contains(.hardLinks) else { throw unable("link", path) }
        try await call(.link, path) { () throws(StorageError) in
            let object = state.withLock { $0.objects[Array(existing.utf8)] }
            guard let object else {
                throw StorageError(
                    BackupError(.fileMissing, "unable to link '\(path)' to '\(existing)': no such object"),
                    isMissing: true)
            }
            state.withLock { _ = $0.put(Array(path.utf8), object, .inPlace) }
        }
    }

    /// Takes the time of a call, and fails it when the test says so.
    fileprivate func call<Value>(
        _ operation: Operation, _ path: String, _ body: () throws(StorageError) -> Value
    ) async throws(StorageError) -> Value {
        if latency > .zero, operation != .write, operation != .append, operation != .readChunk {
            do {
                try await Task.sleep(for: latency)
            } catch {
                throw StorageError(BackupError(.terminated, "cancelled while waiting for '\(location)'"))
            }
        }
        let fault = fault(operation, path)
        if case .before(let error)? = fault { throw error }
        let value = try body()
        if case .after(let error)? = fault { throw error }
        return value
    }

    fileprivate func put(_ path: String, _ bytes: [UInt8], _ mode: WriteMode) throws(StorageError) {
        let object = MemoryTree.Object(bytes: bytes, modified: now())
        if !state.withLock({ $0.put(Array(path.utf8), object, mode) }) {
            throw StorageError(
                BackupError(.fileExists, "unable to create '\(path)' in repository '\(location)': it exists"),
                isAlreadyThere: true)
        }
    }

    private func unable(_ what: String, _ path: String) -> StorageError {
        StorageError(BackupError(.featureNotSupported, "unable to \(what) '\(path)': '\(location)' has no such thing"))
    }
}

private final class MemoryReader: ObjectReader {
    private let store: MemoryStore
    private let path: String
    private var rest: ArraySlice<UInt8>

    init(_ store: MemoryStore, _ path: String, _ bytes: [UInt8], _ range: Range<Int>) {
        self.store = store
        self.path = path
        rest = bytes[range]
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        try await store.call(.readChunk, path) {
            let chunk = rest.prefix(buffer.count)
            buffer.copyBytes(from: chunk)
            rest = rest.dropFirst(chunk.count)
            return chunk.count
        }
    }

    func close() async { rest = [] }
}

private final class MemoryWriter: ObjectWriter {
    private let store: MemoryStore
    private let path: String
    private let mode: WriteMode
    private var bytes: [UInt8]? = []

    init(_ store: MemoryStore, _ path: String, _ mode: WriteMode) {
        self.store = store
        self.path = path
        self.mode = mode
    }

    func append(_ bytes: RawSpan) async throws {
        guard self.bytes != nil else { throw finished }
        bytes.withUnsafeBytes { self.bytes?.append(contentsOf: $0) }
        try await store.call(.append, path) {}
    }

    func commit() async throws {
        guard let bytes else { throw finished }
        self.bytes = nil
        try await store.call(.commit, path) { () throws(StorageError) in try store.put(path, bytes, mode) }
    }

    func abort() async { bytes = nil }

    private var finished: StorageError {
        StorageError(BackupError(.assertion, "the writer of '\(path)' is finished"))
    }
}
