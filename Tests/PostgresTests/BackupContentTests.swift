import Foundation
import Glibc
import TestSupport
import Testing

extension BackingUp {
    /// What of a data directory a backup holds, and what it says of damage.
    @Suite(.timeLimit(.minutes(10))) struct Contents {
        @Test("tablespaces and links", arguments: Majors.rows(2))
        func tablespacesAndLinks(major: Int) async throws {
            let moveOut: (PostgresCluster) async throws -> Void = { cluster in
                try await cluster.stop()
                let data = cluster.dataDirectory
                for name in ["pg_wal", "postgresql.conf"] {
                    try FileManager.default.moveItem(atPath: "\(data)/\(name)", toPath: cluster.scratch.subpath(name))
                    try await asServerUser("ln", ["-s", cluster.scratch.subpath(name), "\(data)/\(name)"])
                }
                try await cluster.start()
            }
            try await withSite(major, prepare: moveOut) { site in
                let (cluster, data) = (site.cluster, site.cluster.dataDirectory)
                let directory = try await cluster.createTablespace("aside")
                try await cluster.query("CREATE TABLE far TABLESPACE aside AS SELECT generate_series(1, 500) AS i")
                let oid = try await cluster.value("SELECT oid FROM pg_tablespace WHERE spcname = 'aside'")
                let label = try await site.backup()
                let manifest = try site.manifest(label)
                let target = try JSON.object(Array((manifest.value("backup:target", "pg_tblspc/\(oid)") ?? "").utf8))
                #expect(
                    target as? [String: String] == [
                        "path": directory, "tablespace-id": oid, "tablespace-name": "aside", "type": "link",
                    ])
                #expect(
                    manifest.value("backup:target", "pg_data/postgresql.conf")
                        == #"{"file":"postgresql.conf","path":"\#(site.scratch.path)","type":"link"}"#)
                #expect(
                    manifest.value("target:link", "pg_data/pg_wal")
                        == #"{"destination":"\#(site.scratch.subpath("pg_wal"))"}"#)
                #expect(manifest.files.contains { $0.hasPrefix("pg_tblspc/\(oid)/PG_\(major)_") })

                let map = ["--tablespace-map=aside=\(site.scratch.subpath("aside2"))"]
                let options = ["--archive-mode=off", "--target-action=promote", "--type=immediate"]
                // Without link-all, links become what they led to.
                let plain = try await site.restoreAndPromote(to: "plain", map + options)
                #expect(try status("\(plain.dataDirectory)/pg_wal").kind == S_IFDIR)
                #expect(try status("\(plain.dataDirectory)/postgresql.conf").kind == S_IFREG)
                #expect(try await plain.value("SELECT count(*) FROM far") == "500")
                #expect(
                    try FileManager.default.destinationOfSymbolicLink(atPath: "\(plain.dataDirectory)/pg_tblspc/\(oid)")
                        == site.scratch.subpath("aside2"))

                // Each in a place of its own.
                let mapped = try await site.restoreAndPromote(
                    to: "mapped",
                    options + [
                        "--tablespace-map-all=\(site.scratch.subpath("all"))",
                        "--link-map=pg_wal=\(site.scratch.subpath("wal3"))",
                        "--link-map=postgresql.conf=\(site.scratch.subpath("etc3/main.conf"))",
                    ])
                #expect(
                    try FileManager.default.destinationOfSymbolicLink(atPath: "\(mapped.dataDirectory)/postgresql.conf")
                        == site.scratch.subpath("etc3/main.conf"))
                #expect(exists(site.scratch.subpath("wal3/archive_status")))
                #expect(exists(site.scratch.subpath("all/aside")))
                #expect(try await mapped.value("SELECT sum(i) FROM far") == "125250")

