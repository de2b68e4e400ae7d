import Foundation
import TestSupport
import Testing

/// Passphrases are in the configuration file or in the environment, and nowhere else.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct SecretTests {
    /// Of this run alone: all processes of the machine are searched for it.
    private static let passphrase = "sekret-\(UUID().uuidString)"
    private static let cipher = ["repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": passphrase]
    private static let levels = ["log-level-console": "trace", "log-level-file": "trace", "log-level-stderr": "trace"]

    @Test(
        "no command shows a passphrase, from wherever it has it",
        arguments: [("text", "PGBACKREST"), ("json", "PERMAFROST")])
    func everyCommand(format: String, prefix: String) async throws {
        try await withCluster(15) { cluster in
            let layout = try RepositoryLayout(
                for: cluster,
                options: Self.cipher.merging(Self.levels) { $1 }.merging(["log-format": format]) { $1 })
            let inFile = try Permafrost(layout: layout)
            let notInFile = try inFile.with(layout.changed(name: "bare", options: ["repo1-cipher-pass": ""]))
            try await inFile.run("stanza-create")
            try await inFile.archive(from: cluster)
            // A copy: the server removes its own, and the archive loses it when backups expire.
            let segment = try await cluster.switchWAL()
            let directory = try layout.scratch.makeDirectory("wal")
            let wal = "\(directory)/\(segment)"
            let copying = """
                cp -p \(cluster.dataDirectory)/pg_wal/\(segment) \(wal) && mkdir \(directory)/archive_status \
                && touch \(directory)/archive_status/\(segment).ready
                """
            try await ProcessRunner.run("bash", ["-c", copying], asUser: ProcessRunner.serverUser).expecting()
            try await runAll(inFile, ["PGBACKREST_REPO1_S3_KEY_SECRET": Self.passphrase], cluster, wal)
            try await runAll(notInFile, ["\(prefix)_REPO1_CIPHER_PASS": Self.passphrase], cluster, wal)
            for directory in [layout.logPath, layout.lockPath, layout.spoolPath, layout.repositoryPaths[0]] {
                #expect(try files(in: directory, with: Self.passphrase) == [])
            }
            #expect(try files(in: layout.logPath, with: "--repo1-cipher-pass=<redacted>").count > 10)
        }
    }

    private func runAll(
        _ tool: Permafrost, _ environment: [String: String], _ cluster: PostgresCluster, _ wal: String
    ) async throws {
        let segment = URL(filePath: wal).lastPathComponent
        let got = cluster.scratch.subpath("got")
        let target = try cluster.scratch.makeDirectory("target")
        for (command, arguments, status) in [
            ("stanza-create", [], 0), ("check", [], 0), ("backup", ["--type=full"], 0),
            ("backup", ["--type=full", "--pg1-path=/nonexistent"], nil), ("info", [], 0),
            ("info", ["--output=json"], 0), ("expire", ["--repo1-retention-full=1"], 0), ("stanza-upgrade", [], 0),
            ("archive-push", [wal], 0), ("archive-push", ["--archive-async", wal], 0),
            ("archive-get", [segment, got], 0),
            ("archive-get", ["--archive-async", segment, got], 0), ("archive-get", ["00000009.history", got], 1),
            ("restore", ["--pg1-path=\(target)", "--type=immediate"], 0), ("stop", [], 0), ("start", [], 0),
            ("help", ["backup", "repo-cipher-pass"], 0), ("version", [], 0), ("frob", [], nil),
        ] as [(String, [String], Int32?)] {
            let result = try await run(tool, command, arguments, environment)
            if let status { #expect(result.status == status, "\(result)") }
            #expect(!(result.stdout + result.stderr).contains(Self.passphrase), "\(result)")
        }
        #expect(try files(in: target, with: Self.passphrase) == [])
        try FileManager.default.removeItem(atPath: target)
    }

    private func files(in directory: String, with text: String) throws -> [String] {
        try contents(of: directory).filter { $0.value.firstRange(of: Data(text.utf8)) != nil }.keys.sorted()
    }

    /// Runs a command, and looks at what every user sees of all processes meanwhile.
    private func run(
        _ tool: Permafrost, _ command: String, _ arguments: [String], _ environment: [String: String]
    ) async throws -> ProcessResult {
        let isOption: (String) -> Bool = { $0.hasPrefix("--") }
        let own = ["help", "version"].contains(command) ? [] : ["--config=\(tool.layout.configFile)", "--stanza=main"]
        let process = try ProcessRunner.start(
            tool.executable,
            own + arguments.filter(isOption) + [command] + arguments.filter { !isOption($0) },
            environment: environment, asUser: ProcessRunner.serverUser, directory: tool.layout.scratch.path)
        let watch = Task.detached {
            var shown = Set<String>()
            while !Task.isCancelled {
                for name in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(name) != nil {
                    guard let words = try? Data(contentsOf: URL(filePath: "/proc/\(name)/cmdline")) else { continue }
                    let text = String(decoding: words, as: UTF8.self)
                    if text.contains(Self.passphrase) { shown.insert(text) }
                }
                try? await Task.sleep(for: .milliseconds(20))
            }
            return shown
        }
        let result = try await process.wait()
        watch.cancel()
        #expect(try await watch.value == [])
        return result
    }

    @Test("a process with a passphrase leaves no core dump and lets nobody look into it")
    func noCoreDump() async throws {
        try await withCluster(15) { cluster in
            // A segment is waited for that never comes.
            try await cluster.setArchiveCommand("false # permafrost")
            for isEncrypted in [true, false] {
                let stanza = isEncrypted ? "closed" : "open"
                let layout = try RepositoryLayout(
                    for: cluster, stanza: stanza, options: isEncrypted ? Self.cipher : [:])
                let tool = try Permafrost(layout: layout)
                try await tool.run("stanza-create")
                let process = try tool.start("check", ["--archive-timeout=60"])
                let log = "\(layout.logPath)/\(stanza)-check.log"
                try await waitFor("check to begin") {
                    (try? String(contentsOfFile: log, encoding: .utf8))?.contains("command begin") == true
                }
                try await Task.sleep(for: .milliseconds(300))
                let limits = try String(contentsOfFile: "/proc/\(process.processID)/limits", encoding: .utf8)
                let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
                if isEncrypted { #expect(line.contains(#/size +0 +0 /#), "\(line)") }
                // The system gives the files of a process that must not be dumped to root.
                if geteuid() == 0 {
                    let facts = try FileManager.default.attributesOfItem(atPath: "/proc/\(process.processID)/environ")
                    #expect((facts[.ownerAccountName] as? String == "root") == isEncrypted, "\(facts)")
                }
                process.signal(SIGKILL)
                _ = try await process.wait()
            }
        }
    }
}
