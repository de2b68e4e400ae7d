import BackupModel
import RepositoryStorage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct WrapperTests {
    @Test func readOnlyReadsAndNothingElse() async throws {
        let memory = MemoryStore(capabilities: [.createIfAbsent, .symlinks, .directories])
        try await memory.put("d/x", "1")
        let store = ReadOnlyStore(memory)
        #expect(try await store.text("d/x") == "1")
        #expect(try await store.names("d") == ["x"])
        #expect(try await store.info("d/x")?.size == 1)
        #expect(store.capabilities == memory.capabilities && store.location == memory.location)
        for call: () async throws -> Void in [
            { _ = try await store.write("y", .atomic) }, { try await store.delete(["d/x"]) },
            { try await store.deleteTree("d") }, { try await store.makeDirectory("e") },
            { try await store.syncAll(under: "") }, { try await store.link("l", to: "x") },
        ] {
            #expect(try await storageError(call)?.error.code == .assertion)
        }
        #expect(try await memory.names("") == ["d"])
    }

    @Test("Wrappers answer for the store within, and hand on what is to be expected")
    func concurrency() async throws {
        for (uploads, downloads) in [(1, 1), (1, 5), (7, 1), (16, 16)] {
            let within = StoreConcurrency(uploads: uploads, downloads: downloads)
            let memory = MemoryStore(concurrency: within)
            for store: any RepositoryStore in [
                ReadOnlyStore(memory), RetryingStore(memory),
                ConcurrencyLimitedStore(memory, uploads: nil, downloads: nil),
                ThrottledStore(memory, RateLimit(bytesPerSecond: 1 << 20)),
            ] { #expect(store.concurrency == within) }
            // A store that blocks its callers stays one; another is asked for as much as it is let.
            let limited = ConcurrencyLimitedStore(memory, uploads: 3, downloads: 4).concurrency
            #expect(limited.uploads == (uploads == 1 ? 1 : 3) && limited.downloads == (downloads == 1 ? 1 : 4))
        }
        #expect(MemoryStore().concurrency == .local && MemoryStore(latency: .seconds(1)).concurrency == .remote)
        #expect(PosixStore(root: "/nowhere").concurrency == .local)
        #expect(StoreConcurrency.local.readAhead == 0 && StoreConcurrency.remote.readAhead == 16)

        let expecting = ExpectingStore(store: MemoryStore())
        let wrapped = RetryingStore(
            ThrottledStore(
                ConcurrencyLimitedStore(expecting, uploads: 1, downloads: 1), RateLimit(bytesPerSecond: 1 << 30)))
        let writer = try await wrapped.write("x", .atomic)
        writer.expect(atMost: 42)
        #expect(expecting.expected.all == [42])
        await writer.abort()
    }

    @Test func waitsGrowAndAreBounded() async throws {
        let memory = MemoryStore { operation, _ in operation == .info ? .before(temporaryFailure) : nil }
        let clock = RecordingClock()
        let policy = RetryPolicy(
            attempts: 6, shortest: .milliseconds(100), longest: .milliseconds(500), jitter: { 0.5 })
        let store = RetryingStore(memory, policy: policy, clock: clock)
        #expect(try await storageError { _ = try await store.info("x") }?.error.code == .service)
        #expect(clock.sleeps == [75, 150, 300, 375, 375].map { .milliseconds($0) })
    }

    @Test func onlyRetryableErrorsAreRetried() async throws {
        let calls = FailingCalls(.list, [1: .before(StorageError(BackupError(.access, "no")))])
        let clock = RecordingClock()
        let store = RetryingStore(MemoryStore { operation, _ in calls.fault(operation) }, clock: clock)
        #expect(try await storageError { _ = try await store.names("") }?.error.code == .access)
        #expect(clock.sleeps.isEmpty)
        #expect(try await store.names("") == [])
    }

    @Test func aReaderGoesOnWhereItStopped() async throws {
        let calls = FailingCalls(.readChunk, [2: .before(temporaryFailure), 4: .before(temporaryFailure)])
        let memory = MemoryStore { operation, _ in calls.fault(operation) }
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
        try await memory.put("x", bytes)
        let store = RetryingStore(memory, clock: RecordingClock())
        let reader = try await store.read("x", range: 100..<9000)
        #expect(try await reader.rest(chunk: 1000) == Array(bytes[100..<9000]))
    }

    @Test("small objects are written again", arguments: [MemoryStore.Operation.append, .commit, .write])
    func replay(_ operation: MemoryStore.Operation) async throws {
        for mode in [WriteMode.atomic, .create, .inPlace] {
            for fault in [MemoryStore.Fault.before(temporaryFailure), .after(temporaryFailure)] {
                let calls = FailingCalls(operation, [1: fault, 2: fault])
                let memory = MemoryStore { operation, _ in calls.fault(operation) }
                let store = RetryingStore(memory, clock: RecordingClock())
                let writer = try await store.write("x", mode)
                for part in ["one ", "two ", "three"] { try await writer.append(Array(part.utf8).span.bytes) }
                try await writer.commit()
                #expect(try await memory.text("x") == "one two three")
            }
        }
    }

    @Test func aLostAnswerIsNotTakenForAnothersObject() async throws {
        let calls = FailingCalls(.commit, [1: .before(temporaryFailure)])
        let memory = MemoryStore { operation, _ in calls.fault(operation) }
        // Another's object appears while ours is on its way.
        let clock = RecordingClock { try await memory.put("lock", "theirs") }
        let error = try await storageError {
            try await RetryingStore(memory, clock: clock).put("lock", "mine", .create)
        }
        #expect(error?.isAlreadyThere == true)
        #expect(try await memory.text("lock") == "theirs")
    }

    @Test func largeObjectsAreTheCallersToRetry() async throws {
        let calls = FailingCalls(.commit, [1: .before(temporaryFailure)])
        let memory = MemoryStore { operation, _ in calls.fault(operation) }
        let store = RetryingStore(memory, clock: RecordingClock())
        let bytes = [UInt8](repeating: 1, count: RetryingStore.replayLimit + 1)
        #expect(try await storageError { try await store.put("x", bytes) }?.isRetryable == true)
        #expect(try await memory.names("") == [])
    }

    @Test func powerLossTakesWhatWasNotSynced() async throws {
        let memory = MemoryStore()
        try await memory.put("d/synced", "1", .inPlace)
        try await memory.syncAll(under: "d")
        try await memory.put("d/atomic", "1")
        try await memory.put("d/lost", "1", .inPlace)
        try await memory.put("other/lost", "1", .inPlace)
        try await memory.syncAll(under: "othe")
        memory.losePower()
        #expect(try await memory.names("d") == ["atomic", "synced"])
        #expect(try await memory.names("other") == [])
    }

    @Test func aStoreWithoutCreateSaysSo() async throws {
        let memory = MemoryStore(capabilities: [])
        #expect(try await storageError { _ = try await memory.write("x", .create) }?.error.code == .featureNotSupported)
    }

    @Test func latencyIsPaidPerCall() async throws {
        let memory = MemoryStore(latency: .milliseconds(20))
        let time = try await ContinuousClock().measure {
            _ = try await memory.info("x")
            _ = try await memory.names("")
        }
        #expect(time >= .milliseconds(40))
    }
}

/// Never waits, but knows how long it should have.
final class RecordingClock: Clock {
    typealias Duration = Swift.Duration
    typealias Instant = ContinuousClock.Instant
    let now = ContinuousClock.now
    let minimumResolution = Duration.nanoseconds(1)
    private let recorded = Mutex<[Duration]>([])
    private let meanwhile: @Sendable () async throws -> Void

    init(_ meanwhile: @escaping @Sendable () async throws -> Void = {}) { self.meanwhile = meanwhile }
    var sleeps: [Duration] { recorded.withLock { $0 } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let wait = now.duration(to: deadline)
        recorded.withLock { $0.append(wait) }
        try await meanwhile()
    }
}

/// Keeps what its writers were told to expect.
private struct ExpectingStore: StoreWrapper {
    let store: any RepositoryStore
    let expected = Shared()

    final class Shared: Sendable {
        private let values = Mutex<[UInt64]>([])
        var all: [UInt64] { values.withLock { $0 } }
        func add(_ value: UInt64) { values.withLock { $0.append(value) } }
    }

    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        Writer(writer: try await store.write(path, mode), expected: expected)
    }

    private final class Writer: ObjectWriter {
        let writer: any ObjectWriter
        let expected: Shared

        init(writer: any ObjectWriter, expected: Shared) {
            self.writer = writer
            self.expected = expected
        }

        func expect(atMost size: UInt64) { expected.add(size) }
        func append(_ bytes: RawSpan) async throws { try await writer.append(bytes) }
        func commit() async throws { try await writer.commit() }
        func abort() async { await writer.abort() }
    }
}
