import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// The end of a backup in one repository. The order of writes is in docs/write-ordering.md.
struct BackupPublication: Sendable {
    let backup: RepositoryBackup
    let backupInfo: BackupInfo
    let archiveInfo: ArchiveInfo

    private var repository: Repository { backup.repository }
    private var stanza: String { backup.stanza }

    /// Data is written: make it durable, then the manifest that refers to it, then the list that refers to that.
    func publish(_ manifest: Manifest) async throws {
        let path = RepositoryPaths.manifest(stanza: stanza, label: manifest.label)
        let directory = RepositoryPaths.backupSet(stanza: stanza, label: manifest.label)
        try await makeDirectories(manifest)
        if backup.settings.hardlink { try await linkReferences(manifest) }
        try await repository.describing { try await repository.store.syncAll(under: directory) }
        try await backup.requireDirectory()
        try await CommandLocks.confirm(repository)
        let cipherPass = backup.manifestPass
        try await repository.saveManifest(manifest, at: RepositoryPaths.copy(of: path), cipherPass: cipherPass)
        try await repository.saveManifest(manifest, at: path, cipherPass: cipherPass)
        let history = RepositoryPaths.manifestHistory(stanza: stanza, label: manifest.label)
        try await repository.saveManifest(manifest, at: history, compress: .gz, cipherPass: cipherPass)
        if repository.store.capabilities.contains(.symlinks), backup.settings.symlink {
            let link = RepositoryPaths.latest(stanza: stanza)
            try await repository.describing { try await repository.store.link(link, to: manifest.label) }
        }
        var info = backupInfo
        info.backups.append(BackupInfoEntry(manifest))
        info.backups.sort { $0.label < $1.label }
        info.writerVersion = ProgramVersion.repositoryText
        try await repository.saveBackupInfo(info, stanza: stanza)
        // Rewritten unchanged, so that no lifecycle rule of a bucket takes it for old.
        var archiveInfo = archiveInfo
        archiveInfo.writerVersion = ProgramVersion.repositoryText
        try await repository.saveArchiveInfo(archiveInfo, stanza: stanza)
    }

    /// The directory tree as pgBackRest makes it, empty directories too, so that an uncompressed set can be used as a
    /// data directory: where all files of the cluster are in the set under their own names.
    private func makeDirectories(_ manifest: Manifest) async throws {
        guard repository.store.capabilities.contains(.directories), !manifest.isBundle,
            manifest.type == .full || backup.settings.hardlink
        else { return }
        let set = RepositoryPaths.backupSet(stanza: stanza, label: manifest.label)
        for path in manifest.paths {
            try await repository.describing { try await repository.store.makeDirectory("\(set)/\(path.name)") }
        }
        guard repository.store.capabilities.contains(.symlinks), backup.settings.symlink else { return }
        for target in manifest.targets where target.tablespaceID != nil {
            let link = "\(set)/pg_data/\(target.name)"
            try await repository.describing { try await repository.store.link(link, to: "../../\(target.name)") }
        }
    }

    /// Files of earlier backups under their names in this set as well.
    private func linkReferences(_ manifest: Manifest) async throws {
        guard repository.store.capabilities.contains(.hardLinks) else { return }
        for row in 0..<manifest.files.count where manifest.files.hasReference(row) {
            var file = manifest.files[row]
            // Parts of bundles have no object of their own.
            guard file.bundleID == 0 else { continue }
            let existing = manifest.object(of: file, stanza: stanza)
            file.reference = nil
            let link = manifest.object(of: file, stanza: stanza)
            try await repository.describing { try await repository.store.hardLink(link, to: existing) }
        }
    }
}
