import BackupModel
import RepositoryStorage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConcurrencyLimitTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var uploads: Int?
        var downloads: Int?
        var workers: Int
        var testDescription: String { "\(uploads ?? 0) up, \(downloads ?? 0) down, \(workers) workers" }
    }

    /// Random workers on two stores, as copiers, bundles and restores use them: a writer in each open at the same time,
    /// files stored while a bundle stays open, readers opened while writers are. All must end, within the limits.
    @Test(arguments: [
        Case(uploads: 1, downloads: 1, workers: 8), Case(uploads: 3, downloads: 2, workers: 20),
        Case(uploads: nil, downloads: 1, workers: 10), Case(uploads: 1, downloads: nil, workers: 10),
        Case(uploads: 1024, downloads: 1024, workers: 10),
    ])
    func `limits are held, used, and nobody waits for ever`(test: Case) async throws {
        let counters = [CountingStore(), CountingStore()]
        let stores = counters.map {
            ConcurrencyLimitedStore($0, uploads: test.uploads, downloads: test.downloads)
        }
        for store in stores { try await store.put("source", [UInt8](repeating: 3, count: 5000)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<test.workers {
                group.addTask {
                    var random = Random(seed: UInt64(worker) &+ 1)
                    let bundles = random.next() % 2 == 0
                    let order = random.next() % 2 == 0 ? stores : stores.reversed()
                    var open: [any ObjectWriter] = []
                    if bundles {
                        for store in order { open.append(try await store.write("bundle-\(worker)", .inPlace)) }
                    }
                    for file in 0..<6 {
                        var writers: [any ObjectWriter] = []
                        for store in order { writers.append(try await store.write("f\(worker)-\(file)", .inPlace)) }
                        #expect(try await stores[file % 2].get("source").count == 5000)
                        for writer in writers + open { try await writer.append([1, 2, 3]) }
                        for writer in writers {
                            if random.next() % 4 == 0 { await writer.abort() } else { try await writer.commit() }
                        }
                    }
                    for writer in open { try await writer.commit() }
                }
            }
            for try await _ in group {}
        }
        for counter in counters {
            let most = counter.most
            #expect(most.uploads <= test.uploads ?? .max && most.downloads <= test.downloads ?? .max, "\(most)")
            #expect(most.uploads >= min(test.uploads ?? 2, 2) && counter.running == (0, 0), "\(most)")
        }
    }

    @Test func `who is cancelled while waiting gives its place up`() async throws {
        let slots = CallSlots(1)
        try await slots.acquire()
        let waiting = (0..<5).map { _ in Task { try await slots.run {} } }
        for task in waiting[..<4] { task.cancel() }
        for task in waiting[..<4] { await #expect(throws: CancellationError.self) { try await task.value } }
        slots.release()
        try await waiting[4].value
        try await slots.run {}
    }

    @Test func `a call that fails gives its slot back`() async throws {
        let store = ConcurrencyLimitedStore(
            MemoryStore { operation, _ in operation == .commit || operation == .read ? .before(temporaryFailure) : nil
            },
            uploads: 1, downloads: 1)
        for _ in 0..<3 {
            #expect(try await storageError { try await store.put("x", "1") }?.isRetryable == true)
            #expect(try await storageError { _ = try await store.get("x") }?.isRetryable == true)
        }
    }

    @Test func `jobs are retried soon, then after the interval`() async throws {
        let memory = MemoryStore { operation, _ in operation == .info ? .before(temporaryFailure) : nil }
        for (retries, waits) in [(0, 0), (1, 1), (3, 3)] {
            let clock = RecordingClock()
            let store = RetryingStore(
                memory, policy: .jobs(retries: retries, interval: .seconds(15)), clock: clock)
            #expect(try await storageError { _ = try await store.info("x") } != nil)
            #expect(clock.sleeps.count == waits)
            #expect(clock.sleeps.first ?? .zero <= .milliseconds(100))
            #expect(clock.sleeps.dropFirst().allSatisfy { $0 > .seconds(7) && $0 <= .seconds(15) })
        }
    }
}

private struct Random {
    var seed: UInt64
    mutating func next() -> UInt64 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return seed >> 33
    }
}

/// A store in memory whose transfers take a moment, and that knows how many ran at once.
private final class CountingStore: StoreWrapper {
    private struct State {
        var uploads = 0
        var downloads = 0
        var mostUploads = 0
        var mostDownloads = 0
    }
    private let state = Mutex(State())
    let store: any RepositoryStore = MemoryStore()

    var most: (uploads: Int, downloads: Int) { state.withLock { ($0.mostUploads, $0.mostDownloads) } }
    var running: (uploads: Int, downloads: Int) { state.withLock { ($0.uploads, $0.downloads) } }

    func upload<Result>(_ body: () async throws -> Result) async throws -> Result {
        state.withLock {
            $0.uploads += 1
            $0.mostUploads = max($0.mostUploads, $0.uploads)
        }
        defer { state.withLock { $0.uploads -= 1 } }
        try await Task.sleep(for: .milliseconds(1))
        return try await body()
    }
    func download<Result>(_ body: () async throws -> Result) async throws -> Result {
        state.withLock {
            $0.downloads += 1
            $0.mostDownloads = max($0.mostDownloads, $0.downloads)
        }
        defer { state.withLock { $0.downloads -= 1 } }
        try await Task.sleep(for: .milliseconds(1))
        return try await body()
    }

    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await download { CountingReader(try await store.read(path, range: range), self) }
    }
    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try await upload { CountingWriter(try await store.write(path, mode), self) }
    }
}

private final class CountingReader: ObjectReader {
    private let reader: any ObjectReader
    private let store: CountingStore
    init(_ reader: any ObjectReader, _ store: CountingStore) {
        self.reader = reader
        self.store = store
    }
    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        try await store.download { try await reader.read(into: buffer) }
    }
    func close() async { await reader.close() }
}

private final class CountingWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let store: CountingStore
    init(_ writer: any ObjectWriter, _ store: CountingStore) {
        self.writer = writer
        self.store = store
    }
    func append(_ bytes: RawSpan) async throws {
        try await store.upload {}
        try await writer.append(bytes)
    }
    func commit() async throws { try await store.upload { try await writer.commit() } }
    func abort() async { await writer.abort() }
}
