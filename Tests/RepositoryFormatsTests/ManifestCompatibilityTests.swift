import BackupModel
import Checksums
import PostgresFormats
import Testing

@testable import RepositoryFormats

/// Manifests of older versions, of newer ones, and such as must not be trusted.
@Suite struct ManifestCompatibilityTests {
    /// As a version before 2.30 wrote it: without compress-type, lsn, references, rck, szo.
    static let old = """
        [backrest]
        backrest-format=5
        backrest-version="2.10"

        [backup]
        backup-label="20180101-000000F_20180103-000000I"
        backup-prior="20180101-000000F_20180102-000000D"
        backup-timestamp-copy-start=3
        backup-timestamp-start=2
        backup-timestamp-stop=4
        backup-type="incr"

        [backup:db]
        db-catalog-version=201608131
        db-control-version=960
        db-id=1
        db-system-id=6500000000000000000
        db-version="9.6"

        [backup:option]
        option-archive-check=true
        option-archive-copy=false
        option-compress=true
        option-hardlink=false
        option-online=true

        [backup:target]
        pg_data={"path":"/pg","type":"path"}

        [target:file]
        pg_data/PG_VERSION={"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","master":true,"size":4,"timestamp":1}
        pg_data/b={"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","reference":"20180101-000000F_20180102-000000D","repo-size":3,"size":4,"timestamp":1}
        pg_data/c={"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","reference":"20180101-000000F","size":4,"timestamp":1,"user":"w"}
        pg_data/d={"checksum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","reference":"20180101-000000F_20180103-000000I","size":4,"timestamp":1}

        [target:file:default]
        group="g"
        master=false
        mode="0600"
        user=false

        [target:path]
        pg_data={}
        pg_data/base={"mode":"0750","user":"w"}

        [target:path:default]
        group="g"
        mode="0700"
        user="u"

        """

    @Test func readsOldManifests() throws {
        let manifest = try decode(sealed(Self.old))
        let labels = [
            "20180101-000000F_20180102-000000D", "20180101-000000F", "20180101-000000F_20180103-000000I",
        ]
        #expect(manifest.references == labels)
        #expect((0..<4).map { manifest.files.reference($0) } == [nil, 0, 1, nil])
        #expect(manifest.options.compressType == .gz)
        #expect(manifest.options.delta == nil)
        #expect(manifest.lsnStart == nil)
        #expect(manifest.files[0].mode == 0o600 && manifest.files[0].group == "g" && manifest.files[0].user == nil)
        #expect(manifest.files[2].user == "w")
        #expect(manifest.files[1].repoSize == 3 && manifest.files[2].repoSize == 4)
        #expect(manifest.files[1].repoChecksum == nil)
        #expect(manifest.paths.map(\.user) == ["u", "w"])
        #expect(manifest.paths.map(\.mode) == [0o700, 0o750])
        #expect(manifest.annotations.isEmpty && manifest.links.isEmpty)
        #expect(BackupInfoEntry(manifest).references == labels.dropLast().sorted())
        // Written in our way it says the same.
        let again = try decode(encode(manifest))
        #expect((0..<4).map { again.files[$0] } == (0..<4).map { manifest.files[$0] })
        #expect(again.references == manifest.references)
    }

    @Test func concludesNoCompression() throws {
        let text = Self.old.replacing("option-compress=true", with: "option-compress=false")
        #expect(try decode(sealed(text)).options.compressType == .none)
    }

    @Test func prefersTheTypeOfCompressionWhateverTheOrder() throws {
        let text = Self.old.replacing(
            "option-compress=true", with: "option-compress-type=\"lz4\"\noption-compress=true")
        #expect(try decode(sealed(text)).options.compressType == .lz4)
    }

