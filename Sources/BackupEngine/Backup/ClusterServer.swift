package import BackupModel
package import PostgresAccess
package import PostgresFormats
package import RepositoryStorage

/// A running server of the stanza as a backup needs it: on this host, or beside an agent. For one task at a time.
package protocol ClusterServer {
    /// As it was when the session began.
    var facts: ServerFacts { get }
    /// As it was when the session began.
    var control: PostgresControl { get }
    /// Its data directory, for people; of one on another host `HOST:PATH`.
    var place: String { get }
    /// Reads its files; nil: they are on this host.
    var files: (any RemoteFiles)? { get }
    /// What its host's clock is ahead of this one's.
    var clockOffset: Duration { get }

    func isInRecovery() async throws(BackupError) -> Bool
    func currentWALSegment() async throws(BackupError) -> WALSegment
    func switchWAL() async throws(BackupError) -> WALSegment
    /// May take as long as a checkpoint.
    func startBackup(label: String, fast: Bool) async throws(BackupError) -> BackupStart
    func stopBackup() async throws(BackupError) -> BackupStop
    func databases() async throws(BackupError) -> [DatabaseFact]
    func tablespaces() async throws(BackupError) -> [TablespaceFact]
    /// As it is on disk now.
    func readControl() async throws(BackupError) -> PostgresControl
    /// What its data directory holds, as a backup of a running server takes it.
    func scan(tablespaces: [UInt32: String], excludes: [String]) async throws(BackupError) -> ClusterListing
    /// Ends the session, and with it a backup that it began. For one that is used no more.
    func close() async
}

package struct ClusterListing: Sendable {
    package var found: DataDirectoryScan.Result
    /// When that was looked at, seconds since 1970 by the clock that its files have their times from.
    package var start: Int64
    package var end: Int64

    package init(found: DataDirectoryScan.Result, start: Int64, end: Int64) {
        self.found = found
        self.start = start
        self.end = end
    }
}

/// Files of a server on another host. Called from many tasks.
package protocol RemoteFiles: Sendable {
    /// - Parameters:
    ///   - name: in the manifest, `pg_data/PG_VERSION`. pg_control comes as it was at one moment.
    /// - Returns: nil when it is gone.
    func open(_ name: String) async throws(BackupError) -> (any ObjectReader)?
}

/// The servers of a stanza that `pgN-host` says are elsewhere.
package protocol RemoteServers: Sendable {
    /// Asks once what the server is. `key` is the `N`.
    func status(_ key: Int) async throws(BackupError) -> RemoteServerStatus
    /// A session for a backup.
    func open(_ key: Int) async throws(BackupError) -> any ClusterServer
}

package struct RemoteServerStatus: Sendable, Equatable {
    package var isInRecovery: Bool
    package var version: PostgresVersion
    package var systemIdentifier: UInt64
    /// Where, for people: `HOST:PATH`.
    package var place: String

    package init(isInRecovery: Bool, version: PostgresVersion, systemIdentifier: UInt64, place: String) {
        self.isInRecovery = isInRecovery
        self.version = version
        self.systemIdentifier = systemIdentifier
        self.place = place
    }
}

extension ClusterServer {
    /// Throws `.databaseMismatch` when the server was promoted or demoted since the session began.
    package func requireUnchanged() async throws(BackupError) {
        let isInRecovery = try await isInRecovery()
        guard isInRecovery == facts.isInRecovery else {
            throw BackupError(
                .databaseMismatch,
                "the \(isInRecovery ? "primary" : "standby") on '\(place)' became a \(isInRecovery ? "standby" : "primary") during the backup",
                hint: "run the backup again")
        }
    }

    /// Throws unless the server archives its WAL by us (or by pgBackRest, which may share the repository).
    package func requireArchiving(_ configuration: Configuration) throws(BackupError) {
        if facts.archiveMode == "off" {
            throw BackupError(
                .archiveDisabled, "archive_mode is off: without WAL no backup could be made consistent",
                hint: "set archive_mode=on and restart PostgreSQL, or use --no-archive-check and keep the WAL otherwise"
            )
        }
        if facts.archiveMode == "always", configuration.bool(.archiveModeCheck) {
            throw BackupError(
                .featureNotSupported, "archive_mode is 'always', so that primary and standby both archive the same WAL",
                hint: "set archive_mode=on, or --no-archive-mode-check if they archive to different repositories")
        }
        let command = facts.archiveCommand
        guard command.contains("permafrost") || command.contains("pgbackrest") else {
            let stanza = try configuration.requiredStanza()
            throw BackupError(
                .archiveCommandInvalid, "archive_command '\(command)' calls neither permafrost nor pgbackrest",
                hint: "set archive_command = 'permafrost --stanza=\(stanza) archive-push %p'")
        }
    }
}
