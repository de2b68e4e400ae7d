package import BackupModel

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

extension PostgresServer {
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
