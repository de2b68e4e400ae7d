import Foundation
import TestSupport
import Testing

extension Restoring {
    /// Recovery to every kind of target, with real servers and exact rows.
    @Suite(.timeLimit(.minutes(10))) struct PointInTime {
        @Test("types and targets", arguments: Majors.rows(0))
        func targets(major: Int) async throws {
            try await withSite(major) { site in
                let history = try await History(on: site)
                for (index, row) in history.rows.enumerated() {
                    let action = row.type == "default" ? [] : ["--target-action=promote"]
                    let restored = try await site.restoreAndPromote(
                        to: "r\(index)", ["--type=\(row.type)"] + row.options + action)
                    #expect(try await restored.names() == row.expected, "\(row.type) \(row.options)")
                    // It takes writes, on a timeline of its own.
                    try await restored.query("INSERT INTO mark VALUES ('new')")
                    #expect(
                        try await restored.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")
                            == "00000002")
                    try await restored.stop()
                    try FileManager.default.removeItem(atPath: restored.dataDirectory)
                }
            }
        }

        @Test("pause, promote, shutdown", arguments: Majors.rows(1))
        func targetActions(major: Int) async throws {
            try await withSite(major) { site in
                _ = try await History(on: site)
                let target = ["--type=name", "--target=after a"]
                let paused = try await site.restore(to: "paused", target)
                try await paused.start()
                try await waitFor("recovery to pause") {
                    try await paused.value("SELECT pg_get_wal_replay_pause_state()") == "paused"
                }
                #expect(try await paused.names() == ["a"])
                await #expect(throws: TestSupportError.self) {
                    try await paused.query("INSERT INTO mark VALUES ('no')")
                }
                try await paused.query("SELECT pg_wal_replay_resume()")
                try await paused.waitForRecoveryEnd()
                #expect(try await paused.names() == ["a"])
                try await paused.stop()

                let shut = try await site.restore(to: "shut", target + ["--target-action=shutdown"])
                // pg_ctl may see it ready for a moment, or not at all.
                try? await shut.start()
                try await waitFor("the server to shut itself down") { !shut.isRunning }
                #expect(try await shut.pgControlData()["Database cluster state"] == "shut down in recovery")
                #expect(shut.logTail().contains("shutdown at recovery target"))
                let settings = ["archive_mode": "off", "recovery_target_action": "promote"]
                let promoted = try site.cluster.restored(at: shut.dataDirectory, startSettings: settings)
                try await promoted.start()
                try await promoted.waitForRecoveryEnd()
                #expect(try await promoted.names() == ["a"])
            }
        }

        @Test("the newest backup before the target is taken", arguments: Majors.rows(2))
        func choiceOfBackup(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await cluster.query("CREATE TABLE mark (name text)")
                let early = try await site.now()
                var labels: [String] = []
                var times: [String] = []
                var positions: [String] = []
                for name in ["a", "b", "c"] {
                    labels.append(try await site.backup())
                    try await cluster.query("INSERT INTO mark VALUES ('\(name)')")
                    // Times of backups are whole seconds.
                    try await Task.sleep(for: .milliseconds(1100))
                    times.append(try await site.now())
                    positions.append(try await cluster.value("SELECT pg_current_wal_lsn()"))
                    // Recovery to a time needs a later commit to stop at.
                    try await cluster.query("INSERT INTO mark VALUES ('after \(name)')")
                }
                try await site.archive()
                let names = [["a"], ["a", "after a", "b"], ["a", "after a", "after b", "b", "c"]]
                for index in 0..<3 {
                    for (type, target) in [("time", times[index]), ("lsn", positions[index])] {
                        let restored = try await site.restore(
                            to: "\(type)\(index)", ["--type=\(type)", "--target=\(target)", "--target-action=promote"])
                        let label = try String(
                            contentsOfFile: "\(restored.dataDirectory)/backup_label", encoding: .utf8)
                        #expect(label.contains("LABEL: Permafrost backup \(labels[index])\n"), "\(type) \(index)")
                        if type == "lsn", index != 1 { continue }
                        try await restored.start()
                        try await restored.waitForRecoveryEnd()
                        #expect(try await restored.names() == names[index], "\(type) \(index)")
                        try await restored.stop()
                    }
                }
                for options in [
                    ["--type=time", "--target=\(early)"], ["--type=lsn", "--target=0/1"], ["--set=20200101-000000F"],
                ] {
                    let other = try site.elsewhere("none")
                    let result = try await site.tool.with(other).run("restore", options, expecting: 75)
                    #expect(result.log.contains("backup set"), "\(result)")
                    #expect(files(under: site.scratch.subpath("none")) == [])
                }
                // A set given by name wins over the choice.
                let named = try await site.restoreAndPromote(to: "named", ["--set=\(labels[0])"])
                #expect(try await named.value("SELECT count(*) FROM mark") == "6")
            }
        }

        @Test("preserve keeps recovery settings", arguments: Majors.rows(0))
        func preserve(major: Int) async throws {
            try await withSite(major) { site in
                _ = try await History(on: site)
                let name = ["--type=name", "--target=after a", "--target-action=promote"]
                let restored = try await site.restore(to: "restored", name)
                let settings = "\(restored.dataDirectory)/postgresql.auto.conf"
                try overwrite(settings, at: UInt64(content(settings).count), Array("# mine\n".utf8))
                let before = try content(settings)
                let other = try site.elsewhere("restored")
                try await site.tool.with(other).run("restore", ["--type=preserve", "--delta"])
                #expect(try content(settings) == before)
                #expect(exists("\(restored.dataDirectory)/recovery.signal"))
                try await restored.start()
                try await restored.waitForRecoveryEnd()
                #expect(try await restored.names() == ["a"])
                try await restored.stop()

                // Targets of the restore before do not stay when another is asked for.
                try await site.tool.with(other).run(
                    "restore", ["--delta", "--recovery-option=recovery-end-command=true"])
                try await restored.start()
                try await restored.waitForRecoveryEnd()
                #expect(try await restored.names() == ["a", "b", "c"])
                #expect(try await restored.value("SHOW recovery_end_command") == "true")
            }
        }

        @Test("a standby reads the archive, then streams", arguments: Majors.rows(1))
        func standby(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await site.write(10)
                try await site.backup()
                try await site.write(10)
                let standby = try await site.restore(to: "standby", ["--type=standby"])
                #expect(exists("\(standby.dataDirectory)/standby.signal"))
                try await standby.start()
                let count = "SELECT count(*) FROM t"
                try await waitFor("rows from the archive") { try await standby.value(count) == "20" }
                try await site.write(10)
                try await waitFor("rows that were archived later") { try await standby.value(count) == "30" }
                #expect(try await standby.value("SELECT pg_is_in_recovery()") == "t")
                try await standby.stop()

                let address = "host=\(cluster.socketDirectory) port=\(cluster.port) user=postgres"
                let streaming = try await site.restore(
                    to: "streaming", ["--type=standby", "--recovery-option=primary_conninfo=\(address)"])
                try await streaming.start()
                try await site.write(10, archive: false)
                try await waitFor("rows from the stream") { try await streaming.value(count) == "40" }
                #expect(try await cluster.value("SELECT state FROM pg_stat_replication") == "streaming")
                try await streaming.promote()
                #expect(try await streaming.value(count) == "40")
                try await streaming.amcheck()
            }
        }
    }

    /// Recovery across a promotion.
    @Suite(.timeLimit(.minutes(10))) struct Timelines {
        @Test("forth and back", arguments: Majors.rows(2))
        func forthAndBack(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await site.write(10)
                let first = try await site.backup()
                try await site.write(10)
                try await cluster.query("SELECT pg_create_restore_point('fork')")
                try await site.write(11)

                try await cluster.stop()
                try await site.tool.run(
                    "restore", ["--delta", "--type=name", "--target=fork", "--target-action=promote"])
                try await cluster.start()
                try await cluster.waitForRecoveryEnd()
                let count = "SELECT count(*) FROM t"
                #expect(try await cluster.value(count) == "20")
                try await site.write(5)
                let second = try await site.backup()
                #expect(
                    try site.manifest(second).value("backup", "backup-archive-start")?.hasPrefix("\"00000002") == true)
                try await site.write(5)
                try await cluster.query("SELECT pg_create_restore_point('later')")
                try await site.write(7)
                try await site.refereeAgrees()

                let later = ["--type=name", "--target=later", "--target-action=promote"]
                for (name, options, expected) in [
                    ("end", [], "37"), ("later", later, "30"), ("later-from-first", later + ["--set=\(first)"], "30"),
                    ("one", ["--target-timeline=1"], "31"),
                    ("one-set", ["--set=\(first)", "--target-timeline=current"], "31"),
                    ("two", ["--target-timeline=0x2", "--set=\(first)"], "37"),
                    ("immediate", ["--type=immediate", "--target-action=promote"], "25"),
                ] {
                    let restored = try await site.restoreAndPromote(to: name, options)
                    #expect(try await restored.value(count) == expected, "\(name)")
                    try await restored.stop()
                    #expect(try await restored.checksumsOK())
                    try FileManager.default.removeItem(atPath: restored.dataDirectory)
                }
                let other = try site.elsewhere("unreachable")
                let options = ["--set=\(second)", "--target-timeline=1"]
                let result = try await site.tool.with(other).run("restore", options, expecting: 58)
                #expect(result.log.contains(second) && result.log.contains("timeline 1"), "\(result)")
                try await site.tool.with(other).run("restore", ["--target-timeline=9"], expecting: 55)
            }
        }
    }
}

