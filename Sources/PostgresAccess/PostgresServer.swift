package import BackupModel
package import PostgresFormats

/// What a server says about itself, once per session.
package struct ServerFacts: Sendable, Equatable {
    /// `server_version_num`, minor version included: 150018.
    package var versionNumber: Int
    /// The major version.
    package var version: PostgresVersion
    package var dataDirectory: String
    /// `off`, `on` or `always`.
    package var archiveMode: String
    package var archiveCommand: String
    package var checkpointTimeout: Duration
    package var isInRecovery: Bool
    /// Bytes.
    package var walSegmentSize: UInt64

    package init(
        versionNumber: Int, version: PostgresVersion, dataDirectory: String, archiveMode: String,
        archiveCommand: String, checkpointTimeout: Duration, isInRecovery: Bool, walSegmentSize: UInt64
    ) {
        self.versionNumber = versionNumber
        self.version = version
        self.dataDirectory = dataDirectory
        self.archiveMode = archiveMode
        self.archiveCommand = archiveCommand
        self.checkpointTimeout = checkpointTimeout
        self.isInRecovery = isInRecovery
        self.walSegmentSize = walSegmentSize
    }
}

/// Where a backup began.
package struct BackupStart: Sendable, Equatable {
    package var lsn: LSN
    package var segment: WALSegment
    package var timeline: UInt32 { segment.timeline }

    package init(lsn: LSN, segment: WALSegment) {
        self.lsn = lsn
        self.segment = segment
    }
}

/// Where a backup ended, and what its restore needs.
package struct BackupStop: Sendable, Equatable {
    package var lsn: LSN
    /// The last segment that the backup needs.
    package var segment: WALSegment
    package var timeline: UInt32 { segment.timeline }
    /// The content of the file `backup_label`.
    package var backupLabel: String
    /// The content of the file `tablespace_map`; nil when the cluster has no tablespaces.
    package var tablespaceMap: String?

    package init(lsn: LSN, segment: WALSegment, backupLabel: String, tablespaceMap: String?) {
        self.lsn = lsn
        self.segment = segment
        self.backupLabel = backupLabel
        self.tablespaceMap = tablespaceMap
    }
}

/// A database of the cluster, as backup manifests list it.
package struct DatabaseFact: Sendable, Equatable {
    package var name: String
    package var oid: UInt32
    /// The oid of template0: what a manifest calls the last system id.
    package var lastSystemOID: UInt32

    package init(name: String, oid: UInt32, lastSystemOID: UInt32) {
        self.name = name
        self.oid = oid
        self.lastSystemOID = lastSystemOID
    }
}

package struct TablespaceFact: Sendable, Equatable {
    package var oid: UInt32
    package var name: String

    package init(oid: UInt32, name: String) {
        self.oid = oid
        self.name = name
    }
}

