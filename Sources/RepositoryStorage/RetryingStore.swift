import BackupModel

/// How often and how fast a call is made again.
package struct RetryPolicy: Sendable {
    /// Calls in all, at least 1.
    package var attempts: Int
    /// Before the second call; doubled for each one after, up to `longest`.
    package var shortest: Duration
    package var longest: Duration
    /// In `0..<1`: spreads the waits of many callers over the upper half of each wait.
    package var jitter: @Sendable () -> Double

    package init(
        attempts: Int = 8, shortest: Duration = .milliseconds(100), longest: Duration = .seconds(10),
        jitter: @escaping @Sendable () -> Double = { .random(in: 0..<1) }
    ) {
        self.attempts = attempts
        self.shortest = shortest
        self.longest = longest
        self.jitter = jitter
    }

    /// That of `job-retry` and `job-retry-interval`: the first retry comes almost at once, the others an interval apart.
    package static func jobs(retries: Int, interval: Duration) -> RetryPolicy {
        RetryPolicy(attempts: retries + 1, shortest: .milliseconds(100), longest: interval, isSteep: true)
    }
    /// The second wait and those after it are the longest.
    private var isSteep = false

    private init(attempts: Int, shortest: Duration, longest: Duration, isSteep: Bool) {
        self.init(attempts: attempts, shortest: shortest, longest: longest)
        self.isSteep = isSteep
    }

    /// The wait after `failures` failed calls in a row (1 or more).
    package func wait(after failures: Int) -> Duration {
        if isSteep, failures > 1 { return longest }
        let full = min(longest, shortest * (1 << min(max(failures - 1, 0), 20)))
        return full * (0.5 + jitter() / 2)
    }
}

/// Makes calls again that failed with ``StorageError/isRetryable``.
///
/// - A reader is opened again where it stopped. That an object was replaced meanwhile goes unnoticed: what is replaced
///   in a repository carries its checksum.
/// - An object of up to ``replayLimit`` bytes is written again as a whole. For larger ones only the opening is repeated
///   here: drivers repeat their parts, and callers the object.
package struct RetryingStore: RepositoryStore {
    package static let replayLimit = 1 << 20

    private let store: any RepositoryStore
    private let policy: RetryPolicy
    private let sleep: @Sendable (Duration) async throws -> Void

    /// - Parameter clock: waits between calls.
    package init(
        _ store: any RepositoryStore, policy: RetryPolicy = RetryPolicy(),
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        self.store = store
        self.policy = policy
        sleep = { try await clock.sleep(for: $0) }
    }

    package var capabilities: StoreCapabilities { store.capabilities }
    package var location: String { store.location }
    package var concurrency: StoreConcurrency { store.concurrency }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        let reader = try await retrying { try await store.read(path, range: range) }
        return RetryingReader(self, path, range, reader)
    }
    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        let writer = try await retrying { try await store.write(path, mode) }
        return RetryingWriter(self, path, mode, writer)
    }
    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await retrying { try await store.list(directory, prefix: prefix, from: token) }
    }
    package func info(_ path: String) async throws -> ObjectInfo? {
        try await retrying { try await store.info(path) }
    }
    package func delete(_ paths: [String]) async throws { try await retrying { try await store.delete(paths) } }
    package func deleteTree(_ directory: String) async throws {
        try await retrying { try await store.deleteTree(directory) }
    }
    package func makeDirectory(_ path: String) async throws {
        try await retrying { try await store.makeDirectory(path) }
    }
    package func syncAll(under directory: String) async throws {
        try await retrying { try await store.syncAll(under: directory) }
    }
    package func link(_ path: String, to target: String) async throws {
        try await retrying { try await store.link(path, to: target) }
    }
    package func hardLink(_ path: String, to existing: String) async throws {
        try await retrying { try await store.hardLink(path, to: existing) }
    }

    /// Calls `body` until it returns, throws what no retry heals, or the attempts are used up.
    /// - Parameter failures: calls that failed already.
    fileprivate func retrying<Value>(
        after failures: Int = 0, _ body: () async throws -> Value
    ) async throws -> Value {
        var failures = failures
        while true {
            do {
                return try await body()
            } catch let error as StorageError where error.isRetryable {
                failures += 1
                if failures >= policy.attempts { throw error }
                try await pause(after: failures, error)
            }
        }
    }

    fileprivate func pause(after failures: Int, _ error: StorageError) async throws {
        // Cancelled: the failure that led here says more than the cancellation does.
        do { try await sleep(policy.wait(after: failures)) } catch { throw error }
    }

    fileprivate func open(_ path: String, from start: UInt64, to end: UInt64) async throws -> any ObjectReader {
        try await store.read(path, range: start..<end)
    }
    fileprivate func openWriter(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try await store.write(path, mode)
    }
    fileprivate var attempts: Int { policy.attempts }
}

