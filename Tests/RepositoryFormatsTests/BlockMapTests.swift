import BackupModel
import Checksums
import RepositoryFormats
import Testing

@Suite struct BlockMapTests {
    static func checksum(_ seed: UInt64, size: Int = 6) -> BlockChecksum {
        var value = seed
        return withUnsafeBytes(of: &value) { BlockChecksum(of: $0, size: size) }
    }

    static func bytes(_ checksum: BlockChecksum, size: Int = 6) -> [UInt8] {
        var bytes: [UInt8] = []
        checksum.append(to: &bytes, size: size)
        return bytes
    }

    static func decode(_ bytes: [UInt8], blockSize: UInt32 = 8192, checksumSize: Int = 6) throws -> BlockMap {
        try BlockMap(decoding: bytes.span.bytes, blockSize: blockSize, checksumSize: checksumSize)
    }

    private static let c = (0..<4).map { checksum(UInt64($0)) }

    private static func item(
        _ reference: UInt32, _ block: UInt32, _ size: UInt64, _ bundle: UInt64, _ offset: UInt64, _ stored: UInt64,
        _ checksum: BlockChecksum
    ) -> BlockMapItem {
        BlockMapItem(
            reference: reference, block: block, superBlockSize: size, bundleID: bundle, offset: offset,
            storedSize: stored, checksum: checksum)
    }

    @Test func threeBlocksInOneSuperBlock() throws {
        let map = BlockMap(items: (0..<3).map { Self.item(0, UInt32($0), 24576, 0, 0, 100, Self.c[$0]) })
        var stored: [UInt8] = [0x00, 0x01, 0xa3, 0x06, 0x06]
        for checksum in Self.c[..<3] { stored += Self.bytes(checksum) }
        #expect(try map.encoded(blockSize: 8192, checksumSize: 6) == stored)
        #expect(try Self.decode(stored) == map)
    }

    @Test func nextBackupChangesTheMiddleBlock() throws {
        let map = BlockMap(items: [
            Self.item(0, 0, 24576, 0, 0, 100, Self.c[0]), Self.item(1, 0, 8192, 5, 0, 60, Self.c[3]),
            Self.item(0, 2, 24576, 0, 0, 100, Self.c[2]),
        ])
        var stored: [UInt8] = [0x00, 0x00, 0xa7, 0x06, 0x06, 0x00] + Self.bytes(Self.c[0])
        stored += [0x0a, 0x05, 0xf9, 0x04] + Self.bytes(Self.c[3])
        stored += [0x07, 0x01, 0x01] + Self.bytes(Self.c[2])
        #expect(try map.encoded(blockSize: 8192, checksumSize: 6) == stored)
        #expect(try Self.decode(stored) == map)
    }

    @Test func noBlocks() throws {
        #expect(try Self.decode([0]).items.isEmpty)
        #expect(throws: BackupError.self) { try BlockMap().encoded(blockSize: 8192, checksumSize: 6) }
    }

    @Test(arguments: 0..<200) func roundTrip(seed: Int) throws {
        var series = BlockMapSeries(seed: UInt64(seed))
        for _ in 0..<6 {
            series.backUp()
            let stored = try series.map.encoded(blockSize: series.blockSize, checksumSize: series.checksumSize)
            let map = try Self.decode(stored, blockSize: series.blockSize, checksumSize: series.checksumSize)
            #expect(map == series.map)
        }
    }