    @Test func passesOverWhatItDoesNotKnow() throws {
        let text = Self.old
            .replacing("[backup:db]", with: "[backup:later]\nkey={\"a\":[{}]}\n\n[backup:db]")
            .replacing("backup-type=", with: "backup-tzz=1.5\nbackup-type=")
            .replacing("\"size\":4", with: "\"rzz\":{\"a\":[1,-2.5e-7,{\"b\":null}]},\"size\":4,\"szz\":[]")
            .replacing("option-online=true", with: "option-online=true\noption-zzz=null")
            .replacing("\"type\":\"path\"", with: "\"type\":\"path\",\"zzz\":\"\\u0041\"")
        let manifest = try decode(sealed(text))
        #expect(manifest.files.count == 4)
        #expect(manifest.files.size(0) == 4)
    }

    @Test func sortsOnReading() throws {
        let swapped = Self.old.replacing("pg_data/PG_VERSION=", with: "pg_data/z=")
        let manifest = try decode(sealed(swapped))
        #expect((0..<4).map { manifest.files.name($0) } == ["pg_data/b", "pg_data/c", "pg_data/d", "pg_data/z"])
        #expect((0..<4).map { manifest.files.reference($0) } == [0, 1, nil, nil])
    }

    @Test func acceptsAManifestInProgress() throws {
        let text = Self.old
            .replacing("\"checksum\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"master\":true,", with: "")
            .replacing("backup-timestamp-stop=4\n", with: "")
        let manifest = try decode(sealed(text))
        #expect(manifest.files.checksum(0) == nil)
        #expect(manifest.timestampStop == 0)
        let error = failure { () throws(BackupError) in try manifest.validateComplete() }
        #expect(error?.code == .format)
        #expect(error?.message.contains("'pg_data/PG_VERSION': checksum is missing") == true)
        #expect(error?.message.contains("stopped before it started") == true)
    }

    @Test(arguments: [
        ("backup-label=\"20180101-000000F_20180103-000000I\"\n", ""),
        ("backup-label=\"20180101-000000F_20180103-000000I\"", "backup-label=\"../x\""),
        ("backup-type=\"incr\"\n", ""),
        ("backup-type=\"incr\"", "backup-type=\"x\""),
        ("backup-timestamp-start=2\n", ""),
        ("backup-timestamp-copy-start=3\n", ""),
        ("backup-timestamp-start=2", "backup-timestamp-start=-2"),
        ("backup-prior=\"20180101-000000F_20180102-000000D\"", "backup-prior=\"/etc\""),
        ("backup-prior=", "backup-reference=\"20180101-000000F,..\"\nbackup-prior="),
        ("backup-prior=", "backup-reference=\"20180101-000000F_20180103-000000I\"\nbackup-prior="),
        ("db-id=1\n", ""),
        ("db-version=\"9.6\"\n", ""),
        ("db-system-id=6500000000000000000", "db-system-id=65000000000000000000"),
        ("option-compress=true\n", ""),
        ("option-compress=true", "option-compress=1"),
        ("option-compress=true", "option-compress-type=\"rar\"\noption-compress=true"),
        ("option-compress=true", "option-compress-level=4294967296\noption-compress=true"),
        ("{\"path\":\"/pg\",\"type\":\"path\"}", "{\"type\":\"path\"}"),
        ("{\"path\":\"/pg\",\"type\":\"path\"}", "{\"path\":\"/pg\",\"type\":\"x\"}"),
        ("pg_data/b=", "pg_data/../b="),
        ("pg_data/b=", "..="),
        ("pg_data/b=", "/etc/b="),
        ("pg_data/b=", "pg_data/\u{0}="),
        ("pg_data/b=", "="),
        ("pg_data/b=", "pg_data/c="),
        ("pg_data/base=", "pg_data/..="),
        ("\"size\":4", "\"siz\":4"),
        ("\"size\":4", "\"size\":-4"),
        ("\"size\":4", "\"size\":\"4\""),
        ("\"size\":4", "\"size\":18446744073709551616"),
        ("\"size\":4", "\"size\":4,\"timestamp\":9223372036854775808"),
        ("\"timestamp\":1", "\"timestam\":1"),
        ("\"timestamp\":1", "\"timestamp\":true"),
        ("da39a3ee", "DA39A3EE"),
        ("da39a3ee", "da39a3e"),
        ("mode=\"0600\"", "mode=\"0800\""),
        ("mode=\"0600\"", "mode=\"17777\""),
        ("mode=\"0600\"\n", ""),
        ("mode=\"0700\"\n", ""),
        ("user=false", "user=true"),
        ("\"master\":true", "\"bi\":0,\"bic\":17"),
        ("\"master\":true", "\"bi\":1,\"bic\":0"),
        ("\"master\":true", "\"bi\":524288"),
        ("\"master\":true", "\"checksum-page\":1"),
        ("\"master\":true", "\"checksum-page-error\":[[2,1]]"),
        ("\"master\":true", "\"checksum-page-error\":[[1]]"),
        ("\"master\":true", "\"checksum-page-error\":[[1,2,3]]"),
        ("\"master\":true", "\"checksum-page-error\":[4294967296]"),
        ("\"master\":true", "\"checksum-page-error\":{}"),
        ("\"master\":true", "\"reference\":\"a\""),
        ("\"master\":true", "\"master\":tru"),
        ("\"master\":true", "\"master\":\(String(repeating: "{\"a\":", count: 1000))"),
        ("[target:file]", "[target:file"),
    ])
    func refuses(_ original: String, _ replacement: String) {
        #expect(Self.old.contains(original))
        let bytes = sealed(Self.old.replacing(original, with: replacement))
        let error = failure { () throws(BackupError) in _ = try decode(bytes) }
        #expect(error?.code == .format, "\(error?.description ?? "none")")
    }

