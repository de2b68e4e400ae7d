import Foundation
import TestSupport
import Testing

/// Called as pgbackrest, by a link, it stands in for it: in cron jobs, archive_command and scripts.
@Suite(.keepsScratchOnFailure, .requires(.permafrost), .timeLimit(.minutes(10)))
struct PgBackRestNameTests {
    @Test(.requires(.postgres(15))) func cronJobsGoOnAsTheyAre() async throws {
        try await withCluster(15) { cluster in
            let layout = try RepositoryLayout(for: cluster, repositories: 2)
            let link = try PermafrostPrograms.locate().directory + "/bin"
            func sh(_ line: String) async throws -> ProcessResult {
                // cron gives a program little, and crontabs begin with such lines.
                try await ProcessRunner.run(
                    "sh", ["-c", line],
                    environment: ["PATH": "\(link):/usr/bin:/bin", "PGBACKREST_CONFIG": layout.configFile],
                    asUser: ProcessRunner.serverUser)
            }
            try await sh("pgbackrest --stanza=main --log-level-console=info stanza-create").expecting(0)
            try await cluster.setArchiveCommand(
                "\(link)/pgbackrest --config=\(layout.configFile) --stanza=main archive-push %p")
            try await sh("pgbackrest --stanza=main --log-level-console=warn check").expecting(0)
            let lines = [
                "pgbackrest --type=full --stanza=main backup",
                "pgbackrest --stanza=main --type=full --log-level-console=error backup >/dev/null 2>&1",
                "/usr/bin/nice -n 5 pgbackrest --stanza main --repo 2 --type full --log-level-console info backup",
                "pgbackrest --stanza=main --log-level-file=detail expire && echo expired",
                "test \"$(date +\\%w)\" != 9 && pgbackrest --stanza=main --no-expire-auto --type=full backup",
                "pgbackrest info --stanza=main --output=json | grep -q '\"code\":0'",
            ]
            for line in lines {
                let result = try await sh(line)
                #expect(result.status == 0 && result.stderr.isEmpty, "\(result)")
                if !line.contains("echo"), !line.contains("info"), line.contains("--log-level") {
                    #expect(result.stdout.isEmpty, "\(result)")
                }
            }
            let info = try await sh("pgbackrest --stanza=main info").expecting(0).stdout
            #expect(info.matches(of: #/full backup:/#).count == 4, "\(info)")
            let log = try String(contentsOfFile: "\(layout.logPath)/main-backup.log", encoding: .utf8)
            try Self.checkForm(log, "2.59.1")
        }
    }

    /// The form that we look for is the real one's.
    @Test(.requires(.pgBackRest("2.55"), .postgres(15))) func theLogHasTheFormOfTheRealOne() async throws {
        try await withCluster(15) { cluster in
            let layout = try RepositoryLayout(for: cluster)
            let tool = try PgBackRest(version: "2.55", layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("backup", ["--type=full"])
            try Self.checkForm(
                String(contentsOfFile: "\(layout.logPath)/main-backup.log", encoding: .utf8), "2.55.1")
        }
    }

    private static func checkForm(_ log: String, _ version: String) throws {
        let time = #"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "#
        for pattern in [
            time + #"P00   INFO: backup command begin \#(version): --.*--exec-id=\d+-[0-9a-f]{8} .*--stanza=main"#,
            time + #"P00   INFO: backup command end: completed successfully \(\d+ms\)"#,
            time + #"P00   INFO: backup start archive = [0-9A-F]{24}, lsn = [0-9A-F]+/[0-9A-F]+"#,
            time + #"P00   INFO: backup stop archive = [0-9A-F]{24}, lsn = [0-9A-F]+/[0-9A-F]+"#,
        ] {
            let isFound = try log.contains(Regex("(?m)^" + pattern))
            #expect(isFound, "\(pattern)\n\(log)")
        }
    }

    @Test func itsVersionIsWhatScriptsReadAndOursBehindIt() async throws {
        let text = try await run("version").stdout
        #expect(text.wholeMatch(of: #/pgBackRest 2\.59\.1 \(Permafrost [0-9.]+\)\n/#) != nil, "\(text)")
        #expect(try await run("version", "--output=num").stdout == "2059001\n")
        #expect(try await run("help").stdout.hasPrefix("pgBackRest 2.59.1 (Permafrost "))
    }

    private func run(_ arguments: String...) async throws -> ProcessResult {
        try await ProcessRunner.run(
            PermafrostPrograms.locate().directory + "/bin/pgbackrest", arguments, asUser: ProcessRunner.serverUser
        ).expecting(0)
    }
}