                // In place, links and all.
                try await cluster.stop()
                for path in [data, directory, site.scratch.subpath("pg_wal")] {
                    try FileManager.default.removeItem(atPath: path)
                    try await asServerUser("mkdir", ["-m", "0700", path])
                }
                try await site.tool.run("restore", ["--link-all"], expecting: 93)
                try FileManager.default.removeItem(atPath: site.scratch.subpath("postgresql.conf"))
                try await site.tool.run("restore", ["--link-all"])
                #expect(
                    try FileManager.default.destinationOfSymbolicLink(atPath: "\(data)/pg_wal")
                        == site.scratch.subpath("pg_wal"))
                try await cluster.start()
                try await cluster.waitForRecoveryEnd()
                #expect(try await cluster.value("SELECT count(*) FROM far") == "500")
            }
        }

        @Test("unlogged, temporary and excluded files are left out", arguments: Majors.rows(0))
        func leftOut(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await cluster.query(
                    """
                    CREATE UNLOGGED TABLE fleeting AS SELECT generate_series(1, 1000) AS i;
                    CREATE INDEX ON fleeting (i);
                    CREATE TABLE lasting AS SELECT generate_series(1, 1000) AS i
                    """)
                let session = try ProcessRunner.start(
                    cluster.installation.program("psql"),
                    ["-X", "-c", "CREATE TEMP TABLE brief AS SELECT 1 AS i", "-c", "SELECT pg_sleep(60)"]
                        + cluster.connectionArguments + ["postgres"], asUser: ProcessRunner.serverUser)
                defer { session.signal(SIGKILL) }
                try await waitFor("the temporary table") {
                    try await cluster.value("SELECT count(*) FROM pg_class WHERE relname = 'brief'") == "1"
                }
                let paths = try await cluster.query(
                    "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname IN ('fleeting', 'lasting', 'brief')"
                )
                let path = Dictionary(uniqueKeysWithValues: paths.map { ($0[0], "pg_data/\($0[1])") })
                let data = cluster.dataDirectory
                for name in ["notes/kept", "notes/dropped/a", "emptied/b", "single", "base/pgsql_tmp/pgsql_tmp1.1"] {
                    try await asServerUser("install", ["-D", "-m", "0600", "/etc/hostname", "\(data)/\(name)"])
                }

                let label = try await site.backup(
                    ["--exclude=notes/dropped", "--exclude=emptied/", "--exclude=single"])
                let manifest = try site.manifest(label)
                let files = Set(manifest.files)
                let named = { (name: String) throws in try #require(path[name]) }
                #expect(try files.contains(named("lasting")))
                #expect(try !files.contains(named("fleeting")))
                #expect(try files.contains("\(named("fleeting"))_init"))
                #expect(try !files.contains(named("brief")))
                for name in [
                    "postmaster.pid", "postmaster.opts", "global/pg_internal.init", "single", "notes/dropped/a",
                    "emptied/b", "base/pgsql_tmp/pgsql_tmp1.1",
                ] {
                    #expect(!files.contains("pg_data/\(name)"), "\(name)")
                }
                #expect(files.contains("pg_data/notes/kept"))
                let directories = Set(manifest.section("target:path").map(\.key))
                #expect(directories.contains("pg_data/emptied"))
                #expect(!directories.contains("pg_data/notes/dropped"))
                #expect(directories.contains("pg_data/pg_replslot"))
                #expect(directories.contains("pg_data/pg_wal/archive_status"))
                for directory in [
                    "pg_wal", "pg_stat_tmp", "pg_subtrans", "pg_notify", "pg_serial", "pg_snapshots", "pg_dynshmem",
                ] {
                    #expect(!files.contains { $0.hasPrefix("pg_data/\(directory)/") }, "\(directory)")
                }
                try await site.archive()

                let restored = try await site.restoreAndPromote(to: "restored")
                #expect(
                    try await restored.query("SELECT count(*) FROM lasting; SELECT count(*) FROM fleeting") == [
                        ["1000"], ["0"],
                    ])
                #expect(exists("\(restored.dataDirectory)/emptied"))
                #expect(!exists("\(restored.dataDirectory)/single"))
                try await restored.amcheck()
            }
        }

        @Test("damaged pages are told and do not fail the backup", arguments: Majors.rows(1))
        func damagedPages(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await cluster.query("CREATE TABLE t AS SELECT generate_series(1, 5000) AS i; CHECKPOINT")
                let relation = try await cluster.value("SELECT pg_relation_filepath('t')")
                let clean = try await site.backup()
                #expect(try await site.refereeInfo(clean)["error"] as? Bool == false)
                #expect(try site.manifest(clean).file("pg_data/\(relation)")["checksum-page"] as? Bool == true)

                // Pages 3, 5 and 6 of the file, behind the server's back: its buffers stay as they are.
                for page in [3, 5, 6] {
                    let offset = UInt64(page * 8192 + 4000)
                    let old = try content("\(cluster.dataDirectory)/\(relation)")[Int(offset)]
                    try overwrite("\(cluster.dataDirectory)/\(relation)", at: offset, [old ^ 1])
                }
                let result = try await site.tool.run("backup", ["--type=full"])
                let warning = result.stdout.split(separator: "\n").first {
                    $0.contains("WARN") && $0.contains(relation)
                }
                #expect(warning?.hasSuffix("at pages 3, 5-6") == true, "\(result)")
                let label = try #require(site.labels().last)
                let file = try site.manifest(label).file("pg_data/\(relation)")
                #expect(file["checksum-page"] as? Bool == false)
                #expect(String(describing: file["checksum-page-error"] ?? "").filter { $0.isNumber } == "356")
                let info = try await site.refereeInfo(label)
                #expect(info["error"] as? Bool == true)
                #expect((info["error-list"] as? [String])?.first?.hasSuffix(relation) == true)
                let text = try await site.tool.run("info", ["--output=json", "--log-level-console=off"]).output
                let ours = try JSON.array(text).first?["backup"] as? [[String: Any]]
                #expect(ours?.map { $0["error"] as? Bool } == [false, true])
                try await site.refereeAgrees()

                let restored = try await site.tool.with(site.elsewhere("restored")).run("restore")
                #expect(restored.log.contains("page checksum errors"))
            }
        }
    }
}
