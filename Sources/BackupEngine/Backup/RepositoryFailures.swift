package import BackupModel
import Logging
import Synchronization

/// Which repositories a backup has lost: it goes on as long as one is left, and names the others when it ends.
package final class RepositoryFailures: Sendable {
    private struct State {
        var left: Int
        var failed: [(repository: Repository, error: BackupError)] = []
    }
    private let state: Mutex<State>
    private let logger: Logger

    init(repositories: Int, logger: Logger) {
        state = Mutex(State(left: repositories))
        self.logger = logger
    }

    /// Goes on without `repository`. Throws the error itself when no other is left, and when the backup was cancelled.
    func record(_ repository: Repository, _ error: any Error) throws {
        if Task.isCancelled || error is CancellationError { throw error }
        let failure = BackupError(error, in: repository.name)
        if failure.code == .terminated { throw failure }
        let left = state.withLock { state in
            if !state.failed.contains(where: { $0.repository.key == repository.key }) {
                state.failed.append((repository, failure))
                state.left -= 1
            }
            return state.left
        }
        guard left > 0 else { throw failure }
        logger.error("[\(failure.code.rawValue)] \(failure.message): the backup goes on without \(repository.name)")
    }

    /// The keys of those that were lost.
    package var keys: Set<Int> { state.withLock { Set($0.failed.map(\.repository.key)) } }

    /// What the command ends with after the repositories that are left have their backup; nil when none failed.
    package var error: BackupError? {
        let failed = state.withLock { $0.failed }
        guard let first = failed.first else { return nil }
        let names = failed.map(\.repository.name).joined(separator: ", ")
        return BackupError(
            first.error.code, "no backup was made in \(names): " + failed.map(\.error.message).joined(separator: "; "),
            hint: first.error.hint ?? "the backup in the other repositories is complete")
    }
}
