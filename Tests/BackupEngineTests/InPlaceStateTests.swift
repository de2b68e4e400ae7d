import BackupModel
import Logging
import PostgresFormats
import Testing

@testable import BackupEngine

/// How a restore in place goes on after a kill, decided by what lies there.
struct InPlaceStateTests {
    private static let paths = InPlacePaths(data: "/volume/data")

    private static func state(_ request: String = "a", method: RestoreReport.Method = .copy) -> InPlaceState {
        InPlaceState(
            request: request, token: "1-2", method: method, program: "/bin/postgres", libraries: "a,b",
            result: RestoreReport(
                stanza: "main", set: "20261122-010203F", repository: 2, dataDirectory: "/volume/data", type: "time",
                target: "2026-11-22 01:02:03+00"))
    }

    @Test func theStateIsReadBack() throws {
        var state = Self.state()
        state.result.isDone = true
        state.result.method = .copy
        #expect(InPlaceState(state.bytes) == state)
        state.phase = .recovered
        state.result.targetTimeline = "latest"
        state.result.recovery = RestoreReport.Recovery(timeline: 3, lsn: "0/5000110", time: "2026-11-22 01:02:02+00")
        #expect(InPlaceState(state.bytes) == state)
        let json = state.result.json.text
        #expect(json.contains(#""timeline":3"#) && json.contains(#""lsn":"0/5000110""#) && !json.contains("files"))
        for broken in ["", "{}", String(decoding: state.bytes.dropLast(20), as: UTF8.self)] {
            #expect(InPlaceState(Array(broken.utf8)) == nil)
        }
    }

    /// Names beside the data directory, as runs change them.
    private struct Volume: Equatable {
        enum Content { case old, half, new }
        var data: Content? = .old
        var restored: Content?
        var before: Content?
        var isHeld = false
        var state: InPlaceState?

        var situation: InPlaceSituation {
            InPlaceSituation(
                hasData: data != nil, hasRestored: restored != nil, hasBefore: before != nil, isHeld: isHeld,
                state: state)
        }

        /// Makes the changes of a run one by one, `limit` at most. False when it was cut short.
        mutating func run(_ request: String, fails: Bool, limit: Int) throws -> Bool {
            var left = limit
            func change(_ body: () -> Void) -> Bool {
                guard left > 0 else { return false }
                left -= 1
                body()
                return true
            }
            while true {
                let step = try situation.next(request, .copy, InPlaceStateTests.paths)
                switch step {
                case .restore:
                    var new = InPlaceStateTests.state(request)
                    guard change({ state = new }), change({ isHeld = true }), change({ restored = .half }) else {
                        return false
                    }
                    if fails {
                        return change({ isHeld = false }) && change({ restored = nil }) && change({ state = nil })
                    }
                    guard change({ restored = .new }) else { return false }
                    new.phase = .recovered
                    guard change({ state = new }) else { return false }
                case .exchange:
                    guard change({ isHeld = true }), change({ (before, data) = (data, nil) }),
                        change({ (data, restored) = (restored, nil) })
                    else { return false }
                case .finishExchange:
                    guard change({ (data, restored) = (restored, nil) }) else { return false }
                case .undoExchange:
                    if data != nil {
                        guard change({ isHeld = true }), change({ (restored, data) = (data, nil) }) else {
                            return false
                        }
                    }
                    guard change({ (data, before) = (before, nil) }) else { return false }
                case .release:
                    let isWanted = state?.request == request
                    guard change({ state?.phase = .released }), change({ isHeld = false }), change({ before = nil }),
                        change({ state = nil })
                    else {
                        return false
                    }
                    if isWanted { return true }
                }
            }
        }

        func requireADatabase(_ comment: Comment) {
            // What may run is whole, and what may not is held.
            let whole = data == .old || data == .new
            // What is kept may be what a restore before this one has brought.
            #expect(whole || before == .old || before == .new, comment)
            #expect(whole || isHeld, comment)
            #expect(!isHeld || state != nil, comment)
        }
    }