private final class RetryingReader: ObjectReader {
    private let store: RetryingStore
    private let path: String
    private let end: UInt64
    private var offset: UInt64
    private var reader: any ObjectReader

    init(_ store: RetryingStore, _ path: String, _ range: Range<UInt64>?, _ reader: any ObjectReader) {
        self.store = store
        self.path = path
        offset = range?.lowerBound ?? 0
        end = range?.upperBound ?? UInt64(Int64.max)
        self.reader = reader
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        var isBroken = false
        let count = try await store.retrying {
            if isBroken {
                await reader.close()
                reader = try await store.open(path, from: offset, to: max(offset, end))
            }
            isBroken = true
            return try await reader.read(into: buffer)
        }
        offset += UInt64(count)
        return count
    }

    func close() async { await reader.close() }
}

private final class RetryingWriter: ObjectWriter {
    private let store: RetryingStore
    private let path: String
    private let mode: WriteMode
    private var writer: any ObjectWriter
    /// All that was appended, nil once it is more than can be written again.
    private var kept: [UInt8]? = []
    private var expected: UInt64?

    init(_ store: RetryingStore, _ path: String, _ mode: WriteMode, _ writer: any ObjectWriter) {
        self.store = store
        self.path = path
        self.mode = mode
        self.writer = writer
    }

    func expect(atMost size: UInt64) {
        expected = size
        writer.expect(atMost: size)
    }

    func append(_ bytes: RawSpan) async throws {
        if let count = kept?.count {
            if bytes.byteCount <= RetryingStore.replayLimit - count {
                bytes.withUnsafeBytes { kept?.append(contentsOf: $0) }
            } else {
                kept = nil
            }
        }
        do {
            try await writer.append(bytes)
        } catch let error as StorageError where error.isRetryable && kept != nil && store.attempts > 1 {
            try await store.pause(after: 1, error)
            try await store.retrying(after: 1) { try await replay() }
        }
    }

    func commit() async throws {
        do {
            try await writer.commit()
        } catch let error as StorageError where error.isRetryable && kept != nil && store.attempts > 1 {
            try await store.pause(after: 1, error)
            do {
                try await store.retrying(after: 1) {
                    try await replay()
                    try await writer.commit()
                }
            } catch let error as StorageError where error.isAlreadyThere {
                // Perhaps the first commit went through and only its answer was lost.
                guard try await isOurs() else { throw error }
            }
        }
    }

    func abort() async { await writer.abort() }

    private func replay() async throws {
        await writer.abort()
        writer = try await store.openWriter(path, mode)
        if let expected { writer.expect(atMost: expected) }
        if let kept, !kept.isEmpty { try await writer.append(kept.span.bytes) }
    }

    private func isOurs() async throws -> Bool {
        guard let kept else { return false }
        let reader = try await store.read(path, range: nil)
        let found = UnsafeMutableRawBufferPointer.allocate(byteCount: kept.count + 1, alignment: 16)
        defer { found.deallocate() }
        var count = 0
        while count < found.count {
            let more = try await reader.read(into: .init(rebasing: found[count...]))
            if more == 0 { break }
            count += more
        }
        await reader.close()
        return found[..<count].elementsEqual(kept)
    }
}
