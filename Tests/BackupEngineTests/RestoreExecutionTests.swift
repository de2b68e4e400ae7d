import BackupEngine
import BackupModel
import Checksums
import Foundation
import RepositoryFormats
import RepositoryStorage
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RestoreExecutionTests {
    private static let parts: Set<String> = ["pg_data/PG_VERSION", "pg_data/base/1/small", "pg_data/base/1/1259"]

    @Test(arguments: CompressType.allCases, [false, true])
    func restoresEveryFile(_ compress: CompressType, bundled: Bool) async throws {
        for isRaw in bundled ? [false, true] : [false] {
            var fixture = try RestoreFixture(
                compress: compress, bundled: bundled ? Self.parts : [], isBundleRaw: isRaw)
            defer { fixture.remove() }
            try await fixture.store()
            try await fixture.restore { $0.processMax = 3 }
            for (name, content) in fixture.content where name != "pg_data/postgresql.auto.conf" {
                #expect(fixture.restored(name) == content, "\(name)")
            }
            let facts = try FileManager.default.attributesOfItem(atPath: fixture.path("pg_data/base/1/1259"))
            #expect((facts[.modificationDate] as? Date)?.timeIntervalSince1970 == 1_699_000_000)
            #expect(facts[.posixPermissions] as? Int == 0o600)
            #expect(!fixture.exists("pg_data/backup.manifest"))
            #expect(!fixture.exists("pg_data/recovery.signal"))
        }
    }

    @Test func writesRecoveryFiles() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        try await fixture.restore {
            $0.isTypeGiven = true
            $0.type = .standby
        }
        #expect(fixture.exists("pg_data/standby.signal"))
        let text = String(decoding: fixture.restored("pg_data/postgresql.auto.conf") ?? [], as: UTF8.self)
        #expect(text.contains("# recovery_target = 'immediate'\nwork_mem = '4MB'\n"))
        #expect(text.contains("restore_command = 'permafrost --stanza=main archive-get %f \"%p\"'\n"))
    }

    enum Damage: CaseIterable { case flippedByte, truncated, missing, trailing, wrongSize, wrongChecksum }

    @Test(arguments: Damage.allCases, [CompressType.none, .gz, .zst])
    func refusesDamage(_ damage: Damage, _ compress: CompressType) async throws {
        var fixture = try RestoreFixture(compress: compress)
        defer { fixture.remove() }
        try await fixture.store()
        let name = "pg_data/base/1/1259"
        let object = fixture.object(name)
        var bytes = try await fixture.get(object)
        let row = try #require(fixture.manifest.files.index(of: name))
        switch damage {
        case .flippedByte: bytes[bytes.count / 2] ^= 0x10
        case .truncated: bytes.removeLast(bytes.count / 3)
        case .trailing: bytes += [0, 1, 2]
        case .missing: try await fixture.store.delete([object])
        case .wrongSize: fixture.manifest.files[row].size -= 1
        case .wrongChecksum: fixture.manifest.files[row].checksum = SHA1.hash([1, 2, 3].span.bytes)
        }
        if damage != .missing { try await fixture.put(object, bytes) }
        try await fixture.saveManifest()
        do {
            try await fixture.restore()
            Issue.record("restored a damaged backup")
        } catch let error as BackupError {
            let allowed: [ErrorCode] = damage == .missing ? [.fileMissing] : [.checksum, .format]
            #expect(allowed.contains(error.code), "\(error)")
            for part in [name, RestoreFixture.label, "repo1"] { #expect(error.message.contains(part), "\(error)") }
        }
        // It cannot be started, and is known to be unfinished.
        #expect(!fixture.exists("pg_data/global/pg_control"))
        #expect(fixture.exists("pg_data/backup.manifest"))
    }

    @Test func continuesWithDelta() async throws {
        var fixture = try RestoreFixture(compress: .gz, bundled: Self.parts)
        defer { fixture.remove() }
        try await fixture.store()
        let object = fixture.object("pg_data/base/1/large")
        let whole = try await fixture.get(object)
        try await fixture.put(object, Array(whole.prefix(100)))
        #expect(await errorCode { try await fixture.restore() } == .format)
        try await fixture.put(object, whole)
        #expect(await errorCode { try await fixture.restore() } == .pathNotEmpty)
        try await fixture.restore { $0.delta = true }
        for (name, content) in fixture.content where !name.hasSuffix("auto.conf") {
            #expect(fixture.restored(name) == content, "\(name)")
        }
    }

    @Test func deltaKeepsRepairsAndRemoves() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        try await fixture.restore()
        // The object of a file that is kept is not read at all.
        try await fixture.store.delete([fixture.object("pg_data/base/1/large")])
        try fixture.write("pg_data/base/1/small", "SMALL FILE")
        try fixture.write("pg_data/base/1/stray", "stray")
        try fixture.write("pg_data/base/2/stray", "stray")
        let longer = fixture.content["pg_data/base/1/1259"] ?? []
        try Data(longer + [1, 2, 3]).write(to: URL(fileURLWithPath: fixture.path("pg_data/base/1/1259")))
        try FileManager.default.createSymbolicLink(
            atPath: fixture.path("pg_data/link"), withDestinationPath: "/nowhere")
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o640], ofItemAtPath: fixture.path("pg_data/base/1/large"))
        try await fixture.restore { $0.delta = true }
        for (name, content) in fixture.content where !name.hasSuffix("auto.conf") {
            #expect(fixture.restored(name) == content, "\(name)")
        }
        #expect(!fixture.exists("pg_data/base/1/stray"))
        #expect(!fixture.exists("pg_data/base/2"))
        #expect((try? FileManager.default.destinationOfSymbolicLink(atPath: fixture.path("pg_data/link"))) == nil)
        let facts = try FileManager.default.attributesOfItem(atPath: fixture.path("pg_data/base/1/large"))
        #expect(facts[.posixPermissions] as? Int == 0o600)
    }

    @Test func deltaWithForceTrustsTimes() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        try await fixture.restore()
        let path = fixture.path("pg_data/base/1/small")
        try fixture.write("pg_data/base/1/small", "SMALL FILE")
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_699_000_000)], ofItemAtPath: path)
        try await fixture.restore {
            $0.delta = true
            $0.force = true
        }
        #expect(fixture.restored("pg_data/base/1/small") == Array("SMALL FILE".utf8))
        try await fixture.restore { $0.force = true }
        #expect(fixture.restored("pg_data/base/1/small") == Array("small file".utf8))
    }

    @Test func refusesBeforeAnythingChanges() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        try fixture.write("pg_data/note", "mine")
        #expect(await errorCode { try await fixture.restore() } == .pathNotEmpty)
        // Neither PG_VERSION nor backup.manifest: no data directory, whatever is asked.
        #expect(
            await errorCode {
                try await fixture.restore {
                    $0.delta = true
                    $0.force = true
                }
            } == .pathNotEmpty)
        try fixture.write("pg_data/postmaster.pid", "1")
        #expect(await errorCode { try await fixture.restore { $0.delta = true } } == .postgresRunning)
        #expect(fixture.restored("pg_data/note") == Array("mine".utf8))
        #expect(
            await errorCode { try await fixture.restore { $0.dataDirectory = fixture.scratch + "/a/b" } }
                == .pathMissing)
        #expect(
            await errorCode {
                try await fixture.restore {
                    $0.type = .time
                    $0.target = "2001-01-01 00:00:00+00"
                    $0.dataDirectory = fixture.scratch + "/new"
                }
            } == .backupSetInvalid)
        #expect(!FileManager.default.fileExists(atPath: fixture.scratch + "/new"))
    }

    @Test func refusesTooLittleRoom() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        let row = try #require(fixture.manifest.files.index(of: "pg_data/base/1/large"))
        fixture.manifest.files[row].size = 1 << 60
        try await fixture.saveManifest()
        #expect(await errorCode { try await fixture.restore() } == .fileWrite)
        #expect(!fixture.exists("pg_data"))
    }

    @Test func readsTheWholeCopyOfTornFiles() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        try await fixture.store()
        let info = RepositoryPaths.backupInfo(stanza: RestoreFixture.stanza)
        try await fixture.put(info, Array(try await fixture.get(info).prefix(40)))
        let path = RepositoryPaths.manifest(stanza: RestoreFixture.stanza, label: RestoreFixture.label)
        var bytes = try await fixture.get(path)
        bytes[bytes.count / 2] ^= 1
        try await fixture.put(path, bytes)
        try await fixture.restore()
        #expect(fixture.restored("pg_data/base/1/small") == Array("small file".utf8))
        try await fixture.put(RepositoryPaths.copy(of: path), bytes)
        let code = await errorCode { try await fixture.restore { $0.delta = true } }
        #expect(code == .checksum || code == .format || code == .jsonFormat)
        // Refused before anything changed.
        #expect(fixture.exists("pg_data/global/pg_control"))
    }

    @Test func restoresLinksAndTablespaces() async throws {
        var fixture = try RestoreFixture(content: [
            "pg_data/PG_VERSION": Array("15\n".utf8),
            "pg_data/global/pg_control": [UInt8](repeating: 7, count: 8192),
            "pg_data/pg_wal/archive_status/x": [1],
            "pg_data/pg_hba.conf": [2],
            "pg_data/tablespace_map": [3],
            "pg_tblspc/16384/PG_15_202209061/5/16390": [4],
        ])
        defer { fixture.remove() }
        fixture.manifest.targets += [
            ManifestTarget(name: "pg_data/pg_hba.conf", kind: .link, path: "../conf", file: "pg_hba.conf"),
            ManifestTarget(name: "pg_data/pg_wal", kind: .link, path: "/origin/wal"),
            ManifestTarget(
                name: "pg_tblspc/16384", kind: .link, path: "/origin/ts", tablespaceID: 16384, tablespaceName: "ts"),
        ]
        for (name, destination) in [
            ("pg_data/pg_hba.conf", "../conf/pg_hba.conf"), ("pg_data/pg_tblspc/16384", "/origin/ts"),
            ("pg_data/pg_wal", "/origin/wal"),
        ] {
            fixture.manifest.links.append(
                ManifestLink(name: name, destination: destination, user: "postgres", group: "postgres"))
        }
        for name in [
            "pg_data/pg_tblspc", "pg_data/pg_wal", "pg_data/pg_wal/archive_status", "pg_tblspc", "pg_tblspc/16384",
            "pg_tblspc/16384/PG_15_202209061", "pg_tblspc/16384/PG_15_202209061/5",
        ] {
            fixture.manifest.paths.append(ManifestPath(name: name, mode: 0o700, user: "postgres", group: "postgres"))
        }
        try await fixture.store()
        let scratch = fixture.scratch
        for _ in 0..<2 {  // The second finds all as it should be.
            try await fixture.restore {
                $0.linkAll = true
                $0.linkMap = ["pg_wal": scratch + "/wal"]
                $0.tablespaceMap = ["ts": scratch + "/ts"]
                $0.delta = true
            }
            #expect(FileManager.default.contents(atPath: scratch + "/wal/archive_status/x") == Data([1]))
            #expect(FileManager.default.contents(atPath: scratch + "/conf/pg_hba.conf") == Data([2]))
            #expect(FileManager.default.contents(atPath: scratch + "/ts/PG_15_202209061/5/16390") == Data([4]))
            #expect(!fixture.exists("pg_data/tablespace_map"))
            let link = try FileManager.default.destinationOfSymbolicLink(
                atPath: fixture.path("pg_data/pg_tblspc/16384"))
            #expect(link == scratch + "/ts")
        }
        // Without the links everything lies in the data directory, and what they led to is not touched.
        try await fixture.restore {
            $0.tablespaceMapAll = scratch + "/all"
            $0.delta = true
        }
        #expect(
            try FileManager.default.attributesOfItem(atPath: fixture.path("pg_data/pg_wal"))[.type]
                as? FileAttributeType
                == .typeDirectory)
        #expect(fixture.restored("pg_data/pg_hba.conf") == [2])
        #expect(FileManager.default.contents(atPath: scratch + "/all/ts/PG_15_202209061/5/16390") == Data([4]))
        #expect(FileManager.default.contents(atPath: scratch + "/wal/archive_status/x") == Data([1]))
    }

    @Test(.enabled(if: getuid() == 0, "owners can only be set by root"))
    func setsOwners() async throws {
        var fixture = try RestoreFixture()
        defer { fixture.remove() }
        fixture.manifest.paths[0].user = "daemon"
        try await fixture.store()
        let row = try #require(fixture.manifest.files.index(of: "pg_data/base/1/small"))
        fixture.manifest.files[row].user = "daemon"
        fixture.manifest.files[row].group = "no-such-group-here"
        try await fixture.saveManifest()
        try await fixture.restore()
        let facts = try FileManager.default.attributesOfItem(atPath: fixture.path("pg_data/base/1/small"))
        #expect(facts[.ownerAccountName] as? String == "daemon")
        #expect(facts[.groupOwnerAccountID] as? Int == 0)
    }
}