    /// Killed after each change, up to three times in a row, and run again by the same request or another.
    @Test(arguments: [false, true], [false, true])
    func everyKillConverges(firstFails: Bool, isAnotherRequest: Bool) throws {
        var ways = 0
        for first in 0..<13 {
            for second in 0..<18 {
                for third in 0..<16 {
                    var volume = Volume()
                    let comment: Comment = "killed after \(first), \(second) and \(third) changes"
                    if try !volume.run("a", fails: firstFails, limit: first) {
                        volume.requireADatabase(comment)
                        let again = isAnotherRequest ? "b" : "a"
                        if try !volume.run(again, fails: false, limit: second) {
                            volume.requireADatabase(comment)
                            if try !volume.run(again, fails: false, limit: third) {
                                volume.requireADatabase(comment)
                                #expect(try volume.run(again, fails: false, limit: .max), comment)
                            }
                        }
                        #expect(volume == Volume(data: .new), comment)
                        ways += 1
                    } else {
                        #expect(volume == Volume(data: firstFails ? .old : .new), comment)
                    }
                }
            }
        }
        #expect(ways > 500)
    }

    @Test func whatNoRunLeavesIsRefused() throws {
        func code(_ situation: InPlaceSituation, _ method: RestoreReport.Method = .copy) -> ErrorCode? {
            do throws(BackupError) {
                _ = try situation.next("a", method, Self.paths)
                return nil
            } catch {
                return error.code
            }
        }
        var recovered = Self.state()
        recovered.phase = .recovered
        let delta = Self.state(method: .delta)
        #expect(code(InPlaceSituation()) == nil)
        #expect(code(InPlaceSituation(hasRestored: true)) == nil)
        #expect(code(InPlaceSituation(hasData: false)) == .pathMissing)
        #expect(code(InPlaceSituation(hasBefore: true)) == .pathNotEmpty)
        #expect(code(InPlaceSituation(isHeld: true)) == .fileExists)
        #expect(code(InPlaceSituation(hasBefore: true, state: Self.state())) == .pathNotEmpty)
        #expect(code(InPlaceSituation(hasRestored: true, hasBefore: true, state: recovered)) == .pathNotEmpty)
        #expect(code(InPlaceSituation(hasData: false, state: recovered)) == .pathMissing)
        #expect(code(InPlaceSituation(hasData: false, hasRestored: true, state: Self.state())) == .pathMissing)
        // Of half a restore nothing is to be kept.
        #expect(code(InPlaceSituation(state: delta)) == .pathNotEmpty)
        #expect(code(InPlaceSituation(state: delta), .delta) == nil)
    }
}

struct RecoveryLogTests {
    private func log(_ lines: String) -> RecoveryLog {
        var log = RecoveryLog()
        for line in lines.split(separator: "\n") { _ = log.take(String(line)) }
        return log
    }

    /// As PostgreSQL 15 wrote it.
    @Test func readsWhatWasReached() {
        let log = log(
            """
            LOG:  starting PostgreSQL 15.14 on x86_64-pc-linux-gnu, 64-bit
            LOG:  starting point-in-time recovery to 2026-11-22 05:00:00+00
            LOG:  restored log file "000000010000000000000002" from archive
            LOG:  redo starts at 0/2000028
            LOG:  consistent recovery state reached at 0/2000100
            LOG:  restored log file "000000010000000000000003" from archive
            LOG:  recovery stopping before commit of transaction 742, time 2026-11-22 05:00:00.5+00
            LOG:  redo done at 0/3012A40 system usage: CPU: user: 0.00 s, system: 0.00 s, elapsed: 0.02 s
            LOG:  last completed transaction was at log time 2026-11-22 04:59:59.25+00
            LOG:  selected new timeline ID: 2
            LOG:  archive recovery complete
            LOG:  database system is ready to accept connections
            """)
        #expect(log.isReady && log.failures.isEmpty && !log.lacksLibrary)
        #expect(log.lastTransaction == "2026-11-22 04:59:59.25+00")
        #expect(log.lastFile == "000000010000000000000003")
        #expect(log.redoEnd == LSN("0/3012A40"))
    }

