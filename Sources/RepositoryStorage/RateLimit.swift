import Synchronization

/// So many bytes a second, for all who share it.
///
/// Everyone who takes bytes gets a place on one time line, in the order of the calls, and waits until it has come. Who
/// comes late, because nobody had anything to move, catches up no more than ``burst`` of it. A wait suspends the task and
/// blocks no thread.
package final class RateLimit: Sendable {
    package let bytesPerSecond: UInt64
    /// What may go at once after a pause, and the most that one call should take.
    package static let burst = Duration.milliseconds(125)
    /// Shorter waits are not worth a switch of tasks: the time line makes up for them.
    private static let shortestWait = Duration.milliseconds(1)

    /// When the next bytes may go, since the clock's beginning.
    private let next = Mutex(Duration.zero)
    private let elapsed: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void

    /// - Parameter bytesPerSecond: at least 1.
    package init(bytesPerSecond: UInt64, clock: some Clock<Duration> = ContinuousClock()) {
        self.bytesPerSecond = max(1, bytesPerSecond)
        let start = clock.now
        elapsed = { start.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
    }

    /// Bytes of a buffer of `count` that should be moved by one call, so that no burst is longer than ``burst``.
    package func piece(of count: Int) -> Int {
        let burst = bytesPerSecond / 8
        return min(count, max(Self.smallestPiece, Int(clamping: burst / 4096 * 4096)))
    }
    private static let smallestPiece = 4096

    /// Waits until `bytes` may go. Throws `CancellationError` when the task is cancelled.
    package func take(_ bytes: Int) async throws {
        guard bytes > 0 else { return }
        let now = elapsed()
        let place = next.withLock { next in
            let place = max(next, now - Self.burst)
            next = place + .seconds(Double(bytes) / Double(bytesPerSecond))
            return place
        }
        let wait = place - now
        if wait >= Self.shortestWait { try await sleep(wait) } else { try Task.checkCancellation() }
    }
}
