package import BackupModel
package import PostgresFormats

/// How a server is set up to archive its WAL, as far as it tells.
package struct ArchivingSettings: Sendable, Equatable {
    /// `off`, `on` or `always`.
    package var archiveMode: String
    package var archiveCommand: String
    /// Empty where there is none, and before PostgreSQL 15.
    package var archiveLibrary: String
    /// `minimal`, `replica` or `logical`.
    package var walLevel: String
    /// Seconds; 0: a segment is archived only when it is full.
    package var archiveTimeout: Int64

    package init(
        archiveMode: String, archiveCommand: String, archiveLibrary: String = "", walLevel: String = "replica",
        archiveTimeout: Int64 = 60
    ) {
        self.archiveMode = archiveMode
        self.archiveCommand = archiveCommand
        self.archiveLibrary = archiveLibrary
        self.walLevel = walLevel
        self.archiveTimeout = archiveTimeout
    }
}

/// `pg_stat_archiver`.
package struct ArchiverStatus: Sendable, Equatable {
    package var failedCount: Int64
    package var lastFailedFile: String?
    /// As the server writes it.
    package var lastFailedTime: String?
    /// Whether nothing has been archived since the last failure.
    package var isFailing: Bool
}

/// What the archiver has done since its statistics were reset.
package struct ArchiverCounts: Sendable, Equatable {
    package var archived: Int64
    package var failed: Int64
    package var lastArchived: File?
    package var lastFailed: File?
    /// Whether nothing has been archived since the last failure.
    package var hasFailedLast: Bool

    package struct File: Sendable, Equatable {
        package var name: String
        /// Seconds since 1970.
        package var time: Int64

        package init(name: String, time: Int64) {
            self.name = name
            self.time = time
        }
    }

    package init(archived: Int64, failed: Int64, lastArchived: File?, lastFailed: File?, hasFailedLast: Bool) {
        self.archived = archived
        self.failed = failed
        self.lastArchived = lastArchived
        self.lastFailed = lastFailed
        self.hasFailedLast = hasFailedLast
    }
}

/// Where a server is, and since when it runs.
package struct ServerActivity: Sendable, Equatable {
    /// What is written, or on a standby replayed.
    package var lsn: LSN
    /// Seconds since 1970.
    package var started: Int64
}

extension PostgresServer {
    package func activity() throws(BackupError) -> ServerActivity {
        var row = try Row(
            connection,
            "select coalesce(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()"
                + " else pg_catalog.pg_current_wal_lsn() end, '0/0')::text,"
                + " extract(epoch from pg_catalog.pg_postmaster_start_time())::pg_catalog.int8")
        let lsn = try row.lsn()
        return ServerActivity(lsn: lsn, started: try row.integer())
    }

    package func archiverCounts() throws(BackupError) -> ArchiverCounts {
        func seconds(_ column: String) -> String { "coalesce(extract(epoch from \(column))::pg_catalog.int8, 0)" }
        var row = try Row(
            connection,
            "select archived_count, failed_count, coalesce(last_archived_wal, ''), \(seconds("last_archived_time")),"
                + " coalesce(last_failed_wal, ''), \(seconds("last_failed_time")),"
                + " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)"
                + " from pg_catalog.pg_stat_archiver")
        let archived: Int64 = try row.integer()
        let failed: Int64 = try row.integer()
        func file() throws(BackupError) -> ArchiverCounts.File? {
            let name = try row.text()
            let time: Int64 = try row.integer()
            return name.isEmpty ? nil : ArchiverCounts.File(name: name, time: time)
        }
        let lastArchived = try file()
        let lastFailed = try file()
        return ArchiverCounts(
            archived: archived, failed: failed, lastArchived: lastArchived, lastFailed: lastFailed,
            hasFailedLast: try row.bool())
    }

    package func archivingSettings() throws(BackupError) -> ArchivingSettings {
        func setting(_ name: String) -> String {
            "coalesce((select setting from pg_catalog.pg_settings where name = '\(name)'), '')"
        }
        let names = ["archive_mode", "archive_command", "archive_library", "wal_level", "archive_timeout"]
        var row = try Row(connection, "select " + names.map(setting).joined(separator: ", "))
        let mode = try row.text()
        let command = try row.text()
        let library = try row.text()
        return ArchivingSettings(
            archiveMode: mode, archiveCommand: command, archiveLibrary: library, walLevel: try row.text(),
            archiveTimeout: try row.integer())
    }

    package func archiverStatus() throws(BackupError) -> ArchiverStatus {
        var row = try Row(
            connection,
            "select failed_count, coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)::text"
                + ", coalesce(last_failed_wal, ''), coalesce(last_failed_time::timestamp(0)::text, '')"
                + " from pg_catalog.pg_stat_archiver")
        let count: Int64 = try row.integer()
        let isFailing = try row.text() == "true"
        let file = try row.text()
        let time = try row.text()
        return ArchiverStatus(
            failedCount: count, lastFailedFile: file.isEmpty ? nil : file, lastFailedTime: time.isEmpty ? nil : time,
            isFailing: isFailing)
    }
}
