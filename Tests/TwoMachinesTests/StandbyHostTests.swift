import Foundation
import Glibc
import TestSupport
import Testing

/// A primary here and its standby on the other machine, an agent beside each; the other machine has the volume too, and
/// sees nothing of the primary's data directory.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)),
    .requires(.permafrost, .postgres(17), .pgBackRest("2.55")))
struct StandbyHostTests {
    private struct Pair {
        let primary: PostgresCluster
        let standby: PostgresCluster
        let machine: RepositoryMachine
        /// On the primary's host.
        let tool: Permafrost
        let standbyConfig: String
        let control: String
        let primaryAgent: RunningProcess

        /// A command of the machine that has the volume, for agents.
        func there(_ words: String...) async throws -> ProcessResult {
            try await machine.there(tool.executable, ["--config=\(control)", "--stanza=main"] + words)
        }

        /// A command of the standby's host itself.
        func onStandby(_ words: String...) async throws -> ProcessResult {
            try await machine.there(tool.executable, ["--config=\(standbyConfig)", "--stanza=main"] + words)
        }

        func labels() async throws -> [String] {
            let output = try await tool.run("info", ["--output=json", "--log-level-console=off"]).stdout
            return output.matches(of: /"label":"([0-9FDI_-]+)"/).map { String($0.output.1) }
        }
    }

    private static func serverOptions(_ key: Int, _ cluster: PostgresCluster) -> [String: String] {
        [
            "pg\(key)-path": cluster.dataDirectory, "pg\(key)-port": "\(cluster.port)",
            "pg\(key)-socket-path": cluster.socketDirectory, "pg\(key)-user": "postgres",
        ]
    }

