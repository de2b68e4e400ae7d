import BackupModel
import PostgresFormats
import Testing

@testable import RepositoryFormats

@Suite struct InfoFileTests {
    static let archiveText = """
        [backrest]
        backrest-format=5
        backrest-version="2.59.1"

        [db]
        db-id=1
        db-system-id=7000000000000000001
        db-version="16"

        [db:history]
        1={"db-id":7000000000000000001,"db-version":"16"}

        """

    @Test func writesTheChecksumOfTheReference() throws {
        let version = try #require(PostgresVersion("16"))
        let info = ArchiveInfo(
            currentID: 1,
            history: [DatabaseHistoryEntry(id: 1, systemIdentifier: 7_000_000_000_000_000_001, version: version)],
            writerVersion: "2.59.1")
        let end = "\n[backrest]\nbackrest-checksum=\"11f21d97e13c821eb3201acc213120b7c38ac46f\"\n"
        #expect(String(decoding: info.serialized(), as: UTF8.self) == Self.archiveText + end)
        #expect(try ArchiveInfo(parsing: info.serialized().span.bytes) == info)
        #expect(info.currentArchiveID == "16-1")
    }

    @Test func rewritesRealArchiveInfoUnchanged() throws {
        let bytes = try Fixture.bytes("archive.info")
        let info = try ArchiveInfo(parsing: bytes.span.bytes)
        #expect(info.serialized() == bytes)
        #expect(info.writerVersion == "2.45")
        #expect(info.current.systemIdentifier == 7_710_469_540_621_722_067)
        #expect(info.currentArchiveID == "15-1")
    }

    @Test func rewritesRealBackupInfoUnchanged() throws {
        let bytes = try Fixture.bytes("backup.info")
        let info = try BackupInfo(parsing: bytes.span.bytes)
        #expect(info.serialized() == bytes)
        #expect(info.current.catalogVersion == 202_209_061)
        #expect(info.current.controlVersion == 1300)
        #expect(info.backups.map(\.type) == [.full, .diff, .incr])
        #expect(info.backups.map(\.hasErrors) == [false, true, true])
        #expect(info.backups[0].annotations == ["note": "first \"one\""])
        #expect(info.backups[2].references == info.backups.prefix(2).map(\.label))
    }

    @Test func keepsPassphraseAndSeveralDatabases() throws {
        let versions = try ["9.6", "15"].map { try #require(PostgresVersion($0)) }
        let archive = ArchiveInfo(
            currentID: 10,
            history: [
                DatabaseHistoryEntry(id: 10, systemIdentifier: .max, version: versions[1]),
                DatabaseHistoryEntry(id: 2, systemIdentifier: 1, version: versions[0]),
            ], cipherPass: Secret("a\\b\"c="))
        let text = lines(archive.serialized())
        // By number, where bytes would have 10 before 2.
        #expect(text.firstIndex { $0.hasPrefix("2={") } == text.firstIndex { $0.hasPrefix("10={") }.map { $0 - 1 })
        #expect(text.contains(#"cipher-pass="a\\b\"c=""#))
        #expect(text.contains("db-system-id=18446744073709551615"))
        let read = try ArchiveInfo(parsing: archive.serialized().span.bytes)
        #expect(read.cipherPass == archive.cipherPass)
        #expect(read.history.map(\.id) == [2, 10])
        #expect(read.current.systemIdentifier == .max)
        #expect(read.currentArchiveID == "15-10")

        let backup = BackupInfo(
            currentID: 3,
            history: [
                BackupInfo.Database(
                    id: 3, systemIdentifier: 5, version: versions[1], catalogVersion: 7, controlVersion: 9)
            ], cipherPass: Secret("secret"))
        let order = lines(backup.serialized()).filter { $0.hasPrefix("[") }
        #expect(order == ["[backrest]", "[cipher]", "[db]", "[db:history]", "[backrest]"])
        #expect(try BackupInfo(parsing: backup.serialized().span.bytes) == backup)
    }

    @Test func passesOverWhatItDoesNotKnow() throws {
        let text = """
            [backrest]
            backrest-extra={"a":[1,-2.5e+3,null,{"b":"\\u00e9 \\" ]"}],"c":true}
            backrest-format=5
            backrest-version="9.9"

            [aaa]
            k=e=y={"a":{}}
            [x={"size":1}

            [cipher]
            cipher-other=0.5

            [db]
            db-id=1
            db-later=false
            db-system-id=1
            db-version="99"

            [db:history]
            1={"aa":[],"db-id":7000000000000000001,"db-version":"16","zz":{"y":null}}

            """
        let info = try ArchiveInfo(parsing: sealed(text).span.bytes)
        #expect(info.writerVersion == "9.9")
        #expect(info.current.version == PostgresVersion("16"))
    }

    @Test(arguments: [
        ("backrest-format=5", "backrest-format=4", ErrorCode.format),
        ("backrest-format=5\n", "", .format),
        ("db-id=1\n", "", .format),
        ("db-id=1\n", "db-id=2\n", .format),
        ("db-id=1\n", "db-id=-1\n", .format),
        ("db-id=1\n", "db-id=1.0\n", .format),
        ("db-id=1\n", "db-id=\"1\"\n", .format),
        ("1={", "0={", .format),
        ("1={", "x={", .format),
        ("1={", "={", .format),
        ("\"db-id\":7000000000000000001,", "", .format),
        ("7000000000000000001,\"", "70000000000000000010,\"", .format),
        ("7000000000000000001,\"", "18446744073709551616,\"", .format),
        (",\"db-version\":\"16\"}", "}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"abc\"}", .versionNotSupported),
        ("\"db-version\":\"16\"}", "\"db-version\":\"16\"", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"16\"}}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"16\",}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"16\" \"a\":1}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":16}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"1\\x\"}", .format),
        ("\"db-version\":\"16\"}", "\"db-version\":\"16\",\"x\":\(String(repeating: "[", count: 5000))}", .format),
        ("[db]", "[]", .format),
        ("[db]", "db", .format),
        ("[backrest]\n", "", .format),
    ])
    func refuses(_ original: String, _ replacement: String, _ code: ErrorCode) throws {
        let text = Self.archiveText
        let range = try #require(text.firstRange(of: original))
        let bad = text.replacingCharacters(of: range, with: replacement)
        #expect(
            failure { () throws(BackupError) in _ = try ArchiveInfo(parsing: sealed(bad).span.bytes) }?.code == code)
    }

