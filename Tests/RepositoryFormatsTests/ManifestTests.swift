import BackupModel
import Checksums
import PostgresFormats
import Testing

@testable import RepositoryFormats

@Suite struct ManifestTests {
    static let full = "20260101-000000F"
    static let incr = "20260101-000000F_20260102-000000I"

    /// Each key that the format knows, names and values that need care, and files that use them.
    static func everything() throws -> Manifest {
        var options = ManifestOptions(compressType: .zst)
        options.backupStandby = true
        options.checksumPage = true
        options.delta = false
        options.bufferSize = 1 << 33
        options.compressLevel = -3
        options.compressLevelNetwork = 3
        options.processMax = 4
        let version = try #require(PostgresVersion("16"))
        var manifest = Manifest(
            label: incr, type: .incr, references: [full, incr], timestampStart: 10, timestampCopyStart: 12,
            database: BackupInfo.Database(
                id: 1, systemIdentifier: .max, version: version, catalogVersion: 202_307_071, controlVersion: 1300),
            options: options)
        manifest.writerVersion = "2.59.1"
        manifest.prior = full
        manifest.timestampStop = 20
        manifest.archiveStart = "000000010000000000000001"
        manifest.archiveStop = "000000010000000000000002"
        manifest.lsnStart = "0/1"
        manifest.lsnStop = "0/2"
        manifest.isBlockIncremental = true
        manifest.isBundle = true
        manifest.isBundleRaw = true
        manifest.cipherPass = Secret("pass=\"word\"")
        manifest.annotations = ["k\"ey": "v\\al\nue", "a": ""]
        manifest.databases = [
            ManifestDatabase(name: "[x]=1", id: .max, lastSystemID: 4),
            ManifestDatabase(name: "=", id: 1, lastSystemID: 4),
        ]
        manifest.targets = [
            ManifestTarget(name: "pg_tblspc/1", kind: .link, path: "/t", tablespaceID: 1, tablespaceName: "a\"b"),
            ManifestTarget(name: "pg_data/f", kind: .link, path: "..", file: "g"),
            ManifestTarget(name: "pg_data", kind: .path, path: "/pg"),
        ]
        manifest.paths = [
            ManifestPath(name: "pg_data", mode: 0o750, user: "u", group: nil),
            ManifestPath(name: "pg_data/base", mode: 0o700, user: nil, group: "g=\"1\""),
        ]
        manifest.links = [
            ManifestLink(name: "pg_data/f", destination: "../é\t", user: nil, group: nil),
            ManifestLink(name: "pg_data/e", destination: "x", user: "u", group: "g"),
        ]
        for file in files() { manifest.files.append(file) }
        return manifest
    }

    static func files() -> [ManifestFile] {
        let names = [
            "pg_data/a=b", "pg_data/a={}", "pg_data/a=\"", "pg_data/ a b ", "pg_data/[x]", "pg_data/é=1", "pg_data/[",
            "pg_data/x={\"a\":\"", "pg_data/\t\u{1}", "pg_data/\\n", "pg_data/..a", "pg_data/null=null", "pg_data/a",
        ]
        return names.enumerated().map { index, name in
            var file = ManifestFile(
                name: name, size: UInt64(index * 1000), timestamp: Int64(index - 2), mode: 0o640,
                user: index == 3 ? nil : "u", group: index == 4 ? "other \"g\"" : nil)
            file.checksum = index == 0 ? .ofNothing : .sample(index)
            switch index {
            case 1:
                file.repoSize = 77
                file.repoChecksum = .sample(100)
                file.reference = 0
                file.bundleID = 3
                file.bundleOffset = 1 << 40
                file.blockSize = 16384
                file.blockChecksumSize = 7
                file.blockMapSize = 12
                file.pageCheck = .invalid([1...1, 3...9, 20...(.max)])
                file.sizeOriginal = 999
                file.mode = 0o7777
            case 2:
                file.blockSize = 8192
                file.pageCheck = .valid
                file.mode = 0o400
                file.bundleID = 1
            case 5: file.pageCheck = .invalid([])
            case 6: file.sizeOriginal = 0
            default: break
            }
            return file
        }
    }

