package import BackupModel
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// `stanza-create`, `stanza-upgrade` and `stanza-delete`.
package struct StanzaCommands: Sendable {
    let context: EngineContext
    let stanza: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
    }

    // MARK: - Create

    /// Makes the stanza in every repository, or completes it; changes nothing that is there.
    package func create() async throws(BackupError) {
        let control = try clusterControl(.stanzaCreate)
        for repository in context.repositories {
            context.logger.notice("stanza-create for stanza '\(stanza)' on \(repository.name)")
            try await create(on: repository, control)
        }
    }

    private func create(on repository: Repository, _ control: PostgresControl) async throws(BackupError) {
        let archivePath = RepositoryPaths.archiveInfo(stanza: stanza)
        let backupPath = RepositoryPaths.backupInfo(stanza: stanza)
        let hasArchive = try await hasEither(archivePath, repository)
        let hasBackup = try await hasEither(backupPath, repository)
        guard hasArchive || hasBackup else {
            try await createNew(on: repository, control)
            return
        }
        guard hasArchive, hasBackup else {
            if hasBackup, try await completeInterruptedCreate(on: repository, control) { return }
            throw BackupError(
                .fileMissing,
                """
                \(repository.name): \(hasArchive ? "backup.info" : "archive.info") of stanza '\(stanza)' is missing \
                while \(hasArchive ? "archive.info" : "backup.info") is there
                """,
                hint: """
                    bring back the missing file and its copy, or delete the stanza with 'stanza-delete' if nothing of \
                    it is needed
                    """)
        }
        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        let backupInfo = try await repository.loadBackupInfo(stanza: stanza)
        try StanzaIdentity.requireAgreement(archiveInfo, backupInfo, repository: repository, stanza: stanza)
        let current = archiveInfo.current
        guard current.version == control.version, current.systemIdentifier == control.systemIdentifier else {
            throw BackupError(
                .fileInvalid,
                "\(repository.name): stanza '\(stanza)' exists for PostgreSQL \(current.version) with system id \(current.systemIdentifier), but the cluster is PostgreSQL \(control.version) with system id \(control.systemIdentifier)",
                hint:
                    "after an upgrade of PostgreSQL run 'stanza-upgrade'; for another cluster choose another stanza name"
            )
        }
        try await completeCopies(archivePath, repository)
        try await completeCopies(backupPath, repository)
        context.logger.notice("stanza '\(stanza)' already exists on \(repository.name) and is valid")
    }

    private func createNew(on repository: Repository, _ control: PostgresControl) async throws(BackupError) {
        for directory in [RepositoryPaths.archive(stanza: stanza), RepositoryPaths.backup(stanza: stanza)] {
            guard try await repository.listAll(directory).isEmpty else {
                throw BackupError(
                    .pathNotEmpty, "\(repository.name): '\(directory)' is not empty but has no info file",
                    hint: "bring back archive.info and backup.info, or empty the directory if nothing of it is needed")
            }
        }
        let backup = BackupInfo(
            currentID: 1, history: [database(1, control)], cipherPass: try repository.newCipherPass())
        let archive = ArchiveInfo(
            currentID: 1,
            history: [
                DatabaseHistoryEntry(id: 1, systemIdentifier: control.systemIdentifier, version: control.version)
            ], cipherPass: try repository.newCipherPass())
        for directory in [RepositoryPaths.archive(stanza: stanza), RepositoryPaths.backup(stanza: stanza)] {
            try await repository.describing { try await repository.store.makeDirectory(directory) }
        }
        try await repository.saveBackupInfo(backup, stanza: stanza)
        try await repository.saveArchiveInfo(archive, stanza: stanza)
    }

    /// A run that ended between the two files left a backup.info that lists nothing, and an empty archive: only then is
    /// archive.info written anew. False when that is not what is there.
    private func completeInterruptedCreate(
        on repository: Repository, _ control: PostgresControl
    ) async throws(BackupError) -> Bool {
        let backup = try await repository.loadBackupInfo(stanza: stanza)
        let listing = try await BackupListing.load(repository, stanza: stanza)
        guard backup.history == [database(1, control)], backup.backups.isEmpty, listing.labels.isEmpty,
            try await repository.listAll(RepositoryPaths.archive(stanza: stanza)).isEmpty
        else { return false }
        let entry = DatabaseHistoryEntry(
            id: 1, systemIdentifier: control.systemIdentifier, version: control.version)
        try await repository.saveArchiveInfo(
            ArchiveInfo(currentID: 1, history: [entry], cipherPass: repository.newCipherPass()), stanza: stanza)
        try await completeCopies(RepositoryPaths.backupInfo(stanza: stanza), repository)
        context.logger.notice("stanza-create on \(repository.name) was interrupted and is completed")
        return true
    }

    private func hasEither(_ path: String, _ repository: Repository) async throws(BackupError) -> Bool {
        if try await repository.exists(path) { return true }
        return try await repository.exists(RepositoryPaths.copy(of: path))
    }

    /// Where only one of a file and its copy is there, makes the other, byte for byte.
    private func completeCopies(_ path: String, _ repository: Repository) async throws(BackupError) {
        let copy = RepositoryPaths.copy(of: path)
        let main = try await repository.readWhole(path)
        let second = try await repository.readWhole(copy)
        if let main, second == nil {
            try await repository.writeWhole(copy, main)
        } else if let second, main == nil {
            try await repository.writeWhole(path, second)
        }
    }

    // MARK: - Upgrade

    /// After an upgrade of PostgreSQL: appends the cluster as it is now to the history of every repository.
    package func upgrade() async throws(BackupError) {
        let control = try clusterControl(.stanzaUpgrade)
        for repository in context.repositories {
            context.logger.notice("stanza-upgrade for stanza '\(stanza)' on \(repository.name)")
            var archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
            var backupInfo = try await repository.loadBackupInfo(stanza: stanza)
            let archiveIsCurrent = isCurrent(archiveInfo.current, control)
            let database = backupInfo.current
            let backupIsCurrent =
                database.version == control.version && database.systemIdentifier == control.systemIdentifier
            if archiveIsCurrent, backupIsCurrent {
                try StanzaIdentity.requireAgreement(archiveInfo, backupInfo, repository: repository, stanza: stanza)
                context.logger.notice("stanza '\(stanza)' on \(repository.name) is already up to date")
                continue
            }
            let id = max(archiveInfo.history.map(\.id).max() ?? 0, backupInfo.history.map(\.id).max() ?? 0)
            // A run that ended between the two files is completed with the id that the first got.
            let newID = archiveIsCurrent ? archiveInfo.currentID : backupIsCurrent ? backupInfo.currentID : id + 1
            if !backupIsCurrent {
                backupInfo.history.append(self.database(newID, control))
                backupInfo.currentID = newID
                backupInfo.writerVersion = ProgramVersion.repositoryText
                try await repository.saveBackupInfo(backupInfo, stanza: stanza)
            }
            if !archiveIsCurrent {
                archiveInfo.history.append(
                    DatabaseHistoryEntry(
                        id: newID, systemIdentifier: control.systemIdentifier, version: control.version))
                archiveInfo.currentID = newID
                archiveInfo.writerVersion = ProgramVersion.repositoryText
                try await repository.saveArchiveInfo(archiveInfo, stanza: stanza)
            }
            try StanzaIdentity.requireAgreement(archiveInfo, backupInfo, repository: repository, stanza: stanza)
        }
    }

    private func isCurrent(_ entry: DatabaseHistoryEntry, _ control: PostgresControl) -> Bool {
        entry.version == control.version && entry.systemIdentifier == control.systemIdentifier
    }

    // MARK: - Delete

    /// Removes all of the stanza from the one repository that was named. First what makes it a stanza, then the rest.
    package func delete() async throws(BackupError) {
        let configuration = context.configuration
        guard let repository = context.repositories.first else {
            throw BackupError(.optionRequired, "no repository is configured", hint: "set repo1-path")
        }
        if context.repositories.count > 1 || (repository.key != 1 && !configuration.isSet(.repo)) {
            throw BackupError(
                .optionRequired, "stanza-delete needs --repo when more than one repository is configured",
                hint: "name the one to delete from, for example --repo=\(repository.key)")
        }
        guard try StopFile.exists(stanza: stanza, lockPath: configuration.string(.lockPath) ?? "/tmp/pgbackrest") else {
            throw BackupError(
                .fileMissing, "stanza '\(stanza)' is not stopped",
                hint: "run 'stop' for the stanza first: it keeps archiving and backups from running meanwhile")
        }
        if !configuration.bool(.force), let path = configuration.string(.pgPath, configuration.postgresKeys.first),
            try ClusterDirectory.isRunning(path)
        {
            throw BackupError(
                .postgresRunning, "PostgreSQL is running: postmaster.pid is in '\(path)'",
                hint: "stop PostgreSQL, or use --force if its backups are really not needed any more")
        }
        let archivePath = RepositoryPaths.archiveInfo(stanza: stanza)
        let backupPath = RepositoryPaths.backupInfo(stanza: stanza)
        let infos = [
            archivePath, RepositoryPaths.copy(of: archivePath), backupPath, RepositoryPaths.copy(of: backupPath),
        ]
        try await repository.describing { try await repository.store.delete(infos) }
        for label in try await repository.listAll(RepositoryPaths.backup(stanza: stanza)).map(\.name)
        where BackupLabel(label) != nil {
            let manifest = RepositoryPaths.manifest(stanza: stanza, label: label)
            try await repository.describing {
                try await repository.store.delete([manifest, RepositoryPaths.copy(of: manifest)])
            }
        }
        for directory in [RepositoryPaths.backup(stanza: stanza), RepositoryPaths.archive(stanza: stanza)] {
            try await repository.describing { try await repository.store.deleteTree(directory) }
        }
        context.logger.notice("stanza '\(stanza)' was deleted from \(repository.name)")
    }

    // MARK: -

    private func database(_ id: Int, _ control: PostgresControl) -> BackupInfo.Database {
        BackupInfo.Database(
            id: id, systemIdentifier: control.systemIdentifier, version: control.version,
            catalogVersion: control.catalogVersion, controlVersion: control.controlVersion)
    }

    /// Online it is proven that the server runs on that directory.
    private func clusterControl(_ command: Command) throws(BackupError) -> PostgresControl {
        if context.configuration.bool(.online) {
            return try BackupServer.connect(context, command: command).control
        }
        let dataDirectory = try context.dataDirectory()
        let control = try ClusterDirectory.control(dataDirectory)
        try control.requireSupported(in: dataDirectory)
        return control
    }
}