    @Test func saysWhyInPostgresWords() {
        let late = log(
            """
            LOG:  redo done at 0/3000148 system usage: CPU: user: 0.00 s
            LOG:  last completed transaction was at log time 2026-11-22 04:59:59.25+00
            FATAL:  recovery ended before configured recovery target was reached
            LOG:  startup process (PID 4711) exited with exit code 1
            """)
        let error = late.failure(of: "20261122-010203F", target: "lsn FF/0", end: "ended with exit code 1")
        #expect(error.code == .backupSetInvalid && late.endedBeforeTarget)
        #expect(
            error.message == "backup set 20261122-010203F could not be recovered to lsn FF/0: recovery ended before"
                + " configured recovery target was reached; the last transaction in WAL is of 2026-11-22 04:59:59.25+00"
        )
        let gap = log(
            "LOG:  restored log file \"000000010000000000000002\" from archive\nFATAL:  WAL ends before end of online backup"
        )
        #expect(gap.failure(of: "F", target: nil, end: "").code == .fileMissing)
        #expect(gap.failure(of: "F", target: nil, end: "").hint?.contains("000000010000000000000002") == true)
        let early = log("FATAL:  requested recovery stop point is before consistent recovery point")
        #expect(early.failure(of: "F", target: "xid 1", end: "").code == .backupSetInvalid)
        let library = log("FATAL:  could not access file \"pg_none\": No such file or directory")
        #expect(library.lacksLibrary)
        let other = log("FATAL:  out of memory\nDETAIL:  Failed on request of size 8.\nLOG:  x\nDETAIL:  y")
        #expect(other.failures == ["out of memory (Failed on request of size 8.)"])
        #expect(other.failure(of: "F", target: nil, end: "").code == .execute)
        #expect(
            log("").failure(of: "F", target: nil, end: "was killed by signal 9").message
                == "backup set F could not be recovered: PostgreSQL was killed by signal 9 and gave no reason")
    }
}

