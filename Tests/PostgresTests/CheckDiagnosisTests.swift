import Foundation
import TestSupport
import Testing

extension BackingUp {
    /// Archiving is misconfigured in one way on a real server, and `check` says which.
    @Suite(.timeLimit(.minutes(10))) struct CheckDiagnosis {
        @Test(arguments: Majors.rows(0))
        func commandsThatCannotWork(major: Int) async throws {
            try await withSite(major) { site in
                let (cluster, tool) = (site.cluster, site.tool)
                let good = tool.archiveCommand
                try await tool.run("check").says("successfully archived")
                let other = try site.layout.changed(name: "other")
                let cases: [(String, Int32, String)] = [
                    ("", 68, "archive_command is empty"),
                    ("cp %p /nowhere/%f", 68, "calls neither permafrost nor pgbackrest"),
                    (good.replacing("--stanza=main", with: "--stanza=another"), 68, "archives to stanza 'another'"),
                    (
                        good.replacing(tool.executable, with: "/nonexistent/bin/permafrost"), 68,
                        "calls '/nonexistent/bin/permafrost', which does not exist"
                    ),
                    (
                        good.replacing(site.layout.configFile, with: "/nonexistent/permafrost.conf"), 68,
                        "'/nonexistent/permafrost.conf', which does not exist"
                    ),
                    (good.replacing("%p", with: "%f.x"), 68, "does not pass %p"),
                    (good.replacing("archive-push", with: "archive-posh"), 68, "does not call archive-push"),
                    ("false && " + good, 82, "archive_command has failed"),
                    ("true # permafrost", 82, "did not reach the archive within 3 s"),
                ]
                for (command, code, text) in cases {
                    try await cluster.setArchiveCommand(command)
                    let result = try await tool.run("check", ["--archive-timeout=3"], expecting: code)
                    try result.says(text)
                    #expect(result.stdout.contains("HINT: "))
                }
                // Another configuration may be intended: it is a warning.
                try await cluster.setArchiveCommand(
                    good.replacing(site.layout.configFile, with: other.configFile))
                try await tool.run("check").says("reads the configuration '\(other.configFile)', while this check read")
                try await cluster.setArchiveCommand(good)

                try await tool.run("stop")
                try await tool.run("check", expecting: 62).says("stop file exists for stanza main")
                try await tool.run("start")
                try await tool.run("check", ["--pg1-port=1"], expecting: 56).says("port 1")
                try await tool.run("check", ["--pg1-path=/nonexistent"], expecting: 73).says("'/nonexistent'")
                try await tool.run("check", ["--no-archive-check"])
                try await tool.run("check").says("successfully archived")
            }
        }

        /// One that fails again and again is not waited for until the end.
        @Test(arguments: Majors.rows(1))
        func aFailingCommandIsToldSoon(major: Int) async throws {
            try await withSite(major) { site in
                try await site.cluster.setArchiveCommand("false # permafrost")
                let start = ContinuousClock.now
                let result = try await site.tool.run("check", ["--archive-timeout=100"], expecting: 82)
                #expect(ContinuousClock.now - start < .seconds(60))
                try result.says("archive_command has failed 3 times", "last for 0000")
                // The next run knows before it begins.
                let again = try await site.tool.run("check", ["--archive-timeout=1"], expecting: 82)
                try again.says("WARN: archive_command has failed")
                // What asynchronous archiving left behind.
                try site.scratch.makeDirectory("spool/archive/main/out")
                try site.scratch.write(
                    "55\nunable to find a fork\nin the road",
                    to: "spool/archive/main/out/000000010000000000000042.error")
                try await site.tool.run("check", ["--archive-timeout=1"], expecting: 82)
                    .says("'000000010000000000000042' (unable to find a fork)")
            }
        }

        @Test(arguments: Majors.rows(2))
        func settingsThatNeedARestart(major: Int) async throws {
            try await withSite(major) { site in
                let (cluster, tool) = (site.cluster, site.tool)
                if major >= 15 {
                    try await cluster.query("ALTER SYSTEM SET archive_library = 'basic_archive'")
                    try await cluster.query("ALTER SYSTEM SET archive_command = ''")
                    try await cluster.reload()
                    try await tool.run("check", expecting: 68).says("archive_library is 'basic_archive'")
                    try await cluster.query("ALTER SYSTEM RESET archive_library")
                    try await cluster.setArchiveCommand(tool.archiveCommand)
                }
                for (settings, code, text) in [
                    (["archive_mode = always"], 67, "archive_mode is 'always'"),
                    (["archive_mode = off"], 87, "archive_mode is off: "),
                    (
                        ["archive_mode = off", "wal_level = minimal", "max_wal_senders = 0"], 87,
                        "archive_mode is off, and wal_level is minimal"
                    ),
                ] as [([String], Int32, String)] {
                    for setting in settings { try await cluster.query("ALTER SYSTEM SET \(setting)") }
                    try await cluster.restart()
                    try await tool.run("check", expecting: code).says(text)
                }
            }
        }

        @Test(arguments: Majors.rows(0))
        func oneOfTwoRepositories(major: Int) async throws {
            try await withSite(major, repositories: 2) { site in
                let tool = site.tool
                try await tool.run("check").says("on repo1", "on repo2")
                // What archives knows one repository only.
                let text = try String(contentsOfFile: site.layout.configFile, encoding: .utf8)
                let one = text.split(separator: "\n").filter { !$0.hasPrefix("repo2-") }.joined(separator: "\n")
                let file = try site.scratch.write(one + "\n", to: "one.conf")
                try await site.cluster.setArchiveCommand(
                    tool.archiveCommand.replacing(site.layout.configFile, with: file))
                let result = try await tool.run("check", ["--archive-timeout=3"], expecting: 82)
                try result.says("repo2: WAL segment", "although it is in repo1", "name repo2, with the same path?")
            }
        }

        /// A standby is compared with the stanza; archiving is proven on the primary, whichever number it has.
        @Test(arguments: Majors.rows(1))
        func standbys(major: Int) async throws {
            try await withSite(major) { site in
                let standby = try await site.cluster.standby(name: "standby")
                try await standby.start()
                let only = try site.layout.changed(
                    name: "only",
                    stanzaOptions: [
                        "pg1-path": standby.dataDirectory, "pg1-port": "\(standby.port)",
                        "pg1-socket-path": standby.socketDirectory,
                    ])
                try await site.tool.with(only).run("check").says("is a standby (in recovery)")
                let both = try site.layout.changed(
                    name: "both",
                    stanzaOptions: [
                        "pg1-path": standby.dataDirectory, "pg1-port": "\(standby.port)",
                        "pg1-socket-path": standby.socketDirectory, "pg2-path": site.cluster.dataDirectory,
                        "pg2-port": "\(site.cluster.port)", "pg2-socket-path": site.cluster.socketDirectory,
                        "pg2-user": "postgres",
                    ])
                try await site.tool.with(both).run("check").says(
                    "is a standby (in recovery)", "successfully archived")
                try await standby.stop()
            }
        }
    }
}
