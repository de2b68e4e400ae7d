package import BackupModel
import PostgresFormats
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
            if !isProgressOnly { try await fill(&state, repository, stanza) }
            return state
        } catch {
            state = empty
            state.status = .other
            state.error = "[\(error.code.pgBackRestName)] \(error.description)"
            return state
        }
    }

    private func fill(
        _ state: inout InfoReport.RepositoryState, _ repository: Repository, _ stanza: String
    ) async throws(BackupError) {
        let info: BackupInfo
        do throws(BackupError) {
            info = try await repository.loadBackupInfo(stanza: stanza)
        } catch {
            guard error.code == .fileMissing else { throw error }
            state.status = .missingStanzaData
            return
        }
        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        state.currentID = info.currentID
        state.databases = info.history.map {
            DatabaseHistoryEntry(id: $0.id, systemIdentifier: $0.systemIdentifier, version: $0.version)
        }
        for database in state.databases {
            let archive = try await archive(of: database, archiveInfo, repository, stanza)
            if database.id == info.currentID || archive.first != nil { state.archives.append(archive) }
        }
        if info.backups.isEmpty { state.status = .noBackup }
        for entry in info.backups where type.map({ $0 == entry.type }) ?? true {
            guard let set else {
                state.backups.append(InfoReport.Backup(entry: entry))
                continue
            }
            guard entry.label == set,
                try await repository.exists(RepositoryPaths.manifest(stanza: stanza, label: set))
            else { continue }
            let manifest = try await repository.loadManifest(stanza: stanza, label: set, cipherPass: info.cipherPass)
            state.backups.append(InfoReport.Backup(entry: entry, detail: InfoReport.Detail(manifest)))
        }
    }

    /// First and last segment, from as few listings as possible: of the archive id, and of the directories at its ends.
    private func archive(
        of database: DatabaseHistoryEntry, _ archiveInfo: ArchiveInfo, _ repository: Repository, _ stanza: String
    ) async throws(BackupError) -> InfoReport.Archive {
        // After a lost upgrade the two files may number the same database differently.
        let matching = archiveInfo.history.filter {
            $0.version == database.version && $0.systemIdentifier == database.systemIdentifier
        }
        guard let entry = matching.first(where: { $0.id == database.id }) ?? matching.last else {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): archive.info of stanza '\(stanza)' does not list PostgreSQL \(database.version) with system id \(database.systemIdentifier), which backup.info does",
                hint: "one of the two files was replaced by hand; bring back the pair that belongs together")
        }
        let archiveID = RepositoryPaths.archiveID(version: entry.version, historyID: entry.id)
        var archive = InfoReport.Archive(databaseID: database.id, archiveID: archiveID)
        let root = "\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)"
        let directories = try await repository.listAll(root).filter {
            $0.kind == .directory && Self.isWALDirectory($0.name)
        }
        .map(\.name).sorted()
        for directory in directories {
            if let first = try await segments(in: "\(root)/\(directory)", repository).min() {
                archive.first = first
                break
            }
        }
        guard archive.first != nil else { return archive }
        for directory in directories.reversed() {
            if let last = try await segments(in: "\(root)/\(directory)", repository).max() {
                archive.last = last
                break
            }
        }
        return archive
    }

    private func segments(in directory: String, _ repository: Repository) async throws(BackupError) -> [String] {
        try await repository.listAll(directory).compactMap { entry in
            guard let name = ArchivedSegmentName(entry.name), !name.isPartial else { return nil }
            return name.segment.description
        }
    }

    private static func isWALDirectory(_ name: String) -> Bool {
        name.utf8.count == 16 && WALSegment("\(name)00000000") != nil
    }
}
