import Synchronization

/// Why the WAL of stanzas cannot be pushed ahead now, for others than the agent's thread.
package final class PushFailures: Sendable {
    private let reasons = Mutex<[String: String]>([:])

    package init() {}

    /// In words; nil when the last run did not fail.
    package func reason(_ stanza: String) -> String? { reasons.withLock { $0[stanza] } }

    func set(_ reason: String?, of stanza: String) { reasons.withLock { $0[stanza] = reason } }
}
