import BackupModel
import HTTP

/// When a call that failed is made again, and for how long.
struct JobAttempts {
    private let options: JobClient.Options
    private let origin: HTTPOrigin
    /// Of the first failure after the last success.
    private var since: ContinuousClock.Instant?
    private var delay: Duration

    static let terminated = BackupError(.terminated, "terminated on signal")

    init(_ options: JobClient.Options, _ origin: HTTPOrigin) {
        self.options = options
        self.origin = origin
        delay = options.firstDelay
    }

    mutating func succeeded() {
        since = nil
        delay = options.firstDelay
    }

    /// Waits, and returns when the call is to be made again.
    mutating func broken(_ error: TransportError, mayTrustLater: Bool) async throws(BackupError) {
        switch error.kind {
        case .cancelled: throw failure(error)
        case .certificate where !mayTrustLater: throw failure(error)
        case .notConnected, .certificate, .timeout, .broken: try await again(failure(error))
        }
    }

    /// The same of an answer that is an error: only those of a host that is busy or begins or ends are waited for.
    mutating func refused(_ status: Int, _ body: [UInt8]) async throws(BackupError) {
        let told = ServiceJSON(body)?["error"].flatMap { BackupError($0) }
        let error =
            told
            ?? BackupError(
                .protocolError, "\(origin.authority) answers with status \(status)",
                hint: "is it an agent or a repository host, and of the same version?")
        guard [429, 502, 503, 504].contains(status) else { throw error }
        try await again(error)
    }

    func failure(_ error: TransportError) -> BackupError {
        switch error.kind {
        case .cancelled: Self.terminated
        case .certificate: BackupError(.crypto, error.reason)
        case .notConnected, .timeout, .broken:
            BackupError(
                .hostConnect, error.reason, hint: "a job that was started goes on without anybody who watches it")
        }
    }

    private mutating func again(_ error: BackupError) async throws(BackupError) {
        let now = ContinuousClock.now
        if since == nil { options.notice("\(error.message); trying again") }
        let start = since ?? now
        since = start
        guard now - start + delay < options.patience else { throw error }
        do {
            try await Task.sleep(for: delay)
        } catch {
            throw Self.terminated
        }
        delay = min(delay * 2, options.longestDelay)
    }
}
