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
        try await inAvailable(repositories, context) { (_, error) throws(BackupError) in
            throw error
        } body: { _ in
            try await body()
        }
    }

    /// As ``inRepositories(_:_:_:)``, but goes on without those whose lock cannot be had, unless `refused` throws.
    package static func inAvailable(
        _ repositories: [Repository], _ context: EngineContext,
        refused: (Repository, BackupError) throws(BackupError) -> Void,
        body: @Sendable @escaping ([Repository]) async throws -> Void
    ) async throws {
        guard !context.configuration.bool(.dryRun) else {
            try await body(repositories)
            return
        }
        let stanza = try context.stanza()
        var available: [Repository] = []
        var held: [StanzaLock] = []
        // All at once: each takes a few round trips.
        let answers = await repositories.mapInFlight(atMost: repositories.count) { repository in
            await acquire(repository, stanza: stanza, context)
        }
        for answer in answers { if case .success(let lock) = answer { held.append(lock) } }
        do {
            for (repository, answer) in zip(repositories, answers) {
                do throws(BackupError) {
                    _ = try answer.get()
                    available.append(repository)
                } catch {
                    try refused(repository, error)
                }
            }
            try await $held.withValue(held) {
                try await withThrowingTaskGroup(of: Void.self) { [available] group in
                    group.addTask { try await renew(Self.held) }
                    group.addTask { try await body(available) }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        } catch {
            await release(held)
            throw error
        }
        await release(held)
    }

    private static func acquire(
        _ repository: Repository, stanza: String, _ context: EngineContext
    ) async -> Result<StanzaLock, BackupError> {
        do throws(BackupError) {
            guard !repository.store.capabilities.contains(.directories) else {
                try await requireStanza(stanza, in: repository, context)
                return .success(try await StanzaLock.acquire(repository, stanza: stanza, now: context.now))
            }
            // The lock alone makes no directory here, and goes again.
            return .success(
                try await repository.describing {
                    async let isThere: Void = requireStanza(stanza, in: repository, context)
                    let lock = try await StanzaLock.acquire(repository, stanza: stanza, now: context.now)
                    do {
                        try await isThere
                    } catch {
                        await lock.release()
                        throw error
                    }
                    return lock
                })
        } catch {
            return .failure(error)
        }
    }

    private static func release(_ locks: [StanzaLock]) async {
        await withTaskGroup { group in
            for lock in locks { group.addTask { await lock.release() } }
        }
    }

    /// The lock objects of the command that this task is part of.
    @TaskLocal private static var held: [StanzaLock] = []

    /// Proves that the lock object of a repository, where this command took one, is still ours: right before a write
    /// that makes others take for true what was found out under the lock. A process that was asleep may wake up after
    /// another host has taken the lock and cleaned up.
    /// - Throws: `.lockAcquire` when it is lost.
    package static func confirm(_ repository: Repository) async throws(BackupError) {
        for lock in held where lock.repositoryKey == repository.key { try await lock.confirm() }
    }

    /// Runs `body` on one repository after the other, each under its own lock object. One that fails does not keep the
    /// next from its turn: its error is logged, and `.command` thrown at the end; with one repository its error is thrown.
    package static func inEachRepository(
        _ context: EngineContext, _ body: @Sendable @escaping (Repository) async throws -> Void
    ) async throws {
        var failures: [BackupError] = []
        for repository in context.repositories {
            do {
                try await inRepositories([repository], context) { try await body(repository) }
            } catch let error as BackupError {
                guard context.repositories.count > 1 else { throw error }
                context.logger.error("\(error.description)")
                failures.append(error)
            }
        }
        guard let first = failures.first else { return }
        let command = context.configuration.command.rawValue
        throw BackupError(
            .command, "\(command) failed on \(failures.count) of \(context.repositories.count) repositories",
            hint: "the errors above say why: \(first.message)")
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