/// A running server and what a backup asks of it. Blocking, and for one task at a time, as its connection is.
///
/// Every method throws `.databaseQuery` when the server refuses; if for lack of rights, the hint has the GRANTs.
package struct PostgresServer {
    package let connection: PostgresConnection
    package let facts: ServerFacts

    /// Throws `.databaseConnect`, or `.databaseQuery` when the role may not read the settings.
    /// - Parameter connectTimeout: how long connecting may take; nil: `timeout`.
    package init(
        _ address: PostgresAddress, applicationName: String, timeout: Duration, connectTimeout: Duration? = nil
    ) throws(BackupError) {
        try self.init(
            PostgresConnection(
                address, applicationName: applicationName, timeout: timeout, connectTimeout: connectTimeout))
    }

    package init(_ connection: PostgresConnection) throws(BackupError) {
        self.connection = connection
        let names = ["data_directory", "archive_mode", "archive_command", "checkpoint_timeout", "wal_segment_size"]
        // A row that the role may not see is missing, and so NULL.
        let columns = names.map { "(select setting from pg_catalog.pg_settings where name = '\($0)')" }
        var row = try Row(
            connection, "select " + columns.joined(separator: ", ") + ", pg_catalog.pg_is_in_recovery()")
        guard !row.values.contains(nil) else {
            let missing = zip(names, row.values).filter { $0.1 == nil }.map(\.0)
            throw BackupError(
                .databaseQuery,
                "role '\(connection.user)' may not read the settings \(missing.joined(separator: ", "))",
                hint: PostgresHint.grants(
                    user: connection.user, versionNumber: connection.serverVersionNumber))
        }
        let version = PostgresVersion(serverVersionNumber: connection.serverVersionNumber)
        let dataDirectory = try row.text()
        let archiveMode = try row.text()
        let archiveCommand = try row.text()
        let checkpointTimeout: Int64 = try row.integer()
        let segmentSize: UInt64 = try row.integer()
        facts = ServerFacts(
            versionNumber: connection.serverVersionNumber, version: version, dataDirectory: dataDirectory,
            archiveMode: archiveMode, archiveCommand: archiveCommand, checkpointTimeout: .seconds(checkpointTimeout),
            isInRecovery: try row.bool(),
            // In 8 kB blocks before 11.
            walSegmentSize: connection.serverVersionNumber >= 110000
                ? segmentSize : segmentSize.multipliedReportingOverflow(by: 8192).partialValue)
    }

    // MARK: - Backup

    /// Begins a non-exclusive backup and waits for its checkpoint: at once with `fast`, else the next one, which can
    /// take `checkpointTimeout`. The server ends it when the session ends.
    package func startBackup(label: String, fast: Bool) throws(BackupError) -> BackupStart {
        let call =
            facts.versionNumber >= 150000
            ? "pg_catalog.pg_backup_start($1, \(fast))" : "pg_catalog.pg_start_backup($1, \(fast), false)"
        var row = try Row(
            connection, "select lsn::text, pg_catalog.pg_walfile_name(lsn) from \(call) as lsn", [label])
        return BackupStart(lsn: try row.lsn(), segment: try row.segment())
    }

    /// Ends the backup that this session began. Does not wait for the WAL to be archived.
    package func stopBackup() throws(BackupError) -> BackupStop {
        let call =
            facts.versionNumber >= 150000
            ? "pg_catalog.pg_backup_stop(false)" : "pg_catalog.pg_stop_backup(false, false)"
        var row = try Row(
            connection,
            "select lsn::text, pg_catalog.pg_walfile_name(lsn), labelfile, coalesce(spcmapfile, '') from \(call)")
        let lsn = try row.lsn()
        let segment = segment(endingAt: lsn, timeline: try row.segment().timeline)
        let label = try row.text()
        let map = try row.text()
        return BackupStop(
            lsn: lsn, segment: segment, backupLabel: label,
            tablespaceMap: map.allSatisfy(\.isWhitespace) ? nil : map)
    }

    // MARK: - WAL

    /// The segment that is being written. Not on a standby.
    package func currentWALSegment() throws(BackupError) -> WALSegment {
        var row = try Row(connection, "select pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())")
        return try row.segment()
    }

    /// Where the next WAL record goes. Not on a standby.
    package func currentInsertLSN() throws(BackupError) -> LSN {
        var row = try Row(connection, "select pg_catalog.pg_current_wal_insert_lsn()::text")
        return try row.lsn()
    }

    /// Writes a restore point called `name`; the position after it. Not on a standby.
    @discardableResult
    package func createRestorePoint(_ name: String) throws(BackupError) -> LSN {
        var row = try Row(connection, "select pg_catalog.pg_create_restore_point($1)::text", [name])
        return try row.lsn()
    }

    /// Makes the server finish a segment, which it then archives, and tells which. Not on a standby.
    ///
    /// A restore point is written first: the server does not switch away from a segment that has no record.
    package func switchWAL() throws(BackupError) -> WALSegment {
        var row = try Row(
            connection,
            "select lsn::text, pg_catalog.pg_walfile_name(lsn) from pg_catalog.pg_create_restore_point($1) as lsn",
            ["Permafrost Archive Check"])
        let lsn = try row.lsn()
        let timeline = try row.segment().timeline
        try connection.query("select pg_catalog.pg_switch_wal()::text")
        return segment(endingAt: lsn, timeline: timeline)
    }

    /// How far a standby has replayed; nil on a primary.
    package func replayLSN() throws(BackupError) -> LSN? {
        var row = try Row(connection, "select pg_catalog.pg_last_wal_replay_lsn()::text")
        return row.isNull ? nil : try row.lsn()
    }

    /// Runs CHECKPOINT (on a standby, a restart point), which can take minutes.
    package func checkpoint() throws(BackupError) { try connection.query("checkpoint") }

    /// The timeline that is written, or on a standby that of its last restart point.
    package func timeline() throws(BackupError) -> UInt32 {
        if try !isInRecovery() { return try currentWALSegment().timeline }
        var row = try Row(connection, "select timeline_id from pg_catalog.pg_control_checkpoint()")
        return try row.integer()
    }

    // MARK: - Cluster

    /// As it is now; `facts` has it as it was when the session began.
    package func isInRecovery() throws(BackupError) -> Bool {
        var row = try Row(connection, "select pg_catalog.pg_is_in_recovery()")
        return try row.bool()
    }

    /// By name, byte order.
    package func databases() throws(BackupError) -> [DatabaseFact] {
        try rows(
            "select oid, datname, (select oid from pg_catalog.pg_database where datname = 'template0')"
                + " from pg_catalog.pg_database order by datname collate \"C\""
        ) { (row: inout Row) throws(BackupError) in
            let oid: UInt32 = try row.integer()
            return DatabaseFact(name: try row.text(), oid: oid, lastSystemOID: try row.integer())
        }
    }

    /// All, pg_default and pg_global included, by oid.
    package func tablespaces() throws(BackupError) -> [TablespaceFact] {
        try rows("select oid, spcname from pg_catalog.pg_tablespace order by oid") {
            (row: inout Row) throws(BackupError) in
            TablespaceFact(oid: try row.integer(), name: try row.text())
        }
    }

    /// The server's clock, microseconds since 1970.
    package func currentTime() throws(BackupError) -> Int64 {
        var row = try Row(
            connection, "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8")
        return try row.integer()
    }

    private func rows<Value>(
        _ statement: String, _ value: (inout Row) throws(BackupError) -> Value
    ) throws(BackupError) -> [Value] {
        var values: [Value] = []
        for texts in try connection.query(statement) {
            var row = Row(values: texts, statement: statement)
            values.append(try value(&row))
        }
        return values
    }

    /// The segment with the last byte before `lsn`. pg_walfile_name differs between versions when `lsn` is the first
    /// byte of a segment.
    private func segment(endingAt lsn: LSN, timeline: UInt32) -> WALSegment {
        WALSegment(
            timeline: timeline, containing: LSN(rawValue: lsn.rawValue > 0 ? lsn.rawValue - 1 : 0),
            segmentSize: facts.walSegmentSize)
    }
}
