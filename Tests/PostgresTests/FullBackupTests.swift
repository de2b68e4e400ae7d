import Foundation
import Glibc
import TestSupport
import Testing

extension BackingUp {
    /// Full backups of real servers, restored and compared.
    @Suite(.timeLimit(.minutes(10))) struct FullBackup {
        @Test(
            "every compress type, on one and two workers", arguments: Majors.each(["none", "gz", "lz4", "zst", "bz2"]))
        func onlineBackupIsRestorable(major: Int, compressType: String) async throws {
            let workers = compressType.utf8.count % 2 + 1
            let options = ["compress-type": compressType, "process-max": "\(workers)"]
            try await withSite(major, options: options) { site in
                try await site.cluster.pgbench(scale: 1)
                let label = try await site.backup()
                let manifest = try site.manifest(label)
                #expect(manifest.value("backup:option", "option-compress-type") == "\"\(compressType)\"")
                #expect(manifest.value("backup:option", "option-online") == "true")
                #expect(manifest.value("backup:option", "option-process-max") == "\(workers)")
                let suffix = ["none": "", "bz2": ".bz2"][compressType] ?? ".\(compressType)"
                #expect(exists("\(site.backupDirectory)/\(label)/pg_data/PG_VERSION\(suffix)"))
                try await site.cluster.pgbench(transactions: 50)
                try await site.requireRestorable("restored")
                try await site.refereeAgrees()
                site.expectNoTraces()
            }
        }

        @Test("offline", arguments: Majors.rows(1))
        func offlineBackup(major: Int) async throws {
            try await withSite(major) { site in
                try await site.write(100)
                let expected = try await site.cluster.dump()
                try await site.tool.run("backup", ["--type=full", "--no-online"], expecting: 38)
                try await site.cluster.stop()
                let label = try await site.backup(["--no-online"])
                let manifest = try site.manifest(label)
                #expect(manifest.value("backup:option", "option-online") == "false")
                #expect(manifest.value("backup", "backup-archive-start") == nil)
                #expect(!manifest.files.contains("pg_data/backup_label"))
                #expect(manifest.files.contains { $0.hasPrefix("pg_data/pg_wal/0000") })

                // No archive is needed: type none is the default here.
                try FileManager.default.removeItem(atPath: "\(site.repository)/archive/main")
                let restored = try await site.restore(to: "restored")
                #expect(!exists(site.scratch.subpath("restored/recovery.signal")))
                try await restored.start()
                #expect(try await restored.dump() == expected)
            }
        }

        @Test("a load runs meanwhile", arguments: Majors.rows(2))
        func backupUnderLoad(major: Int) async throws {
            try await withSite(major, options: ["process-max": "2"]) { site in
                let cluster = site.cluster
                try await cluster.pgbench(scale: 2)
                let load = try ProcessRunner.start(
                    cluster.installation.program("pgbench"),
                    ["-n", "-T", "60", "-c", "4"] + cluster.connectionArguments + ["postgres"],
                    asUser: ProcessRunner.serverUser, timeout: .seconds(90))
                try await waitFor("the load to write") {
                    try await cluster.value("SELECT count(*) > 50 FROM pgbench_history") == "t"
                }
                try await site.backup()
                let during = try await cluster.value("SELECT count(*) FROM pgbench_history")
                load.signal(SIGINT)
                _ = try await load.wait()
                try await site.archive()
                let after = try await cluster.value("SELECT count(*) FROM pgbench_history")

                let sums = """
                    SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
                        (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)
                    """
                for (type, least, most) in [("immediate", 50, Int(during)), ("default", Int(after), Int(after))] {
                    let target = type == "immediate" ? ["--target-action=promote"] : []
                    let restored = try await site.restoreAndPromote(to: type, ["--type=\(type)"] + target)
                    let row = try await restored.query(sums)[0]
                    #expect(Set(row).count == 1, "\(type): \(row)")
                    let count = try #require(Int(try await restored.value("SELECT count(*) FROM pgbench_history")))
                    #expect(count >= least ?? 0 && count <= most ?? 0, "\(type)")
                    try await restored.amcheck()
                    try await restored.stop()
                    #expect(try await restored.checksumsOK())
                }
            }
        }

        @Test("start-fast decides whether the backup waits for a checkpoint")
        func startFast() async throws {
            try await withSite(15, options: ["start-fast": "n"]) { site in
                try await site.cluster.pgbench(scale: 1)
                let slow = try site.tool.start("backup", ["--type=full"], timeout: .seconds(60))
                try await waitFor("the backup to wait for its checkpoint") {
                    try await site.cluster.value(
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event IN ('CheckpointStart', 'CheckpointDone')"
                    )
                        != "0"
                }
                // The checkpoint is spread over minutes, unless somebody is in a hurry.
                try await Task.sleep(for: .seconds(1))
                #expect(try site.labels().isEmpty)
                try await site.cluster.query("CHECKPOINT")
                try await slow.wait().expecting(0)
                #expect(try site.labels().count == 1)
                try await site.backup(["--start-fast"])
            }
        }

        @Test("archive-copy makes a set that needs no archive", arguments: Majors.rows(1))
        func archiveCopy(major: Int) async throws {
            try await withSite(major, options: ["archive-copy": "y"]) { site in
                try await site.cluster.pgbench(scale: 1)
                let label = try await site.backup()
                let manifest = try site.manifest(label)
                #expect(manifest.value("backup:option", "option-archive-copy") == "true")
                let start = try #require(manifest.value("backup", "backup-archive-start")).replacing("\"", with: "")
                #expect(try manifest.file("pg_data/pg_wal/\(start)")["size"] as? Int == 16 << 20)
                try await site.refereeAgrees()
                let expected = try await site.cluster.dump()
                let archive = "\(site.repository)/archive/main/\(major)-1"
                try FileManager.default.moveItem(atPath: archive, toPath: "\(archive).gone")
                try FileManager.default.createDirectory(atPath: archive, withIntermediateDirectories: true)
                for (name, options) in [
                    ("none", ["--type=none"]), ("immediate", ["--type=immediate", "--target-action=promote"]),
                ] {
                    let restored = try await site.restoreAndPromote(to: name, options)
                    #expect(try await restored.dump() == expected, "\(name)")
                    try await restored.stop()
                }
            }
        }

        @Test("modes, links and history in the repository; annotations")
        func repositoryFiles() async throws {
            try await withSite(18) { site in
                let first = try await site.backup(["--annotation=why=before upgrade", "--annotation=who=me"])
                #expect(
                    try site.manifest(first).value("metadata", "annotation") == #"{"who":"me","why":"before upgrade"}"#)
                let annotation = try await site.refereeInfo(first)["annotation"] as? [String: String]
                #expect(annotation == ["who": "me", "why": "before upgrade"])
                let second = try await site.backup()
                let latest = "\(site.backupDirectory)/latest"
                #expect(try FileManager.default.destinationOfSymbolicLink(atPath: latest) == second)
                for label in [first, second] {
                    let history = "\(site.backupDirectory)/backup.history/\(label.prefix(4))/\(label).manifest.gz"
                    let unpacked = try await asServerUser("gzip", ["-dc", history])
                    #expect(try unpacked.stdout == site.manifest(label).text)
                }
                for name in try FileManager.default.subpathsOfDirectory(atPath: site.repository) {
                    let facts = try status("\(site.repository)/\(name)")
                    if facts.kind == S_IFLNK { continue }
                    #expect(facts.mode == (facts.kind == S_IFDIR ? 0o750 : 0o640), "\(name)")
                }
                #expect(
                    try content("\(site.backupDirectory)/backup.info")
                        == content("\(site.backupDirectory)/backup.info.copy"))
            }
        }
    }
}
