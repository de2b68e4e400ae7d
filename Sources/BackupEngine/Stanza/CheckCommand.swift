package import BackupModel
import Logging
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// `check`: proves, by doing it, that WAL travels from PostgreSQL into every repository.
package struct CheckCommand: Sendable {
    let context: EngineContext
    let stanza: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
    }

    package func run() async throws(BackupError) {
        let server = try BackupServer.connect(context, command: .check)
        var archiveIDs: [Int: String] = [:]
        for repository in context.repositories {
            let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
            let backupInfo = try await repository.loadBackupInfo(stanza: stanza)
            try StanzaIdentity.requireMatch(
                server.control, archiveInfo, backupInfo, repository: repository, stanza: stanza)
            archiveIDs[repository.key] = archiveInfo.currentArchiveID
        }
        if server.server.facts.isInRecovery {
            context.logger.notice(
                "the server is a standby: configuration was checked, archiving is checked on the primary")
            return
        }
        guard context.configuration.bool(.archiveCheck) else { return }
        try server.requireArchiving(context.configuration)
        for repository in context.repositories {
            context.logger.notice("check \(repository.name) archive for a new WAL segment")
        }
        let segment = try server.server.switchWAL()
        let timeout = context.configuration.duration(.archiveTimeout) ?? .seconds(60)
        for repository in context.repositories {
            guard let archiveID = archiveIDs[repository.key] else { continue }
            let found = try await repository.waitForSegment(
                segment, archiveID: archiveID, stanza: stanza, timeout: timeout)
            context.logger.notice(
                "WAL segment \(segment) successfully archived to '\(found.name)' on \(repository.name)")
        }
    }
}
