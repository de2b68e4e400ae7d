import BackupModel
import Checksums
import Testing

@testable import RepositoryFormats

/// Manifests that pgBackRest wrote: what we read is what is there, and written again it is the same.
@Suite struct RealManifestTests {
    @Test(arguments: ["full.manifest", "diff.manifest"])
    func rewritesUnchanged(_ name: String) throws {
        let bytes = try Fixture.bytes(name)
        let manifest = try decode(bytes)
        #expect(manifest.writerVersion == "2.45")
        #expect(encode(manifest) == bytes)
        try manifest.validateComplete()
    }

    @Test func sumsAsPgBackRestDoes() throws {
        let bytes = try Fixture.bytes("backup.info")
        let info = try BackupInfo(parsing: bytes.span.bytes)
        #expect(BackupInfoEntry(try decode(Fixture.bytes("full.manifest"))) == info.backups[0])
        #expect(BackupInfoEntry(try decode(Fixture.bytes("diff.manifest"))) == info.backups[1])
    }

    @Test func readsTheDifferentialBackup() throws {
        let manifest = try decode(Fixture.bytes("diff.manifest"))
        #expect(manifest.type == .diff)
        #expect(manifest.prior == "20261121-035947F")
        #expect(manifest.references == ["20261121-035947F", "20261121-035947F_20261121-035950D"])
        #expect(manifest.isBundle && !manifest.isBundleRaw && !manifest.isBlockIncremental)
        #expect(manifest.options.compressType == .gz)
        #expect(manifest.options.bufferSize == 1_048_576)
        #expect(manifest.databases.map(\.name) == ["a=b \"c\" é", "template0"])
        #expect(manifest.annotations == ["a": "b", "why": "test"])
        #expect(manifest.paths.first { $0.name == "pg_data/linkdir" }?.mode == 0o750)
        #expect(manifest.links.map(\.destination).contains("../outside/linked.conf"))
        #expect(
            manifest.targets.last
                == ManifestTarget(
                    name: "pg_tblspc/16384", kind: .link, path: "/tmp/repo-oracle/ts", tablespaceID: 16384,
                    tablespaceName: "cold"))
        #expect(manifest.targets[2].file == "linked.conf")

        let files = manifest.files
        #expect(files.count == 678)
        let damaged = files[try #require(files.index(of: "pg_data/base/5/16390"))]
        #expect(damaged.pageCheck == .invalid([3...3, 5...6]))
        #expect(damaged.checksum?.hex == "d0bf9a68a961eb760e1926b170d60af8722d4c4f")
        let big = files[try #require(files.index(of: "pg_data/big=file"))]
        #expect(big.bundleID == 1 && big.bundleOffset == 348 && big.mode == 0o644 && big.reference == nil)
        #expect(big.size == 4 && big.repoSize == 24 && big.sizeOriginal == 4 && big.user == "postgres")
        let odd = files[try #require(files.index(of: "pg_data/odd [name]={x} \"q\".txt"))]
        #expect(odd.reference == 0 && odd.pageCheck == .notChecked)
        #expect(files.index(of: "pg_data/naïve=\"1\".txt") != nil)
        #expect(files.index(of: "pg_data/nai\u{308}ve=\"1\".txt") == nil)
        #expect(files.index(of: "pg_data/base/5/16390=") == nil)
    }
}
