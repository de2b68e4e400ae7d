package import BackupModel
import Logging
import RepositoryFormats
import RepositoryStorage

/// The locks of a command: pgBackRest's files on this host, and the lock object in each repository for other hosts.
package enum CommandLocks {
    /// Runs `body` with pgBackRest's lock files held, for all configured repositories.
    package static func onHost(
        _ context: EngineContext, _ types: [LockType], _ body: (HostLock) async throws -> Void
    ) async throws {
        try requireNotStopped(context)
        let lock = try HostLock.acquire(
            types, stanza: try context.stanza(), repositoryKeys: context.repositories.map(\.key),
            lockPath: lockPath(context), executionID: executionID(context))
        defer { lock.release() }
        try await body(lock)
    }

    /// Runs `body` with the lock objects of `repositories` held and renewed; when one is lost to another host, `body`
    /// is cancelled and the loss is thrown. A dry run, which writes nothing, takes none.
    package static func inRepositories(
        _ repositories: [Repository], _ context: EngineContext, _ body: @Sendable @escaping () async throws -> Void
    ) async throws {
        guard !context.configuration.bool(.dryRun) else {
            try await body()
            return
        }
        let stanza = try context.stanza()
        var held: [StanzaLock] = []
        do {
            for repository in repositories {
                try await requireStanza(stanza, in: repository, context)
                held.append(try await StanzaLock.acquire(repository, stanza: stanza, now: context.now))
            }
            try await withThrowingTaskGroup(of: Void.self) { [held] group in
                group.addTask { try await renew(held) }
                group.addTask { try await body() }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            for lock in held { await lock.release() }
            throw error
        }
        for lock in held { await lock.release() }
    }

    /// Until cancelled, or until a lock is lost. A repository that does not answer for a while is asked again: the lock
    /// is valid for several intervals.
    private static func renew(_ locks: [StanzaLock]) async throws {
        while true {
            try await Task.sleep(for: StanzaLock.renewalInterval)
            for lock in locks {
                do throws(BackupError) {
                    try await lock.renew()
                } catch {
                    if error.code == .lockAcquire { throw error }
                }
            }
        }
    }

    /// Throws `.stop` while the stanza is stopped, for the commands that heed it.
    package static func requireNotStopped(_ context: EngineContext) throws(BackupError) {
        switch context.configuration.command {
        case .archivePush, .backup, .expire, .stanzaCreate, .stanzaUpgrade:
            try StopFile.check(stanza: try context.stanza(), lockPath: lockPath(context))
        default: break
        }
    }

    /// A lock object makes the directories above it: none must be made where a repository's volume is not mounted.
    private static func requireStanza(
        _ stanza: String, in repository: Repository, _ context: EngineContext
    ) async throws(BackupError) {
        let command = context.configuration.command
        if command == .stanzaCreate || command == .stanzaDelete { return }
        let directories = [RepositoryPaths.archive(stanza: stanza), RepositoryPaths.backup(stanza: stanza)]
        for directory in directories {
            if try await !repository.listAll(directory).isEmpty { return }
        }
        throw BackupError(
            .fileMissing, "\(repository.name): '\(directories[0])' and '\(directories[1])' are missing",
            hint:
                "has 'stanza-create' been run for stanza '\(stanza)' on \(repository.name), and is its volume mounted?")
    }

    private static func lockPath(_ context: EngineContext) -> String {
        context.configuration.string(.lockPath) ?? "/tmp/pgbackrest"
    }

    private static func executionID(_ context: EngineContext) -> String {
        context.configuration.string(.execId) ?? ExecutionID.new()
    }
}
