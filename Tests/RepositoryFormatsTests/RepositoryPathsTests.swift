import BackupModel
import PostgresFormats
import Testing

@testable import RepositoryFormats

@Suite struct RepositoryPathsTests {
    private static let sum = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

    @Test(arguments: [
        ("000000010000000000000005-\(sum).gz", "archive/s/15-1/0000000100000000/000000010000000000000005-\(sum).gz"),
        (
            "0000000100000000000000AF.00000028.backup",
            "archive/s/15-1/0000000100000000/0000000100000000000000AF.00000028.backup"
        ),
        ("00000002.history", "archive/s/15-1/00000002.history"),
        ("00000001000000000000000", "archive/s/15-1/00000001000000000000000"),
        ("0000000100000000000000af", "archive/s/15-1/0000000100000000000000af"),
        ("00000001000000000000000G", "archive/s/15-1/00000001000000000000000G"),
    ])
    func placesFilesOfTheArchive(_ name: String, _ path: String) {
        #expect(RepositoryPaths.archiveFile(stanza: "s", archiveID: "15-1", name: name) == path)
    }

    @Test func placesFilesOfBackups() {
        let label = "20261121-034000F_20270101-034000I"
        func path(_ compress: CompressType, _ blocks: Bool) -> String {
            RepositoryPaths.backupFile(
                stanza: "s", label: label, name: "pg_data/base/1/2", compress: compress, blockIncremental: blocks)
        }
        #expect(path(.none, false) == "backup/s/\(label)/pg_data/base/1/2")
        #expect(path(.zst, false) == "backup/s/\(label)/pg_data/base/1/2.zst")
        #expect(path(.zst, true) == "backup/s/\(label)/pg_data/base/1/2.pgbi")
        #expect(RepositoryPaths.bundle(stanza: "s", label: label, id: 7) == "backup/s/\(label)/bundle/7")
        #expect(
            RepositoryPaths.manifestHistory(stanza: "s", label: label)
                == "backup/s/backup.history/2026/\(label).manifest.gz")
    }

    @Test(arguments: [("15-1", "15", 1), ("9.6-12", "9.6", 12)])
    func readsArchiveIDs(_ text: String, _ version: String, _ id: Int) throws {
        let read = try #require(RepositoryPaths.parseArchiveID(text))
        #expect(read.version == PostgresVersion(version))
        #expect(read.historyID == id)
        #expect(RepositoryPaths.archiveID(version: read.version, historyID: id) == text)
    }

    @Test(arguments: ["", "-", "15", "15-", "-1", "15-x", "15-+1", "15-0", "x-1", "15-99999999999999999999", "15-1 "])
    func refusesOtherArchiveIDs(_ text: String) { #expect(RepositoryPaths.parseArchiveID(text) == nil) }

    @Test(arguments: [
        ("000000010000000A000000FF-\(sum)", false, CompressType.none),
        ("000000010000000A000000FF-\(sum).gz", false, .gz),
        ("000000010000000A000000FF-\(sum).lz4", false, .lz4),
        ("000000010000000A000000FF-\(sum).zst", false, .zst),
        ("000000010000000A000000FF.partial-\(sum).bz2", true, .bz2),
    ])
    func readsArchivedSegments(_ name: String, _ isPartial: Bool, _ compress: CompressType) throws {
        let read = try #require(ArchivedSegmentName(name))
        #expect(read.segment == WALSegment(timeline: 1, log: 10, number: 255))
        #expect(read.isPartial == isPartial)
        #expect(read.checksum == Self.sum)
        #expect(read.compress == compress)
        #expect(read.name == name)
    }

    @Test(arguments: [
        "", "000000010000000A000000FF", "000000010000000A000000FF-", "000000010000000A000000FF.00000028.backup",
        "000000010000000A000000FF-\(sum).xz", "000000010000000A000000FF-\(sum).", "000000010000000A000000FF-\(sum)0",
        "000000010000000A000000FF-\(sum.uppercased())", "000000010000000A000000ff-\(sum)",
        "000000010000000A000000FF.partia-\(sum)", "00000001.history", "000000010000000A000000FF_\(sum)",
    ])
    func refusesOtherObjects(_ name: String) { #expect(ArchivedSegmentName(name) == nil) }
}
