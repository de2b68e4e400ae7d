import BackupModel
import Foundation
import Glibc
import HTTP
import Jobs
import Logging
import PostgresFormats
import TestSupport
import Testing

extension Restoring {
    /// `restore --in-place` of a server that a supervisor runs.
    @Suite(.timeLimit(.minutes(15))) struct InPlace {
        @Test("to a time between two transactions, as a job", arguments: Majors.rows(1))
        func toATime(major: Int) async throws {
            try await withSupervisedServer(major, settings: ["max_prepared_transactions": "3"]) { server in
                let site = server.site
                try await server.insert("kept")
                let time = try await site.now()
                try await server.insert("lost")
                try await site.archive()
                let before = try await server.started()

                let plan = try await server.restore(
                    ["--type=time", "--target=\(time)", "--dry-run", "--output=json"])
                let facts = try JSON.object(Array(plan.output))
                #expect(facts["set"] as? String == (try site.labels().last) && facts["in-place"] as? String == "copy")
                #expect((facts["room"] as? [String: Any])?["needed"] as? Int ?? 0 > 10 << 20, "\(facts)")
                #expect(try await server.started() == before)
                #expect(try server.leftovers() == [])

                let result = try await job(
                    site,
                    [.init(.inPlace, .flag(true)), .init(.type, .texts(["time"])), .init(.target, .texts([time]))])
                #expect(result.exitCode == 0 && result.end == .completed, "\(result.json)")
                #expect(result.restored?["set"]?.string == (try site.labels().last))
                #expect(result.restored?["timeline"]?.integer == 2 && result.restored?["lsn"]?.string != nil)
                #expect(result.restored?["time"]?.string?.hasPrefix("20") == true, "\(result.json)")
                #expect(JobResult(result.json) == result)

                #expect(try await server.rows() == ["first", "kept"])
                #expect(try await server.started() != before)
                #expect(try server.leftovers() == [])
                site.expectNoTraces()
                // Nothing of the recovery is left that a later start could follow.
                for name in ["recovery.signal", "standby.signal", "backup.manifest"] {
                    #expect(!exists("\(server.data)/\(name)"), "\(name)")
                }
                #expect(
                    try await server.cluster.query(
                        "SELECT name FROM pg_file_settings WHERE name LIKE 'recovery_target%' OR name = 'restore_command'"
                    )
                        == [])
                // The new timeline is archived, with the file that tells where it began, and can be backed up.
                try await server.insert("new")
                try await site.archive()
                try await waitFor("the history of timeline 2") {
                    files(under: "\(site.repository)/archive/main").contains { $0.hasSuffix("00000002.history") }
                }
                #expect(try site.archived().contains { $0.hasPrefix("00000002") })
                try await site.backup()
                try await site.refereeAgrees()
                try await server.cluster.amcheck()
                #expect(try await server.rows() == ["first", "kept", "new"])

                // And once more, to a state of the timeline before.
                try await server.restore(
                    ["--type=time", "--target=\(time)", "--target-timeline=1", "--set=\(try site.labels()[0])"])
                #expect(try await server.rows() == ["first", "kept"])
            }
        }

        @Test("what cannot be is refused while the server runs", arguments: Majors.rows(1))
        func refused(major: Int) async throws {
            try await withSupervisedServer(major) { server in
                let site = server.site
                try await site.archive()
                let before = try await server.started()
                let label = try #require(site.labels().last)
                let later = "--type=time"
                for (options, code) in [
                    (["--set=20200101-000000F"], 75), ([later, "--target=2020-01-01 00:00:00+00"], 75),
                    ([later, "--target=2020-01-01 00:00:00+00", "--set=\(label)"], 75),
                    ([later, "--target=2100-01-01 00:00:00+00"], 32), (["--type=lsn", "--target=0/1"], 75),
                    (["--type=lsn", "--target=0/1", "--set=\(label)"], 75), (["--target-timeline=7"], 55),
                    (["--type=standby"], 31), (["--type=immediate", "--target-action=pause"], 31),
                    (["--archive-mode=off"], 31), (["--link-all"], 31), (["--tablespace-map-all=/nowhere"], 31),
                ] as [([String], Int32)] {
                    for dry in [[], ["--dry-run"]] {
                        let result = try await server.restore(options + dry, expecting: code)
                        #expect(result.log.contains("HINT: "), "\(options): \(result)")
                    }
                }
                // A backup that lacks WAL.
                let stop = try #require(site.manifest(label).value("backup", "backup-archive-stop")).dropFirst()
                    .dropLast()
                let archive = "\(site.repository)/archive/main"
                let segment = try #require(files(under: archive).first { $0.contains(stop) })
                try await asServerUser("/bin/mv", ["\(archive)/\(segment)", site.scratch.subpath("aside")])
                let lacking = try await server.restore([], expecting: 55)
                #expect(lacking.log.contains(stop), "\(lacking)")
                try await asServerUser("/bin/mv", [site.scratch.subpath("aside"), "\(archive)/\(segment)"])

                // Names that are others'.
                for (name, make, code) in [
                    ("before", "mkdir", 40), ("restore", "mkdir", 40), ("restoring", "touch", 29),
                ] as [(String, String, Int32)] {
                    let path = "\(server.data).\(name)"
                    let fill = name == "restore" ? "touch '\(path)/file'" : "true"
                    try await asServerUser("/bin/sh", ["-c", "\(make) '\(path)' && \(fill)"])
                    let result = try await server.restore([], expecting: code)
                    #expect(result.log.contains(path), "\(name): \(result)")
                    try await asServerUser("/bin/rm", ["-r", path])
                }
                try await server.cluster.createTablespace("other")
                try await site.backup()
                let spaces = try await server.restore([], expecting: 76)
                #expect(spaces.log.contains("other") && spaces.log.contains("--delta"), "\(spaces)")
                #expect(try await server.started() == before)
                #expect(try server.leftovers() == [])
                site.expectNoTraces()
            }
        }

