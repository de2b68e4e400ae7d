import Foundation
import Glibc
import TestSupport
import Testing

/// PostgreSQL on one machine, the repository's volume on another.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)),
    .requires(.permafrost, .postgres(17), .pgBackRest("2.55")))
struct ServedRepositoryTests {
    @Test("backups, WAL, a restore to a moment, verify and expiry; pgBackRest finds a repository of its own")
    func life() async throws {
        try await withMachines(options: ["repo1-bundle": "y", "compress-type": "zst"]) { cluster, machine, tool in
            _ = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("check")
            try await cluster.pgbench(scale: 2)
            try await tool.run("backup", ["--type=full", "--annotation=from=afar"])
            try await cluster.pgbench(transactions: 50)
            try await tool.run("backup", ["--type=incr"])
            let expected = try await cluster.dump()
            let target = try await cluster.value("select now()")
            try await cluster.pgbench(transactions: 50)
            try await cluster.waitForArchived(try await cluster.switchWAL())
            try await tool.run("verify")

            let elsewhere = try tool.layout.changed(
                name: "restored", stanzaOptions: ["pg1-path": tool.layout.scratch.makeDirectory("restored")])
            try await tool.with(elsewhere).run(
                "restore", ["--type=time", "--target=\(target)", "--target-action=promote"])
            let restored = try cluster.restored(at: tool.layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.stop()

            // On the host itself, by the referee, and with nothing of ours in between.
            try cluster.scratch.write(
                "[global]\nrepo1-path=\(machine.volume)\nlog-path=\(tool.layout.logPath)\nlog-level-file=off\n"
                    + "log-level-console=info\nlock-path=\(tool.layout.lockPath)\n[main]\npg1-path=\(tool.layout.scratch.makeDirectory("theirs"))\n",
                to: "theirs.conf")
            let theirs = try PgBackRest.executable(version: "2.55")
            let config = "--config=\(cluster.scratch.subpath("theirs.conf"))"
            try await machine.there(theirs, config, "--stanza=main", "verify", "--output=text", "--verbose").expecting(
                0
            )
            .says("status: ok")
            try await machine.there(theirs, config, "--stanza=main", "--type=immediate", "restore").expecting(0)
            let link = try await machine.there("readlink", "\(machine.volume)/backup/main/latest").expecting(0)
            #expect(link.stdout == (try await tool.labels().last ?? "") + "\n")

            try await tool.run("backup", ["--type=full"])
            try await tool.run("expire", ["--repo1-retention-full=1"])
            #expect(try await tool.labels().count == 1)
            try await tool.run("verify")
            let leftovers = try await machine.there("find", machine.volume, "-name", "*.tmp").expecting(0)
            #expect(leftovers.stdout.isEmpty)
        }
    }

    @Test("the cable is cut in the middle of a backup, of WAL, of a restore, and mended")
    func cable() async throws {
        try await withMachines(options: ["compress-type": "none", "rate-limit-network": "8MiB", "io-timeout": "30"]) {
            cluster, machine, tool in
            _ = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            let backup = try tool.start("backup", ["--type=full"])
            try await Task.sleep(for: .seconds(1))
            try await machine.cut()
            let segment = try await cluster.switchWAL()
            try await Task.sleep(for: .seconds(3))
            try await machine.heal()
            try await backup.wait().expecting(0)
            try await cluster.waitForArchived(segment)
            try await tool.run("verify")
            let expected = try await cluster.dump()
            try await cluster.waitForArchived(try await cluster.switchWAL())

            let elsewhere = try tool.layout.changed(
                name: "restored", stanzaOptions: ["pg1-path": tool.layout.scratch.makeDirectory("restored")])
            let restore = try tool.with(elsewhere).start("restore")
            try await Task.sleep(for: .seconds(1))
            try await machine.cut()
            try await Task.sleep(for: .seconds(3))
            try await machine.heal()
            try await restore.wait().expecting(0)
            let restored = try cluster.restored(at: tool.layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
        }
    }

    @Test("a host that is killed and started again costs nothing")
    func killedHost() async throws {
        try await withMachines(options: ["compress-type": "none", "rate-limit-network": "8MiB", "io-timeout": "30"]) {
            cluster, machine, tool in
            let first = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            let backup = try tool.start("backup", ["--type=full"])
            try await Task.sleep(for: .seconds(1))
            first.signal(SIGKILL)
            _ = try await first.wait()
            try await Task.sleep(for: .seconds(1))
            let second = try await machine.serve()
            try await backup.wait().expecting(0)
            try await tool.run("verify")

            // It stops when told, and says so.
            second.signal(SIGTERM)
            try await second.wait().expecting(0).says("stopping")
            try await tool.run("info", ["--io-timeout=1"], expecting: nil).says("no connection")
        }
    }

    @Test("a full disk, a command on the host, a client of another stanza, certificates that do not do")
    func refusals() async throws {
        try await withMachines(size: "40m", host: ["tls-server-auth": "db=main\nother=other"]) {
            cluster, machine, tool in
            try await machine.tls("issue", "other")
            try await machine.tls("issue", "stranger")
            let server = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            func options(_ name: String, _ options: [String: String]) throws -> Permafrost {
                tool.with(try tool.layout.changed(name: name, options: options))
            }
            try await options("other", machine.clientOptions(as: "other")).run("check", expecting: 105)
                .says("client 'other' may not use stanza 'main'")
            try await options("stranger", machine.clientOptions(as: "stranger")).run("check", expecting: 105)
                .says("client 'stranger' is not known")

            try await cluster.pgbench(scale: 10)
            try await tool.run("backup", ["--type=full", "--compress-type=none"], expecting: nil).says("no space left")
            let left = try await machine.there("find", machine.volume, "-name", "*.tmp").expecting(0)
            #expect(left.stdout.isEmpty)
            server.signal(SIGTERM)
            _ = try await server.wait()
        }
    }

    @Test("the repository host has a backup made; agent and link may be lost meanwhile")
    func agent() async throws {
        try await withMachines(options: ["compress-type": "none"]) { cluster, machine, tool in
            _ = try await machine.serve()
            try await machine.tls("issue", machine.databaseAddress)
            try await machine.tls("issue", "cron")
            func start() async throws -> RunningProcess {
                try await machine.agent(tool, ["rate-limit-network": "8MiB"])
            }
            let first = try await start()
            let control = try machine.writeControl(pgPath: cluster.dataDirectory)
            func there(_ words: String...) async throws -> ProcessResult {
                try await machine.there(tool.executable, ["--config=\(control)", "--stanza=main"] + words)
            }
            try await there("stanza-create").expecting(0)
            try await tool.archive(from: cluster)
            try await there("check").expecting(0)
            try await cluster.pgbench(scale: 1)
            let result = try await there("--type=full", "--annotation=by=cron", "backup").expecting(0).says(
                "full backup size", "\"exit-code\":0", "\"by\":\"cron\"")
            #expect(result.stdout.split(separator: "\n").last?.hasPrefix("{\"command\":\"backup\"") == true)
            #expect(try await tool.labels().count == 1)

            // Neither a lost link nor a lost agent costs the backup, or who waits for it its end.
            async let waiting = there("--type=full", "backup")
            try await Task.sleep(for: .seconds(2))
            try await machine.cut()
            try await Task.sleep(for: .seconds(2))
            try await machine.heal()
            first.signal(SIGKILL)
            _ = try await first.wait()
            try await Task.sleep(for: .seconds(1))
            let second = try await start()
            try await waiting.expecting(0).says("\"end\":\"completed\"")
            #expect(try await tool.labels().count == 2)

            // What fails there ends here with its code; what may not be asked for is refused.
            try await there("--type=full", "--repo=3", "backup").expecting(32)
            try await there("--pg1-path=/elsewhere", "backup").expecting(31)
            try await there("restore").expecting(72).says("must be run on the PostgreSQL host")

            // By name it can be.
            let expected = try await cluster.dump()
            try await there("job", "restore", "--delta").expecting(38).says(
                "unable to restore while PostgreSQL is running")
            try await cluster.waitForArchived(try await cluster.switchWAL())
            try await cluster.stop()
            try await there("job", "restore", "--delta").expecting(0).says(
                "\"command\":\"restore\"", "\"exit-code\":0")
            try await cluster.start()
            try await cluster.waitForRecoveryEnd()
            #expect(try await cluster.dump() == expected)
            second.signal(SIGTERM)
            try await second.wait().expecting(0)
            try await tool.run("verify")
        }
    }
}
