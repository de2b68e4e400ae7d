@testable import BackupEngine
import BackupModel
import Checksums
import Foundation
import RepositoryFormats
import Testing

@Suite struct PriorSelectionTests {
    @Test(
        "The newest backup of the current database, for diff the newest full",
        arguments: [
            (["1F", "1F_2D", "1F_3I"], BackupType.incr, "1F_3I"), (["1F", "1F_2D", "1F_3I"], .diff, "1F"),
            (["1F", "1F_2D", "4F"], .incr, "4F"), (["1F", "1F_2D", "4F"], .diff, "4F"), (["1F"], .full, nil),
            ([], .incr, nil), ([], .diff, nil), (["1F"], .incr, "1F"),
        ] as [([String], BackupType, String?)])
    func selection(_ shorts: [String], _ type: BackupType, _ expected: String?) throws {
        let prior = PriorSelection.prior(for: type, in: try BackupSeries.info(shorts))
        #expect(prior?.label == expected.map(BackupSeries.label))
    }

    @Test("Backups of a database before an upgrade are none to rest on")
    func otherDatabase() throws {
        let old = try BackupSeries.manifests(["1F", "1F_2D"])
        let info = try BackupSeries.info(old, databases: 2)
        #expect(PriorSelection.prior(for: .incr, in: info) == nil)
        let both = try BackupSeries.info(old + BackupSeries.manifests(["3F"], database: 2), databases: 2)
        #expect(PriorSelection.prior(for: .diff, in: both)?.label == BackupSeries.label("3F"))
    }
}

/// A file in short.
private func file(
    _ name: String, _ size: UInt64, _ time: Int64, checksum: UInt32? = nil, reference: Int? = nil,
    block: UInt32 = 0, map: UInt64 = 0
) -> ManifestFile {
    var file = ManifestFile(
        name: "pg_data/\(name)", size: size, timestamp: time, mode: 0o600, user: nil, group: nil)
    if let checksum { file.checksum = SHA1Digest(high: 1, middle: 2, low: checksum) }
    if size == 0, checksum != nil { file.checksum = .ofNothing }
    file.reference = reference
    file.blockSize = block
    file.blockMapSize = map
    return file
}

private func files(_ files: [ManifestFile]) -> ManifestFiles {
    var result = ManifestFiles()
    for file in files { result.append(file) }
    result.sort()
    return result
}

@Suite struct FileActionsTests {
    static func prior(_ list: [ManifestFile], isBundle: Bool = false) throws -> Manifest {
        var manifest = try BackupSeries.manifest("1F_2D")
        manifest.references = [BackupSeries.label("1F"), manifest.label]
        manifest.isBundle = isBundle
        manifest.files = files(list)
        return manifest
    }

    struct Row: Sendable {
        var scanned: ManifestFile
        var prior: ManifestFile?
        var isDelta = false
        var isBundle = false
        var priorBundles = false
        var usesBlocks = false
        /// When the prior began, where it was copied from a standby.
        var standbySince: Int64?
        var action: FileAction
        /// Number of the backup that the row refers to afterwards.
        var reference: Int?
        var hasChecksum = false
    }

