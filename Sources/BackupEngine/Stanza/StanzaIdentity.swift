package import BackupModel
package import PostgresFormats
package import RepositoryFormats

/// Whether a repository belongs to a cluster.
package enum StanzaIdentity {
    /// Throws `.backupMismatch` unless `control` is the current database of both info files.
    package static func requireMatch(
        _ control: PostgresControl, _ archiveInfo: ArchiveInfo, _ backupInfo: BackupInfo, repository: Repository,
        stanza: String
    ) throws(BackupError) {
        let current = archiveInfo.current
        guard current.version == control.version, current.systemIdentifier == control.systemIdentifier else {
            throw mismatch(
                control, version: current.version, systemIdentifier: current.systemIdentifier, "archive.info",
                repository, stanza)
        }
        let database = backupInfo.current
        guard database.version == control.version, database.systemIdentifier == control.systemIdentifier else {
            throw mismatch(
                control, version: database.version, systemIdentifier: database.systemIdentifier, "backup.info",
                repository, stanza)
        }
        guard current.id == database.id else {
            throw BackupError(
                .fileInvalid,
                "\(repository.name): archive.info and backup.info of stanza '\(stanza)' disagree: current database \(current.id) and \(database.id)",
                hint: "run 'stanza-upgrade'; if it fails too, the info files come from different stanzas")
        }
    }

    private static func mismatch(
        _ control: PostgresControl, version: PostgresVersion, systemIdentifier: UInt64, _ file: String,
        _ repository: Repository, _ stanza: String
    ) -> BackupError {
        BackupError(
            .backupMismatch,
            "the cluster is PostgreSQL \(control.version) with system id \(control.systemIdentifier), but \(repository.name) has version \(version) and system id \(systemIdentifier) in \(file) of stanza '\(stanza)'",
            hint: "is this the right stanza? After an upgrade of PostgreSQL run 'stanza-upgrade'")
    }

    /// Throws `.fileInvalid` when the two files do not list the same databases.
    package static func requireAgreement(
        _ archiveInfo: ArchiveInfo, _ backupInfo: BackupInfo, repository: Repository, stanza: String
    ) throws(BackupError) {
        let archive = archiveInfo.history
        let backup = backupInfo.history.map {
            DatabaseHistoryEntry(id: $0.id, systemIdentifier: $0.systemIdentifier, version: $0.version)
        }
        guard archive == backup, archiveInfo.currentID == backupInfo.currentID else {
            throw BackupError(
                .fileInvalid,
                "\(repository.name): archive.info and backup.info of stanza '\(stanza)' do not list the same databases",
                hint: "one of them was restored or replaced by hand; bring back the pair that belongs together")
        }
    }
}