    @Test func refusesNamesThatAreNoText() {
        var bytes = sealed(Self.old)
        let name = Array("pg_data/b=".utf8)
        for index in bytes.indices.dropLast(name.count) where bytes[index..<index + name.count].elementsEqual(name) {
            bytes[index + 8] = 0xff
        }
        let error = failure { () throws(BackupError) in _ = try decode(bytes) }
        #expect(error?.code == .format)
        #expect(error?.message.contains("not UTF-8") == true)
    }

    @Test func namesTheLineAndTheKey() {
        let bytes = sealed(Self.old.replacing(",\"timestamp\":1,\"user\":\"w\"", with: ""))
        let error = failure { () throws(BackupError) in _ = try decode(bytes) }
        #expect(error?.message == "line 33: 'pg_data/c': 'timestamp' is missing")
    }

    @Test(arguments: ["pg_data/a\nb", "", "pg_data/\u{0}"])
    func refusesToWriteNamesThatAreNoLine(_ name: String) throws {
        var manifest = try decode(sealed(Self.old))
        manifest.files.append(ManifestFile(name: name, size: 1, timestamp: 1, mode: 0o600, user: nil, group: nil))
        #expect(failure { () throws(BackupError) in try manifest.validateNames() }?.code == .format)
        var other = try decode(sealed(Self.old))
        other.databases.append(ManifestDatabase(name: name, id: 1, lastSystemID: 1))
        #expect(failure { () throws(BackupError) in try other.validateNames() }?.code == .format)
    }

    @Test func validatesWhatIsComplete() throws {
        let complete = try decode(Fixture.bytes("diff.manifest"))
        func message(_ change: (inout Manifest) -> Void) -> String {
            var manifest = complete
            change(&manifest)
            return failure { () throws(BackupError) in try manifest.validateComplete() }?.message ?? ""
        }
        #expect(message { _ in }.isEmpty)
        #expect(message { $0.references.removeLast() }.contains("own label"))
        #expect(message { $0.prior = nil }.contains("without prior"))
        #expect(message { $0.paths.removeFirst() }.contains("'pg_data' is missing"))
        #expect(message { $0.files[0].repoSize = 0 }.contains("stored size is 0"))
        #expect(message { $0.files[0].checksum = .ofNothing }.contains("does not fit size"))
        #expect(message { $0.files[0].reference = 1 }.contains("reference number 1"))
        #expect(message { $0.files[0].blockMapSize = 1 }.contains("without block size"))
        #expect(message { $0.files.append($0.files[0]) }.contains("listed twice"))
    }
}