    @Test(
        "What is done with a file follows from its size, its time and what the prior backup has",
        arguments: [
            Row(scanned: file("new", 5, 10), action: .copy),
            Row(scanned: file("empty", 0, 10), action: .copy),
            Row(scanned: file("empty", 0, 10), isBundle: true, action: .none, hasChecksum: true),
            Row(
                scanned: file("same", 5, 10), prior: file("same", 5, 10, checksum: 1), action: .none, reference: 1,
                hasChecksum: true),
            Row(
                scanned: file("same", 5, 10), prior: file("same", 5, 10, checksum: 1, reference: 0), action: .none,
                reference: 0, hasChecksum: true),
            // Perhaps written again with the same bytes: told when it is read.
            Row(
                scanned: file("touched", 5, 11), prior: file("touched", 5, 10, checksum: 1), action: .copy,
                reference: 1, hasChecksum: true),
            Row(scanned: file("grown", 6, 10), prior: file("grown", 5, 10, checksum: 1), action: .copy),
            Row(
                scanned: file("same", 5, 10), prior: file("same", 5, 10, checksum: 1), isDelta: true,
                action: .compare, reference: 1, hasChecksum: true),
            Row(
                scanned: file("grown", 6, 10), prior: file("grown", 5, 10, checksum: 1), isDelta: true, action: .copy
            ),
            Row(
                scanned: file("empty", 0, 10), prior: file("empty", 0, 5, checksum: 1), action: .none, reference: 1,
                hasChecksum: true),
            Row(
                scanned: file("empty", 0, 10), prior: file("empty", 0, 10, checksum: 1), isBundle: true,
                action: .none, hasChecksum: true),
            // A bundling backup has stored nothing that could be referred to.
            Row(
                scanned: file("empty", 0, 10), prior: file("empty", 0, 10, checksum: 1), priorBundles: true,
                action: .copy),
            Row(
                scanned: file("grown", 40_000, 10), prior: file("grown", 20_000, 5, checksum: 1, block: 8192, map: 9),
                isBundle: true, usesBlocks: true, action: .copy, reference: 1),
            Row(
                scanned: file("cut", 8191, 10), prior: file("cut", 20_000, 5, checksum: 1, block: 8192, map: 9),
                isBundle: true, usesBlocks: true, action: .copy),
            Row(
                scanned: file("grown", 40_000, 10), prior: file("grown", 20_000, 5, checksum: 1, block: 8192, map: 9),
                isBundle: true, action: .copy),
            // What was written after a backup from a standby began may not have been in what it copied.
            Row(
                scanned: file("same", 5, 10), prior: file("same", 5, 10, checksum: 1), standbySince: 10,
                action: .compare, reference: 1, hasChecksum: true),
            Row(
                scanned: file("same", 5, 10), prior: file("same", 5, 10, checksum: 1), standbySince: 11,
                action: .none, reference: 1, hasChecksum: true),
            // The server's own is never that of another backup.
            Row(
                scanned: file("global/pg_control", 8192, 10),
                prior: file("global/pg_control", 8192, 10, checksum: 1), action: .copy),
        ])
    func plan(_ row: Row) throws {
        var scanned = files([file("a", 1, 1), row.scanned, file("z", 1, 1)])
        var prior = try row.prior.map { try Self.prior([file("b", 1, 1), $0], isBundle: row.priorBundles) }
        if let time = row.standbySince {
            prior?.options.backupStandby = true
            prior?.timestampStart = time
        }
        let actions = FileActions.plan(
            &scanned, prior: prior, rows: prior.map { scanned.rows(in: $0.files) } ?? [], isDelta: row.isDelta,
            isOnline: true, isBundle: row.isBundle, usesBlocks: row.usesBlocks)
        let index = try #require(scanned.index(of: row.scanned.name))
        #expect(actions[index] == row.action)
        #expect(scanned.reference(index) == row.reference)
        #expect((scanned.checksum(index) != nil) == row.hasChecksum)
        #expect(scanned.size(index) == row.scanned.size && scanned.timestamp(index) == row.scanned.timestamp)
        if row.usesBlocks, row.reference != nil { #expect(scanned.blockMapSize(index) == 9) }
    }

    @Test("What an interrupted run has stored is kept where size and time are the same")
    func resume() throws {
        let scanned = [
            file("kept", 5, 10), file("longer", 6, 10), file("later", 5, 11), file("new", 5, 10),
            file("unfinished", 5, 10), file("elsewhere", 5, 10), file("global/pg_control", 8192, 10),
            file("empty", 0, 10),
        ]
        let saved = [
            file("kept", 5, 10, checksum: 1), file("longer", 5, 10, checksum: 1), file("later", 5, 10, checksum: 1),
            file("unfinished", 5, 10), file("elsewhere", 5, 10, checksum: 1, reference: 0),
            file("global/pg_control", 8192, 10, checksum: 1), file("empty", 0, 10, checksum: 1),
            file("gone", 5, 10, checksum: 1),
        ]
        for (isDelta, expected) in [(false, FileAction.keep), (true, .keepIfEqual)] {
            var rows = files(scanned)
            var actions = [FileAction](repeating: .copy, count: rows.count)
            FileActions.resume(&rows, &actions, from: try Self.prior(saved), isDelta: isDelta)
            for row in 0..<rows.count {
                let isKept = rows.name(row) == "pg_data/kept"
                #expect(actions[row] == (isKept ? expected : .copy), "\(rows.name(row))")
                #expect((rows.checksum(row) != nil) == isKept)
            }
            // Copied from a standby, it may lack what was written since the interrupted run began.
            var stale = try Self.prior(saved)
            stale.options.backupStandby = true
            for (start, isKept) in [(Int64(11), true), (10, false)] {
                stale.timestampStart = start
                var rows = files(scanned)
                var actions = [FileAction](repeating: .copy, count: rows.count)
                FileActions.resume(&rows, &actions, from: stale, isDelta: isDelta)
                #expect(actions.contains(expected) == isKept)
            }
        }
    }
}

@Suite struct DeltaRuleTests {
    static func reason(
        _ scanned: [ManifestFile], prior: [ManifestFile]? = nil, timeline: UInt32? = 1,
        _ change: (inout Manifest) -> Void = { _ in }
    ) throws -> String? {
        let scanned = files(scanned)
        var manifest = try prior.map { try FileActionsTests.prior($0) }
        if manifest != nil, var changed = manifest {
            change(&changed)
            manifest = changed
        }
        return DeltaRule.reason(
            files: scanned, rows: manifest.map { scanned.rows(in: $0.files) } ?? [], prior: manifest, copyStart: 100,
            timeline: timeline)
    }

