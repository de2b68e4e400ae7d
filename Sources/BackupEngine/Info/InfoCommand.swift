package import BackupModel
import RepositoryFormats
import RepositoryStorage

/// `info`: what all repositories hold, of one stanza or of all. Changes nothing and needs no lock.
package struct InfoCommand: Sendable {
    private let context: EngineContext
    private let stanza: String?
    private let set: String?
    private let type: BackupType?
    private let isProgressOnly: Bool
    /// Type of lock, stanza, key of the repository.
    private let lockHolder: @Sendable (LockType, String, Int) -> LockHolder?

    /// Throws `.optionInvalid` when both a backup and nothing but progress were asked for.
    package init(_ context: EngineContext) throws(BackupError) {
        let lockPath = context.configuration.string(.lockPath) ?? "/tmp/pgbackrest"
        try self.init(context) { type, stanza, key in
            HostLock.holder(type, stanza: stanza, repositoryKey: key, lockPath: lockPath)
        }
    }

    init(
        _ context: EngineContext, lockHolder: @escaping @Sendable (LockType, String, Int) -> LockHolder?
    ) throws(BackupError) {
        self.context = context
        self.lockHolder = lockHolder
        stanza = context.configuration.string(.stanza)
        set = context.configuration.string(.set)
        type = context.configuration.string(.type).flatMap { BackupType(rawValue: $0) }
        isProgressOnly = context.configuration.string(.detailLevel) == "progress"
        if set != nil, isProgressOnly {
            throw BackupError(
                .optionInvalid, "option 'set' cannot be used with option 'detail-level' = 'progress'",
                hint: "leave one of the two out")
        }
    }

    /// What to print, without the last newline.
    package func run() async throws(BackupError) -> String {
        let report = await report()
        if context.configuration.string(.output) == "json" { return InfoJSON.text(report) }
        return String(InfoText.text(report).dropLast())
    }

    /// Never fails: a repository that cannot be read says so in its place.
    func report() async -> InfoReport {
        var names: Swift.Set<String> = []
        var found: [Int: Swift.Set<String>] = [:]
        var failures: [Int: BackupError] = [:]
        for repository in context.repositories {
            do throws(BackupError) {
                let entries = try await repository.listAll("backup")
                let stanzas = Swift.Set(entries.filter { $0.kind == .directory }.map(\.name))
                found[repository.key] = stanzas
                names.formUnion(stanzas)
            } catch {
                failures[repository.key] = error
            }
        }
        if let stanza {
            names = [stanza]
        } else if names.isEmpty, !failures.isEmpty {
            names = ["[invalid]"]
        }
        var report = InfoReport(isProgressOnly: isProgressOnly, set: set)
        let sorted = names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        var states = [[InfoReport.RepositoryState]](repeating: [], count: sorted.count)
        for repository in context.repositories {
            let (stanzas, failure) = (found[repository.key] ?? [], failures[repository.key])
            let ofEach = await sorted.mapInFlight(atMost: repository.store.concurrency.downloads) { name in
                await state(repository, name, isThere: stanzas.contains(name), failure)
            }
            for (index, state) in ofEach.enumerated() { states[index].append(state) }
        }
        for (name, states) in zip(sorted, states) { report.stanzas.append(describe(name, states)) }
        return report
    }

    private func describe(_ name: String, _ states: [InfoReport.RepositoryState]) -> InfoReport.Stanza {
        var states = states
        if let set, !states.contains(where: { state in state.backups.contains { $0.entry.label == set } }) {
            for index in states.indices where states[index].status == .ok || states[index].status == .noBackup {
                states[index] = InfoReport.RepositoryState(
                    key: states[index].key, cipher: states[index].cipher, status: .backupMissing)
            }
        }
        var stanza = InfoReport.Stanza(name: name, repositories: states)
        for state in states where state.currentID != nil || (isProgressOnly && state.status == .ok) {
            if let holder = lockHolder(.backup, name, state.key) {
                stanza.backupLocks.append(InfoReport.BackupLock(repositoryKey: state.key, holder: holder))
            }
            // One restore holds the locks of all repositories that it may read.
            stanza.restoreLock = stanza.restoreLock ?? lockHolder(.restore, name, state.key)
        }
        return stanza
    }

    // MARK: - One repository

    private func state(
        _ repository: Repository, _ stanza: String, isThere: Bool, _ failure: BackupError?
    ) async -> InfoReport.RepositoryState {
        var state = InfoReport.RepositoryState(
            key: repository.key, cipher: context.configuration.string(.repoCipherType, repository.key) ?? "none",
            status: .ok)
        let empty = state
        do throws(BackupError) {
            if let failure { throw failure }
            guard isThere else {
                state.status = .missingStanzaPath
                return state
            }
            if !isProgressOnly {
                try await RepositoryLook(repository: repository, stanza: stanza, type: type, set: set).fill(&state)
            }
            return state
        } catch {
            state = empty
            state.status = .other
            state.error = "[\(error.code.pgBackRestName)] \(error.description)"
            return state
        }
    }
}
