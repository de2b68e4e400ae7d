import Foundation
import PostgresFormats
import TestSupport
import Testing

/// What we find in WAL beside what pg_waldump finds in it.
@Suite(.timeLimit(.minutes(5))) struct TransactionEndsOfServersTests {
    @Test(
        "commits, aborts, what was prepared, other origins, records over segments",
        arguments: PostgresInstallation.majorsToTest)
    func segments(major: Int) async throws {
        let options = ClusterOptions(
            walSegmentSize: 1, settings: ["max_prepared_transactions": "5", "wal_level": "logical", "timezone": "UTC"])
        try await withCluster(major, options: options) { cluster in
            // Each part may begin a transaction of its own; what is random is not compressed.
            let big = "insert into t select string_agg(md5(random()::text), '') from generate_series(1, 20000)"
            for statement in [
                "create table t (x text)", big, "begin; \(big); rollback",
                "begin; insert into t values ('a'); savepoint s; insert into t values ('b'); commit",
                "begin; insert into t values ('c'); prepare transaction 'one'", "commit prepared 'one'",
                "begin; insert into t values ('d'); prepare transaction 'two'", "rollback prepared 'two'",
                "select pg_replication_origin_create('elsewhere')",
                "select pg_replication_origin_session_setup('elsewhere'); insert into t values ('e')",
                "begin; \(big); commit", "select pg_switch_wal()", "checkpoint", "select pg_switch_wal()", big,
                "create table u as select * from t; drop table t", "select pg_switch_wal()",
            ] { try await cluster.query(statement) }
            let directory = "\(cluster.dataDirectory)/pg_wal"
            let current = try await cluster.value("select pg_walfile_name(pg_current_wal_lsn())")
            let names = try FileManager.default.contentsOfDirectory(atPath: directory)
                .filter { $0.utf8.count == 24 && $0 < current }.sorted()
            var found = 0
            for name in names {
                let segment = try #require(WALSegment(name))
                let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/\(name)")))
                var ends = try TransactionEnds(segment, start: bytes.span.bytes)
                _ = ends.read(bytes.span.bytes)
                let wanted = try await dumped("\(directory)/\(name)", cluster)
                #expect(ends.latest == wanted, "\(name)")
                if wanted != nil { found += 1 }
            }
            #expect(names.count >= 5 && found >= 3, "\(found) of \(names.count)")
        }
    }

    /// Microseconds since 1970.
    private func dumped(_ path: String, _ cluster: PostgresCluster) async throws -> Int64? {
        // It says at the end that the segment after this one is not asked for, and tells of records that began in the one before.
        let said = try await cluster.waldump(path, ["-r", "Transaction"]).stdout
        let formatter = ISO8601DateFormatter()
        return try said.split(separator: "\n").compactMap { line -> Int64? in
            guard line.contains("desc: COMMIT") || line.contains("desc: ABORT"),
                let match = line.firstMatch(of: /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)\.(\d{6}) UTC/)
            else { return nil }
            let date = try #require(formatter.date(from: "\(match.1)T\(match.2)Z"))
            let fraction = try #require(Int64(match.3))
            return Int64(date.timeIntervalSince1970) * 1_000_000 + fraction
        }.max()
    }
}
