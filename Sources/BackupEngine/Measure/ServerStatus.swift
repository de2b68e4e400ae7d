package import BackupModel
package import PostgresAccess
import PostgresFormats

/// The server of a stanza on this host, as it is now.
package struct ServerStatus: Sendable {
    package var isInRecovery: Bool
    /// The major version.
    package var version: String
    package var systemIdentifier: UInt64
    package var timeline: UInt32
    /// Where WAL is written, or on a standby replayed.
    package var lsn: String
    /// Seconds since 1970.
    package var started: Int64
    /// nil on a standby, which archives nothing.
    package var archiving: Archiving?

    package struct Archiving: Sendable {
        /// `off`, `on` or `always`.
        package var mode: String
        /// Whether there is a command or a library that archives.
        package var isCommandSet: Bool
        package var counts: ArchiverCounts
        /// nil where commits are not tracked.
        package var lastCommit: LastCommit?

        package init(mode: String, isCommandSet: Bool, counts: ArchiverCounts, lastCommit: LastCommit? = nil) {
            self.mode = mode
            self.isCommandSet = isCommandSet
            self.counts = counts
            self.lastCommit = lastCommit
        }
    }

    package init(
        isInRecovery: Bool, version: String, systemIdentifier: UInt64, timeline: UInt32, lsn: String, started: Int64,
        archiving: Archiving? = nil
    ) {
        self.isInRecovery = isInRecovery
        self.version = version
        self.systemIdentifier = systemIdentifier
        self.timeline = timeline
        self.lsn = lsn
        self.started = started
        self.archiving = archiving
    }

    /// Connects, asks and hangs up. Blocking, as long as `db-timeout` and `io-timeout` say.
    package static func take(_ configuration: Configuration) throws(BackupError) -> ServerStatus {
        guard let found = try BackupServer.connectAny(configuration, command: configuration.command).server else {
            throw BackupError(
                .optionRequired, "there is no server of the stanza on this host: every pgN-host names another",
                hint: "let a pgN-path without pgN-host name its data directory")
        }
        defer { found.close() }
        let activity = try found.server.activity()
        var status = ServerStatus(
            isInRecovery: found.facts.isInRecovery, version: found.control.version.description,
            systemIdentifier: found.control.systemIdentifier, timeline: try found.server.timeline(),
            lsn: activity.lsn.description, started: activity.started)
        if !found.facts.isInRecovery {
            let settings = try found.server.archivingSettings()
            let isSet = !settings.archiveLibrary.isEmpty || !settings.archiveCommand.allSatisfy(\.isWhitespace)
            status.archiving = Archiving(
                mode: settings.archiveMode, isCommandSet: isSet, counts: try found.server.archiverCounts(),
                lastCommit: try found.server.lastCommit())
        }
        return status
    }
}
