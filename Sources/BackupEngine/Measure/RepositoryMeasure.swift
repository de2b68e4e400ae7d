package import BackupModel
import PostgresFormats
import RepositoryFormats

/// What of a stanza in one repository is to be watched: from its info files and listings, without reading a backup.
package struct RepositoryMeasure: Sendable {
    /// The `N` of `repoN-…`.
    package var key: Int
    /// Why nothing can be told of it.
    package var failure: BackupError?
    /// When the last backup of each type ended, in seconds since 1970.
    package var lastBackups: [BackupType: Int64] = [:]
    /// Stored bytes of backups and WAL.
    package var bytes: UInt64 = 0
    /// The earliest moment that can be recovered to: the end of a backup whose WAL is there, in seconds since 1970.
    package var firstRestorable: Int64?
    /// When the last segment was stored that recovery reaches: no commit in it is later.
    package var lastRestorable: Int64?
    /// Places where WAL behind the start of the newest backup is missing.
    package var gaps = 0

    init(key: Int) { self.key = key }

    /// - Parameter now: seconds since 1970.
    package static func take(_ repository: Repository, stanza: String, now: Int64) async -> RepositoryMeasure {
        var measure = RepositoryMeasure(key: repository.key)
        do {
            try await measure.fill(repository, stanza, now)
        } catch {
            measure = RepositoryMeasure(key: repository.key)
            measure.failure = BackupError(error)
        }
        return measure
    }

    private mutating func fill(_ repository: Repository, _ stanza: String, _ now: Int64) async throws {
        let info = try await repository.loadBackupInfo(stanza: stanza)
        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        for entry in info.backups {
            lastBackups[entry.type] = max(lastBackups[entry.type] ?? 0, entry.timestampStop)
            bytes += entry.repoSizeDelta
        }
        for database in archiveInfo.history {
            let archiveID = RepositoryPaths.archiveID(version: database.version, historyID: database.id)
            let inventory = try await ArchiveInventory.load(
                repository, stanza: stanza, archiveID: archiveID, cipherPass: archiveInfo.cipherPass)
            bytes += inventory.directories.reduce(0) { $0 + $1.bytes }
            let starts = info.backups.filter { entry in
                info.history.contains {
                    $0.id == entry.databaseID && $0.systemIdentifier == database.systemIdentifier
                        && $0.version == database.version
                }
            }.compactMap { RecoveryStart($0) }
            if let newest = starts.map(\.start).max(by: { ($0.log, $0.number) < ($1.log, $1.number) }) {
                gaps += inventory.segments.lost(since: newest, now: now).count
            }
            for window in RecoveryWindow.windows(
                archiveID: archiveID, segments: inventory.segments, histories: inventory.histories, starts: starts)
            {
                firstRestorable = min(firstRestorable ?? .max, window.startTime)
                let last = inventory.segments.range(holding: window.lastSegment)?.lastModified ?? 0
                // A clock of another host may be behind: no backup is restorable before its own end.
                lastRestorable = max(lastRestorable ?? 0, last, window.startTime)
            }
        }
    }
}