    @Test func writesEachKeyInItsPlace() throws {
        let text = lines(encode(try Self.everything()))
        let expected = [
            #"backup-bundle-raw=true"#,
            #"backup-reference="20260101-000000F,20260101-000000F_20260102-000000I""#,
            #"option-compress-level=4294967293"#,
            #"cipher-pass="pass=\"word\"""#,
            #"[x]=1={"db-id":4294967295,"db-last-system-id":4}"#,
            #"annotation={"a":"","k\"ey":"v\\al\nue"}"#,
            #"pg_data/f={"file":"g","path":"..","type":"link"}"#,
            #"pg_data/a={}={"bi":2,"bic":7,"bim":12,"bni":3,"bno":1099511627776,"checksum":""#
                + SHA1Digest.sample(1).hex
                + #"","checksum-page":false,"checksum-page-error":[1,[3,9],[20,4294967295]],"mode":"7777","rck":""#
                + SHA1Digest.sample(100).hex
                + #"","reference":"20260101-000000F","repo-size":77,"size":1000,"szo":999,"timestamp":-1}"#,
            #"pg_data/a="={"bi":1,"bni":1,"checksum":""# + SHA1Digest.sample(2).hex
                + #"","checksum-page":true,"mode":"0400","size":2000,"timestamp":0}"#,
            #"pg_data/ a b ={"checksum":""# + SHA1Digest.sample(3).hex + #"","size":3000,"timestamp":1,"user":false}"#,
            #"pg_data/a=b={"size":0,"timestamp":-2}"#,
            #"pg_data/é=1={"checksum":""# + SHA1Digest.sample(5).hex
                + #"","checksum-page":false,"size":5000,"timestamp":3}"#,
            #"pg_data/e={"destination":"x","group":"g"}"#,
            #"pg_data/f={"destination":"../é\t","user":false}"#,
            #"pg_data/base={"group":"g=\"1\"","mode":"0700","user":false}"#,
        ]
        for line in expected { #expect(text.contains(Substring(line)), "\(line)") }
        #expect(text.filter { $0 == "group=false" }.count == 3)
        #expect(text.filter { $0 == "mode=\"0640\"" }.count == 1)
        #expect(text.filter { $0 == "mode=\"0750\"" }.count == 1)
        let sections = text.filter { $0.hasPrefix("[") && $0.hasSuffix("]") }.dropFirst().dropLast().map {
            $0.dropFirst().dropLast()
        }
        #expect(sections.elementsEqual(sections.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }))
    }

    @Test func readsBackWhatItWrites() throws {
        var manifest = try Self.everything()
        let bytes = encode(manifest)
        let open = String(decoding: bytes, as: UTF8.self).components(before: "\n[backrest]\nbackrest-checksum")
        #expect(sealed(open) == bytes)
        let read = try decode(bytes)
        manifest.sort()
        #expect(encode(read) == bytes)
        #expect(read.files.count == manifest.files.count)
        for index in 0..<read.files.count { #expect(read.files[index] == manifest.files[index]) }
        #expect(read.paths == manifest.paths)
        #expect(read.links == manifest.links)
        #expect(read.targets == manifest.targets)
        #expect(read.databases == manifest.databases)
        #expect(read.options == manifest.options)
        #expect(read.database == manifest.database)
        #expect(read.annotations == manifest.annotations)
        #expect(read.cipherPass == manifest.cipherPass)
        #expect(BackupInfoEntry(read) == BackupInfoEntry(manifest))
        try read.validateComplete()
    }

    @Test func sumsFiles() throws {
        let entry = BackupInfoEntry(try Self.everything())
        #expect(entry.size == 78_000)
        #expect(entry.sizeDelta == 77_000)
        #expect(entry.repoSize == 77_077)
        #expect(entry.repoSizeDelta == 77_000)
        #expect(entry.repoSizeMap == 12)
        #expect(entry.repoSizeMapDelta == 0)
        #expect(entry.hasErrors == true)
        #expect(entry.references == [Self.full])
        #expect(entry.optionCompress && entry.optionBackupStandby && !entry.optionHardlink)

        var huge = try Self.everything()
        for index in 0..<2 { huge.files[index].size = .max }
        #expect(BackupInfoEntry(huge).size == .max)
    }

    @Test func readsPiecesOfAnySize() throws {
        let bytes = encode(try Self.everything())
        #expect(try encode(decode(bytes, pieces: Array(repeating: 1, count: bytes.count))) == bytes)
        var generator = SeededGenerator(state: 2)
        for _ in 0..<50 {
            let pieces = (0..<100).map { _ in Int.random(in: 0...200, using: &generator) }
            #expect(try encode(decode(bytes, pieces: pieces)) == bytes, "\(pieces)")
        }
        let real = try Fixture.bytes("diff.manifest")
        #expect(
            try encode(decode(real, pieces: (0..<40).map { _ in Int.random(in: 0...9000, using: &generator) })) == real)
    }

    @Test func refusesEveryTruncation() throws {
        let bytes = encode(try Self.everything())
        for count in 0..<bytes.count - 1 {
            #expect(
                failure { () throws(BackupError) in _ = try decode(Array(bytes[..<count])) } != nil, "\(count) bytes")
        }
    }

    @Test func noticesEveryDamage() throws {
        let bytes = encode(try Self.everything())
        var generator = SeededGenerator(state: 3)
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                damaged[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            guard let read = try? decode(damaged) else { continue }
            #expect(encode(read) == bytes)
        }
    }

    /// With a checksum that fits, so that what is read is what was damaged.
    @Test func survivesSealedDamage() throws {
        let text = String(decoding: encode(try Self.everything()), as: UTF8.self)
        let open = Array(text.components(before: "\n[backrest]\nbackrest-checksum").utf8)
        var generator = SeededGenerator(state: 4)
        let digits = Array("0123456789\"{}[],:=ntf-\\.e".utf8)
        for _ in 0..<400 {
            var damaged = open
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let index = Int.random(in: open.indices, using: &generator)
                guard let byte = digits.randomElement(using: &generator) else { continue }
                damaged[index] = byte
            }
            guard let read = try? decode(sealed(String(decoding: damaged, as: UTF8.self))) else { continue }
            _ = BackupInfoEntry(read)
            _ = encode(read)
            try? read.validateComplete()
        }
    }
}

extension String {
    /// The text before the last occurrence of `end`.
    func components(before end: String) -> String {
        ranges(of: end).last.map { String(self[..<$0.lowerBound]) } ?? self
    }
}
