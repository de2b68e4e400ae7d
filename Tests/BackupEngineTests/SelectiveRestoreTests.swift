import BackupEngine
import BackupModel
import Foundation
import RepositoryFormats
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SelectiveRestoreTests {
    private static func manifest() throws -> Manifest {
        var manifest = try RestoreFixture.emptyManifest()
        manifest.databases = [
            ManifestDatabase(name: "postgres", id: 16700, lastSystemID: 13000),
            ManifestDatabase(name: "template0", id: 4, lastSystemID: 13000),
            ManifestDatabase(name: "template1", id: 1, lastSystemID: 13000),
            ManifestDatabase(name: "orders", id: 16384, lastSystemID: 13000),
            ManifestDatabase(name: "scratch", id: 16400, lastSystemID: 13000),
            ManifestDatabase(name: "dropped", id: 16999, lastSystemID: 13000),
        ]
        for id in [1, 4, 16384, 16400, 16500, 16700] {
            for file in ["PG_VERSION", "1259"] {
                manifest.files.append(
                    ManifestFile(
                        name: "pg_data/base/\(id)/\(file)", size: 3, timestamp: 1, mode: 0o600, user: "postgres",
                        group: "postgres"))
            }
        }
        manifest.files.sort()
        return manifest
    }

    private func selection(_ include: [String], _ exclude: [String]) throws -> SelectiveRestore {
        var options = RestoreOptions(stanza: "main", dataDirectory: "/pg")
        options.databaseInclude = include
        options.databaseExclude = exclude
        return try SelectiveRestore(Self.manifest(), options)
    }

    @Test(
        arguments: [
            ([], [], []), (["orders"], [], [16400, 16500]), (["16400"], [], [16384, 16500]),
            (["orders", "scratch", "16500"], [], []), ([], ["scratch"], [16400]),
            ([], ["16500", "orders"], [16384, 16500]),
            (["orders"], ["scratch"], [16400, 16500]), ([], ["postgres"], [16700]),
            (["orders"], ["postgres"], [16400, 16500, 16700]),
        ] as [([String], [String], Set<UInt32>)])
    func leavesOut(_ include: [String], _ exclude: [String], _ expected: Set<UInt32>) throws {
        #expect(try selection(include, exclude).leftOut == expected)
    }

    @Test(
        arguments: [
            (["nothing"], [], ErrorCode.databaseMissing), ([], ["nothing"], .databaseMissing),
            (["dropped"], [], .databaseMissing), (["99"], [], .databaseMissing),
            (["postgres"], [], .databaseInvalid), (["1"], [], .databaseInvalid), (["template0"], [], .databaseInvalid),
            (["orders"], ["orders"], .databaseInvalid), (["16384"], ["orders"], .databaseInvalid),
        ] as [([String], [String], ErrorCode)])
    func refuses(_ include: [String], _ exclude: [String], _ code: ErrorCode) {
        #expect { try selection(include, exclude) } throws: { ($0 as? BackupError)?.code == code }
    }

    @Test func whichFiles() throws {
        let selection = try selection(["orders"], [])
        for (name, isLeftOut) in [
            ("pg_data/base/16400/1259", true), ("pg_data/base/16400/PG_VERSION", false),
            ("pg_data/base/16384/1259", false), ("pg_data/base/1/1259", false), ("pg_data/base/164000/1259", false),
            ("pg_data/base/16400", false), ("pg_data/global/16400", false), ("pg_data/other/16400/1", false),
            ("pg_tblspc/17000/PG_15_202209061/16400/20000", true),
            ("pg_tblspc/17000/PG_15_202209061/16384/20000", false),
            ("pg_tblspc/17000/PG_14_202107181/16400/20000", false), ("pg_tblspc/16400/x", false),
        ] {
            #expect(selection.leavesOut(name) == isLeftOut, "\(name)")
        }
    }

    @Test(arguments: [false, true]) func keepsSizeWithoutContent(delta: Bool) async throws {
        var fixture = try RestoreFixture(
            compress: .gz,
            content: [
                "pg_data/PG_VERSION": Array("15\n".utf8),
                "pg_data/global/pg_control": [UInt8](repeating: 7, count: 8192),
                "pg_data/base/1/PG_VERSION": Array("15\n".utf8), "pg_data/base/1/1259": noise(9000),
                "pg_data/base/16384/PG_VERSION": Array("15\n".utf8), "pg_data/base/16384/1259": noise(90_000),
                "pg_data/base/16385/PG_VERSION": Array("15\n".utf8), "pg_data/base/16385/1259": noise(900_000),
            ], bundled: ["pg_data/base/16385/1259", "pg_data/base/16384/1259"])
        defer { fixture.remove() }
        fixture.manifest.databases = [
            ManifestDatabase(name: "template1", id: 1, lastSystemID: 1),
            ManifestDatabase(name: "wanted", id: 16384, lastSystemID: 1),
            ManifestDatabase(name: "other", id: 16385, lastSystemID: 1),
        ]
        for id in [16384, 16385] {
            fixture.manifest.paths.append(
                ManifestPath(name: "pg_data/base/\(id)", mode: 0o700, user: "postgres", group: "postgres"))
        }
        fixture.manifest.paths.sort { $0.name < $1.name }
        try await fixture.store()
        if delta { try await fixture.restore() }
        try await fixture.restore {
            $0.databaseInclude = ["wanted"]
            $0.delta = delta
        }
        for (name, content) in fixture.content where name != "pg_data/base/16385/1259" {
            #expect(fixture.restored(name) == content, "\(name)")
        }
        #expect(fixture.restored("pg_data/base/16385/1259") == [UInt8](repeating: 0, count: 900_000))
        var facts = stat()
        #expect(stat(fixture.path("pg_data/base/16385/1259"), &facts) == 0 && facts.st_blocks < 16)
    }
}
