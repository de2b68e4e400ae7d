import RepositoryStorage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RateLimitTests {
    @Test(arguments: [64 << 10, 1 << 20, 50 << 20, 1 << 30])
    func `a limit gives so many bytes a second, without bursts`(rate: Int) async throws {
        let clock = EagerClock()
        let limit = RateLimit(bytesPerSecond: UInt64(rate), clock: clock)
        var quarters: [Int: Int] = [:]
        var left = 20 * rate
        while left > 0 {
            let count = min(left, limit.piece(of: 1 << 20))
            try await limit.take(count)
            quarters[Int(clock.elapsed / .milliseconds(250)), default: 0] += count
            left -= count
            // The time that moving them takes.
            clock.advance(by: .microseconds(200))
        }
        let seconds = clock.elapsed / .seconds(1)
        #expect(abs(seconds - 20) < 0.5, "\(seconds)")
        #expect(quarters.values.allSatisfy { $0 <= rate / 2 }, "\(quarters)")
        #expect((0..<78).allSatisfy { quarters[$0] ?? 0 > 0 }, "\(quarters)")
    }

    @Test func `workers that share a limit get no more than it`() async throws {
        let clock = EagerClock()
        let limit = RateLimit(bytesPerSecond: 1 << 20, clock: clock)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { for _ in 0..<25 { try await limit.take(100 << 10) } } }
            for try await _ in group {}
        }
        let seconds = clock.elapsed / .seconds(1)
        #expect(abs(seconds - 200 * 100 / 1024.0) < 0.3, "\(seconds)")
    }

    @Test func `a pause earns an eighth of a second and no more`() async throws {
        let clock = EagerClock()
        let limit = RateLimit(bytesPerSecond: 1000, clock: clock)
        try await limit.take(1)
        clock.advance(by: .seconds(100))
        let start = clock.elapsed
        for _ in 0..<10 { try await limit.take(125) }
        #expect(abs((clock.elapsed - start) / .seconds(1) - 1.0) < 0.01)
    }

    @Test func `a wait ends when the task is cancelled`() async throws {
        let limit = RateLimit(bytesPerSecond: 10)
        try await limit.take(10_000)
        let task = Task { try await limit.take(1) }
        task.cancel()
        // And not a quarter of an hour later.
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test(arguments: [(UInt64(65_536), 8192), (1_048_576, 131_072), (104_857_600, 1_048_576), (1, 4096)])
    func `pieces are an eighth of a second's bytes`(rate: UInt64, piece: Int) {
        let limit = RateLimit(bytesPerSecond: rate)
        #expect(limit.piece(of: 1 << 20) == piece)
        #expect(limit.piece(of: 100) == 100)
    }
}

/// Nobody waits, and time goes on to where they would have waited.
private final class EagerClock: Clock {
    typealias Instant = ContinuousClock.Instant
    typealias Duration = Swift.Duration
    private let start = ContinuousClock.now
    private let offset = Mutex(Duration.zero)
    let minimumResolution = Duration.nanoseconds(1)

    var elapsed: Duration { offset.withLock { $0 } }
    var now: Instant { start + elapsed }
    func advance(by duration: Duration) { offset.withLock { $0 += duration } }
    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        offset.withLock { $0 = max($0, start.duration(to: deadline)) }
    }
}
