import Foundation
import Glibc
import TestSupport
import Testing

/// `kill -9` right before each call that gives a name, takes one away or makes a directory; what is left must be whole,
/// and the same command, run again, must end as if nothing had happened. Every fifteenth call, or all with
/// `PERMAFROST_ALL=1`.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(30)), .requires(.permafrost, .postgres(15)),
    .enabled(if: access("/usr/bin/strace", X_OK) == 0, "strace is not installed"))
struct KillPointTests {
    struct Command: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var name: String
        var options: [String] = []
        var parameters: [String] = []
        /// At which calls it is killed.
        var calls: [String]
        /// How many points there are at least, in an undisturbed run.
        var atLeast: Int
    }

    private static let segment = "000000010000000000000001"
    private static let names = ["rename", "renameat2"]
    private static let removals = ["unlink", "unlinkat", "rmdir"]

    static let commands = [
        Command(
            testDescription: "full backup, and the expiry of the one before", name: "backup",
            options: ["--type=full", "--repo1-retention-full=1"], calls: names + removals + ["mkdir"], atLeast: 12),
        Command(
            testDescription: "incremental backup with bundles and blocks", name: "backup",
            options: ["--type=incr", "--repo1-bundle", "--repo1-block"], calls: names + ["mkdir"], atLeast: 8),
        Command(
            testDescription: "expire", name: "expire", options: ["--repo1-retention-full=1"],
            calls: names + removals, atLeast: 5),
        Command(
            testDescription: "annotate", name: "annotate", options: ["--annotation=note=kept"], calls: names,
            atLeast: 3),
        Command(
            testDescription: "archive-push", name: "archive-push", parameters: ["pg_wal/\(segment)"],
            calls: names + ["mkdir", "linkat"], atLeast: 2),
        Command(testDescription: "stanza-upgrade", name: "stanza-upgrade", calls: names, atLeast: 3),
        Command(
            testDescription: "verify in turns", name: "verify", options: ["--verify-budget=1s"],
            calls: names + removals, atLeast: 1),
        Command(
            testDescription: "restore over what is there", name: "restore", options: ["--delta", "--type=none"],
            calls: names + removals + ["mkdir", "mkdirat"], atLeast: 5),
    ]

    private static let upgraded = "upgraded"

    @Test("what is left is whole, and the next run converges", arguments: commands)
    func killed(_ command: Command) async throws {
        try await withOfflineSite(options: ["process-max": "1"]) { site in
            for round in 0..<2 {
                if round > 0 { try await Task.sleep(for: .milliseconds(1100)) }
                try await site.run("backup", ["--type=full"]).expecting(0)
            }
            let base = site.scratch.subpath("base")
            try await asServerUser("/bin/cp", ["-a", site.repository, base])
            let target = site.scratch.subpath("target")
            if command.name == "stanza-upgrade" {
                // Another cluster, as after pg_upgrade.
                _ = try await PostgresCluster.create(
                    PostgresInstallation.find(15), in: site.scratch, name: Self.upgraded)
            }
            var points = 0
            for call in command.calls {
                var turn = 1
                while true {
                    try await prepare(command, site, base, target)
                    let (ended, trace) = try await run(command, site, call, turn, target)
                    if ended.status == 0 { break }
                    points += 1
                    let comment: Comment = "killed before \(call) \(turn): \(trace)"
                    #expect(ended.status == 128 + SIGKILL, "\(comment): \(ended)")
                    try await site.requireSound(comment)
                    // Half a restore is no data directory for the server: either nothing was done, or all.
                    let begun = try? String(contentsOfFile: "\(target)/global/pg_filenode.map", encoding: .utf8)
                    if exists("\(target)/global/pg_control"), begun != "changed\n" {
                        try requireRestored(site, target, "not whole, \(comment)")
                    }
                    let again = try await run(command, site, nil, 0, target).0
                    #expect(again.status == 0, "\(comment): \(again)")
                    try await site.requireSound("again, \(comment)")
                    try await requireDone(command, site, target, comment)
                    turn += Majors.runsAll ? 1 : 15
                }
            }
            #expect(points >= (Majors.runsAll ? command.atLeast : max(1, command.atLeast / 15)), "\(points) points")
        }
    }

    private func prepare(_ command: Command, _ site: OfflineSite, _ base: String, _ target: String) async throws {
        try await asServerUser("/bin/rm", ["-rf", site.repository, target])
        try await asServerUser("/bin/cp", ["-a", base, site.repository])
        guard command.name == "restore" else { return }
        // Something to repair, something to remove, something that is missing.
        let change = """
            cp -a \(site.dataDirectory) \(target) && rm \(target)/postmaster.opts \(target)/base/1/PG_VERSION; \
            echo changed > \(target)/global/pg_filenode.map && touch \(target)/base/1/4711 && rm \(target)/global/1*
            """
        try await asServerUser("/bin/sh", ["-c", change])
    }

    /// - Returns: how it ended, and the call before which it was killed.
    private func run(
        _ command: Command, _ site: OfflineSite, _ call: String?, _ turn: Int, _ target: String
    ) async throws -> (ProcessResult, String) {
        var options = command.options
        if command.name == "restore" { options.append("--pg1-path=\(target)") }
        if command.name == "annotate" { options.append("--set=\(try #require(site.labels().first))") }
        if command.name == "stanza-upgrade" {
            options += ["--no-online", "--pg1-path=\(site.scratch.subpath(Self.upgraded))"]
        }
        let words = site.arguments(command.name, options) + command.parameters
        // WAL is named from the data directory, as PostgreSQL does.
        let directory = site.dataDirectory
        guard let call else {
            let ended = try await ProcessRunner.run(
                site.tool.executable, words, asUser: ProcessRunner.serverUser, directory: directory)
            return (ended, "")
        }
        let file = site.scratch.subpath("killed")
        try? FileManager.default.removeItem(atPath: file)
        let strace = ["-f", "-o", file, "-e", "trace=\(call)", "-e", "inject=\(call):signal=SIGKILL:when=\(turn)"]
        let ended = try await ProcessRunner.run(
            "/usr/bin/strace", strace + [site.tool.executable] + words, asUser: ProcessRunner.serverUser,
            directory: directory)
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        return (ended, String(lines.last { $0.contains(call) } ?? ""))
    }

    private func requireDone(
        _ command: Command, _ site: OfflineSite, _ target: String, _ comment: Comment
    ) async throws {
        let labels = try site.labels()
        let directories = try FileManager.default.contentsOfDirectory(atPath: "\(site.repository)/backup/main")
            .filter { $0.hasPrefix("2") }.sorted()
        #expect(directories == labels, comment)
        switch command.testDescription {
        case "expire": #expect(labels.count == 1, comment)
        case "annotate":
            #expect(try await site.run("info", ["--output=json"]).stdout.contains(#""note":"kept""#), comment)
        case "archive-push":
            let got = site.scratch.subpath("got")
            try await ProcessRunner.run(
                site.tool.executable, site.arguments("archive-get") + [Self.segment, got],
                asUser: ProcessRunner.serverUser, directory: site.dataDirectory
            ).expecting(0)
            let pushed = "\(site.dataDirectory)/pg_wal/\(Self.segment)"
            #expect(try TestContent.bytes(got) == TestContent.bytes(pushed), comment)
        case "restore over what is there":
            try requireRestored(site, target, comment)
        case "stanza-upgrade":
            for file in ["archive/main/archive.info", "backup/main/backup.info"] {
                for copy in ["", ".copy"] {
                    let history = try InfoText("\(site.repository)/\(file)\(copy)").section("db:history")
                    #expect(history.count == 2, "\(file)\(copy), \(comment)")
                }
            }
        default: #expect(!labels.isEmpty, comment)
        }
    }

    /// The data directory holds what was backed up, and nothing else.
    private func requireRestored(_ site: OfflineSite, _ target: String, _ comment: Comment) throws {
        let own: Set = ["postgresql.auto.conf", "postmaster.opts", "backup.manifest"]
        let held = Set(files(under: site.dataDirectory)).subtracting(own).filter { !$0.hasPrefix("pg_subtrans/") }
        #expect(Set(files(under: target)).subtracting(own).symmetricDifference(held) == [], comment)
        for file in held {
            let (one, other) = ("\(target)/\(file)", "\(site.dataDirectory)/\(file)")
            #expect(FileManager.default.contentsEqual(atPath: one, andPath: other), "\(file), \(comment)")
        }
    }
}

extension OfflineSite {
    /// Every backup that is listed, and all WAL, is read back and found good; the info files say the same.
    fileprivate func requireSound(_ comment: Comment) async throws {
        #expect(try !labels().isEmpty, comment)
        let verified = try await run("verify", ["--output=text"])
        #expect(verified.status == 0, "\(comment): \(verified)")
    }
}
