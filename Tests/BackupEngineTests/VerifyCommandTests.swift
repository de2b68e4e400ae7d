import BackupModel
import Foundation
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

@testable import BackupEngine

/// A repository is damaged in one way, and the report names the object and says how.
struct VerifyCommandTests {
    enum Damage: String, CaseIterable, Sendable { case flip, cut, grow, remove }

    enum Object: String, CaseIterable, Sendable {
        case segment, label, history, single, blocks, bundle, manifest, manifestCopy, archiveInfo, archiveInfoCopy
        case backupInfo, backupInfoCopy

        func path(_ fixture: VerifyFixture) async throws -> String {
            let full = VerifyFixture.full
            return switch self {
            case .segment: try await fixture.segmentPath(4)
            case .label: "archive/main/14-1/0000000100000000/\(BackupSeries.segment(2)).00000028.backup"
            case .history: "archive/main/14-1/00000002.history"
            case .single: "backup/main/\(full)/pg_data/base/1/1259.lz4"
            case .blocks: "backup/main/\(full)/pg_data/base/1/500.pgbi"
            case .bundle: "backup/main/\(full)/bundle/1"
            case .manifest: "backup/main/\(full)/backup.manifest"
            case .manifestCopy: "backup/main/\(full)/backup.manifest.copy"
            case .archiveInfo: "archive/main/archive.info"
            case .archiveInfoCopy: "archive/main/archive.info.copy"
            case .backupInfo: "backup/main/backup.info"
            case .backupInfoCopy: "backup/main/backup.info.copy"
            }
        }

        /// The kinds that a damage may be told as; nil: it is none.
        func kinds(_ damage: Damage) -> Set<VerifyFinding.Kind>? {
            switch (self, damage) {
            // Not missing to anybody: no timeline 2 has been archived, and PostgreSQL's note on a backup is for people.
            case (.history, .remove), (.label, .remove): nil
            // The end of a note may be lost or longer.
            case (.label, .cut), (.label, .grow), (.label, .flip), (.history, .cut): nil
            // Bytes behind the last file of a bundle are no file's.
            case (.bundle, .grow): nil
            case (_, .remove): [.missing]
            case (.single, .cut), (.single, .grow), (.blocks, .cut), (.blocks, .grow), (.bundle, .cut): [.size]
            case (.single, .flip), (.blocks, .flip), (.bundle, .flip): [.checksum]
            case (.segment, _): [.checksum, .size, .other]
            default: [.checksum, .other]
            }
        }
    }

