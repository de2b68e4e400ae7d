import BackupEngine
import BackupModel
import Checksums
import Foundation
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

@Suite(.timeLimit(.minutes(10)))
struct BlockIncrementalTests {
    @Test(arguments: CompressType.allCases, [false, true])
    func seriesOfBackupsReadsBack(_ compress: CompressType, bundled: Bool) async throws {
        for seed in 0..<2 {
            var random = SystemRandomNumberGenerator()
            var series = try await BlockSeries(compress: compress, bundled: bundled)
            defer { series.fixture.remove() }
            var content = noise(300_000 + seed * 8192 + seed)
            for step in 0..<8 {
                try await series.backUp(content)
                for file in series.rows {
                    let read = try await series.read(file.file, in: file.manifest)
                    #expect(read == file.content, "seed \(seed), step \(step), '\(file.manifest.label)'")
                }
                switch step {
                case 0: content[8192 * 3 + 5] ^= 1
                case 1: for _ in 0..<9 { content[Int.random(in: 0..<content.count, using: &random)] ^= 0x55 }
                case 2: content += noise(40_000)
                case 3: content.removeLast(90_001)
                case 4: content.removeLast(content.count - 3 * 8192)
                case 5: content += noise(400_000)
                default: content[content.count - 1] ^= 1
                }
            }
        }
    }

    @Test func nothingChangedStoresNothing() async throws {
        var series = try await BlockSeries(compress: .zst, bundled: true)
        defer { series.fixture.remove() }
        let content = noise(100_000)
        #expect(try await series.backUp(content))
        #expect(try await !series.backUp(content))
        // Shrunk by whole blocks, all that is left is known: the map alone is stored.
        #expect(try await series.backUp(Array(content[..<(8192 * 4)])))
        let file = try #require(series.rows.last?.file)
        #expect(file.repoSize == file.blockMapSize)
        #expect(try await !series.backUp([]))
    }

    @Test func storesOnlyChangedBlocks() async throws {
        var series = try await BlockSeries(compress: .none, bundled: false)
        defer { series.fixture.remove() }
        var content = noise(1_000_000)
        try await series.backUp(content)
        content[500_000] ^= 1
        try await series.backUp(content)
        let file = try #require(series.rows.last?.file)
        #expect(file.repoSize - file.blockMapSize == 8192)
    }

    enum Damage: CaseIterable { case flippedMap, flippedBlock, cutOff, gone, longer, shorter }

    @Test(arguments: Damage.allCases, [CompressType.none, .gz, .lz4, .zst])
    func damageIsNoticed(_ damage: Damage, _ compress: CompressType) async throws {
        var series = try await BlockSeries(compress: compress, bundled: false)
        defer { series.fixture.remove() }
        var content = noise(200_000)
        try await series.backUp(content)
        content[100_000] ^= 1
        try await series.backUp(content)
        var row = try #require(series.rows.last)
        let store = series.fixture.store
        let object = row.manifest.object(of: row.file, stanza: RestoreFixture.stanza)
        var bytes = try await series.fixture.get(object)
        switch damage {
        case .flippedMap: bytes[bytes.count - 20] ^= 0x40
        case .flippedBlock: bytes[60] ^= 0x40
        case .cutOff: bytes.removeLast(30)
        case .gone: break
        case .longer: row.file.size += 8192
        case .shorter: row.file.size -= 8192
        }
        try await series.fixture.put(object, bytes)
        if damage == .gone { try await store.delete([object]) }
        do {
            let read = try await series.read(row.file, in: row.manifest)
            // A map's checksum does not say where a block is, and a block without compression has none: the SHA-1 of
            // the file tells, which the callers compare.
            #expect(read != row.content || damage == .flippedMap)
        } catch let error as BackupError {
            #expect([.format, .fileMissing, .crypto].contains(error.code), "\(error)")
            #expect(error.message.contains(row.file.name), "\(error)")
        }
    }

    @Test func longChainsReadBack() async throws {
        var series = try await BlockSeries(compress: .lz4, bundled: true)
        defer { series.fixture.remove() }
        var content = noise(60 * 8192)
        try await series.backUp(content)
        for index in 1..<40 {
            for block in stride(from: index % 7, to: 60, by: 7) { content[block * 8192 + index] ^= 0xff }
            try await series.backUp(content)
        }
        let row = try #require(series.rows.last)
        #expect(try await series.read(row.file, in: row.manifest) == content)
    }
}

