import BackupModel
import PostgresFormats
import Testing

@testable import RepositoryFormats

@Suite struct BackupInfoTests {
    static func text(_ entries: String) -> String {
        """
        [backrest]
        backrest-format=5
        backrest-version="2.59.1"

        [backup:current]
        \(entries)

        [db]
        db-catalog-version=202307071
        db-control-version=1300
        db-id=1
        db-system-id=1
        db-version="16"

        [db:history]
        1={"db-catalog-version":202307071,"db-control-version":1300,"db-system-id":1,"db-version":"16"}

        """
    }

    static let options =
        #""option-archive-check":true,"option-archive-copy":false,"option-backup-standby":true,"#
        + #""option-checksum-page":true,"option-compress":true,"option-hardlink":true,"option-online":true"#

    static let everything =
        #"20260101-000000F_20260102-000000I={"backrest-format":5,"backrest-version":"2.59.1","#
        + #""backup-annotation":{"a \"b\"":"é\n","z":""},"backup-archive-start":"000000010000000000000001","#
        + #""backup-archive-stop":null,"backup-error":true,"backup-info-repo-size":18446744073709551615,"#
        + #""backup-info-repo-size-delta":2,"backup-info-repo-size-map":3,"backup-info-repo-size-map-delta":0,"#
        + #""backup-info-size":5,"backup-info-size-delta":6,"backup-lsn-start":"0/1","backup-lsn-stop":"0/2","#
        + #""backup-prior":"20260101-000000F","backup-reference":["20260101-000000F"],"#
        + #""backup-timestamp-start":1,"backup-timestamp-stop":2,"backup-type":"incr","db-id":1,"# + options + "}"

    /// Only what readers of pgBackRest need.
    static let least =
        #"20200101-000000F={"backrest-format":5,"backrest-version":"1.0","backup-info-repo-size":1,"#
        + #""backup-info-repo-size-delta":2,"backup-info-size":5,"backup-info-size-delta":6,"#
        + #""backup-timestamp-start":1,"backup-timestamp-stop":2,"backup-type":"full","db-id":1,"# + options + "}"

    @Test func keepsEveryKey() throws {
        let bytes = sealed(Self.text(Self.everything))
        let info = try BackupInfo(parsing: bytes.span.bytes)
        #expect(info.serialized() == bytes)
        let entry = try #require(info.backups.first)
        #expect(entry.annotations == ["a \"b\"": "é\n", "z": ""])
        #expect(entry.repoSize == .max)
        #expect(entry.repoSizeMapDelta == 0)
        #expect(entry.archiveStop == nil)
        #expect(entry.prior == "20260101-000000F")
        #expect(entry.optionBackupStandby)
    }

    @Test func readsEntriesOfOldVersions() throws {
        let entry = try #require(try BackupInfo(parsing: sealed(Self.text(Self.least)).span.bytes).backups.first)
        #expect(entry.hasErrors == nil)
        #expect(entry.references.isEmpty)
        #expect(entry.repoSizeMap == nil)
        #expect(entry.lsnStart == nil)
    }

    @Test(arguments: [
        "backrest-format", "backrest-version", "backup-info-repo-size", "backup-info-repo-size-delta",
        "backup-info-repo-size-map-delta", "backup-info-repo-size-map", "backup-info-size", "backup-info-size-delta",
        "backup-timestamp-start", "backup-timestamp-stop", "backup-type", "db-id", "option-archive-check",
        "option-archive-copy", "option-backup-standby", "option-checksum-page", "option-compress", "option-hardlink",
        "option-online",
    ])
    func needs(_ key: String) {
        let bytes = sealed(Self.text(Self.everything.replacing("\"\(key)\":", with: "\"x-\(key)\":")))
        let error = failure { () throws(BackupError) in _ = try BackupInfo(parsing: bytes.span.bytes) }
        #expect(error?.code == .format)
    }

    @Test(arguments: [
        (#""backrest-format":5"#, #""backrest-format":6"#),
        (#""backup-type":"incr""#, #""backup-type":"x""#),
        (#""backup-timestamp-start":1"#, #""backup-timestamp-start":-1"#),
        (#""backup-timestamp-start":1"#, #""backup-timestamp-start":9223372036854775808"#),
        (#""backup-info-size":5"#, #""backup-info-size":-5"#),
        (#""backup-info-size":5"#, #""backup-info-size":null"#),
        (#""backup-error":true"#, #""backup-error":1"#),
        (#"["20260101-000000F"]"#, #"["../../../tmp"]"#),
        (#""backup-prior":"20260101-000000F""#, #""backup-prior":"..""#),
        ("20260101-000000F_20260102-000000I=", "../20260102-000000I="),
        ("20260101-000000F_20260102-000000I=", "20260101-000000F_20260102-000000X="),
        (#"db-id":1"#, #"db-id":4294967296"#),
    ])
    func refuses(_ original: String, _ replacement: String) {
        #expect(Self.everything.contains(original))
        let bytes = sealed(Self.text(Self.everything.replacing(original, with: replacement)))
        let error = failure { () throws(BackupError) in _ = try BackupInfo(parsing: bytes.span.bytes) }
        #expect(error?.code == .format)
    }

    @Test func refusesABackupThatIsListedTwice() {
        let bytes = sealed(Self.text(Self.least + "\n" + Self.least))
        #expect(failure { () throws(BackupError) in _ = try BackupInfo(parsing: bytes.span.bytes) }?.code == .format)
    }

    @Test func findsDependents() throws {
        let bytes = try Fixture.bytes("backup.info")
        var info = try BackupInfo(parsing: bytes.span.bytes)
        let labels = info.backups.map(\.label)
        #expect(info.withDependents(labels[0]) == labels)
        #expect(info.withDependents(labels[1]) == Array(labels[1...]))
        #expect(info.withDependents(labels[2]) == [labels[2]])
        info.backups.reverse()
        #expect(info.withDependents(labels[0]) == labels)
        #expect(info.serialized() == bytes)
        info.backups = []
        #expect(info.withDependents(labels[1]) == [labels[1]])
    }
}
