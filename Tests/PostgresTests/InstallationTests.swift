import Foundation
import TestSupport
import Testing

/// The referees that `scripts/bootstrap` installs, and the fixtures that drive them, work.
@Suite(.keepsScratchOnFailure, .timeLimit(.minutes(10)))
struct InstallationTests {
    @Test("initdb, start, write, kill, recover, stop, check", arguments: PostgresInstallation.majorsToTest)
    func serverRuns(major: Int) async throws {
        let path = try await withCluster(major) { cluster in
            #expect(try await cluster.value("SHOW server_version").hasPrefix("\(major)."))
            try await cluster.query("CREATE TABLE note (i int PRIMARY KEY, t text); CREATE TABLE empty ()")
            try await cluster.query(
                "INSERT INTO note VALUES (1, 'plain'), (2, E'a \"quoted\", text\\nin lines'), (3, NULL)")
            let before = try await cluster.dump()

            try await cluster.kill9()
            #expect(!cluster.isRunning)
            try await cluster.start()
            #expect(try await cluster.dump() == before)
            #expect(try await cluster.rowCounts() == ["public.note": 3, "public.empty": 0])
            #expect(
                try await cluster.query("SELECT * FROM note ORDER BY i")
                    == [["1", "plain"], ["2", "a \"quoted\", text\nin lines"], ["3", ""]])
            await #expect(throws: TestSupportError.self) { try await cluster.query("SELECT 1; SELECT 1/0") }
            try await cluster.amcheck()

            try await cluster.stop()
            #expect(try await cluster.pgControlData()["Database cluster state"] == "shut down")
            #expect(try await cluster.checksumsOK())
            let segments = try FileManager.default.contentsOfDirectory(atPath: "\(cluster.dataDirectory)/pg_wal")
            let segment = try #require(segments.filter { $0.count == 24 }.min())
            let dump = try await cluster.waldump("\(cluster.dataDirectory)/pg_wal/\(segment)", ["-n", "1"])
            #expect(dump.stdout.contains("rmgr:"))
            return cluster.scratch.path
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("a damaged page is found, and other options reach initdb", .requires(.postgres(15)))
    func optionsAndDamage() async throws {
        let options = ClusterOptions(walSegmentSize: 1, settings: ["work_mem": "5MB"])
        try await withCluster(15, options: options) { cluster in
            #expect(try await cluster.query("SHOW wal_segment_size; SHOW work_mem") == [["1MB"], ["5MB"]])
            try await cluster.createTablespace("aside")
            try await cluster.query("CREATE TABLE t TABLESPACE aside AS SELECT generate_series(1, 1000) AS i")
            let file = try await cluster.value("SELECT pg_relation_filepath('t')")
            try await cluster.stop()
            let handle = try #require(FileHandle(forUpdatingAtPath: "\(cluster.dataDirectory)/\(file)"))
            try handle.seek(toOffset: 5000)
            try handle.write(contentsOf: Data("damage".utf8))
            try handle.close()
            #expect(try await !cluster.checksumsOK())
        }
    }

    @Test("a cancelled test leaves neither server nor directory in use", .requires(.postgres(15)))
    func cancelledTestCleansUp() async throws {
        let (clusters, found) = AsyncStream.makeStream(of: PostgresCluster.self)
        let test = Task {
            try await withCluster(15) { cluster in
                found.yield(cluster)
                try await cluster.query("SELECT pg_sleep(100)", timeout: .seconds(120))
            }
        }
        var iterator = clusters.makeAsyncIterator()
        let cluster = try #require(await iterator.next())
        #expect(cluster.isRunning)
        test.cancel()
        await #expect(throws: CancellationError.self) { try await test.value }
        #expect(!cluster.isRunning)
        // It threw, so its directory was kept.
        try FileManager.default.removeItem(atPath: cluster.scratch.path)
    }

    @Test("our program is laid out where the server user can run it", .requires(.permafrost))
    func permafrostIsReachable() async throws {
        let programs = try PermafrostPrograms.locate()
        for program in [programs.launcher, programs.program, "\(programs.directory)/bin/pgbackrest"] {
            try await ProcessRunner.run("test", ["-x", program], asUser: ProcessRunner.serverUser).expecting(0)
        }
    }

    @Test("pgBackRest runs", .requires(.pgBackRest("2.45"), .pgBackRest("2.55")), arguments: PgBackRest.versions)
    func pgBackRestRuns(version: String) async throws {
        let result = try await ProcessRunner.run(
            PgBackRest.executable(version: version), ["version"], asUser: ProcessRunner.serverUser)
        #expect(result.stdout.hasPrefix("pgBackRest \(version)"))
    }

    @Test(
        "pgBackRest backs up and restores to a point", .requires(.pgBackRest("2.45"), .pgBackRest("2.55")),
        arguments: Majors.rows(0))
    func pgBackRestRestores(major: Int) async throws {
        try await withCluster(major) { cluster in
            let layout = try RepositoryLayout(for: cluster, options: ["compress-type": "lz4"])
            let tool = try PgBackRest.forPostgres(major, layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            try await tool.run("backup", ["--type=full"])
            try await cluster.pgbench(transactions: 50)
            try await tool.run("backup", ["--type=incr"])
            try await cluster.pgbench(transactions: 50)
            try await cluster.query("SELECT pg_create_restore_point('here')")
            let expected = try await cluster.dump()
            try await cluster.query("DROP TABLE pgbench_accounts")
            try await cluster.waitForArchived(cluster.switchWAL())

            let elsewhere = try layout.changed(
                name: "elsewhere", stanzaOptions: ["pg1-path": layout.scratch.makeDirectory("restored")])
            try await tool.with(elsewhere).run(
                "restore", ["--type=name", "--target=here", "--target-action=promote", "--archive-mode=off"])
            let restored = try cluster.restored(at: layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.amcheck()
        }
    }
}

/// The runner of processes that all fixtures stand on.
@Suite(.timeLimit(.minutes(10)))
struct ProcessRunnerTests {
    @Test func statusAndStreamsComeBack() async throws {
        let text = String(repeating: "line\n", count: 50_000)
        let result = try await ProcessRunner.run("sh", ["-c", "cat; echo oops >&2; exit 7"], stdin: text)
        #expect(result.status == 7)
        #expect(result.stdout == text)
        #expect(result.stderr == "oops\n")
        #expect(throws: TestSupportError.self) { try result.expecting(0) }
    }

    @Test func inputThatNobodyReadsIsNoError() async throws {
        let input = String(repeating: "x", count: 1 << 20)
        #expect(try await ProcessRunner.run("true", stdin: input).status == 0)
    }

    @Test func runsAsTheServerUserInACleanEnvironment() async throws {
        let result = try await ProcessRunner.run(
            "sh", ["-c", "id -un; env"], environment: ["A": "b"], asUser: ProcessRunner.serverUser)
        #expect(result.stdout.hasPrefix("\(ProcessRunner.serverUser ?? NSUserName())\n"))
        #expect(result.stdout.contains("\nA=b\n"))
        #expect(!result.stdout.contains("\nUSER="))
    }

    @Test func timeLimitKillsTheWholeGroup() async throws {
        let started = ContinuousClock.now
        await #expect(throws: TestSupportError.self) {
            try await ProcessRunner.run("sh", ["-c", "sleep 100 & sleep 100"], timeout: .milliseconds(200))
        }
        #expect(ContinuousClock.now - started < .seconds(5))
    }

    @Test func aDaemonThatHoldsThePipesDoesNotHoldUs() async throws {
        let started = ContinuousClock.now
        let result = try await ProcessRunner.run("sh", ["-c", "setsid sleep 6 & echo $!"])
        #expect(ContinuousClock.now - started < .seconds(5))
        #expect(result.status == 0)
    }

    @Test func signalEndsARunningProcess() async throws {
        let process = try ProcessRunner.start("sleep", ["100"])
        process.signal(15)
        #expect(try await process.wait().status == 128 + 15)
        process.signal(9)
    }

    @Test func aMissingProgramIsAnError() async throws {
        await #expect(throws: TestSupportError.self) { try await ProcessRunner.run("/nonexistent/program") }
    }
}
