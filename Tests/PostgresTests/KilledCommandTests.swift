import Foundation
import Glibc
import TestSupport
import Testing

extension Restoring {
    /// Commands that end before they are done: by `kill -9` at points all over their run, and by SIGTERM.
    @Suite(.timeLimit(.minutes(15))) struct Killed {
        private static let points = Majors.runsAll ? 20 : 6

        /// How long to wait before each blow, when a whole run takes `time`.
        private static func delays(_ time: Duration) -> [Duration] {
            (0..<points).map { time * (2 * $0 + 1) / (2 * points) }
        }

        @Test("backup", arguments: Majors.rows(0))
        func backup(major: Int) async throws {
            try await withSite(major, options: ["process-max": "2", "compress-type": "gz"]) { site in
                try await site.cluster.pgbench(scale: 1)
                let start = ContinuousClock.now
                try await site.backup()
                for delay in Self.delays(ContinuousClock.now - start) {
                    let before = try site.labels()
                    let running = try site.tool.start("backup", ["--type=full"])
                    try await Task.sleep(for: delay)
                    running.signal(SIGKILL)
                    let ended = try await running.wait()
                    // Listed or not, when the blow came just before its end.
                    let new = try site.labels().dropFirst(before.count)
                    #expect(try site.labels().starts(with: before) && new.count <= 1)
                    #expect(ended.status != 0 || new.count == 1)
                    try await site.refereeAgrees()
                    try await site.cluster.pgbench(transactions: 5)

                    // The dead one's locks are no obstacle, and what it left does not stay.
                    let again = ContinuousClock.now
                    let label = try await site.backup(afterKill: true)
                    #expect(ContinuousClock.now - again < .seconds(20))
                    let directories = try FileManager.default.contentsOfDirectory(atPath: site.backupDirectory)
                        .filter { $0.hasSuffix("F") }.sorted()
                    #expect(try directories == site.labels())
                    #expect(directories.last == label)
                    site.expectNoTraces("after \(delay)", afterKill: true)
                }
                try await site.refereeAgrees()
                try await site.requireRestorable("restored")
                // The first of all is as good as it was.
                let first = try #require(site.labels().first)
                _ = try await site.restoreAndPromote(
                    to: "first", ["--set=\(first)", "--type=immediate", "--target-action=promote"])
                #expect(try await site.cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
            }
        }

        @Test("archive-push", arguments: Majors.rows(1))
        func archivePush(major: Int) async throws {
            try await withSite(major, options: ["compress-type": "gz"]) { site in
                let cluster = site.cluster
                try await site.write(10)
                try await cluster.setArchiveCommand("")
                func next() async throws -> String {
                    try await cluster.query(
                        "SELECT count(pg_logical_emit_message(true, 'x', repeat(md5(i::text), 20))) FROM generate_series(1, 10000) AS i"
                    )
                    return try await cluster.switchWAL()
                }
                let first = try await next()
                let start = ContinuousClock.now
                try await site.tool.push("pg_wal/\(first)")
                for delay in Self.delays(ContinuousClock.now - start) {
                    let segment = try await next()
                    let running = try site.tool.startCommand("archive-push", ["pg_wal/\(segment)"])
                    try await Task.sleep(for: delay)
                    running.signal(SIGKILL)
                    let ended = try await running.wait()
                    // Either all of it is there or nothing.
                    let got = site.scratch.subpath("got")
                    let found = try await site.tool.get(segment, to: got, expecting: nil)
                    #expect(found.status == 0 || (found.status == 1 && ended.status != 0), "\(delay): \(found)")
                    if found.status == 0 {
                        #expect(try content(got) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                    }
                    try await site.tool.push("pg_wal/\(segment)")
                    try await site.tool.get(segment, to: got)
                    #expect(try content(got) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                    #expect(try site.archived().filter { $0.hasPrefix(segment) }.count == 1)
                    site.expectNoTraces("after \(delay)", afterKill: true)
                }
                // PostgreSQL finds most of it there already, and goes on.
                try await site.tool.archive(from: cluster)
                try await site.archive()
                try await site.refereeAgrees()
            }
        }

        @Test("PostgreSQL with its archiver", arguments: Majors.rows(2))
        func server(major: Int) async throws {
            try await withSite(major) { site in
                let cluster = site.cluster
                try await site.write(10)
                try await site.backup()
                for delay in Majors.runsAll ? [0, 10, 20, 30, 50, 100] : [0, 20, 40] {
                    try await site.write(100, archive: false)
                    try await cluster.switchWAL()
                    try await Task.sleep(for: .milliseconds(delay))
                    try await cluster.kill9()
                    try await cluster.start()
                    try await site.archive()
                }
                try await site.refereeAgrees()
                try await site.requireRestorable("restored")
            }
        }

        @Test("restore", arguments: Majors.rows(1))
        func restore(major: Int) async throws {
            try await withSite(major, options: ["process-max": "2"]) { site in
                try await site.cluster.pgbench(scale: 1)
                try await site.backup()
                try await site.archive()
                let expected = try await site.cluster.dump()
                let start = ContinuousClock.now
                _ = try await site.restore(to: "whole")
                for (index, delay) in Self.delays(ContinuousClock.now - start).enumerated() {
                    let other = try site.tool.with(site.elsewhere("r\(index)"))
                    let running = try other.start("restore", ["--delta"])
                    try await Task.sleep(for: delay)
                    running.signal(SIGKILL)
                    let ended = try await running.wait()
                    let data = site.scratch.subpath("r\(index)")
                    let restored = try site.cluster.restored(at: data)
                    if ended.status != 0, !exists("\(data)/global/pg_control") {
                        // Half a restore is no data directory for the server.
                        await #expect(throws: TestSupportError.self) { try await restored.start() }
                    }
                    try await other.run("restore", ["--delta"])
                    #expect(!exists("\(data)/backup.manifest"))
                    #expect(files(under: data).filter { $0.contains(".tmp") } == [])
                    if index % 3 == 0 {
                        try await restored.start()
                        try await restored.waitForRecoveryEnd()
                        #expect(try await restored.dump() == expected, "\(delay)")
                        try await restored.stop()
                        #expect(try await restored.checksumsOK())
                    }
                    try FileManager.default.removeItem(atPath: data)
                }
                site.expectNoTraces()
            }
        }

        /// A backup that has begun to copy files.
        private static func backupAtWork(_ site: Site) async throws -> RunningProcess {
            // What the one before left must not be taken for the work of this one: labels are times in seconds.
            try await Task.sleep(for: .milliseconds(1100))
            let before = try FileManager.default.contentsOfDirectory(atPath: site.backupDirectory)
            let running = try site.tool.start("backup", ["--type=full", "--no-resume"])
            try await waitFor("files to be copied", every: .milliseconds(5)) {
                try FileManager.default.contentsOfDirectory(atPath: site.backupDirectory)
                    .contains { !before.contains($0) && exists("\(site.backupDirectory)/\($0)/pg_data/base") }
            }
            return running
        }

        @Test("stop lets a running backup end, and with --force ends it", arguments: Majors.rows(1))
        func stopped(major: Int) async throws {
            try await withSite(major, options: ["compress-type": "bz2", "compress-level": "9"]) { site in
                try await site.cluster.pgbench(scale: 2)
                let running = try await Self.backupAtWork(site)
                try await site.tool.run("stop")
                try await site.tool.run("backup", ["--type=full"], expecting: 62)
                // It waits for WAL, which is not archived meanwhile and is not lost.
                try await Task.sleep(for: .seconds(1))
                #expect(try site.labels() == [])
                try await site.tool.run("start")
                try await running.wait().expecting(0)
                let first = try site.labels()
                #expect(first.count == 1)

                let ending = try await Self.backupAtWork(site)
                let said = try await site.tool.run("stop", ["--force"])
                #expect(said.log.contains("sent term signal to process"), "\(said)")
                #expect(try await ending.wait().status == 63)
                #expect(try site.labels() == first)
                site.expectNoTraces("stopped")
                try await site.tool.run("start")
                #expect(try await site.backup() != first[0])
                try await site.requireRestorable("restored")
                try await site.refereeAgrees()
            }
        }

        @Test("SIGTERM ends commands cleanly", arguments: Majors.rows(2))
        func terminated(major: Int) async throws {
            // A slow one, so that the signal meets it at work.
            try await withSite(major, options: ["compress-type": "bz2", "compress-level": "9"]) { site in
                let cluster = site.cluster
                try await cluster.pgbench(scale: 2)
                let first = try await site.backup()
                for signal in [SIGTERM, SIGINT] {
                    let running = try await Self.backupAtWork(site)
                    running.signal(signal)
                    let start = ContinuousClock.now
                    let ended = try await running.wait()
                    #expect(ContinuousClock.now - start < .seconds(5))
                    #expect(ended.status == 63, "\(ended)")
                    #expect(try site.labels() == [first])
                    site.expectNoTraces("backup")
                    #expect(
                        try await cluster.value(
                            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'permafrost%'") == "0")
                }
                // While the server makes it wait, too.
                let slow = try site.tool.with(site.layout.changed(name: "slow", options: ["start-fast": "n"]))
                try await cluster.pgbench(transactions: 200)
                let waiting = try slow.start("backup", ["--type=full"])
                try await waitFor("the backup to wait for its checkpoint") {
                    try await cluster.value(
                        "SELECT count(*) FROM pg_stat_activity WHERE wait_event IN ('CheckpointStart', 'CheckpointDone')"
                    ) != "0"
                }
                waiting.signal(SIGTERM)
                let start = ContinuousClock.now
                #expect(try await waiting.wait().status == 63)
                #expect(ContinuousClock.now - start < .seconds(5))
                site.expectNoTraces("waiting backup")

                let other = try site.tool.with(site.elsewhere("restored"))
                let restoring = try other.start("restore", ["--delta"])
                try await waitFor("files to be restored", every: .milliseconds(5)) {
                    exists(site.scratch.subpath("restored/base"))
                }
                restoring.signal(SIGTERM)
                #expect(try await restoring.wait().status == 63)
                #expect(!exists(site.scratch.subpath("restored/global/pg_control")))
                site.expectNoTraces("restore")
                try await other.run("restore", ["--delta"])
                try await site.backup()
                try await site.requireRestorable("last")
                try await site.refereeAgrees()
            }
        }
    }
}