/// A backup, then rows `a`, `b`, `c` of table `mark`, each of a transaction of its own, and targets between them.
private struct History {
    var rows: [(type: String, options: [String], expected: [String])] = []

    init(on site: Site) async throws {
        let cluster = site.cluster
        try await cluster.query("CREATE TABLE mark (name text)")
        try await site.backup()
        // A target time must be past the second in which the backup ended.
        try await Task.sleep(for: .milliseconds(1100))
        try await cluster.query("INSERT INTO mark VALUES ('a')")
        let time = try await site.now()
        try await cluster.query("SELECT pg_create_restore_point('after a')")
        let transaction = try await cluster.value(
            "BEGIN; INSERT INTO mark VALUES ('b'); SELECT pg_current_xact_id(); COMMIT")
        let position = try await cluster.value("SELECT pg_current_wal_lsn()")
        try await cluster.query("INSERT INTO mark VALUES ('c')")
        try await site.archive()
        rows = [
            ("default", [], ["a", "b", "c"]),
            ("immediate", [], []),
            ("time", ["--target=\(time)"], ["a"]),
            ("xid", ["--target=\(transaction)"], ["a", "b"]),
            ("xid", ["--target=\(transaction)", "--target-exclusive"], ["a"]),
            ("lsn", ["--target=\(position)"], ["a", "b"]),
            ("lsn", ["--target=\(position)", "--target-exclusive"], ["a", "b"]),
            ("name", ["--target=after a"], ["a"]),
        ]
    }
}

extension Site {
    /// The server's time, as `--target` takes it.
    func now() async throws -> String {
        let time = try await cluster.value(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'")
        try await Task.sleep(for: .milliseconds(20))
        return time
    }
}

extension PostgresCluster {
    /// What is in table `mark`, sorted.
    func names() async throws -> [String] { try await query("SELECT name FROM mark ORDER BY 1").map { $0[0] } }
}
