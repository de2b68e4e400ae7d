/// A clock to wait by, which no setting of the host's time moves.
package protocol WaitingTime: Sendable {
    /// Since some moment.
    var now: Duration { get }
    /// - Throws: when the task is cancelled.
    func sleep(for duration: Duration) async throws
}

package struct MonotonicTime: WaitingTime {
    private static let start = ContinuousClock.now

    package init() {}

    package var now: Duration { ContinuousClock.now - Self.start }

    package func sleep(for duration: Duration) async throws { try await Task.sleep(for: duration) }
}
