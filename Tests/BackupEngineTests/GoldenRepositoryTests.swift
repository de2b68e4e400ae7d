import BackupEngine
import BackupModel
import Checksums
import Foundation
import Logging
import RepositoryFormats
import RepositoryStorage
import Testing

/// Repositories that pgBackRest wrote once and that stay as they are, see `Fixtures/golden/make`: every backup in them
/// must come back byte for byte, now and later.
@Suite struct GoldenRepositoryTests {
    static let names = [
        "blocks-2.55", "blocks-alone-2.55", "blocks-encrypted-2.55", "bundles-2.45", "encrypted-2.45", "hardlinks-2.55",
        "plain-2.45",
    ]
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().path + "/Fixtures/golden"

    private struct Expected: Decodable {
        var encrypted: Bool
        /// SHA-1 by path, by label.
        var backups: [String: [String: String]]
    }

    private static func expected() throws -> [String: Expected] {
        try JSONDecoder().decode(
            [String: Expected].self, from: Data(contentsOf: URL(filePath: "\(fixtures)/expected.json")))
    }

    @Test func noneIsLeftOut() throws {
        #expect(try Self.expected().keys.sorted() == Self.names)
    }

    @Test(arguments: names)
    func restores(_ name: String) async throws {
        let expected = try #require(try Self.expected()[name])
        let scratch = NSTemporaryDirectory() + "/permafrost-golden-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: "\(scratch)/repo", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        try unpack("\(Self.fixtures)/\(name).tar.gz", into: "\(scratch)/repo")
        let repository = Repository(
            key: 1, store: PosixStore(root: "\(scratch)/repo"), cipherPass: expected.encrypted ? Secret("golden") : nil)

        #expect(
            try await repository.loadBackupInfo(stanza: "main").backups.map(\.label) == expected.backups.keys.sorted())
        for (label, sums) in expected.backups {
            var options = RestoreOptions(stanza: "main", dataDirectory: "\(scratch)/\(label)")
            options.set = label
            options.restoreCommand = "false"
            // Twice: into nothing, and over what is there.
            for isDelta in [false, true] {
                options.delta = isDelta
                try await RestoreCommand.run(
                    options, repositories: [repository],
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    workers: WorkerThreads(count: 2))
                var found: [String: String] = [:]
                for (path, bytes) in try GeneratedCluster.content(of: options.dataDirectory) {
                    found[path] = SHA1.hash(bytes.span.bytes).hex
                }
                found["postgresql.auto.conf"] = nil
                #expect(found == sums, "\(label)")
            }
        }
    }

    private func unpack(_ archive: String, into directory: String) throws {
        let tar = Process()
        tar.executableURL = URL(filePath: "/usr/bin/env")
        tar.arguments = [
            "tar", "--extract", "--gzip", "--no-same-owner", "--file=\(archive)", "--directory=\(directory)",
        ]
        try tar.run()
        tar.waitUntilExit()
        try #require(tar.terminationStatus == 0)
    }
}