    @Test("Times that are plausible are trusted")
    func trusted() throws {
        #expect(try Self.reason([file("a", 5, 100), file("b", 5, 10)]) == nil)
        #expect(
            try Self.reason(
                [file("a", 5, 10), file("b", 5, 11), file("c", 7, 100)],
                prior: [file("a", 5, 10), file("b", 9, 10), file("d", 1, 1000)]) == nil)
    }

    @Test("Anything that should not be makes contents compared")
    func distrusted() throws {
        #expect(try Self.reason([file("a", 5, 101)])?.contains("future") == true)
        #expect(try Self.reason([file("a", 5, 9)], prior: [file("a", 5, 10)])?.contains("earlier") == true)
        #expect(try Self.reason([file("a", 6, 10)], prior: [file("a", 5, 10)])?.contains("size") == true)
        #expect(try Self.reason([], prior: [], timeline: 2)?.contains("timeline") == true)
        #expect(try Self.reason([], prior: [], timeline: nil)?.contains("online") == true)
        #expect(try Self.reason([], prior: []) { $0.options.online = false }?.contains("online") == true)
        // The size that the file had when the prior was begun counts, not what was copied of it.
        var shrunk = file("a", 5, 10)
        shrunk.sizeOriginal = 8
        #expect(try Self.reason([file("a", 8, 10)], prior: [shrunk]) == nil)
        #expect(try Self.reason([file("a", 5, 10)], prior: [shrunk])?.contains("size") == true)
    }
}

@Suite struct ResumeRuleTests {
    static let settings = BackupSettings(
        compress: .none, level: nil, checksumPage: false, bundles: nil, blocks: nil, isBundleRaw: false,
        hardlink: false, symlink: true, cipherPass: nil)

    static func saved(_ change: (inout Manifest) -> Void = { _ in }) throws -> Manifest {
        var manifest = try BackupSeries.manifest("1F_3I", prior: BackupSeries.label("1F_2D"))
        manifest.options.checksumPage = false
        change(&manifest)
        return manifest
    }

    @Test("A run of the same kind goes on")
    func same() throws {
        let prior = try BackupSeries.manifest("1F_2D")
        #expect(
            ResumeRule.difference(
                try Self.saved(), label: BackupSeries.label("1F_3I"), type: .incr, prior: prior, Self.settings,
                databaseID: 1) == nil)
    }

    @Test("Any difference forbids it")
    func different() throws {
        let prior = try BackupSeries.manifest("1F_2D")
        let label = BackupSeries.label("1F_3I")
        func isRefused(
            _ saved: Manifest, label: String = label, type: BackupType = .incr, prior: Manifest? = prior,
            _ settings: BackupSettings = Self.settings, databaseID: Int = 1
        ) -> Bool {
            ResumeRule.difference(
                saved, label: label, type: type, prior: prior, settings, databaseID: databaseID) != nil
        }
        #expect(isRefused(try Self.saved { $0.writerVersion = "2.55" }))
        #expect(isRefused(try Self.saved { $0.writerVersion = ProgramVersion.repositoryText }))
        #expect(isRefused(try Self.saved(), label: BackupSeries.label("1F_4I")))
        #expect(isRefused(try Self.saved(), type: .diff))
        #expect(isRefused(try Self.saved(), prior: nil))
        #expect(isRefused(try Self.saved(), prior: try BackupSeries.manifest("1F")))
        #expect(isRefused(try Self.saved(), databaseID: 2))
        #expect(isRefused(try Self.saved { $0.options.compressType = .gz }))
        #expect(isRefused(try Self.saved { $0.options.checksumPage = true }))
        #expect(isRefused(try Self.saved { $0.isBundle = true }))
        #expect(isRefused(try Self.saved { $0.cipherPass = Secret("x") }))
    }

    @Test("Times of files tell nothing across timelines, or between a running and a stopped cluster")
    func history() throws {
        let saved = try Self.saved()
        #expect(ResumeRule.isSameHistory(saved, isOnline: true, timeline: 1))
        #expect(!ResumeRule.isSameHistory(saved, isOnline: true, timeline: 2))
        #expect(!ResumeRule.isSameHistory(saved, isOnline: false, timeline: nil))
    }
}
