import Foundation

extension PostgresCluster {
    /// Runs SQL (several statements if need be) through psql and gives all rows, each a list of its columns as text;
    /// NULL is the empty string. Throws at the first error.
    @discardableResult
    package func query(
        _ sql: String, database: String = "postgres", timeout: Duration = .seconds(60)
    ) async throws -> [[String]] {
        let result = try await run(
            "psql", ["-X", "-q", "-t", "--csv", "-v", "ON_ERROR_STOP=1"] + connectionArguments + ["-d", database],
            stdin: sql, timeout: timeout)
        try result.expecting(0)
        return rows(fromCSV: result.stdout)
    }

    /// The first column of the first row; throws when there is none.
    package func value(_ sql: String, database: String = "postgres") async throws -> String {
        guard let value = try await query(sql, database: database).first?.first else {
            throw TestSupportError("no row came of: \(sql)")
        }
        return value
    }

    /// Makes pgbench's tables: about 15 MB for each unit of `scale`.
    package func pgbench(scale: Int) async throws {
        try await run(
            "pgbench", ["-i", "-q", "-s", "\(scale)"] + connectionArguments + ["postgres"], timeout: .seconds(300)
        )
        .expecting(0)
    }

    /// Runs pgbench's own workload against its tables.
    package func pgbench(transactions: Int, clients: Int = 2) async throws {
        let arguments = ["-n", "-t", "\(transactions)", "-c", "\(clients)"]
        try await run("pgbench", arguments + connectionArguments + ["postgres"], timeout: .seconds(300)).expecting(0)
    }

    /// Everything in the cluster as SQL, without what differs from dump to dump: equal text means equal data.
    package func dump() async throws -> String {
        let dump = try await run("pg_dumpall", connectionArguments, timeout: .seconds(300)).expecting(0)
        // These two lines carry a random token, new in each dump.
        return dump.stdout.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("\\restrict ") && !$0.hasPrefix("\\unrestrict ") }
            .joined(separator: "\n")
    }

    /// The number of rows of each user table, by `schema.table`.
    package func rowCounts(database: String = "postgres") async throws -> [String: Int] {
        let tables = try await query(
            """
            SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
            """, database: database
        ).map { $0[0] }
        guard !tables.isEmpty else { return [:] }
        let counts = tables.map { "SELECT \(quoted($0)), count(*) FROM \($0)" }.joined(separator: " UNION ALL ")
        let rows = try await query(counts, database: database)
        return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], Int($0[1]) ?? -1) })
    }

    /// Makes a tablespace in the scratch directory and gives the path of its directory.
    @discardableResult
    package func createTablespace(_ name: String) async throws -> String {
        let directory = try scratch.makeDirectory("tablespace/\(name)")
        try await query("CREATE TABLESPACE \(name) LOCATION \(quoted(directory))")
        return directory
    }

    // MARK: WAL

    /// Sets `archive_command`, and waits until the server has it.
    package func setArchiveCommand(_ command: String) async throws {
        try await query("ALTER SYSTEM SET archive_command = \(quoted(command))")
        try await reload()
    }

    /// Ends the current WAL segment, after something was written to it, and gives its name.
    @discardableResult
    package func switchWAL() async throws -> String {
        // Outside a transaction that has written, a switch of an empty segment does nothing.
        try await query("SELECT pg_create_restore_point('switch')")
        return try await value("SELECT pg_walfile_name(pg_switch_wal())")
    }

    /// Waits until `archive_command` has taken this segment or a later one.
    package func waitForArchived(_ segment: String, timeout: Duration = .seconds(30)) async throws {
        try await waitFor("WAL segment \(segment) to be archived", timeout: timeout) {
            try await value("SELECT coalesce(last_archived_wal >= \(quoted(segment)), false) FROM pg_stat_archiver")
                == "t"
        }
    }

    /// Waits until the server has left recovery.
    package func waitForRecoveryEnd(timeout: Duration = .seconds(60)) async throws {
        try await waitFor("recovery to end", timeout: timeout) {
            try await value("SELECT pg_is_in_recovery()") == "f"
        }
    }

    /// Runs pg_waldump on a segment file, which may lie anywhere.
    package func waldump(_ segmentFile: String, _ arguments: [String] = []) async throws -> ProcessResult {
        try await run("pg_waldump", arguments + [segmentFile])
    }

    // MARK: Referees

    /// What pg_controldata says, by its own labels, such as `Database system identifier`.
    package func pgControlData() async throws -> [String: String] {
        let text = try await run("pg_controldata", ["-D", dataDirectory]).expecting(0).stdout
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[String(line[..<colon])] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return fields
    }

    /// Whether pg_checksums finds every page of the stopped cluster good. Throws when it cannot tell: when the server
    /// runs, or was not shut down in order, or has no checksums.
    package func checksumsOK() async throws -> Bool {
        let result = try await run("pg_checksums", ["--check", "-D", dataDirectory], timeout: .seconds(300))
        if result.status == 0 { return true }
        if result.stderr.contains("checksum verification failed") { return false }
        throw TestSupportError("pg_checksums could not judge: \(result)")
    }

    /// Lets pg_amcheck look at every table and index of the running server; throws what it finds. The server must take
    /// writes, since the extension is installed where it is missing. Does nothing where `installation.hasAmcheck` is false.
    package func amcheck() async throws {
        guard installation.hasAmcheck else { return }
        try await run(
            "pg_amcheck", ["--all", "--install-missing", "--heapallindexed"] + connectionArguments,
            timeout: .seconds(300)
        ).expecting(0)
    }
}

/// The rows of CSV text as psql prints it: quotes doubled inside quoted fields, lines ended by a newline.
private func rows(fromCSV text: String) -> [[String]] {
    var rows: [[String]] = []
    var row: [String] = []
    var field: [UInt8] = []
    var isQuoted = false
    var previous: UInt8 = 0
    for byte in text.utf8 {
        defer { previous = byte }
        switch byte {
        case UInt8(ascii: "\""):
            // A quote that opens right after one that closed stands for one quote.
            if !isQuoted, previous == byte { field.append(byte) }
            isQuoted.toggle()
        case UInt8(ascii: ",") where !isQuoted:
            row.append(String(decoding: field, as: UTF8.self))
            field = []
        case UInt8(ascii: "\n") where !isQuoted:
            rows.append(row + [String(decoding: field, as: UTF8.self)])
            (row, field) = ([], [])
        default:
            field.append(byte)
        }
    }
    return rows
}
