import BackupModel
import Checksums
import RepositoryStorage
import Synchronization
import Testing

@testable import BackupEngine

@Suite(.timeLimit(.minutes(10)))
struct ExecutionTests {
    @Test("sums that tasks make for each other are right, whatever the sizes", arguments: [1, 2, 3])
    func pairing(_ threads: Int) async throws {
        let workers = WorkerThreads(count: threads)
        let seeds = WorkQueue(Array(1...10))
        let wrong = Mutex<[Int]>([])
        try await workers.runPaired { pairing in
            while let seed = seeds.take() {
                var generator = SeededGenerator(seed: UInt64(seed))
                let sum = RunningSHA1()
                var all: [UInt8] = []
                for _ in 0..<Int.random(in: 0...6, using: &generator) {
                    let size = Int.random(in: 0...200_000, using: &generator)
                    let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* seed) }
                    all += bytes
                    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
                    copy.copyBytes(from: bytes)
                    await pairing.update(sum, UnsafeRawBufferPointer(copy))
                    copy.deallocate()
                }
                let isRight = sum.finish() == SHA1.hash(all.span.bytes)
                if !isRight { wrong.withLock { $0.append(seed) } }
            }
        }
        #expect(wrong.withLock { $0 } == [])
    }

    @Test("the last task does not wait for a partner")
    func lastAlone() async throws {
        let workers = WorkerThreads(count: 2)
        let turns = WorkQueue([0])
        try await workers.runPaired { pairing in
            guard turns.take() != nil else { return }
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
            bytes.initializeMemory(as: UInt8.self, repeating: 7)
            for _ in 0..<50 { await pairing.update(RunningSHA1(), UnsafeRawBufferPointer(bytes)) }
            bytes.deallocate()
        }
    }

    @Test("the first error ends all tasks and is the one that is thrown")
    func firstError() async {
        let workers = WorkerThreads(count: 2)
        let start = ContinuousClock.now
        await #expect(throws: BackupError.self) {
            try await workers.runOnEach(tasks: 4) { worker in
                if worker == 2 { throw BackupError(.fileRead, "unable to read") }
                try await Task.sleep(for: .seconds(600))
            }
        }
        #expect(ContinuousClock.now - start < .seconds(300))
    }

    @Test("as many blocking tasks run at once as there are threads")
    func blocking() async throws {
        let workers = WorkerThreads(count: 3)
        let running = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        try await workers.runOnEach(tasks: 9) { _ in
            let now = running.add(1, ordering: .sequentiallyConsistent).newValue
            most.max(now, ordering: .sequentiallyConsistent)
            spin(milliseconds: 20)
            running.subtract(1, ordering: .sequentiallyConsistent)
        }
        #expect(most.load(ordering: .sequentiallyConsistent) == 3)
    }

    @Test("a call that a signal cuts off, in a limit of calls too, is no unknown error")
    func cancelledCalls() async throws {
        let store = ConcurrencyLimitedStore(MemoryStore(), uploads: 1, downloads: 1)
        let repository = Repository(key: 3, store: store)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            do throws(BackupError) {
                _ = try await repository.readWhole("x")
                return nil as BackupError?
            } catch {
                return error
            }
        }
        #expect(await task.value?.code == .terminated)
        let other = BackupError(StorageError(BackupError(.fileOpen, "no")), in: "repo3")
        #expect(other.code == .fileOpen && other.message == "repo3: no")
        #expect(BackupError(Unknown.some, in: "repo3").code == .unhandled)
    }

    private enum Unknown: Error { case some }
}

/// Keeps the thread, as a blocking system call does.
private func spin(milliseconds: Int64) {
    let end = ContinuousClock.now + .milliseconds(milliseconds)
    while ContinuousClock.now < end {}
}

private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
