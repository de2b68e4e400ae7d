import BackupModel
import Glibc
import Logging
import Telemetry

/// The loop of a command that waits for what a background process does: starts it when none runs, and looks into the
/// spool until there is an answer.
struct BackgroundWait {
    let context: EngineContext
    let spool: ArchiveSpool
    /// The file that is waited for.
    let name: String
    /// After `argv[0]`.
    let arguments: [String]

    /// Why there is no answer.
    enum Failure: Error {
        case timeout
        /// The background process could not do its work, or not tell of it.
        case noAnswer(String)
        case failed(BackupError)
    }

    /// - Parameter answer: looks for what is waited for; nil: not yet. An error is an answer too.
    func run<Answer>(
        timeout: Duration, _ answer: () throws(BackupError) -> Answer?
    ) async throws(Failure) -> Answer {
        let deadline = ContinuousClock.now + timeout
        let soon = ContinuousClock.now + .milliseconds(500)
        var process: BackgroundProcess?
        var pause = Duration.milliseconds(2)
        while true {
            do throws(BackupError) {
                if process == nil, try !context.isArchiveLocked() {
                    // What went wrong before is tried once more, or it would stop archiving for good.
                    try spool.clearErrors(of: name)
                    process = try BackgroundProcess.start(context.configuration, arguments)
                }
            } catch {
                throw .failed(error)
            }
            do {
                try await Task.sleep(for: pause)
            } catch {
                throw .failed(BackupError(.terminated, "waiting for '\(name)' was cancelled"))
            }
            // Most answers come within the time that a segment takes: PostgreSQL waits with its next until then.
            pause = min(pause * 3 / 2, ContinuousClock.now < soon ? .milliseconds(5) : .milliseconds(50))
            // Before the answer is looked for: what it has told before it ended is then there.
            let end = process?.end()
            do throws(BackupError) {
                if let answer = try answer() { return answer }
            } catch {
                throw .failed(error)
            }
            switch end {
            case nil: break
            // Another one was faster, and works for us too.
            case .exited(ErrorCode.lockAcquire.rawValue)?: process = nil
            case .exited(let code)?: throw .noAnswer("the background process ended with code \(code)")
            case .killed(let signal)?: throw .noAnswer("the background process was ended by signal \(signal)")
            }
            guard ContinuousClock.now < deadline else { throw .timeout }
        }
    }

}

extension EngineContext {
    /// Whether a background process runs, of either direction and program: they have one lock.
    func isArchiveLocked() throws(BackupError) -> Bool {
        let stanza = try stanza()
        let lockPath = configuration.string(.lockPath) ?? "/tmp/pgbackrest"
        return repositories.contains {
            HostLock.holder(.archive, stanza: stanza, repositoryKey: $0.key, lockPath: lockPath) != nil
        }
    }

    /// `archive-timeout`
    var archiveTimeout: Duration { configuration.duration(.archiveTimeout) ?? .seconds(60) }

    /// Where the background process of this command writes its log.
    var backgroundLogFile: String {
        LogSetup.filePath(
            logPath: configuration.string(.logPath) ?? "", stanza: configuration.string(.stanza),
            command: configuration.logName(.async))
    }
}
