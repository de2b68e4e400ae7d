import BackupEngine
import Foundation
import RepositoryStorage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RateLimitTimingTests {
    private static let isComplete = ProcessInfo.processInfo.environment["PERMAFROST_ALL"] == "1"

    @Test(arguments: isComplete ? [5.0, 60.0] : [5.0])
    func `a rate is held by readers and writers together`(seconds: Double) async throws {
        let rate = 20 << 20
        let memory = MemoryStore()
        let chunk = [UInt8](repeating: 7, count: 1 << 20)
        try await Repository(key: 1, store: memory).writeWhole("source", chunk)
        let store = ThrottledStore(memory, RateLimit(bytesPerSecond: UInt64(rate)))
        let tally = Tally()
        // Threads of their own: other tests fill the cooperative pool.
        try await withTaskExecutorPreference(WorkerThreads(count: 2)) {
            let start = ContinuousClock.now
            let end = start + .seconds(seconds)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        while ContinuousClock.now < end {
                            if worker % 2 == 0 {
                                let writer = try await store.write("\(worker)", .inPlace)
                                try await writer.append(chunk.span.bytes)
                                await writer.abort()
                                tally.add(chunk.count)
                            } else {
                                let read = try await Repository(key: 1, store: store).readWhole("source")
                                tally.add(read?.count ?? 0)
                            }
                        }
                    }
                }
                while try await group.next() != nil {}
            }
            let time = (ContinuousClock.now - start) / .seconds(1)
            let found = Double(tally.bytes) / time
            // Never faster; how much slower is for a machine to say that does nothing else: `LimitTests` of the programs.
            #expect((0.2..<1.1).contains(found / Double(rate)), "\(found) bytes a second in \(time) s")
        }
    }
}

/// What several tasks moved.
private final class Tally: Sendable {
    private let state = Mutex(0)
    func add(_ bytes: Int) { state.withLock { $0 += bytes } }
    var bytes: Int { state.withLock { $0 } }
}
