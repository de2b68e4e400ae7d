import Foundation
import TestSupport
import Testing

extension BackingUp {
    @Suite(.timeLimit(.minutes(10))) struct StandbyBackup {
        /// The options that add a server to the stanza.
        private func options(_ key: Int, _ cluster: PostgresCluster) -> [String: String] {
            [
                "pg\(key)-path": cluster.dataDirectory, "pg\(key)-port": "\(cluster.port)",
                "pg\(key)-socket-path": cluster.socketDirectory, "pg\(key)-user": "postgres",
            ]
        }

        private func withStandby(
            _ major: Int, _ body: (Site, PostgresCluster, Permafrost) async throws -> Void
        ) async throws {
            try await withSite(major) { site in
                try await site.cluster.pgbench(scale: 1)
                let standby = try await site.cluster.standby(name: "standby")
                try await standby.start()
                let layout = try site.layout.changed(name: "both", stanzaOptions: options(2, standby))
                try await body(site, standby, site.tool.with(layout))
            }
        }

        @Test("files come from the standby, what only the primary has from there", arguments: Majors.rows(1))
        func readsStandby(major: Int) async throws {
            try await withStandby(major) { site, standby, tool in
                try await site.cluster.pgbench(transactions: 50)
                let said = try await tool.run("backup", ["--backup-standby=y", "--log-level-console=detail"]).log
                #expect(said.contains("backup file \(standby.dataDirectory)/base/"))
                #expect(said.contains("backup file \(standby.dataDirectory)/pg_xact/0000"))
                for name in ["global/pg_control", "postgresql.conf", "PG_VERSION"] {
                    #expect(said.contains("backup file \(site.cluster.dataDirectory)/\(name)"), "\(name)")
                }
                let label = try #require(site.labels().last)
                #expect(try site.manifest(label).value("backup:option", "option-backup-standby") == "true")
                try await site.refereeAgrees()
                try await site.requireRestorable("restored")
            }
        }

        @Test("one that does not run: preferred, required, not asked for", arguments: Majors.rows(1))
        func standbyIsDown(major: Int) async throws {
            try await withStandby(major) { site, standby, tool in
                try await standby.stop()
                let refused = try await tool.run("backup", ["--backup-standby=y"], expecting: 56)
                #expect(refused.log.contains("unable to find standby cluster"))
                let preferred = try await tool.run("backup", ["--backup-standby=prefer"]).log
                #expect(preferred.contains("using primary instead"))
                let plain = try await tool.run("backup").log
                #expect(plain.contains("WARN: unable to check pg2"))
                #expect(try site.labels().count == 2)
            }
        }

        @Test("whichever key the primary has, it is found; without one nothing is begun", arguments: Majors.rows(1))
        func findsPrimary(major: Int) async throws {
            try await withStandby(major) { site, standby, _ in
                let swapped = try site.layout.changed(
                    name: "swapped", stanzaOptions: options(1, standby).merging(options(2, site.cluster)) { $1 })
                try await site.tool.with(swapped).run("backup")
                try await site.tool.with(swapped).run("check")
                let alone = try site.layout.changed(name: "alone", stanzaOptions: options(1, standby))
                let refused = try await site.tool.with(alone).run("backup", expecting: 56)
                #expect(refused.log.contains("unable to find primary cluster"))
            }
        }

        @Test("replay that is paused is waited for in vain", arguments: Majors.rows(1))
        func replayIsPaused(major: Int) async throws {
            try await withStandby(major) { site, standby, tool in
                try await standby.query("SELECT pg_wal_replay_pause()")
                try await site.cluster.pgbench(transactions: 20)
                let refused = try await tool.run(
                    "backup", ["--backup-standby=y", "--archive-timeout=2"], expecting: 82)
                #expect(refused.log.contains("to replay WAL up to"))
                #expect(try site.labels() == [])
                try await standby.query("SELECT pg_wal_replay_resume()")
                try await tool.run("backup", ["--backup-standby=y"])
            }
        }

        @Test("what was written while the standby was behind is in the next backup too", arguments: Majors.rows(1))
        func standbyIsLate(major: Int) async throws {
            try await withSite(major) { site in
                try await site.cluster.query("create table late as select 1 as n")
                let standby = try await site.cluster.standby(
                    name: "standby", startSettings: ["recovery_min_apply_delay": "6s"])
                try await standby.start()
                let layout = try site.layout.changed(name: "both", stanzaOptions: options(2, standby))
                // What is committed now keeps replay from the start of the backup for a while.
                try await site.cluster.query("create table other as select 1 as n")
                let backup = try site.tool.with(layout).start("backup", ["--type=full", "--backup-standby=y"])
                try await Task.sleep(for: .seconds(3))
                try await site.cluster.query("update late set n = 2")
                try await site.cluster.query("checkpoint")
                try await backup.wait().expecting(0)
                try await site.tool.run("backup", ["--type=incr"])
                try await site.requireRestorable("restored")
            }
        }
    }
}
