import Foundation
import TestSupport
import Testing

/// A cluster of very many small files: what a command remembers of each must be little. A million with
/// `PERMAFROST_ALL=1`, otherwise a tenth of it.
@Suite(.serialized, .keepsScratchOnFailure, .timeLimit(.minutes(60)), .requires(.permafrost, .postgres(15)))
struct ScaleTests {
    private static let files = Majors.runsAll ? 1_000_000 : 100_000
    /// MiB. What a command needs whatever the number of files is generous here, and too little of it to hide much.
    private static let limit = Majors.runsAll ? 300 : 75

    private static let rows = [["repo1-bundle": "y"], ["repo1-bundle": "y", "repo1-block": "y"]]

    @Test(arguments: Majors.runsAll ? rows : [rows[1]])
    func memoryIsBounded(options: [String: String]) async throws {
        let options = options.merging(["compress-type": "zst", "process-max": "2"]) { $1 }
        try await withOfflineSite(options: options) { site in
            try await makeFiles(site)
            try await run(site, "backup", ["--type=full"])
            try await run(site, "backup", ["--type=incr", "--annotation=number=2"])
            try await run(site, "verify")
            try await run(site, "info", ["--set=\(try #require(site.labels().last))"])
            // In memory where that can be: a disk takes its time to sync so many files.
            let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : site.scratch.path
            let target = "\(memory)/permafrost-scale-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: target) }
            let place = ["--pg1-path=\(target)", "--type=none"]
            try await run(site, "restore", place)
            try await asServerUser("/bin/rm", ["\(target)/base/1000/20007"])
            try await run(site, "restore", place + ["--delta"])
            #expect(FileManager.default.fileExists(atPath: "\(target)/base/1000/20007"))
            let count = try await ProcessRunner.run(
                "/bin/sh", ["-c", "find \(target)/base -type f | wc -l"], timeout: .seconds(300))
            #expect(Int(count.stdout.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > Self.files)
            try await run(site, "backup", ["--type=full"])
            try await run(site, "expire", ["--repo1-retention-full=1"])
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: "\(site.repository)/backup/main")
                    .filter { $0.hasPrefix("2") }.count == 1)
        }
    }

    private func run(_ site: OfflineSite, _ command: String, _ options: [String] = []) async throws {
        // Labels are times in seconds.
        try await Task.sleep(for: .milliseconds(1100))
        let start = ContinuousClock.now
        let file = site.scratch.subpath("memory")
        try await ProcessRunner.run(
            "time", ["--format=%M", "--output=\(file)", site.tool.executable] + site.arguments(command, options),
            asUser: ProcessRunner.serverUser, directory: site.scratch.path, timeout: .seconds(1500)
        ).expecting(0)
        let time = ContinuousClock.now - start
        let text = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        let memory = try #require(Int(text)) >> 10
        print("    \(Self.files) files: \(command) \(options.joined(separator: " ")): \(memory) MiB, \(time)")
        #expect(memory < Self.limit, "\(command): \(memory) MiB")
    }

    /// Relations of one empty page each in twenty databases: links to a few files, so that they cost no disk.
    private func makeFiles(_ site: OfflineSite) async throws {
        let program = """
            import os
            for k in range(20):
                directory = f'\(site.dataDirectory)/base/{1000 + k}'
                os.makedirs(directory, 0o700)
                for i in range(\(Self.files / 20)):
                    path = f'{directory}/{20000 + i}'
                    if i == 0:
                        open(path, 'wb').write(bytes(8192))
                        os.chmod(path, 0o600)
                    else:
                        os.link(f'{directory}/20000', path)
            """
        try await ProcessRunner.run(
            "python3", ["-c", program], asUser: ProcessRunner.serverUser, timeout: .seconds(300)
        ).expecting(0)
    }
}
