import Foundation
import TestSupport
import Testing

/// Where messages go and what they look like there.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct LogFormTests {
    @Test func logForms() async throws {
        try await Site.with { site in
            try await json(site)
            try await silence(site)
            try await standardError(site)
            try await logFile(site)
            try await outputIsForPrograms(site)
            try await terminal(site)
            try await closedPipe(site)
        }
    }

    private func objects(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map { line in
            try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
        }
    }

    private func json(_ site: Site) async throws {
        let log = "\(site.layout.logPath)/main-check.log"
        try? FileManager.default.removeItem(atPath: log)
        let good = try await site.run("check", "--log-format=json")
        good.succeeded()
        let bad = try await site.run("check", "--log-format=json", "--pg1-path=/nonexistent/\"x\"")
        #expect(bad.status == 73 && bad.stderr.isEmpty)
        for line in try objects(good.stdout) + objects(bad.stdout) {
            #expect((line["ts"] as? String)?.wholeMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/#) != nil)
            #expect(line["level"] is String && line["logger"] is String && line["msg"] is String, "\(line)")
        }
        let error = try #require(try objects(bad.stdout).first { $0["level"] as? String == "error" })
        #expect(error["code"] as? Int == 73)
        #expect((error["msg"] as? String)?.contains("'/nonexistent/\"x\"' does not exist") == true)
        let inFile = try objects(String(contentsOfFile: log, encoding: .utf8))
        #expect(inFile.contains { $0["code"] as? Int == 73 })
        // Who did not wait for the process learns from its last line how it ended.
        let ends = inFile.filter { ($0["msg"] as? String)?.contains(" command end: ") == true }
        #expect(ends.map { $0["code"] as? Int } == [0, 73])
        try FileManager.default.removeItem(atPath: log)
    }

    private func silence(_ site: Site) async throws {
        for options in [[], ["--pg1-path=/nonexistent"]] {
            let result = try await site.run("check", options + ["--log-level-console=off"])
            #expect(result.status == (options.isEmpty ? 0 : 73))
            #expect(result.stdout.isEmpty && result.stderr.isEmpty, "\(result)")
        }
        // The default says what needs attention and nothing else.
        let quiet = try await site.run("check", "--log-level-console=warn")
        #expect(quiet.status == 0 && quiet.stdout.isEmpty, "\(quiet)")
        let failed = try await site.run("check", "--log-level-console=warn", "--pg1-path=/nonexistent")
        #expect(failed.stdout.contains("ERROR: [073]: ") && !failed.stdout.contains("INFO"), "\(failed)")
    }

    private func standardError(_ site: Site) async throws {
        let result = try await site.run("check", "--log-level-stderr=warn", "--pg1-path=/nonexistent")
        #expect(result.stderr.hasPrefix("ERROR: [073]: data directory '/nonexistent' does not exist\n"), "\(result)")
        // Each line goes to one of the two.
        #expect(!result.stdout.contains("ERROR"), "\(result)")
    }

    private func logFile(_ site: Site) async throws {
        let log = "\(site.layout.logPath)/main-check.log"
        try? FileManager.default.removeItem(atPath: log)
        for _ in 0..<2 { try await site.run("check", "--log-level-console=off").succeeded() }
        _ = try await site.run("check", "--log-level-console=off", "--pg1-path=/nonexistent")
        let text = try String(contentsOfFile: log, encoding: .utf8)
        #expect(text.components(separatedBy: "-------------------PROCESS START-------------------\n").count == 4)
        #expect(text.contains("P00  ERROR: [073]: data directory '/nonexistent' does not exist\n"))
        let off = try await site.run("check", "--log-level-file=off")
        off.succeeded()
        #expect(try String(contentsOfFile: log, encoding: .utf8) == text)
    }

    /// What `info` prints is parsed: no log line may come between.
    private func outputIsForPrograms(_ site: Site) async throws {
        for level in ["info", "warn"] {
            let result = try await site.run(
                "info", "--output=json", "--log-level-console=\(level)",
                environment: ["PERMAFROST_NO_SUCH_OPTION": "1"])
            result.succeeded()
            let stanzas = try #require(JSONSerialization.jsonObject(with: Data(result.output)) as? [[String: Any]])
            #expect(stanzas.first?["name"] as? String == "main")
        }
        let text = try await site.run("info")
        #expect(text.stdout.hasPrefix("stanza: main\n"), "\(text)")
    }

    private func terminal(_ site: Site) async throws {
        try await site.cluster.pgbench(scale: 10)
        let command =
            "\(site.tool.executable) --config=\(site.layout.configFile) --stanza=main --type=full"
            + " --compress-type=bz2 backup"
        let shown = try await ProcessRunner.run(
            "script", ["-q", "-e", "-c", command, "/dev/null"], environment: ["TERM": "xterm"],
            asUser: ProcessRunner.serverUser)
        try shown.expecting(0)
        #expect(shown.stdout.contains(#/ \d+% \[[#.]+\] /#), "\(shown)")
        // The line is gone at the end, and log lines stand on lines of their own.
        let last = try #require(shown.stdout.split(separator: "\r").last { $0.contains("command end") })
        #expect(!last.contains("% ["))
        for line in shown.stdout.split(separator: "\r\n") where line.contains(" P00 ") {
            let text = line.components(separatedBy: "\u{1B}[K").last ?? ""
            #expect(text.contains(#/^\d{4}-\d\d-\d\d /#), "\(line)")
        }
        let log = try String(contentsOfFile: "\(site.layout.logPath)/main-backup.log", encoding: .utf8)
        #expect(!log.contains("\u{1B}"))
        let piped = try await site.run("backup", "--type=full")
        #expect(!piped.stdout.contains("\u{1B}") && !piped.stdout.contains("\r"))
    }

    /// Who reads the log may go away: the backup goes on.
    private func closedPipe(_ site: Site) async throws {
        let log = "\(site.layout.logPath)/main-backup.log"
        try? FileManager.default.removeItem(atPath: log)
        let command = "\(site.tool.executable) --config=\(site.layout.configFile) --stanza=main --type=full backup"
        let result = try await site.shell("\(command) | head -n 1; echo ${PIPESTATUS[0]}")
        #expect(result.stdout.hasSuffix("\n0\n") && result.stderr.isEmpty, "\(result)")
        #expect(try String(contentsOfFile: log, encoding: .utf8).contains("new backup label"))
    }
}