    private func withPair(
        options: [String: String] = [:], _ body: (Pair) async throws -> Void
    ) async throws {
        try await withCluster(17) { cluster in
            let scratch = cluster.scratch
            let machine = try await RepositoryMachine(
                for: cluster, options: ["tls-server-auth": "db=main\nstandby=main"])
            for name in [machine.databaseAddress, "cron", "standby"] { try await machine.tls("issue", name) }
            _ = try await machine.serve()
            let layout = try RepositoryLayout(for: cluster, options: machine.clientOptions())
            try scratch.removeDirectory(layout.repositoryPaths[0])
            let tool = try Permafrost(layout: layout, alias: true)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 2)

            let standby = try await cluster.standby(name: "standby")
            scratch.atEnd { try? await standby.stop(.immediate) }
            try await machine.hide(cluster.dataDirectory)
            try await machine.there(
                standby.installation.program("pg_ctl"), "start", "-w", "-D", standby.dataDirectory, "-l",
                standby.logFile, "-o",
                "-k \(standby.socketDirectory) -p \(standby.port) -c listen_addresses='' -c hot_standby=on"
            ).expecting(0)

            let tls = [
                "host-type": "tls", "host-ca-file": "\(machine.certificates)/ca.crt",
            ]
            func agent(_ key: Int, _ address: String, as client: String) -> [String: String] {
                var options = ["pg\(key)-host": address]
                for (name, value) in tls { options["pg\(key)-\(name)"] = value }
                options["pg\(key)-host-cert-file"] = "\(machine.certificates)/\(client).crt"
                options["pg\(key)-host-key-file"] = "\(machine.certificates)/\(client).key"
                return options
            }
            let primaryLayout = try layout.changed(
                name: "primary-agent",
                options: merged(machine.agentOptions(), ["tls-server-auth": "cron=main\nstandby=main"]))
            let agentOptions = merged(
                machine.agentOptions(),
                [
                    "tls-server-address": machine.address, "tls-server-auth": "cron=main",
                    "tls-server-cert-file": "\(machine.certificates)/\(machine.address).crt",
                    "tls-server-key-file": "\(machine.certificates)/\(machine.address).key",
                    "lock-path": try scratch.makeDirectory("standby-lock"),
                    "spool-path": try scratch.makeDirectory("standby-spool"),
                    "log-path": try scratch.makeDirectory("standby-log"),
                ])
            let standbyLayout = try layout.changed(
                name: "standby-agent",
                options: merged(machine.clientOptions(as: "standby"), agentOptions, options),
                stanzaOptions: merged(
                    Self.serverOptions(1, standby), agent(2, machine.databaseAddress, as: "standby"),
                    ["pg2-path": cluster.dataDirectory]))
            let control = try layout.changed(
                name: "control",
                options: [
                    "lock-path": try scratch.makeDirectory("control-lock"),
                    "log-path": try scratch.makeDirectory("control-log"), "backup-standby": "prefer",
                ],
                stanzaOptions: merged(
                    agent(1, machine.address, as: "cron"), agent(2, machine.databaseAddress, as: "cron"),
                    ["pg1-path": standby.dataDirectory, "pg2-path": cluster.dataDirectory]))

            let primaryAgent = try ProcessRunner.start(
                tool.executable, ["--config=\(primaryLayout.configFile)", "agent"], asUser: ProcessRunner.serverUser,
                timeout: .seconds(900))
            let standbyAgent = try machine.start(
                tool.executable, ["--config=\(standbyLayout.configFile)", "agent"])
            scratch.atEnd {
                for agent in [primaryAgent, standbyAgent] {
                    agent.signal(SIGKILL)
                    _ = try? await agent.wait()
                }
            }
            for address in [machine.databaseAddress, machine.address] {
                try await waitFor("the agent at \(address)") {
                    try await machine.there("bash", "-c", "exec 3<>/dev/tcp/\(address)/8433").status == 0
                }
            }
            try await body(
                Pair(
                    primary: cluster, standby: standby, machine: machine, tool: tool,
                    standbyConfig: standbyLayout.configFile, control: control.configFile, primaryAgent: primaryAgent))
        }
    }

    @Test("the repository host has the standby's agent make backups; they restore, and pgBackRest agrees")
    func backups() async throws {
        try await withPair(options: ["repo1-bundle": "y"]) { pair in
            try await pair.primary.query("create table kept as select generate_series(1, 1000) as n")
            // The standby's agent is pg1: by its key alone no primary is found there.
            try await pair.there("check").expecting(0).says("WAL segment")
            try await pair.there("--type=full", "--backup-standby=y", "--log-level-console=detail", "backup").expecting(
                0
            )
            .says(
                "job", "on \(pair.machine.address):8433", "backup file \(pair.standby.dataDirectory)/base/",
                "backup file \(pair.machine.databaseAddress):\(pair.primary.dataDirectory)/PG_VERSION",
                "backup file \(pair.machine.databaseAddress):\(pair.primary.dataDirectory)/global/pg_control")
            try await pair.primary.pgbench(transactions: 100)
            // Where the file of this host says so, the agent's need not.
            try await pair.there("--type=incr", "backup").expecting(0).says(
                "on \(pair.machine.address):8433", "wait for replay on the standby", "incr backup size")
            #expect(try await pair.labels().count == 2)
            let expected = try await pair.primary.dump()
            try await pair.primary.waitForArchived(try await pair.primary.switchWAL())
            try await pair.tool.run("verify")

            let elsewhere = try pair.tool.layout.changed(
                name: "restored", stanzaOptions: ["pg1-path": pair.tool.layout.scratch.makeDirectory("restored")])
            try await pair.tool.with(elsewhere).run("restore")
            let restored = try pair.primary.restored(at: pair.tool.layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.stop()

            let scratch = pair.primary.scratch
            try scratch.write(
                "[global]\nrepo1-path=\(pair.machine.volume)\nlog-path=\(pair.tool.layout.logPath)\nlog-level-file=off\n"
                    + "log-level-console=info\nlock-path=\(pair.tool.layout.lockPath)\n[main]\npg1-path=\(scratch.makeDirectory("theirs"))\n",
                to: "theirs.conf")
            let theirs = try PgBackRest.executable(version: "2.55")
            let config = "--config=\(scratch.subpath("theirs.conf"))"
            try await pair.machine.there(theirs, config, "--stanza=main", "verify", "--output=text", "--verbose")
                .expecting(0).says("status: ok")
            try await pair.machine.there(theirs, config, "--stanza=main", "--type=immediate", "restore").expecting(0)

            // On the standby's host itself: what it is told and what it may.
            try await pair.onStandby("check").expecting(0).says("is a primary", "is a standby")
            try await pair.onStandby("--type=incr", "--backup-standby=prefer", "backup").expecting(0)
            try await pair.onStandby("--type=incr", "backup").expecting(72).says(
                "and backup-standby, its files are not read")
            try await pair.onStandby("stanza-create").expecting(0)
            try await pair.onStandby("archive-get", "000000010000000000000001", "\(scratch.path)/segment").expecting(0)

            // Without a standby: what is required is refused, what is preferred goes to the primary.
            try await pair.standby.stop()
            try await pair.there("--backup-standby=y", "backup").expecting(56).says(
                "unable to find standby cluster", "\(pair.machine.databaseAddress) has a primary")
            try await pair.there("backup").expecting(0).says(
                "using primary instead", "on \(pair.machine.databaseAddress):8433")
            #expect(try await pair.labels().count == 4)
        }
    }

    @Test("the cable is cut during a backup and mended; then the primary's agent is killed during one")
    func links() async throws {
        try await withPair(options: ["rate-limit-disk": "8MiB", "compress-type": "none", "io-timeout": "20"]) { pair in
            async let waiting = pair.onStandby("--type=full", "--backup-standby=y", "backup")
            try await Task.sleep(for: .seconds(2))
            try await pair.machine.cut()
            try await Task.sleep(for: .seconds(4))
            try await pair.machine.heal()
            try await waiting.expecting(0)
            #expect(try await pair.labels().count == 1)
            try await pair.tool.run("verify")

            async let doomed = pair.onStandby("--type=full", "--backup-standby=y", "--io-timeout=1", "backup")
            try await Task.sleep(for: .seconds(3))
            pair.primaryAgent.signal(SIGKILL)
            _ = try await pair.primaryAgent.wait()
            // PostgreSQL ends the backup with the session.
            try await waitFor("the end of the backup's session") {
                try await pair.primary.value(
                    "select count(*) from pg_stat_activity where application_name like 'permafrost%'") == "0"
            }
            let again = try ProcessRunner.start(
                pair.tool.executable, ["--config=\(pair.primary.scratch.subpath("primary-agent.conf"))", "agent"],
                asUser: ProcessRunner.serverUser, timeout: .seconds(900))
            pair.primary.scratch.atEnd {
                again.signal(SIGKILL)
                _ = try? await again.wait()
            }
            try await doomed.expecting(56).says("there is no such session with PostgreSQL")
            #expect(try await pair.labels().count == 1)
        }
    }

    @Test("the standby is promoted, the primary is killed during a backup: it fails in words and leaves no label")
    func roles() async throws {
        try await withPair(options: ["rate-limit-disk": "8MiB", "compress-type": "none"]) { pair in
            async let killed = pair.onStandby("--type=full", "--backup-standby=y", "backup")
            try await Task.sleep(for: .seconds(3))
            try await pair.primary.stop(.immediate)
            let end = try await killed
            #expect(end.status == 57 || end.status == 56, "\(end)")
            try end.says("agent \(pair.machine.databaseAddress):8433")
            #expect(try await pair.labels() == [])
            try await pair.primary.start()
            try await waitFor("the standby to stream again") {
                try await pair.primary.value("select count(*) from pg_stat_replication where state = 'streaming'")
                    == "1"
            }

            async let promoted = pair.onStandby("--type=full", "--backup-standby=y", "backup")
            try await Task.sleep(for: .seconds(3))
            try await pair.standby.query("select pg_promote()")
            try await promoted.expecting(58).says("became a primary during the backup")
            #expect(try await pair.labels() == [])
            try await pair.onStandby("--type=full", "--backup-standby=y", "backup").expecting(56).says(
                "more than one primary")
        }
    }
}

/// The later win.
private func merged(_ options: [String: String]...) -> [String: String] {
    options.reduce([:]) { $0.merging($1) { $1 } }
}
