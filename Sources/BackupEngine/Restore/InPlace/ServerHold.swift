import BackupModel
import Logging

/// Has the supervisor of a server keep it stopped. The two share nothing but the volume, so they speak by files beside
/// the data directory, each written whole or not at all:
///
/// - `PGDATA.hold`, ours, with a token: stop the server, and keep it stopped while this is there;
/// - `PGDATA.held.new`, the supervisor's, with the same token: seen, the server is about to stop;
/// - `PGDATA.held`, the supervisor's, with the same token: it is stopped.
///
/// The token keeps an answer to an earlier hold from being taken for one to this.
struct ServerHold: Sendable {
    let paths: InPlacePaths
    let token: String
    let logger: Logger

    /// How long a supervisor may take to notice; one looks every second.
    static let noticeLimit = Duration.seconds(120)
    /// How long a server may take to stop, with all that it has to write.
    static let stopLimit = Duration.seconds(1800)
    private static let interval = Duration.milliseconds(200)

    static func newToken() -> String { ExecutionID.new() }

    /// What is in a hold that is there; nil when there is none.
    static func token(at path: String) throws(BackupError) -> String? {
        try LocalDisk.read(path).map { bytes in
            String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
    }

    /// Returns when the server is stopped.
    /// - Throws: `.hostInvalid` when nobody heeds the hold, `.postgresRunning` when the server does not stop in time.
    func begin(noticeLimit: Duration = noticeLimit, stopLimit: Duration = stopLimit) async throws {
        if try Self.token(at: paths.hold) != token {
            try LocalDisk.replace(paths.hold, with: Array("\(token)\n".utf8), mode: 0o600, owner: nil)
            try LocalDisk.sync(directory: paths.parent)
        }
        logger.notice("wait for PostgreSQL to be stopped by its supervisor")
        var deadline = ContinuousClock.now + noticeLimit
        var isNoticed = false
        while try Self.token(at: paths.held) != token {
            if !isNoticed, try Self.token(at: paths.holding) == token {
                isNoticed = true
                deadline = ContinuousClock.now + stopLimit
            }
            guard ContinuousClock.now < deadline else {
                if isNoticed {
                    throw BackupError(
                        .postgresRunning, "PostgreSQL did not stop within \(stopLimit.components.seconds) s",
                        hint: "its log says what it waits for")
                }
                throw BackupError(
                    .hostInvalid,
                    "nobody answered '\(paths.hold)' within \(noticeLimit.components.seconds) s: PostgreSQL runs without"
                        + " a supervisor that can stop it",
                    hint: "stop PostgreSQL and restore without --in-place")
            }
            try await Task.sleep(for: Self.interval)
        }
        logger.notice("PostgreSQL is stopped")
    }

    /// Lets the supervisor start the server again.
    func end() throws(BackupError) {
        try LocalDisk.removeFile(paths.hold)
        try LocalDisk.sync(directory: paths.parent)
    }
}
