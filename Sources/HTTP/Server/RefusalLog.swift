import Synchronization

/// Says why connections were refused or cut, at most once a second for the same reason: whoever fails a thousand times
/// fills no log.
final class RefusalLog: Sendable {
    private struct Reason {
        var last: ContinuousClock.Instant
        var unsaid = 0
    }

    private let write: @Sendable (String) -> Void
    private let reasons = Mutex<[String: Reason]>([:])

    private static let interval = Duration.seconds(1)
    /// Reasons hold text from peers, and peers could make up many.
    private static let reasonLimit = 64

    init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

    /// - Parameters:
    ///   - what: lower case, such as `connection refused`.
    ///   - reason: one of few.
    ///   - detail: what is known of this case, instead of the reason.
    ///   - peer: its address.
    func note(_ what: String, _ reason: String, detail: String? = nil, peer: String) {
        let now = ContinuousClock.now
        let unsaid: Int? = reasons.withLock { reasons in
            if let known = reasons[reason], now - known.last < Self.interval {
                reasons[reason]?.unsaid += 1
                return nil
            }
            let unsaid = reasons[reason]?.unsaid ?? 0
            if reasons[reason] == nil, reasons.count >= Self.reasonLimit {
                reasons = reasons.filter { now - $0.value.last < Self.interval }
                if reasons.count >= Self.reasonLimit { return nil }
            }
            reasons[reason] = Reason(last: now)
            return unsaid
        }
        guard let unsaid else { return }
        let more = unsaid == 0 ? "" : " (and \(unsaid) more for the same reason)"
        write("\(what) from \(peer): \(detail ?? reason)\(more)")
    }
}
