package import BackupModel
package import RepositoryFormats
import RepositoryStorage

/// How a stanza stands in one repository: backups, WAL, and who writes there now.
package struct RepositoryStatus: Sendable {
    /// The WAL of one database.
    package struct Archive: Sendable, Equatable {
        /// `17-1`
        package var id: String
        /// Names of the first and the last segment; nil when there is none.
        package var first: String?
        package var last: String?
    }

    /// Who holds the repository's lock of the stanza.
    package struct Lock: Sendable, Equatable {
        package var host: String
        package var processID: Int32
        /// Seconds since 1970: until then, unless it is renewed.
        package var expires: Int64
    }

    /// Why nothing can be told of it.
    package var failure: BackupError?
    /// As `info` has them: 0 and `ok`.
    package var code = 0
    package var message = "ok"
    /// By label.
    package var backups: [BackupInfoEntry] = []
    package var archives: [Archive] = []
    package var lock: Lock?

    /// Stored bytes of all backups, without WAL.
    package var size: UInt64 {
        backups.reduce(0) { sum, backup in
            let (sum, overflow) = sum.addingReportingOverflow(backup.repoSizeDelta)
            return overflow ? .max : sum
        }
    }

    package init() {}

    package init(failure: BackupError) { self.failure = failure }

    /// Looks at the repository: two info files, the lock, and the listings at the ends of the archive.
    /// - Parameter now: seconds since 1970.
    package static func take(_ repository: Repository, stanza: String, now: Int64) async -> RepositoryStatus {
        do {
            return try await look(repository, stanza, now)
        } catch {
            return RepositoryStatus(failure: BackupError(error))
        }
    }

    private static func look(_ repository: Repository, _ stanza: String, _ now: Int64) async throws -> RepositoryStatus
    {
        // First without its copy: of what is wrong with the repository it is enough to say so once.
        _ = try await repository.readWhole(RepositoryPaths.backupInfo(stanza: stanza))
        var state = InfoReport.RepositoryState(key: repository.key, cipher: "", status: .ok)
        try await RepositoryLook(repository: repository, stanza: stanza).fill(&state)
        if state.status == .missingStanzaData {
            // A missing file may also be a missing bucket, or one that may not be listed.
            let entries = try await repository.listAll("backup")
            let isThere = entries.contains { $0.kind == .directory && $0.name == stanza }
            state.status = isThere ? .missingStanzaData : .missingStanzaPath
        }
        var status = RepositoryStatus()
        status.code = state.status.rawValue
        status.message = state.status.message
        status.backups = state.backups.map(\.entry)
        status.archives = state.archives.map { Archive(id: $0.archiveID, first: $0.first, last: $0.last) }
        status.lock = await lock(repository, stanza, now)
        return status
    }

    /// nil also where it cannot be told: only commands that want it need to know why.
    private static func lock(_ repository: Repository, _ stanza: String, _ now: Int64) async -> Lock? {
        let slot = StanzaLockSlot(repository: repository, stanza: stanza, now: { now })
        guard let body = try? await slot.read(), body.expires > now, !ProcessIdentity.current().knowsGone(body.process)
        else { return nil }
        return Lock(host: body.process.host, processID: body.process.processID, expires: body.expires)
    }
}
