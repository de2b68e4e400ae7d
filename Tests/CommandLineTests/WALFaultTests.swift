import Foundation
import TestSupport
import Testing

/// WAL that is missing, damaged, of others or in the way: nothing wrong enters the archive, and nothing wrong leaves it.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct WALFaultTests {
    @Test func walFaults() async throws {
        try await Site.with { site in
            let segment = try await site.cluster.switchWAL()
            try await site.cluster.waitForArchived(segment)
            let before = try contents(of: site.repository)
            try await pushing(site, segment)
            #expect(try contents(of: site.repository) == before)
            try await getting(site, segment)
            #expect(try contents(of: site.repository) == before)
        }
    }

    private func push(_ site: Site, _ parameters: String...) async throws -> ProcessResult {
        try await site.tool.run("archive-push", [], parameters: parameters)
    }

    private func pushing(_ site: Site, _ segment: String) async throws {
        try await push(site).failed(43, "one parameter", hint: "archive-push %p")
        try await push(site, "a", "b").failed(96, "one parameter", hint: "archive-push %p")
        try await push(site, "/etc/passwd").failed(96, "'/etc/passwd'", hint: "%p")
        let missing = "0000000100000009000000FF"
        try await push(site, "pg_wal/\(missing)").failed(
            55, "'\(site.cluster.dataDirectory)/pg_wal/\(missing)'", "No such file")

        let directory = try site.scratch.makeDirectory("wal")
        let file = "\(directory)/\(segment)"
        let original = "\(site.cluster.dataDirectory)/pg_wal/\(segment)"
        func changed(_ change: (inout [UInt8]) -> Void) async throws -> ProcessResult {
            try await site.shell("cp \(original) \(file)")
            try damage(file, change)
            return try await push(site, file)
        }
        try await changed { $0[100_000] ^= 1 }.failed(
            45, "'\(file)'", "already in the repo1 archive with another checksum", hint: "another cluster")
        try await changed { $0.removeLast(8192) }.failed(
            28, "'\(file)'", "\((16 << 20) - 8192) bytes", hint: "cut short")
        try await changed { $0 = Array($0.prefix(10)) }.failed(29, "'\(file)'", "10 bytes")
        try await changed { $0[0] ^= 0xFF }.failed(29, "'\(file)'", "unknown magic", hint: "version")
        // The system identifier of a long page header is at 24.
        try await changed { $0[24] ^= 1 }.failed(
            44, "'\(file)'", "stanza 'main'", hint: "is this the right stanza?")

        // The same again is what PostgreSQL does after a crash: no error.
        try await site.shell("cp \(original) \(file)")
        let again = try await push(site, file)
        again.succeeded()
        #expect(again.stdout.contains("already in the repo1 archive with the same checksum"))
    }

    private func getting(_ site: Site, _ segment: String) async throws {
        let target = site.scratch.subpath("got")
        func get(_ parameters: String..., options: [String] = []) async throws -> ProcessResult {
            try await site.tool.run("archive-get", options, parameters: parameters)
        }
        func leavesNothing() {
            for name in [target, "\(target).pgbackrest.tmp"] {
                #expect(!FileManager.default.fileExists(atPath: name))
            }
        }
        try await get(segment).failed(43, "two parameters", hint: "archive-get %f")
        try await get("a", "b", "c").failed(96, "two parameters", hint: "archive-get %f")
        try await get("passwd", target).failed(96, "'passwd'")
        try await get(segment, "/nonexistent/got").failed(41, "'/nonexistent/got", "No such file")

        // Not there is no error: PostgreSQL asks for the segment after the last.
        for absent in ["0000000100000009000000FF", "00000002.history"] {
            let result = try await get(absent, target)
            #expect(result.status == 1 && result.stderr.isEmpty, "\(result)")
            #expect(result.stdout.contains("unable to find \(absent) in the archive"))
        }
        leavesNothing()

        let repository = try await site.copy(site.repository, as: "broken")
        let options = ["--repo1-path=\(repository)"]
        let stored = try #require(
            FileManager.default.enumerator(atPath: repository)?.compactMap { $0 as? String }
                .first { $0.contains("/\(segment)-") })
        let file = "\(repository)/\(stored)"
        let whole = try Data(contentsOf: URL(filePath: file))
        let changes: [(inout [UInt8]) -> Void] = [flipByte, cutInHalf, { $0 += [1, 2, 3] }, { $0 = [] }]
        for change in changes {
            try damage(file, change)
            let result = try await get(segment, target, options: options)
            #expect([26, 29].contains(result.status), "\(result)")
            result.failed(result.status, "repo1", "'\(stored)'", hint: "damaged")
            leavesNothing()
            try damage(file) { $0 = [UInt8](whole) }
        }
        let second = file.replacing(#/-[0-9a-f]{40}/#, with: "-" + String(repeating: "0", count: 40))
        try await site.shell("cp \(file) \(second)")
        try await get(segment, target, options: options).failed(
            45, segment, "different content", hint: "Remove")
        leavesNothing()
        try await site.shell("rm \(second) && chmod 000 \(file)")
        try await get(segment, target, options: options).failed(
            41, "repo1", "/\(segment)-", "permission denied")
        try await site.shell("chmod 640 \(file)")
        try await get(segment, target, options: options).succeeded()
        #expect(
            FileManager.default.contentsEqual(
                atPath: target, andPath: "\(site.cluster.dataDirectory)/pg_wal/\(segment)"))
    }
}
