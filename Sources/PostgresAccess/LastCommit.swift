package import BackupModel

/// The last transaction that a server has committed, if it tracks them.
package struct LastCommit: Sendable, Equatable {
    /// Microseconds since 1970.
    package var time: Int64
    /// Name of a segment of WAL: the record of the commit is in it, or in one before.
    package var segment: String

    package init(time: Int64, segment: String) {
        self.time = time
        self.segment = segment
    }
}

extension PostgresServer {
    /// Of a primary. Reads memory of the server alone.
    /// - Returns: nil when it does not track commits, or has committed nothing since it was started.
    package func lastCommit() throws(BackupError) -> LastCommit? {
        // The place in WAL is asked for after the commit.
        var row = try Row(
            connection,
            "select time, pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) from"
                + " (select coalesce(case when pg_catalog.current_setting('track_commit_timestamp') = 'on' then"
                + " (select (extract(epoch from \"timestamp\") * 1000000)::pg_catalog.int8"
                + " from pg_catalog.pg_last_committed_xact()) end, 0) as time offset 0) as last")
        let time: Int64 = try row.integer()
        let segment = try row.text()
        return time == 0 ? nil : LastCommit(time: time, segment: segment)
    }
}
