package import RepositoryStorage

/// Makes a request again that failed in a way that may pass, for as long as a request may take in all.
///
/// Around each request of a driver; what fails here for good fails for the driver's caller, who may have retries of
/// its own, a long time apart.
package struct RequestRetry: Sendable {
    /// Time after which no further attempt is made, waits included; but at least ``fewest`` are.
    package var limit: Duration
    package var wait: RetryPolicy
    package let counters: RequestCounters
    private let sleep: @Sendable (Duration) async throws -> Void
    private let now: @Sendable () -> ContinuousClock.Instant

    /// As pgBackRest: two retries, even when one attempt takes all the time there is.
    package static let fewest = 3

    /// - Parameters:
    ///   - limit: `io-timeout`.
    ///   - sleep: the tests' own.
    package init(
        limit: Duration, counters: RequestCounters, wait: RetryPolicy = RetryPolicy(),
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) },
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.limit = limit
        self.counters = counters
        self.wait = wait
        self.sleep = sleep
        self.now = now
    }

    /// - Parameter attempt: is told what the attempt before it failed with, nil for the first. Throws
    ///   ``ServiceFailure`` where another attempt may help.
    package func run<Value>(_ attempt: (_ previous: ServiceFailure?) async throws -> Value) async throws -> Value {
        let end = now() + limit
        var previous: ServiceFailure?
        var failures = 0
        while true {
            do {
                return try await attempt(previous)
            } catch let failure as ServiceFailure {
                if failure.kind == .cancelled { throw CancellationError() }
                guard failure.isRetryable else { throw failure }
                failures += 1
                try await pause(after: failures, failure, until: end)
                previous = failure
            }
        }
    }

    /// Waits for the next attempt.
    /// - Throws: `failure` when there is to be none.
    package func pause(
        after failures: Int, _ failure: ServiceFailure, until end: ContinuousClock.Instant
    ) async throws {
        let pause = max(wait.wait(after: failures), min(failure.retryAfter ?? .zero, limit))
        if failures >= Self.fewest, now() + pause > end { throw failure }
        counters.countRetry()
        // Cancelled: the failure that led here says more than the cancellation does.
        do { try await sleep(pause) } catch { throw failure }
    }
}