struct InPlaceCheckTests {
    @Test func findsTheProgramByWhatItLeft() throws {
        let line =
            #"/usr/lib/postgresql/15/bin/postgres "-D" "/v/data" "--config_file=/v/da ta/postgresql.conf""# + "\n"
        #expect(
            ServerProgram(parsing: Array(line.utf8))
                == ServerProgram(
                    path: "/usr/lib/postgresql/15/bin/postgres",
                    arguments: ["-D", "/v/data", "--config_file=/v/da ta/postgresql.conf"]))
        #expect(ServerProgram(parsing: Array("postgres \"-D\"".utf8)) == nil)
        #expect(ServerProgram(parsing: []) == nil)
        let shell = ServerProgram(path: "/bin/sh", arguments: ["-c", "echo one; echo two", "sh"])
        #expect(try shell.setting("any") == "one")
        #expect(try ServerProgram(path: "/bin/false", arguments: ["-D", "x"]).setting("any") == nil)
        #expect(throws: BackupError.self) {
            try ServerProgram(path: "/bin/true").require(PostgresVersion(number: 150_000))
        }
    }

    /// Between the last record of the archive and the shutdown lies nothing but the end of a segment.
    @Test func knowsTheEndOfAllWAL() throws {
        func isLast(_ record: String, _ checkpoint: String) throws -> Bool {
            InPlaceChecks.isLast(
                try #require(LSN(record)), before: try #require(LSN(checkpoint)), segmentSize: 16 << 20)
        }
        #expect(try isLast("0/5000110", "0/6000028"))
        #expect(try isLast("0/5FFFFE0", "0/6000028"))
        #expect(try !isLast("0/5000110", "0/6000060"))
        #expect(try !isLast("0/5000110", "0/7000028"))
        #expect(try !isLast("0/6000028", "0/6000028"))
    }

    @Test func refusesTargetsOutsideOfTheSet() throws {
        // It stopped at 1700000100 and 0/2000100.
        let manifest = try RestoreFixture.emptyManifest()
        func code(_ type: RestoreType, _ target: String?) -> ErrorCode? {
            var options = RestoreOptions(stanza: "main", dataDirectory: "/pg")
            options.type = type
            options.target = target
            do throws(BackupError) {
                try InPlaceChecks.target(manifest, options, now: 1_700_001_000)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(.time, "2023-11-14 22:15:00+00") == nil)
        #expect(code(.time, "2023-11-14 22:14:00+00") == .backupSetInvalid)
        #expect(code(.time, "2023-11-14 22:30:01+00") == .optionInvalidValue)
        #expect(code(.lsn, "0/2000100") == nil)
        #expect(code(.lsn, "0/20000FF") == .backupSetInvalid)
        #expect(code(.lsn, "x") == .optionInvalidValue)
        #expect(code(.default, nil) == nil && code(.name, "any") == nil)
    }

    @Test func timesHaveAZone() throws {
        for text in ["2026-11-22 01:02:03+00", "2026-11-22 01:02:03.5-05:30", "2026-11-22T01:02:03Z"] {
            #expect(try TargetTime.withZone(text) == text)
        }
        let local = try TargetTime.withZone("2026-11-22 01:02:03.25")
        #expect(local.hasPrefix("2026-11-22 01:02:03.25") && local.contains { "+-".contains($0) })
        #expect(try TargetTime.parse(local) == TargetTime.parse("2026-11-22 01:02:03.25"))
        #expect(throws: BackupError.self) { try TargetTime.withZone("yesterday") }
    }

    /// What recovers needs at least what wrote the WAL had, and does nothing beside.
    @Test func theRecoveringServerIsAlone() throws {
        let version = PostgresVersion(number: 170_000)
        var options = RestoreOptions(stanza: "main", dataDirectory: "/v/data.restore")
        options.type = .lsn
        options.target = "0/3000000"
        options.targetAction = "promote"
        options.restoreCommand = "permafrost archive-get %f \"%p\""
        options.recoveryOptions = [("recovery-end-command", "true")]
        func control(_ connections: UInt32, _ prepared: UInt32, level: String) -> ServerControl {
            ServerControl(
                state: .shutDown, walLevel: level, logsHints: false, maxConnections: connections, maxWALSenders: 5,
                maxPreparedTransactions: prepared, maxLocksPerTransaction: 64, tracksCommitTimestamps: prepared > 0)
        }
        let server = RecoveryServer(
            program: "/bin/postgres", dataDirectory: "/v/data.restore", version: version, libraries: "columnar",
            recovery: try RecoverySettings(options, version: version), set: "F", target: nil,
            controls: [control(100, 0, level: "replica"), control(50, 20, level: "logical")],
            logger: .init(label: "test"))
        let all = server.settings("/tmp/x", "columnar")
        // As on a command line, the last wins.
        let settings = Dictionary(all.map { ($0.name, $0.value) }) { $1 }
        for (name, value) in [
            ("max_connections", "100"), ("max_prepared_transactions", "20"), ("wal_level", "logical"),
            ("track_commit_timestamp", "on"), ("wal_log_hints", "off"), ("archive_mode", "on"), ("archive_command", ""),
            ("archive_library", ""), ("listen_addresses", ""), ("unix_socket_directories", "/tmp/x"),
            ("shared_preload_libraries", "columnar"), ("max_worker_processes", "0"),
            ("recovery_target_lsn", "0/3000000"), ("recovery_target_action", "promote"),
            ("recovery_end_command", "true"), ("restore_command", "permafrost archive-get %f \"%p\""),
        ] {
            #expect(settings[name] == value, "\(name)")
        }
        var old = server
        old.version = PostgresVersion(number: 140_000)
        #expect(!old.settings("/tmp/x", "").contains { $0.name == "archive_library" })
    }
}

struct RestoreDryRunTests {
    @Test func saysWhatWouldBeAndWritesNothing() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        var options = fixture.options
        options.isDryRun = true
        let repositories = [Repository(key: 1, store: fixture.store)]
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let workers = WorkerThreads(count: 1)
        let found = try await RestoreCommand.run(
            options, repositories: repositories, logger: logger, workers: workers)
        let report = try #require(found)
        #expect(!fixture.exists("pg_data"))
        let json = report.text(asJSON: true)
        #expect(
            json.hasPrefix(
                #"{"backup":{"archive":{"start":"000000010000000000000002","stop":"000000010000000000000002"}"#))
        #expect(json.contains(#""set":"\#(RestoreFixture.label)""#) && json.contains(#""files":7"#), "\(json)")
        #expect(report.text(asJSON: false).hasPrefix("restore backup set \(RestoreFixture.label) of repo1 into '"))
        // What a restore refuses, this refuses too.
        try fixture.write("pg_data/file", "of somebody")
        let code = await errorCode {
            try await RestoreCommand.run(options, repositories: repositories, logger: logger, workers: workers)
        }
        #expect(code == .pathNotEmpty)
    }
}