    @Test func cutOff() throws {
        for seed in 0..<10 {
            var series = BlockMapSeries(seed: UInt64(seed))
            for _ in 0..<4 { series.backUp() }
            let stored = try series.map.encoded(blockSize: series.blockSize, checksumSize: series.checksumSize)
            for length in 0..<stored.count where length != 1 {
                #expect(throws: BackupError.self) {
                    try Self.decode(
                        Array(stored[..<length]), blockSize: series.blockSize, checksumSize: series.checksumSize)
                }
            }
        }
    }

    @Test func garbledNeverTraps() throws {
        var random = SplitMix(seed: 7)
        for seed in 0..<40 {
            var series = BlockMapSeries(seed: UInt64(seed))
            for _ in 0..<4 { series.backUp() }
            let stored = try series.map.encoded(blockSize: series.blockSize, checksumSize: series.checksumSize)
            for _ in 0..<200 {
                var garbled = stored
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    garbled[Int.random(in: 0..<garbled.count, using: &random)] = UInt8.random(
                        in: 0...255, using: &random)
                }
                let map = try? Self.decode(garbled, blockSize: series.blockSize, checksumSize: series.checksumSize)
                if let map {
                    #expect(map.items.count <= garbled.count)
                    let size = UInt64(map.items.count) * UInt64(series.blockSize)
                    _ = try? BlockReadPlan(map, fileSize: size, blockSize: series.blockSize, references: 5)
                }
            }
        }
        for _ in 0..<20000 {
            let noise = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            _ = try? Self.decode([0] + noise, checksumSize: 1)
        }
    }

    @Test(
        "what no writer makes",
        arguments: [
            // A version to come; a byte after the end; a total past the end; a block past its super block.
            [1], [0, 1, 0xa3, 6, 6], [0, 1, 0x0b, 0x02, 1, 2, 3, 4, 5, 6, 7],
            [0, 1, 0x0f, 0x02, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            [0, 1, 0x0f, 0x02, 1, 9, 1, 2, 3, 4, 5, 6],
            // Numbers of more than 64 bits, and sums of more.
            [0] + Array(repeating: 0xff, count: 12),
            [0, 7, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x0b, 0x02, 1, 2, 3, 4, 5, 6],
        ] as [[UInt8]])
    func impossible(_ stored: [UInt8]) {
        #expect(throws: BackupError.self) { try Self.decode(stored) }
    }

    @Test func disorderIsNotWritten() {
        let wrong = [
            [Self.item(0, 1, 16384, 0, 0, 9, Self.c[0]), Self.item(0, 0, 16384, 0, 0, 9, Self.c[0])],
            [Self.item(0, 0, 8192, 0, 50, 9, Self.c[0]), Self.item(0, 0, 8192, 0, 0, 9, Self.c[0])],
            [Self.item(0, 0, 8192, 1, 0, 9, Self.c[0]), Self.item(0, 0, 8192, 2, 9, 9, Self.c[0])],
            [Self.item(0, 3, 8192, 1, 0, 9, Self.c[0])],
        ]
        for items in wrong {
            #expect(throws: BackupError.self) {
                try BlockMap(items: items).encoded(blockSize: 8192, checksumSize: 6)
            }
        }
    }
}

/// Maps as a series of backups of one file makes them, by the rules of section B.9 and nothing else.
struct BlockMapSeries {
    let blockSize: UInt32
    let checksumSize: Int
    private(set) var map = BlockMap()
    private var content: [UInt64] = []
    private var reference: UInt32 = 0
    private var random: SplitMix
    private let superBlock: Int

    init(seed: UInt64) {
        random = SplitMix(seed: seed)
        blockSize = UInt32.random(in: 1...11, using: &random) * 8192
        checksumSize = Int.random(in: 6...12, using: &random)
        superBlock = Int.random(in: 1...5, using: &random)
    }

    mutating func backUp() {
        let count = Int.random(in: 1...60, using: &random)
        while content.count < count { content.append(.random(in: 0...UInt64.max, using: &random)) }
        content.removeLast(content.count - count)
        for index in content.indices where Int.random(in: 0..<4, using: &random) == 0 {
            content[index] = .random(in: 0...UInt64.max, using: &random)
        }
        let bundle = Bool.random(using: &random) ? 0 : UInt64.random(in: 1...300, using: &random)
        var offset = bundle == 0 ? 0 : UInt64.random(in: 0...100000, using: &random)
        var open: [Int] = []
        var items: [BlockMapItem] = []
        func close(_ random: inout SplitMix, isTail: Bool) {
            guard !open.isEmpty else { return }
            var size = UInt64(open.count) * UInt64(blockSize)
            if isTail, open.last == items.count - 1 { size -= UInt64.random(in: 0..<UInt64(blockSize), using: &random) }
            let stored = UInt64.random(in: 1...size, using: &random)
            for index in open {
                items[index].superBlockSize = size
                items[index].storedSize = stored
            }
            offset += stored
            open = []
        }
        for (index, value) in content.enumerated() {
            let checksum = BlockMapTests.checksum(value, size: checksumSize)
            if index < map.items.count, map.items[index].checksum == checksum {
                items.append(map.items[index])
                continue
            }
            items.append(
                BlockMapItem(
                    reference: reference, block: UInt32(open.count), superBlockSize: 0, bundleID: bundle,
                    offset: offset, storedSize: 0, checksum: checksum))
            open.append(index)
            if open.count == superBlock { close(&random, isTail: false) }
        }
        close(&random, isTail: true)
        map = BlockMap(items: items)
        reference += 1
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
