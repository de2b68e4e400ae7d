import Foundation
import Glibc
import TestSupport
import Testing

/// What happens to a repository host while it serves: certificates, configuration, clients beside each other, jobs.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)), .requires(.permafrost, .postgres(17)))
struct HostOperationTests {
    private static let slow = ["compress-type": "none", "rate-limit-network": "6MiB"]

    @Test("certificates of both sides are renewed while a backup runs")
    func renewal() async throws {
        try await withMachines(options: Self.slow) { cluster, machine, tool in
            let server = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 2)
            func serial(_ name: String) async throws -> String {
                let file = "\(machine.certificates)/\(name).crt"
                return try await ProcessRunner.run("openssl", ["x509", "-in", file, "-noout", "-serial"]).expecting(0)
                    .stdout
            }
            /// What the server shows to a new connection.
            func shown() async throws -> String {
                let probe =
                    "openssl s_client -connect \(machine.address):\(RepositoryMachine.port) </dev/null 2>/dev/null "
                    + "| openssl x509 -noout -serial"
                return try await ProcessRunner.run("bash", ["-c", probe]).stdout
            }
            let before = try await serial(machine.address)
            #expect(try await shown() == before)
            let backup = try tool.start("backup", ["--type=full"])
            try await Task.sleep(for: .seconds(1))
            try await machine.tls("--force", "issue", machine.address)
            try await machine.tls("--force", "issue", "db")
            server.signal(SIGHUP)
            let after = try await serial(machine.address)
            #expect(after != before)
            try await waitFor("the new certificate") { try await shown() == after }
            // It goes on with what it has, and WAL arrives with what is new.
            try await cluster.waitForArchived(try await cluster.switchWAL())
            try await backup.wait().expecting(0)
            try await tool.run("verify")

            // Pairs that do not fit are refused, and the old ones stay.
            try await machine.there("cp", "\(machine.certificates)/db.key", "\(machine.certificates)/kept").expecting(0)
            try await machine.there(
                "cp", "\(machine.certificates)/db.key", "\(machine.certificates)/\(machine.address).key"
            ).expecting(0)
            server.signal(SIGHUP)
            try await Task.sleep(for: .milliseconds(500))
            #expect(try await shown() == after)
            try await tool.run("check")
            server.signal(SIGTERM)
            try await server.wait().expecting(0).says(
                "configuration and certificates were read again", "the old one stays", "does not fit the certificate")
        }
    }

    @Test("two hosts back up one stanza at once: one is let through, the other is told who it is")
    func twoHosts() async throws {
        try await withMachines(host: ["tls-server-auth": "db=main\nsecond=main"], options: Self.slow) {
            cluster, machine, tool in
            try await machine.tls("issue", "second")
            _ = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 2)
            // Nothing on this host tells the two of each other.
            let other = tool.with(
                try tool.layout.changed(
                    name: "second",
                    options: Self.slow.merging(machine.clientOptions(as: "second")) { $1 }.merging(
                        ["lock-path": try cluster.scratch.makeDirectory("second-lock")]) { $1 }))
            let first = try tool.start("backup", ["--type=full"])
            try await waitFor("the lock of the first") {
                try await machine.there("test", "-e", "\(machine.volume)/permafrost/main/lock").status == 0
            }
            try await other.run("backup", ["--type=full"], expecting: 50).says("unable to acquire the lock of stanza")
            try await other.run("expire", expecting: 50).says("unable to acquire the lock of stanza")
            // Nor may a command on the repository host itself come between.
            let there = try await machine.there(
                tool.executable, ["--config=\(machine.configFile)", "--stanza=main", "expire"])
            try there.expecting(50)
            try await first.wait().expecting(0)
            #expect(try await tool.labels().count == 1)
            try await other.run("backup", ["--type=incr"])
            try await tool.run("verify")
            #expect(try await other.labels().count == 2)
        }
    }

    @Test("what arrives is, byte by byte, what a directory on this host gets", arguments: ["none", "zst"])
    func bytes(compress: String) async throws {
        var options = ["compress-type": compress, "repo2-bundle": "y", "repo1-bundle": "y"]
        // Large enough to be sent in parts.
        options["repo1-bundle-size"] = "40MiB"
        options["repo2-bundle-size"] = "40MiB"
        try await withMachines(options: options) { cluster, machine, tool in
            let local = try cluster.scratch.makeDirectory("beside")
            let both = tool.with(
                try tool.layout.changed(name: "both", options: options.merging(["repo2-path": local]) { $1 }))
            _ = try await machine.serve()
            try await both.run("stanza-create")
            try await both.archive(from: cluster)
            try await cluster.pgbench(scale: 4)
            try await both.run("backup", ["--repo=1", "--repo=2", "--type=full"])
            try await cluster.pgbench(transactions: 50)
            try await cluster.waitForArchived(try await cluster.switchWAL())
            try await both.run("backup", ["--repo=1", "--repo=2", "--type=incr"])
            // All but locks; of what says when each repository was done, the names. Links and modes too.
            let list =
                "cd %s && find archive backup -printf '%p %y %m %l\\n' | sort && find archive backup -type f "
                + "! -name 'backup.manifest*' ! -name 'backup.info*' ! -path '*/backup.history/*' -print0 "
                + "| sort -z | xargs -0 sha256sum"
            func tree(_ path: String) -> [String] { ["-c", list.replacing("%s", with: path)] }
            let there = try await machine.there("bash", tree(machine.volume)).expecting(0).stdout
            let here = try await ProcessRunner.run("bash", tree(local)).expecting(0).stdout
            #expect(there.split(separator: "\n").count > 60)
            #expect(there == here)
        }
    }

    @Test("a host reads its configuration again; one that is wrong changes nothing")
    func reload() async throws {
        try await withMachines(host: ["tls-server-allow": "db=add"]) { cluster, machine, tool in
            try await machine.tls("issue", "late")
            let server = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("backup", ["--no-expire-auto"])
            try await tool.run("backup", ["--type=full", "--no-expire-auto"])
            let late = tool.with(
                try tool.layout.changed(name: "late", options: machine.clientOptions(as: "late")))
            try await late.run("info", ["--io-timeout=2"], expecting: nil).says("client 'late' is not known")
            try await tool.run("expire", ["--repo1-retention-full=1"], expecting: 105)

            try machine.configure(["tls-server-auth": "db=main\nlate=main", "tls-server-allow": "db=expire\nlate=read"])
            server.signal(SIGHUP)
            try await waitFor("the new rights") {
                try await !late.run("info").stdout.contains("is not known")
            }
            try await late.run("expire", ["--repo1-retention-full=1"], expecting: 105)
            try await tool.run("expire", ["--repo1-retention-full=1"])
            #expect(try await tool.labels().count == 1)

            try machine.configure(["tls-server-auth": "=", "tls-server-allow": "db=everything"])
            server.signal(SIGHUP)
            try await Task.sleep(for: .milliseconds(500))
            try await tool.run("check")
            server.signal(SIGTERM)
            try await server.wait().expecting(0).says("unable to read the configuration again, the old one stays")
        }
    }

    @Test("a repository host runs jobs: expire, verify, info, annotate; lists, follows and cancels them")
    func jobs() async throws {
        let host = ["repo1-retention-full": "1", "monitor-port": "9187", "monitor-label": "cluster=orders"]
        try await withMachines(host: host.merging(["tls-server-auth": "db=main\nother=other"]) { $1 }) {
            cluster, machine, tool in
            try await machine.tls("issue", "other")
            let server = try await machine.serve()
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("backup", ["--no-expire-auto"])
            try await tool.run("backup", ["--type=full", "--no-expire-auto"])
            func job(_ words: String..., expecting status: Int32? = 0) async throws -> ProcessResult {
                let result = try await ProcessRunner.run(
                    tool.executable,
                    ["--config=\(tool.layout.configFile)", "--stanza=main", "--log-level-console=info"] + words,
                    asUser: ProcessRunner.serverUser)
                return if let status { try result.expecting(status) } else { result }
            }
            let label = try #require(try await tool.labels().last)
            try await job("job", "annotate", "--set=\(label)", "--annotation=by=job").says("\"end\":\"completed\"")
            try await job("job", "info", "--output=text", "--set=\(label)").says("by: job")
            try await job("job", "verify").says("\"exit-code\":0")
            try await job("job", "expire").says("remove", label.prefix(8).description)
            #expect(try await tool.labels() == [label])
            try await job("job", "backup", expecting: 37).says("requires option: pg1-host")

            // Listed newest first, watched again by whoever may, with the exit code of then.
            let list = try await job("job", "list").stdout
            let ids = list.matches(of: /\d{8}-\d{6}-\d{3}-[0-9a-f]{20}/).map { String($0.output) }
            #expect(ids.count == 4 && ids == ids.sorted().reversed())
            try await job("job", "follow", ids[0]).says("\"command\":\"expire\"", "\"exit-code\":0")
            try await job("job", "show", ids[1]).says("command: verify", "state: completed", "exit code: 0")
            try await job("job", "verify", "--set=20200101-000000F", expecting: nil).says("\"end\":\"failed\"")
            let failed = try await job("job", "list", "--output=json").stdout
            #expect(failed.contains("\"state\":\"failed\""))
            let other = try tool.layout.changed(name: "other", options: machine.clientOptions(as: "other"))
            let foreign = ["--config=\(other.configFile)", "--stanza=main", "job", "show", ids[0]]
            try await ProcessRunner.run(tool.executable, foreign, asUser: ProcessRunner.serverUser).expecting(55)
                .says("there is no such job")

            // A request that is made twice with one key is one job.
            for _ in 0..<2 { _ = try await job("job", "verify", "--job-key=nightly", "--detach") }
            #expect(try await job("job", "list").stdout.matches(of: /verify/).count == 3)

            // Who watches the host sees it all; a client its own.
            let metrics = try await machine.there("curl", "-sf", "http://localhost:9187/metrics").expecting(0).stdout
            for line in [
                "permafrost_repository_up{cluster=\"orders\",stanza=\"main\",repo=\"1\"} 1",
                "permafrost_wal_gaps{cluster=\"orders\",stanza=\"main\",repo=\"1\"} 0",
                "permafrost_repository_volume_free_bytes{cluster=\"orders\",stanza=\"main\",repo=\"1\"} ",
                "permafrost_backup_last_success_timestamp_seconds{cluster=\"orders\",stanza=\"main\",repo=\"1\",type=\"full\"}",
                "permafrost_job_duration_seconds_count{cluster=\"orders\",stanza=\"main\",type=\"expire\",end=\"completed\"} 1",
                "permafrost_last_restorable_timestamp_seconds{cluster=\"orders\",stanza=\"main\",repo=\"1\"}",
            ] {
                #expect(metrics.contains(line), "\(line)")
            }
            try await machine.there("curl", "-sf", "http://localhost:9187/readyz").expecting(0)
            func seen(_ client: String) async throws -> String {
                try await ProcessRunner.run(
                    "curl",
                    [
                        "-sf", "--cacert", "\(machine.certificates)/ca.crt", "--cert",
                        "\(machine.certificates)/\(client).crt", "--key", "\(machine.certificates)/\(client).key",
                        "https://\(machine.address):\(RepositoryMachine.port)/metrics",
                    ]
                ).expecting(0).stdout
            }
            #expect(try await seen("db").contains("stanza=\"main\""))
            #expect(try await !seen("other").contains("stanza=\"main\""))

            try await ProcessRunner.run(
                tool.executable,
                [
                    "--no-config", "--allow-root", "--tls-server-port=\(RepositoryMachine.port)", "server-ping",
                    machine.address,
                ]
            ).expecting(0)
            server.signal(SIGTERM)
            try await server.wait().expecting(0)
            try await ProcessRunner.run(
                tool.executable,
                [
                    "--no-config", "--allow-root", "--tls-server-port=\(RepositoryMachine.port)", "server-ping",
                    machine.address,
                ]
            ).expecting(49)
        }
    }
}
