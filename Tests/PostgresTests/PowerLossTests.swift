import Foundation
import Glibc
import TestSupport
import Testing

/// The system calls of real runs are traced, and replayed with everything dropped that was not synced, up to each call:
/// what is left must be a repository in which every listed backup is whole, and all WAL that was acknowledged is there.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(10)), .requires(.permafrost, .postgres(15)),
    .enabled(if: access("/usr/bin/strace", X_OK) == 0, "strace is not installed"))
struct PowerLossTests {
    @Test func backupAndExpire() async throws {
        try await withOfflineSite { site in
            let first = try await site.run("backup", ["--type=full"])
            try first.expecting(0)
            try await Task.sleep(for: .milliseconds(1100))
            // Its own expiry removes the first backup.
            let calls = try await site.trace("backup", ["--type=full", "--repo1-retention-full=1"])
            try await site.requireWholeAtEachCall(calls)
        }
    }

    @Test func archivePush() async throws {
        try await withOfflineSite { site in
            let segment = "000000010000000000000001"
            let calls = try await site.trace("archive-push", parameters: ["\(site.dataDirectory)/pg_wal/\(segment)"])
            let after = try await site.requireWholeAtEachCall(calls)
            // It ended with 0: PostgreSQL removes the segment now.
            for content in after { #expect(content.keys.contains { $0.contains(segment) }) }
        }
    }
}

extension OfflineSite {
    /// Runs a command under strace and gives its calls.
    func trace(_ command: String, _ options: [String] = [], parameters: [String] = []) async throws -> [TracedCall] {
        try await asServerUser("/bin/cp", ["-a", repository, before])
        let file = scratch.subpath("trace")
        let strace = ["-f", "-y", "-xx", "-s", "50000000", "-o", file, "-e", "trace=\(TracedCall.traced)"]
        try await ProcessRunner.run(
            "/usr/bin/strace", strace + [tool.executable] + arguments(command, options) + parameters,
            asUser: ProcessRunner.serverUser, directory: scratch.path, timeout: .seconds(120)
        ).expecting(0)
        return try TracedCall.parse(String(contentsOfFile: file, encoding: .utf8), in: repository)
    }

    /// Replays the calls, and looks at what could be found after each.
    /// - Returns: what could be found at the end.
    @discardableResult
    func requireWholeAtEachCall(_ calls: [TracedCall]) async throws -> [[String: [UInt8]]] {
        try FileManager.default.moveItem(atPath: repository, toPath: scratch.subpath("after"))
        try FileManager.default.moveItem(atPath: before, toPath: repository)
        let disk = try TracedDisk(repository)
        let start = disk.content(.all)
        let final = try TracedDisk(scratch.subpath("after")).content(.all)
        var states = 0
        var isReplayed = Set<Set<String>>()
        for (index, call) in calls.enumerated() where disk.apply(call) {
            for view in TracedDisk.View.allCases {
                let content = disk.content(view)
                states += 1
                let comment: Comment = "\(view) after call \(index), \(call.name) \(call.texts)"
                let listed = requireWhole(content, start, final, comment)
                // Each combination of backups once for real.
                if isReplayed.insert(listed.union([view.rawValue])).inserted {
                    try await replay(content, listed, comment)
                }
            }
        }
        #expect(states > 20)
        #expect(differences(disk.content(.all), final) == [])
        return TracedDisk.View.allCases.map(disk.content)
    }

    /// The files are either as they were before or as they were at last, and all of a backup that is listed is there.
    private func requireWhole(
        _ content: [String: [UInt8]], _ start: [String: [UInt8]], _ final: [String: [UInt8]], _ comment: Comment
    ) -> Set<String> {
        for info in ["backup/main/backup.info", "archive/main/archive.info"] {
            // A file of this name is written whole: one that is cut short must not show.
            for path in [info, info + ".copy"] {
                if let bytes = content[path] {
                    #expect(bytes.suffix(3) == Array("\"\n".utf8).suffix(3) || !bytes.isEmpty, comment)
                }
            }
            #expect(
                content[info].map { !$0.isEmpty } ?? false || content[info + ".copy"].map { !$0.isEmpty } ?? false,
                comment)
        }
        let labels = Set(
            content.keys.filter { $0.hasPrefix("backup/main/2") && $0.hasSuffix("/backup.manifest") }
                .map { String($0.split(separator: "/")[2]) })
        let info = String(
            decoding: content["backup/main/backup.info"] ?? content["backup/main/backup.info.copy"] ?? [], as: UTF8.self
        )
        let listed = info.split(separator: "\n").filter { $0.hasPrefix("2") }.map { String($0.prefix { $0 != "=" }) }
        for label in labels.union(listed) {
            let prefix = "backup/main/\(label)/"
            // The one that is made, or the one that was there.
            let whole = final.keys.contains { $0.hasPrefix(prefix) } ? final : start
            let wrong = whole.filter { path, bytes in path.hasPrefix(prefix) && content[path] != bytes }.keys
            // Its deletion begins with the manifest.
            #expect(wrong.isEmpty, "\(label): \(wrong.sorted().prefix(3)), \(comment)")
        }
        return labels.union(listed)
    }

    /// Lays the state out, restores what is listed, and runs the command again.
    private func replay(_ content: [String: [UInt8]], _ labels: Set<String>, _ comment: Comment) async throws {
        let name = "replay"
        let copy = try scratch.makeDirectory(name)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        for (path, bytes) in content where !path.hasSuffix("latest") {
            try scratch.makeDirectory("\(name)/\(path.split(separator: "/").dropLast().joined(separator: "/"))")
            try Data(bytes).write(to: URL(filePath: "\(copy)/\(path)"))
        }
        if let user = ProcessRunner.serverUser {
            try await ProcessRunner.run("/bin/chown", ["-R", "\(user):\(user)", copy]).expecting(0)
        }
        let info = try await run("info", repository: copy).expecting(0).stdout
        for label in labels where info.contains(label) {
            let target = try scratch.makeDirectory("restored")
            try await run(
                "restore", ["--set=\(label)", "--pg1-path=\(target)", "--type=none"], repository: copy
            ).expecting(0)
            let found = files(under: target).filter { $0 != "postgresql.auto.conf" }
            for file in found {
                #expect(
                    try TestContent.bytes("\(target)/\(file)") == TestContent.bytes("\(dataDirectory)/\(file)"),
                    "\(file), \(comment)")
            }
            #expect(found.count > 20, comment)
            try FileManager.default.removeItem(atPath: target)
        }
        let again = try await run("backup", ["--type=full"], repository: copy)
        #expect(again.status == 0, "\(comment): \(again)")
    }

    private func differences(_ one: [String: [UInt8]], _ other: [String: [UInt8]]) -> [String] {
        Set(one.keys).union(other.keys).filter { one[$0] != other[$0] }.sorted()
    }
}
