import BackupModel
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// What one repository holds of a stanza, from its info files and a few listings.
struct RepositoryLook {
    let repository: Repository
    let stanza: String
    /// Only backups of this type; nil: all.
    var type: BackupType?
    /// The one backup that is told of, with what its manifest says; nil: all, without.
    var set: String?

    /// Databases, archives and backups, and the status that follows from them.
    func fill(_ state: inout InfoReport.RepositoryState) async throws(BackupError) {
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
            let archive = try await archive(of: database, archiveInfo)
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
        of database: DatabaseHistoryEntry, _ archiveInfo: ArchiveInfo
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
            if let first = try await segments(in: "\(root)/\(directory)").min() {
                archive.first = first
                break
            }
        }
        guard archive.first != nil else { return archive }
        for directory in directories.reversed() {
            if let last = try await segments(in: "\(root)/\(directory)").max() {
                archive.last = last
                break
            }
        }
        return archive
    }

    private func segments(in directory: String) async throws(BackupError) -> [String] {
        try await repository.listAll(directory).compactMap { entry in
            guard let name = ArchivedSegmentName(entry.name), !name.isPartial else { return nil }
            return name.segment.description
        }
    }

    private static func isWALDirectory(_ name: String) -> Bool {
        name.utf8.count == 16 && WALSegment("\(name)00000000") != nil
    }
}