/// Compressible in part, different everywhere.
func noise(_ count: Int) -> [UInt8] {
    var random = SystemRandomNumberGenerator()
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        buffer.initialize(repeating: 0)
        let bytes = UnsafeMutableRawBufferPointer(buffer)
        for position in stride(from: 0, to: count - 7, by: 512) {
            bytes.storeBytes(of: random.next(), toByteOffset: position, as: UInt64.self)
        }
        initialized = count
    }
}

/// One file, backed up by blocks again and again.
struct BlockSeries {
    static let name = "pg_data/base/1/large"
    static let blockSize: UInt32 = 8192

    struct Row {
        var manifest: Manifest
        var file: ManifestFile
        var content: [UInt8]
    }
    let fixture: RestoreFixture
    let compress: CompressType
    let bundled: Bool
    private(set) var rows: [Row] = []

    init(compress: CompressType, bundled: Bool) async throws {
        fixture = try RestoreFixture(compress: compress, content: [:])
        self.compress = compress
        self.bundled = bundled
    }

    var repository: Repository { Repository(key: 1, store: fixture.store) }

    /// Whether anything was stored; if not, nothing is added.
    @discardableResult
    mutating func backUp(_ content: [UInt8]) async throws -> Bool {
        let label = rows.isEmpty ? RestoreFixture.label : "\(RestoreFixture.label)_20261122-0340\(10 + rows.count)I"
        var manifest = try RestoreFixture.emptyManifest(label: label, online: false, compress: compress)
        manifest.references = (rows.last?.manifest.references ?? []) + [label]
        manifest.isBundle = true
        manifest.isBundleRaw = true
        manifest.isBlockIncremental = true
        var prior: BlockMap?
        if let last = rows.last {
            manifest.type = .incr
            manifest.prior = last.manifest.label
            prior = try await repository.loadBlockMap(
                of: last.file, in: last.manifest, stanza: RestoreFixture.stanza)
        }
        var object: [UInt8] = bundled ? [9, 9, 9] : []
        let start = object.count
        let writer = try BlockIncrementalWriter(
            superBlockSize: rows.isEmpty ? 65536 : 16384, reference: manifest.references.count - 1,
            form: StoredForm(compress: compress, isRaw: true))
        // What was begun and given up leaves no trace.
        writer.begin(blockSize: 8192, checksumSize: 6, prior: nil, bundleID: 7, bundleOffset: 3)
        try await feed(writer, Array(content.prefix(20000))) { _ in }
        writer.begin(
            blockSize: Int(Self.blockSize), checksumSize: 6, prior: prior, bundleID: bundled ? 3 : 0,
            bundleOffset: UInt64(start))
        try await feed(writer, content) { object += $0 }
        let stored = try await writer.finish { object += $0 }
        guard let stored else {
            #expect(object.count == start)
            return false
        }
        #expect(stored.storedSize == UInt64(object.count - start))
        var file = ManifestFile(
            name: Self.name, size: UInt64(content.count), timestamp: 1_699_000_000, mode: 0o600, user: "postgres",
            group: "postgres")
        file.checksum = SHA1.hash(content.span.bytes)
        file.repoChecksum = SHA1.hash(Array(object[start...]).span.bytes)
        file.repoSize = stored.storedSize
        file.blockSize = Self.blockSize
        file.blockMapSize = stored.mapSize
        if bundled {
            file.bundleID = 3
            file.bundleOffset = UInt64(start)
        }
        try await fixture.put(manifest.object(of: file, stanza: RestoreFixture.stanza), object)
        rows.append(Row(manifest: manifest, file: file, content: content))
        return true
    }

    private func feed(
        _ writer: BlockIncrementalWriter, _ content: [UInt8], _ sink: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: content.count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: content)
        var position = 0
        while position < content.count {
            let count = min(Int.random(in: 1...100_000), content.count - position)
            try await writer.append(UnsafeRawBufferPointer(rebasing: copy[position..<(position + count)]), sink)
            position += count
        }
    }

    func read(_ file: ManifestFile, in manifest: Manifest) async throws -> [UInt8] {
        let reader = try BlockContentReader(repository, manifest, stanza: RestoreFixture.stanza)
        var content: [UInt8] = []
        let (checksum, size) = try await reader.read(file) { content += $0 }
        #expect(checksum == SHA1.hash(content.span.bytes))
        #expect(size == UInt64(content.count))
        return content
    }
}