    @Test func aSoundRepositoryIsFoundSound() async throws {
        let fixture = try await VerifyFixture()
        let (error, text) = try await fixture.verify()
        #expect(error == nil, "\(text)")
        #expect(text.contains("status: ok"))
        #expect(text.contains("archiveId: 14-1, total WAL checked: 6, total valid WAL: 6"))
        #expect(
            text.contains("backup: \(VerifyFixture.full), status: valid, total files checked: 9, total valid files: 9"))
        #expect(
            text.contains(
                "backup: \(VerifyFixture.diff), status: valid, total files checked: 9, total valid files: 9, in earlier backups: 7"
            ), "\(text)")
        #expect(text.contains("recovery possible on timeline 1: from"))
        #expect(text.contains("to 0/700000"))
    }

    @Test(arguments: Object.allCases, Damage.allCases)
    func damageIsNamed(object: Object, damage: Damage) async throws {
        try await requireNamed(object, damage, VerifyFixture())
    }

    /// All of an encrypted repository but notes and histories, where a changed block may still decrypt to text.
    @Test(arguments: Object.allCases.filter { $0 != .label && $0 != .history }, Damage.allCases)
    func damageIsNamedThoughEncrypted(object: Object, damage: Damage) async throws {
        let fixture = try await VerifyFixture(cipherPass: "secret")
        #expect(try await fixture.verify().error == nil)
        try await requireNamed(object, damage, fixture)
    }

    private func requireNamed(_ object: Object, _ damage: Damage, _ fixture: VerifyFixture) async throws {
        let path = try await object.path(fixture)
        switch damage {
        case .flip: try await fixture.change(path) { $0[$0.count / 2] ^= 0x20 }
        case .cut: try await fixture.change(path) { $0.removeLast($0.count / 3) }
        case .grow: try await fixture.change(path) { $0 += [1, 2, 3] }
        case .remove: try await fixture.store.delete([path])
        }
        let (error, text) = try await fixture.verify()
        guard let kinds = object.kinds(damage) else {
            #expect(error == nil, "\(text)")
            return
        }
        // A segment is missing by its name, since its object is not there to be named.
        let named = object == .segment && damage == .remove ? BackupSeries.segment(4) : path
        let lines = text.split(separator: "\n").filter { $0.contains(named) && $0.contains(": '") }
        #expect(!lines.isEmpty, "\(object) \(damage): \(text)")
        let told = Set(
            VerifyFinding.Kind.allCases.filter { kind in
                lines.contains { $0.contains("\(kind.rawValue): '") }
            })
        #expect(!told.isEmpty && told.isSubset(of: kinds), "\(object) \(damage): \(told) in \(text)")
        #expect(error?.code == (damage == .remove ? .fileMissing : .checksum), "\(String(describing: error)) \(text)")
    }

    @Test func aDamagedFileMakesTheBackupsThatReferToItInvalid() async throws {
        let fixture = try await VerifyFixture()
        try await fixture.change("backup/main/\(VerifyFixture.full)/bundle/1") { $0[20] ^= 1 }
        let (error, text) = try await fixture.verify()
        #expect(text.contains("backup: \(VerifyFixture.full), status: invalid"))
        #expect(text.contains("backup: \(VerifyFixture.diff), status: invalid"))
        #expect(text.contains("(pg_data/PG_VERSION)"))
        #expect(!text.contains("(pg_data/base/1/101)"))
        #expect(
            error?.message.contains("not to be relied on: '\(VerifyFixture.full)', '\(VerifyFixture.diff)'") == true)
    }

    /// Recovery does not go through what is damaged, and a backup without its WAL is no backup.
    @Test func damagedWALEndsRecovery() async throws {
        let fixture = try await VerifyFixture()
        try await fixture.change(try await fixture.segmentPath(5)) { $0[100] ^= 1 }
        var text = try await fixture.verify().text
        #expect(text.contains("to 0/500000 (end of \(BackupSeries.segment(4)))"), "\(text)")
        #expect(!text.contains("status: invalid"))
        try await fixture.change(try await fixture.segmentPath(4)) { $0[100] ^= 1 }
        text = try await fixture.verify().text
        #expect(text.contains("to 0/400000 (end of \(BackupSeries.segment(3)))"), "\(text)")
        #expect(text.contains("backup: \(VerifyFixture.diff), status: invalid"))
        #expect(text.contains("backup '\(VerifyFixture.diff)' needs it"))
        // Not read again in this run, and still known.
        let context = try EngineContext.test("--stanza=main --output=text verify", [fixture.repository])
        text = await fixture.verify(try VerifyCommand(context, deadline: .now)).text
        #expect(text.contains("to 0/400000 (end of \(BackupSeries.segment(3)))"), "\(text)")
    }

    @Test func aSegmentThatIsThereTwiceIsDamage() async throws {
        let fixture = try await VerifyFixture()
        let path = try await fixture.segmentPath(3)
        let name = try #require(path.split(separator: "/").last)
        let other = String(name.prefix(25)) + String(repeating: "a", count: 40) + ".lz4"
        try await fixture.repository.writeWhole(
            "archive/main/14-1/0000000100000000/\(other)", try #require(try await fixture.repository.readWhole(path)))
        let (error, text) = try await fixture.verify()
        #expect(error?.code == .checksum)
        #expect(text.contains("segment is in the archive 2 times"), "\(text)")
    }

    /// What a backup needs, what follows the newest, and what retention may have removed.
    @Test(
        arguments: [
            (2, "without which backup '\(VerifyFixture.full)' is not consistent"),
            (4, "without which backup '\(VerifyFixture.diff)' is not consistent"),
            (5, "nothing behind it can be recovered to"), (3, nil), (6, nil), (1, nil),
        ] as [(Int, String?)])
    func missingWAL(number: Int, says: String?) async throws {
        let fixture = try await VerifyFixture()
        try await fixture.store.delete([try await fixture.segmentPath(number)])
        let (error, text) = try await fixture.verify()
        #expect((error == nil) == (says == nil), "\(text)")
        if let says {
            #expect(error?.code == .fileMissing)
            #expect(text.contains(says), "\(text)")
            #expect(text.contains(BackupSeries.segment(number)))
        }
        if number == 3 { #expect(text.contains("not in the archive: \(BackupSeries.segment(3))")) }
        if number == 5 {
            // It may be on its way, behind one that was faster.
            let early = try await fixture.verify("", now: BackupSeries.time(20) + 30)
            #expect(early.error == nil)
        }
    }

    @Test func aTimelineWithoutItsHistoryIsDamage() async throws {
        let fixture = try await VerifyFixture()
        let path = try await fixture.segmentPath(6)
        let name = path.split(separator: "/").last?.dropFirst(8) ?? ""
        try await fixture.repository.writeWhole(
            "archive/main/14-1/0000000200000000/00000002\(name)",
            try #require(try await fixture.repository.readWhole(path)))
        #expect(try await fixture.verify().error == nil)
        try await fixture.store.delete(["archive/main/14-1/00000002.history"])
        let (error, text) = try await fixture.verify()
        #expect(error?.code == .fileMissing)
        #expect(text.contains("missing: 'archive/main/14-1/00000002.history'"), "\(text)")
    }

    @Test func unlistedUnfinishedAndLostBackupsAreTold() async throws {
        let fixture = try await VerifyFixture()
        try await fixture.repository.writeWhole("backup/main/\(BackupSeries.label("9F"))/backup.manifest.copy", [1])
        var (error, text) = try await fixture.verify()
        #expect(error == nil)
        #expect(text.contains("backup: \(BackupSeries.label("9F")), status: in-progress"), "\(text)")

        var info = try await fixture.repository.loadBackupInfo(stanza: "main")
        info.backups.removeAll { $0.label == VerifyFixture.diff }
        try await fixture.repository.saveBackupInfo(info, stanza: "main")
        (error, text) = try await fixture.verify()
        #expect(error == nil)
        #expect(text.contains("backup '\(VerifyFixture.diff)' is not in backup.info"))

        let manifest = "backup/main/\(VerifyFixture.full)/backup.manifest"
        try await fixture.store.delete([manifest])
        (error, text) = try await fixture.verify()
        #expect(error?.code == .fileMissing)
        #expect(text.contains("backup: \(VerifyFixture.full), status: missing manifest"), "\(text)")
        #expect(text.contains("backup '\(VerifyFixture.diff)' refers to 7 files of it"), "\(text)")
    }

    @Test func aFileThatNoBackupHoldsIsFound() async throws {
        let fixture = try await VerifyFixture()
        let info = try await fixture.repository.loadBackupInfo(stanza: "main")
        var manifest = try await fixture.repository.loadManifest(
            stanza: "main", label: VerifyFixture.diff, cipherPass: info.cipherPass)
        let row = try #require(manifest.files.index(of: "pg_data/base/1/100"))
        manifest.files[row].bundleOffset += 1
        var encoder = ManifestEncoder(manifest)
        var bytes: [UInt8] = []
        while encoder.next(into: &bytes) {}
        let path = RepositoryPaths.manifest(stanza: "main", label: VerifyFixture.diff)
        for path in [path, RepositoryPaths.copy(of: path)] { try await fixture.repository.writeWhole(path, bytes) }
        let (error, text) = try await fixture.verify()
        #expect(error?.code == .checksum)
        #expect(text.contains("(pg_data/base/1/100): it refers to backup '\(VerifyFixture.full)'"), "\(text)")
    }

    @Test func oneSetIsVerifiedWithWhatItNeeds() async throws {
        let fixture = try await VerifyFixture()
        // Neither is of its set.
        try await fixture.change(try await fixture.segmentPath(5)) { $0[100] ^= 1 }
        var (error, text) = try await fixture.verify("--set=\(VerifyFixture.diff)")
        #expect(error == nil, "\(text)")
        #expect(text.contains("total WAL checked: 1,"), "\(text)")
        #expect(text.contains("backup: \(VerifyFixture.full), status: valid"))
        (error, text) = try await fixture.verify("--set=\(VerifyFixture.full)")
        #expect(!text.contains(VerifyFixture.diff))
        #expect(try await fixture.verify("--set=20200101-000000F").error?.code == .backupSetInvalid)
        #expect(try await !fixture.repository.exists(RepositoryPaths.verifyState(stanza: "main")))
        try await fixture.change("backup/main/\(VerifyFixture.full)/pg_data/base/1/1259.lz4") { $0[100] ^= 1 }
        #expect(try await fixture.verify("--set=\(VerifyFixture.diff)").error?.code == .checksum)
    }

    @Test func nothingButTheStateIsWritten() async throws {
        let writes = Mutex<Set<String>>([])
        let isVerifying = Mutex(false)
        let fixture = try await VerifyFixture { operation, path in
            if [.write, .delete, .deleteTree, .makeDirectory, .link].contains(operation), isVerifying.withLock({ $0 }) {
                writes.withLock { _ = $0.insert(path) }
            }
            return nil
        }
        isVerifying.withLock { $0 = true }
        _ = try await fixture.verify()
        _ = try await fixture.verify("--verify-budget=10s")
        #expect(writes.withLock { $0 } == ["permafrost/main/verify"])
    }

    /// An expiry that removes what is being read does no harm to the report.
    @Test func whatIsExpiredMeanwhileIsNoDamage() async throws {
        let gone = Mutex(false)
        let fixture = try await VerifyFixture { operation, path in
            // The first read of a bundle of the full backup makes all of it disappear, as does that of its first segment.
            if operation == .read, path.contains("\(VerifyFixture.full)/bundle") || path.contains("0000000001-") {
                gone.withLock { $0 = true }
            }
            let isGone = gone.withLock { $0 }
            let isExpired =
                path.contains("\(VerifyFixture.full)/") || path.contains("0000000001-")
                || path.contains("/\(VerifyFixture.diff)/")
            guard isGone, isExpired, [.read, .info].contains(operation) else { return nil }
            return .before(StorageError(BackupError(.fileMissing, "'\(path)' is missing"), isMissing: true))
        }
        let (error, text) = try await fixture.verify()
        #expect(error?.code != .checksum, "\(text)")
    }

    // MARK: Turns

    @Test func runsWithABudgetReadAllInTurns() async throws {
        let reads = Mutex<[String: Int]>([:])
        let fixture = try await VerifyFixture(latency: .milliseconds(4)) { operation, path in
            if operation == .read { reads.withLock { $0[path, default: 0] += 1 } }
            return nil
        }
        let data = try await Self.objects(fixture).filter { path in
            path.hasSuffix(".lz4") || path.hasSuffix(".pgbi") || path.contains("/bundle/")
        }
        #expect(data.count == 12)
        reads.withLock { $0 = [:] }
        var runs = 0
        var text = ""
        while runs < 200 {
            runs += 1
            let context = try EngineContext.test(
                "--stanza=main --output=text verify", [fixture.repository], now: VerifyFixture.now + Int64(runs))
            // Just enough for what is read anew each time, and a little more.
            let command = try VerifyCommand(context, deadline: .now + .milliseconds(90 + 20 * runs))
            let result = await fixture.verify(command)
            #expect(result.error == nil)
            text = result.text
            if text.contains("all of it was read since") { break }
        }
        #expect(runs > 1 && runs < 200, "\(runs) runs: \(text)")
        let counts = reads.withLock { $0 }
        for path in data { #expect(counts[path, default: 0] >= 1, "\(path) was never read") }
    }

    @Test func damageOfAnEarlierTurnStandsUntilItIsReadAgain() async throws {
        let fixture = try await VerifyFixture()
        let path = "backup/main/\(VerifyFixture.full)/pg_data/base/1/1259.lz4"
        let good = try #require(try await fixture.repository.readWhole(path))
        try await fixture.change(path) { $0[100] ^= 1 }
        #expect(try await fixture.verify("--verify-budget=1h").error?.code == .checksum)
        // No time at all: nothing is read, and what is known is told.
        let context = try EngineContext.test("--stanza=main --output=text verify", [fixture.repository])
        let (error, text) = await fixture.verify(try VerifyCommand(context, deadline: .now))
        #expect(error?.code == .checksum, "\(text)")
        #expect(text.contains("not read again since: '\(path)'"), "\(text)")

        try await fixture.repository.writeWhole(path, good)
        #expect(await fixture.verify(try VerifyCommand(context, deadline: .now)).error?.code == .checksum)
        #expect(try await fixture.verify("--verify-budget=1h").error == nil)
        #expect(await fixture.verify(try VerifyCommand(context, deadline: .now)).error == nil)
    }

    @Test(arguments: ["", "permafrost-verify 1\n", "garbage\u{0}"])
    func aLostOrTornStateBeginsAnew(content: String) async throws {
        let fixture = try await VerifyFixture()
        let path = RepositoryPaths.verifyState(stanza: "main")
        _ = try await fixture.verify("--verify-budget=1h")
        try await fixture.repository.writeWhole(path, Array(content.utf8))
        let (error, text) = try await fixture.verify("--verify-budget=1h")
        #expect(error == nil && text.contains("read in this run: 3 of 3 parts"), "\(text)")
        try await fixture.store.delete([path])
        #expect(try await fixture.verify("--verify-budget=1h").text.contains("read in this run: 3 of 3 parts"))
    }

    @Test func newSegmentsOfADirectoryAreReadFirst() async throws {
        let reads = Mutex<[String]>([])
        let fixture = try await VerifyFixture { operation, path in
            if operation == .read, path.contains(".lz4") { reads.withLock { $0.append(path) } }
            return nil
        }
        _ = try await fixture.verify("--verify-budget=1h")
        try await fixture.putSegment(7)
        reads.withLock { $0 = [] }
        _ = try await fixture.verify("--verify-budget=1h", now: VerifyFixture.now + 10)
        let first = reads.withLock { $0 }.filter { $0.hasPrefix("archive/") }.dropFirst().first
        #expect(first?.contains(BackupSeries.segment(7)) == true, "\(first ?? "")")
    }

    private static func objects(_ fixture: VerifyFixture, _ directory: String = "") async throws -> [String] {
        var found: [String] = []
        for entry in try await fixture.repository.listAll(directory) {
            let path = directory.isEmpty ? entry.name : "\(directory)/\(entry.name)"
            if entry.kind == .directory { found += try await objects(fixture, path) } else { found.append(path) }
        }
        return found
    }
}