    @Test func namesBothChecksums() throws {
        let text = String(decoding: sealed(Self.archiveText), as: UTF8.self)
        let bad = Array(text.replacing("11f21d97", with: "11f21d98").utf8)
        let error = failure { () throws(BackupError) in _ = try ArchiveInfo(parsing: bad.span.bytes) }
        #expect(error?.code == .checksum)
        #expect(
            error?.message
                == "checksum of the file does not match its content: '11f21d98e13c821eb3201acc213120b7c38ac46f' "
                + "in the file, '11f21d97e13c821eb3201acc213120b7c38ac46f' computed")
    }

    @Test func tellsAnEncryptedFileAndHidesPassphrases() {
        let salted = Array("Salted__\u{1}\u{2}\u{3}\nabc".utf8)
        #expect(failure { () throws(BackupError) in _ = try ArchiveInfo(parsing: salted.span.bytes) }?.code == .crypto)
        for damaged in [
            "cipher-pass=\"s3cret", "cipher-pass\"s3cret\"", "cipher-pass=\"s3cret\\q\"", "x=\"s3cret=\\\"",
        ] {
            let text = "[backrest]\nbackrest-format=5\n\n[cipher]\n\(damaged)\n"
            let error = failure { () throws(BackupError) in _ = try ArchiveInfo(parsing: Array(text.utf8).span.bytes) }
            #expect(error?.code == .format)
            #expect(error?.description.contains("s3cret") == false)
        }
    }

    @Test(arguments: ["archive.info", "backup.info"])
    func refusesEveryTruncation(_ name: String) throws {
        let bytes = try Fixture.bytes(name)
        // Without the line break at the very end the file still proves itself.
        for count in 0..<bytes.count - 1 {
            let part = Array(bytes[..<count])
            let error = failure { () throws(BackupError) in
                if name == "archive.info" {
                    _ = try ArchiveInfo(parsing: part.span.bytes)
                } else {
                    _ = try BackupInfo(parsing: part.span.bytes)
                }
            }
            #expect(error != nil, "the first \(count) bytes")
        }
    }

    @Test(arguments: ["archive.info", "backup.info"])
    func noticesEveryDamage(_ name: String) throws {
        let bytes = try Fixture.bytes(name)
        var generator = SeededGenerator(state: 1)
        for _ in 0..<1500 {
            var damaged = bytes
            let index = Int.random(in: damaged.indices, using: &generator)
            damaged[index] = UInt8.random(in: 0...255, using: &generator)
            guard let rewritten = try? reread(name, damaged) else { continue }
            #expect(rewritten == bytes, "byte \(index) is \(damaged[index])")
        }
    }

    private func reread(_ name: String, _ bytes: [UInt8]) throws(BackupError) -> [UInt8] {
        name == "archive.info"
            ? try ArchiveInfo(parsing: bytes.span.bytes).serialized()
            : try BackupInfo(parsing: bytes.span.bytes).serialized()
    }
}

extension String {
    fileprivate func replacingCharacters(of range: Range<Index>, with text: String) -> String {
        self[..<range.lowerBound] + text + self[range.upperBound...]
    }
}