        @Test("a target that WAL does not have leaves the old database up", arguments: Majors.rows(0))
        func targetNotReached(major: Int) async throws {
            try await withSupervisedServer(major) { server in
                try await server.insert("kept")
                try await server.site.archive()
                let before = try await server.started()
                for (options, said) in [
                    (["--type=lsn", "--target=FF/0"], "recovery ended before configured recovery target"),
                    (["--type=name", "--target=never"], "recovery ended before configured recovery target"),
                ] {
                    let result = try await server.restore(options, expecting: 75)
                    #expect(result.log.contains(said) && result.log.contains("up again as it was"), "\(result)")
                    #expect(try await server.rows() == ["first", "kept"])
                    #expect(try server.leftovers() == [])
                }
                #expect(try await server.started() != before)
                // Nothing of what was tried is in the archive.
                #expect(!files(under: server.site.repository).contains { $0.hasSuffix(".history") })
                // WAL of the old timeline goes on.
                try await server.insert("more")
                try await server.site.archive()
            }
        }

        @Test("a time after the last transaction is the end of all", arguments: Majors.rows(1))
        func timeAfterTheLast(major: Int) async throws {
            try await withSupervisedServer(major) { server in
                try await server.insert("kept")
                try await Task.sleep(for: .milliseconds(50))
                let time = try await server.site.now()
                let result = try await server.restore(["--type=time", "--target=\(time)"])
                #expect(result.log.contains("no transaction as late as the target"), "\(result)")
                #expect(try await server.rows() == ["first", "kept"])
                #expect(
                    try await server.cluster.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)") == "2")
                // Where WAL is missing before the server was stopped, the end is not the end of all.
                try await server.insert("more")
                try await server.site.archive()
                try await server.cluster.setArchiveCommand("")
                try await server.insert("never archived")
                let later = try await server.site.now()
                let failed = try await server.restore(["--type=time", "--target=\(later)"], expecting: 75)
                #expect(failed.log.contains("are not in the archive"), "\(failed)")
                #expect(try await server.rows() == ["first", "kept", "more", "never archived"])
            }
        }

        @Test("before another timeline began, the history says where the new one parted", arguments: Majors.rows(2))
        func beforeAParting(major: Int) async throws {
            try await withSupervisedServer(major) { server in
                let site = server.site
                try await server.insert("kept")
                let time = try await site.now()
                try await server.cluster.query("SELECT pg_create_restore_point('here')")
                try await server.insert("lost")
                try await site.archive()
                let early = try await server.cluster.value("SELECT pg_current_wal_lsn()")
                try await server.insert("lost as well")
                try await site.archive()
                // To the end of all, as by a failover: timeline 2.
                try await server.restore([])
                try await server.insert("on the second")
                try await site.archive()
                let late = try await site.now()
                try await server.insert("too late")
                try await site.archive()

                let plan = try await server.restore(
                    ["--type=time", "--target=\(late)", "--dry-run", "--output=json"])
                #expect(try JSON.object(Array(plan.output))["target-timeline"] == nil, "it lies on the latest")
                try await server.restore(["--type=lsn", "--target=\(early)"])
                #expect(try await server.rows() == ["first", "kept", "lost"])
                #expect(try history(3, server).map(\.timeline) == [1])
                try await server.restore(["--type=time", "--target=\(time)"])
                #expect(try await server.rows() == ["first", "kept"])
                #expect(try history(4, server).map(\.timeline) == [1])
                // Where a name lies only recovery finds out.
                let named = try await server.restore(["--type=name", "--target=here", "--target-timeline=3"])
                #expect(named.log.contains("lies on timeline 1"), "\(named)")
                #expect(try await server.rows() == ["first", "kept"])
                #expect(try history(5, server).map(\.timeline) == [1])
            }
        }

        private func history(_ timeline: UInt32, _ server: SupervisedServer) throws -> [TimelineHistory.Switch] {
            let name = WALFileName.history(timeline: timeline).name
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(server.data)/pg_wal/\(name)")))
            return try TimelineHistory(timeline: timeline, parsing: bytes.span.bytes).switches
        }

        @Test("a volume that has no room for two", arguments: Majors.rows(0), [geteuid() == 0])
        func room(major: Int, canMount: Bool) async throws {
            guard canMount || TestRequirement.isCI else { return }
            let settings = ["max_wal_size": "48MB", "min_wal_size": "32MB"]
            try await withSupervisedServer(
                major, name: "volume/data", settings: settings,
                prepare: { scratch in
                    let volume = try scratch.makeDirectory("volume")
                    try await ProcessRunner.run(
                        "mount", ["-t", "tmpfs", "-o", "size=150m,mode=0777", "tmpfs", volume]
                    ).expecting(0)
                    scratch.atEnd { _ = try? await ProcessRunner.run("umount", ["-l", volume]) }
                }
            ) { server in
                let filler = "\(server.data)/../filler"
                try await asServerUser("dd", ["if=/dev/zero", "of=\(filler)", "bs=1M", "count=30", "status=none"])
                try await server.insert("lost")
                let before = try await server.started()
                let result = try await server.restore(["--type=immediate"], expecting: 64)
                #expect(result.log.contains("--delta"), "\(result)")
                #expect(try await server.started() == before)
                // Where it lies there is room for one.
                let delta = try await server.restore(["--type=immediate", "--delta"])
                #expect(delta.log.contains("restored backup set"), "\(delta)")
                #expect(try await server.rows() == ["first"])
                #expect(try server.leftovers() == [])
            }
        }

        @Test(
            "without a supervisor the server goes on", .enabled(if: Majors.runsAll, "takes two minutes"),
            arguments: [15])
        func noSupervisor(major: Int) async throws {
            try await withSite(major) { site in
                try await site.write(10)
                try await site.backup()
                let before = try await site.cluster.value("SELECT pg_postmaster_start_time()")
                let running = try site.tool.start("restore", ["--in-place"], timeout: .seconds(200))
                let result = try await running.wait()
                #expect(result.status == 72 && result.log.contains("without a supervisor"), "\(result)")
                #expect(try await site.cluster.value("SELECT pg_postmaster_start_time()") == before)
                let parent = site.scratch.path
                let left = try FileManager.default.contentsOfDirectory(atPath: parent).filter { $0.hasPrefix("data.") }
                #expect(left == [])
            }
        }

        @Test("one that does not come up is kept beside the old one", arguments: Majors.rows(0))
        func doesNotComeUp(major: Int) async throws {
            try await withSupervisedServer(major) { server in
                try await server.insert("lost")
                try await server.site.archive()
                try server.setBrake(true)
                let options = ["--type=immediate", "--start-timeout=3s"]
                let failed = try await server.restore(options, expecting: 56)
                #expect(failed.log.contains("\(server.data).before") && failed.log.contains("go back"), "\(failed)")
                #expect(try server.leftovers() == ["before", "restoring"])
                // It may come later, and then all is as it should be.
                let again = try await server.restore(options, expecting: 56)
                #expect(again.log.contains("an earlier restore in place was interrupted"), "\(again)")
                let plan = try await server.restore(options + ["--dry-run"])
                #expect(plan.stdout.contains("the restored server is started"), "\(plan)")

                // The way back, as it is told.
                let data = server.data
                try await asServerUser("/bin/sh", ["-c", "echo back > '\(data).hold'"])
                try await waitFor("the supervisor") { exists("\(data).held") }
                let steps =
                    "mv \(data) \(data).restore && mv \(data).before \(data) && rm \(data).restoring \(data).hold"
                try await asServerUser("/bin/sh", ["-c", steps])
                try server.setBrake(false)
                try await server.waitUntilUp()
                #expect(try await server.rows() == ["first", "lost"])
                // What was restored is made use of.
                try await server.restore(["--type=immediate"])
                #expect(try await server.rows() == ["first"])
                #expect(try server.leftovers() == [])
            }
        }

        @Test("told to end, the old database is up at once, and the next run goes on", arguments: Majors.rows(2))
        func told(major: Int) async throws {
            try await withSupervisedServer(major, options: ["process-max": "1"]) { server in
                try await server.cluster.pgbench(scale: 2)
                try await server.site.backup()
                try await server.insert("lost")
                try await server.site.archive()
                let running = try server.site.tool.start(
                    "restore", ["--in-place", "--type=immediate", "--rate-limit-disk=8MiB"])
                try await waitFor("files") { files(under: "\(server.data).restore").count > 20 }
                running.signal(SIGTERM)
                let result = try await running.wait()
                #expect(result.status == 63, "\(result)")
                try await server.waitUntilUp()
                #expect(try await server.rows() == ["first", "lost"])
                #expect(try server.leftovers() == ["restore"])
                try await server.restore(["--type=immediate"])
                #expect(try await server.rows() == ["first"])
                #expect(try server.leftovers() == [])
                server.site.expectNoTraces(afterKill: true)
            }
        }

        // MARK: -

        private func job(_ site: Site, _ options: [JobRequest.Option]) async throws -> JobResult {
            var settings = JobRunner.Options(program: site.tool.executable)
            settings.words = ["--config=\(site.layout.configFile)"]
            if let user = ProcessRunner.serverUser {
                settings.words =
                    ["--reuid=\(user)", "--regid=\(user)", "--init-groups", "--", settings.program] + settings.words
                settings.program = "/usr/bin/setpriv"
            }
            let runner = JobRunner(
                try JobStore(path: site.scratch.subpath("jobs")), settings,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let request = try JobRequest(.restore, stanza: site.layout.stanza, options: options)
            let id = try await runner.start(request, client: "test").job.record.id
            try await waitFor("job \(id)", timeout: .seconds(90)) { await runner.job(id)?.result != nil }
            return try #require(await runner.job(id)?.result)
        }
    }

    /// `kill -9` of a restore in place, right before the calls that count and while its own server recovers.
    @Suite(
        .timeLimit(.minutes(20)), .enabled(if: access("/usr/bin/strace", X_OK) == 0, "strace is not installed"))
    struct InPlaceKilled {
        private static let temporary = ".pgbackrest.tmp"

        /// A call by which one name is changed.
        struct Point: Sendable, CustomTestStringConvertible {
            var testDescription: String
            /// The first that the call has, beside the data directory; empty: itself.
            var name: String
            var call: String
            var turn = 1
        }

        static let points = [
            Point(testDescription: "the state is written", name: ".restoring\(temporary)", call: "rename"),
            Point(testDescription: "the server is held", name: ".hold\(temporary)", call: "rename"),
            Point(testDescription: "the restore begins", name: ".restore", call: "mkdir"),
            Point(testDescription: "it is recovered", name: ".restoring\(temporary)", call: "rename", turn: 2),
            Point(testDescription: "the old one goes", name: "", call: "rename"),
            Point(testDescription: "the new one comes", name: ".restore", call: "rename"),
            Point(testDescription: "it may run", name: ".restoring\(temporary)", call: "rename", turn: 3),
            Point(testDescription: "the server is released", name: ".hold", call: "unlink"),
            Point(testDescription: "the old one is removed", name: ".before", call: "rmdir"),
            Point(testDescription: "the state is removed", name: ".restoring", call: "unlink"),
        ]

        /// Every third, or all with `PERMAFROST_ALL=1`.
        private static func isChosen(_ index: Int, _ turn: Int) -> Bool { Majors.runsAll || index % 3 == turn }

        @Test("and run again", arguments: Majors.rows(0))
        func again(major: Int) async throws {
            try await withSupervisedServer(major, options: ["process-max": "1"]) { server in
                for (index, point) in Self.points.enumerated() where Self.isChosen(index, 1) {
                    let options = try await target(server, index)
                    let killed = try await kill(server, point, options)
                    #expect(killed.status == 128 + SIGKILL, "\(point.testDescription): \(killed)")
                    try await requireADatabase(server, point.testDescription)
                    let result = try await server.restore(options)
                    try await requireRestored(server, index, "\(point.testDescription): \(result)")
                }
            }
        }

        @Test("by a restore to another target", arguments: Majors.rows(1))
        func another(major: Int) async throws {
            try await withSupervisedServer(major, options: ["process-max": "1"]) { server in
                for (index, point) in Self.points.enumerated() where index >= 3 && Self.isChosen(index, 2) {
                    let options = try await target(server, index)
                    // What it has brought may be up when the other begins: what that looks for must be in it.
                    let killed = try await kill(server, point, ["--type=default"])
                    #expect(killed.status == 128 + SIGKILL, "\(point.testDescription): \(killed)")
                    try await requireADatabase(server, point.testDescription)
                    let result = try await server.restore(options)
                    try await requireRestored(server, index, "\(point.testDescription): \(result)")
                }
            }
        }

        @Test("while its own server recovers, which outlives it", arguments: Majors.rows(2))
        func recovering(major: Int) async throws {
            try await withSupervisedServer(major, options: ["process-max": "1"]) { server in
                let options = try await target(server, 0)
                // One that waits for WAL: the archive gives nothing before it is told to.
                let gate = try server.site.scratch.write("", to: "gate")
                let slow = "while [ -e \(gate) ]; do sleep 0.1; done; \(server.site.tool.restoreCommand)"
                let held = ["--recovery-option=restore-command=\(slow)"]
                for isDelta in [false, true] {
                    let more = isDelta ? ["--delta"] : []
                    if isDelta { try server.site.scratch.write("", to: "gate") }
                    let directory = isDelta ? server.data : "\(server.data).restore"
                    let running = try server.site.tool.start("restore", ["--in-place"] + options + held + more)
                    try await waitFor("the recovering server", timeout: .seconds(60)) {
                        exists("\(server.data).held") && exists("\(directory)/recovery.signal")
                            && exists("\(directory)/postmaster.pid")
                    }
                    let text = try String(contentsOfFile: "\(directory)/postmaster.pid", encoding: .utf8)
                    let postmaster = try #require(text.split(separator: "\n").first.flatMap { Int32($0) })
                    running.signal(SIGKILL)
                    #expect(try await running.wait().status == 128 + SIGKILL)
                    #expect(Glibc.kill(postmaster, 0) == 0)
                    try FileManager.default.removeItem(atPath: gate)
                    if isDelta {
                        // There is no old one to be kept.
                        try await server.restore(options, expecting: 40)
                    }
                    let result = try await server.restore(options + more)
                    #expect(isDelta || result.log.contains("an earlier run has left"), "\(result)")
                    try await requireRestored(server, 0, "\(result)")
                    // One that nobody has reaped has no directory either.
                    try await waitFor("the server that was left") { !exists("/proc/\(postmaster)/cwd") }
                    try await server.insert("lost 0")
                    try await server.site.archive()
                }
                let left = try FileManager.default.contentsOfDirectory(atPath: "/tmp")
                    .filter { $0.hasPrefix("permafrost-recovery-") }
                #expect(left == [])
            }
        }

        // MARK: -

        /// Rows before and after the target, and the options that lead to it.
        private func target(_ server: SupervisedServer, _ index: Int) async throws -> [String] {
            try await server.insert("kept \(index)")
            try await server.cluster.query("SELECT pg_create_restore_point('point \(index)')")
            try await server.insert("lost \(index)")
            try await server.site.archive()
            return ["--type=name", "--target=point \(index)"]
        }

        private func kill(
            _ server: SupervisedServer, _ point: Point, _ options: [String]
        ) async throws -> ProcessResult {
            let tool = server.site.tool
            let path = server.data + point.name
            return try await ProcessRunner.run(
                "/usr/bin/strace",
                [
                    "-f", "-o", "/dev/null", "-P", path, "-e", "trace=\(point.call)", "-e",
                    "inject=\(point.call):signal=SIGKILL:when=\(point.turn)", tool.executable,
                    "--config=\(tool.layout.configFile)", "--stanza=\(tool.layout.stanza)", "--in-place",
                ] + options + ["restore"],
                asUser: ProcessRunner.serverUser, directory: server.site.scratch.path, timeout: .seconds(120))
        }

        /// The server runs, or it is held with one whole directory beside it.
        private func requireADatabase(_ server: SupervisedServer, _ comment: String) async throws {
            if exists("\(server.data).hold") {
                let isWhole =
                    exists("\(server.data)/global/pg_control") || exists("\(server.data).before/global/pg_control")
                #expect(isWhole, "\(comment)")
                #expect(exists("\(server.data).restoring"), "\(comment)")
            } else {
                try await server.waitUntilUp()
            }
        }

        private func requireRestored(_ server: SupervisedServer, _ index: Int, _ comment: String) async throws {
            let rows = try await server.rows()
            #expect(rows.contains("kept \(index)") && !rows.contains("lost \(index)"), "\(rows), \(comment)")
            #expect(try server.leftovers() == [], "\(comment)")
            #expect(try await server.cluster.value("SELECT pg_is_in_recovery()") == "f", "\(comment)")
        }
    }
}
