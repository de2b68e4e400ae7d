import Foundation
import Glibc
import HTTP
import TestSupport
import Testing

extension BackingUp {
    /// `GET /v1/status` of an agent beside a PostgreSQL.
    @Suite(.timeLimit(.minutes(5))) struct AgentStatus {
        @Test("a primary, its backups and what goes wrong", arguments: Majors.rows(1))
        func status(major: Int) async throws {
            try await withAgentSite(major) { site, agent in
                try await agent.start()
                let label = try await site.backup(["--annotation=reason=a test"])
                try await site.archive()
                let status = try await agent.status()
                let server = try #require(status["server"])
                #expect(server["in-recovery"]?.bool == false && server["version"]?.string == "\(major)")
                #expect(server["timeline"]?.integer == 1 && server["started"]?.integer ?? 0 > 1_700_000_000)
                let identifier = try await site.cluster.value("SELECT system_identifier FROM pg_control_system()")
                #expect(server["system-id"]?.string == identifier)
                let archiving = try #require(status["archiving"])
                #expect(archiving["mode"]?.string == "on" && archiving["command-set"]?.bool == true)
                #expect(archiving["archived"]?.integer ?? 0 > 0 && archiving["is-failing"]?.bool == false)
                let names = (status["volumes"]?.elements ?? []).compactMap { $0["name"]?.string }
                #expect(names == ["data", "spool"])
                let repository = try #require(status["repositories"]?.elements.first)
                #expect(repository[["status", "code"]]?.integer == 0 && repository["error"] == nil)
                let backup = try #require(repository["backups"]?.elements.first)
                #expect(backup["label"]?.string == label && backup["type"]?.string == "full")
                #expect(backup["annotations"]?.texts == ["reason": "a test"] && backup["timeline"]?.integer == 1)
                let archive = try #require(repository["archive"]?.elements.first)
                #expect(archive["id"]?.string == "\(major)-1" && archive["max"]?.string?.utf8.count == 24)

                // A commit that is archived, with nothing after it.
                let microseconds = "select (extract(epoch from clock_timestamp()) * 1000000)::int8"
                let before = try #require(Int64(await site.cluster.value(microseconds)))
                try await site.cluster.query("create table the_last ()")
                let after = try #require(Int64(await site.cluster.value(microseconds)))
                try await site.archive()
                try await waitFor("the time of the commit", timeout: .seconds(30)) {
                    let restorable = try await agent.status("fresh=0")[["archiving", "restorable"]]?.integer
                    return restorable.map { (before..<after).contains(Int64($0)) } ?? false
                }

                // The repository goes away, and comes back.
                try await asServerUser("mv", ["\(site.repository)/archive", "\(site.repository)/away"])
                try await site.cluster.switchWAL()
                try await waitFor("the failure to be told", timeout: .seconds(60)) {
                    let archiving = try await agent.status()["archiving"]
                    return archiving?["is-failing"]?.bool == true && archiving?["ready"]?.integer ?? 0 > 0
                        && archiving?[["error", "message"]]?.string?.contains("archive.info") == true
                }
                #expect(try await agent.status("fresh=0")["repositories"]?.elements.first?["error"] != nil)
                try await asServerUser("mv", ["\(site.repository)/away", "\(site.repository)/archive"])
                try await site.cluster.switchWAL()
                try await waitFor("it to be over", timeout: .seconds(90)) {
                    let archiving = try await agent.status()["archiving"]
                    return archiving?["is-failing"]?.bool == false && archiving?["error"] == nil
                }
                #expect(try await agent.status("fresh=0")["repositories"]?.elements.first?["error"] == nil)

                // A server that hangs is told of in time; so is one that is down.
                let postmaster = try String(
                    contentsOfFile: "\(site.cluster.dataDirectory)/postmaster.pid", encoding: .utf8
                ).prefix { $0 != "\n" }
                let process = try #require(Int32(postmaster))
                try await Task.sleep(for: .seconds(1))
                kill(process, SIGSTOP)
                let start = ContinuousClock.now
                let hanging = try await agent.status()
                kill(process, SIGCONT)
                #expect(hanging[["server", "error", "code"]]?.integer == 56, "\(hanging)")
                #expect(ContinuousClock.now - start < .seconds(12) && hanging["archiving"] == nil)
                #expect(hanging["repositories"]?.elements.first?[["status", "code"]]?.integer == 0)
                try await site.cluster.stop()
                try await Task.sleep(for: .seconds(1))
                #expect(try await agent.status()[["server", "error", "code"]]?.integer == 56)
            }
        }

        @Test("a repository host without a volume")
        func withoutVolume() async throws {
            try await withAgentSite(15) { site, _ in
                let host = try await Agent(
                    site, socket: "", command: "server",
                    options: [
                        "repo1-type": "s3", "repo1-s3-bucket": "b", "repo1-s3-region": "r", "repo1-s3-key": "k",
                        "repo1-s3-key-secret": "a secret", "repo1-s3-endpoint": "http://127.0.0.1:1",
                        "repo1-s3-uri-style": "path",
                    ])
                try await host.start()
                let status = try await host.status("patience=60")
                #expect(status["server"] == nil && status["archiving"] == nil)
                #expect(status["volumes"]?.elements.map { $0["name"]?.string } == ["spool"])
                let error = try #require(status["repositories"]?.elements.first?["error"])
                let said = error["message"]?.string ?? ""
                #expect(said.contains("no connection to 127.0.0.1:1: connection refused"), "\(error)")
                #expect(!"\(status)".contains("a secret"))
                #expect(try await host.get("/readyz") == "ok\n")
                #expect(try await host.get("/metrics").contains("permafrost_build_info"))
                #expect(try await host.get("/v1/jobs") == "{\"jobs\":[]}\n")
                #expect(try await host.get("/v1/repo/1/x").contains("there is nothing at this address"))
                try await host.stop()
            }
        }

        @Test("configuration that is wrong, and mended")
        func configuration() async throws {
            try await withAgentSite(17) { site, agent in
                try await agent.start()
                let path = agent.layout.configFile
                let good = try String(contentsOfFile: path, encoding: .utf8)
                func write(_ text: String) throws { try text.write(toFile: path, atomically: false, encoding: .utf8) }
                #expect(try await agent.status()["error"] == nil)
                try write(good + "\nno-such-option=1\nrepo1-retention-full=none\n")
                let bad = try await agent.status()
                #expect(bad[["error", "message"]]?.string?.contains("retention-full") == true, "\(bad)")
                try write(good)
                #expect(try await agent.status()["error"] == nil)
                #expect(try await agent.status("", stanza: "nix")[["error", "code"]]?.integer == 105)
            }
        }
    }
}

extension Agent {
    /// One file of `/v1/…`, or beside it.
    func get(_ path: String) async throws -> String {
        let script = """
            import http.client, ssl, sys
            c = ssl.create_default_context(cafile='\(certificates)/ca.crt')
            c.load_cert_chain('\(certificates)/cron.crt', '\(certificates)/cron.key')
            h = http.client.HTTPSConnection('localhost', \(port), context=c, timeout=60)
            h.request('GET', '\(path)')
            sys.stdout.write(h.getresponse().read().decode())
            """
        return try await ProcessRunner.run("python3", ["-c", script]).expecting(0).stdout
    }

    /// What it answers to the client `cron`.
    func status(_ query: String = "", stanza: String = "main") async throws -> ServiceJSON {
        let text = try await get("/v1/status/\(stanza)?\(query)")
        guard let json = ServiceJSON(Array(text.utf8)) else { throw TestSupportError("no JSON: \(text)") }
        return json
    }
}
