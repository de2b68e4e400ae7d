import BackupModel
import CCompression
import StreamFilters
import Testing

@Suite struct CodecTests {
    private static let allLevels: [(CompressType, [Int])] = [
        (.gz, Array(-1...9)), (.lz4, Array(-5...12)), (.zst, Array(-7...15) + [19]), (.bz2, Array(1...9)),
    ]

    @Test("every level reads back", arguments: allLevels, [false, true])
    func levels(typeAndLevels: (CompressType, [Int]), raw: Bool) throws {
        let (type, levels) = typeAndLevels
        let decompressor = try makeDecompressor(type, raw: raw)
        let mixed = Content.allCases.flatMap { $0.bytes(40_000) }
        for level in levels {
            let compressor = try makeCompressor(type, level: level, raw: raw)
            for bytes in [[], mixed] {
                compressor.reset()
                decompressor.reset()
                let stored = try run(compressor, bytes, chunk: 1 << 20, capacity: 1 << 18).output
                let (back, taken) = try run(decompressor, stored, chunk: 1 << 20, capacity: 1 << 18)
                #expect(back == bytes && taken == stored.count, "\(bytes.count) bytes at level \(level)")
                // Random content is a quarter; level 0 of gz stores all.
                #expect(
                    stored.count < 100 + (level == 0 && type == .gz ? bytes.count : bytes.count / 2), "level \(level)")
            }
        }
    }

    @Test("chunks and output buffers of every size", arguments: realTypes, Content.allCases)
    func chunks(type: CompressType, content: Content) throws {
        let (compressor, decompressor) = (try makeCompressor(type), try makeDecompressor(type))
        for (size, chunk, capacity) in [
            (10_000, 1, 1), (10_000, 1, 7), (10_000, 4096, 1), (70_003, 1, 1 << 20), (200_009, 333, 1000),
            (400_009, 65_537, 65_537), (100_009, 1 << 20, 17), (3_000_017, 1 << 20, 4096),
            (3_000_017, 1 << 20, Codecs.recommendedOutputCapacity),
        ] {
            let bytes = content.bytes(size)
            compressor.reset()
            decompressor.reset()
            let stored = try run(compressor, bytes, chunk: chunk, capacity: capacity).output
            let (back, taken) = try run(decompressor, stored, chunk: chunk, capacity: capacity)
            #expect(back == bytes && taken == stored.count, "\(size) bytes, chunks \(chunk), output \(capacity)")
        }
    }

    @Test("the recommended buffer takes what becomes of 1 MiB", arguments: realTypes, [Content.zeros, .random, .pages])
    func recommendedCapacity(type: CompressType, content: Content) throws {
        let bytes = content.bytes(1 << 20)
        let compressor = try makeCompressor(type)
        let buffer = OutputBuffer(capacity: Codecs.recommendedOutputCapacity)
        for _ in 0..<4 {
            let taken = try compressor.process(bytes.span.bytes, into: buffer)
            #expect(taken == bytes.count)
            buffer.clear()
        }
    }

    @Test("a decompressor leaves what follows its stream", arguments: realTypes, [false, true])
    func trailingBytes(type: CompressType, raw: Bool) throws {
        let decompressor = try makeDecompressor(type, raw: raw)
        for size in [0, 10, 5000] {
            let stored = try compressed(Content.text.bytes(size), type, raw: raw)
            for extra in [1, 2, 3, 4, 5, 7, 8, 9, 20, 1000] {
                for chunk in [1, 13, 1 << 20] {
                    for tail in [[UInt8](repeating: 0, count: extra), Array((stored + stored).prefix(extra))] {
                        decompressor.reset()
                        let (back, taken) = try run(decompressor, stored + tail, chunk: chunk, capacity: 4096)
                        #expect(back.count == size && taken == stored.count, "\(extra) bytes in chunks of \(chunk)")
                        #expect(decompressor.isAtEnd)
                        let none = try decompressor.process(tail.span.bytes, into: OutputBuffer(capacity: 10))
                        #expect(none == 0)
                    }
                }
            }
        }
    }

    @Test(
        "wrappers, by their first bytes",
        arguments: [
            (CompressType.gz, false, [0x1f, 0x8b, 8]), (.gz, true, [0x78]), (.zst, false, [0x28, 0xb5, 0x2f, 0xfd]),
            (.zst, true, [0x28, 0xb5, 0x2f, 0xfd]), (.bz2, false, Array("BZh9".utf8)), (.bz2, true, Array("BZh9".utf8)),
            // Linked blocks of 64 KiB, content checksum or not.
            (.lz4, false, [0x04, 0x22, 0x4d, 0x18, 0x44, 0x40]), (.lz4, true, [0x04, 0x22, 0x4d, 0x18, 0x40, 0x40]),
        ] as [(CompressType, Bool, [UInt8])])
    func wrappers(type: CompressType, raw: Bool, first: [UInt8]) throws {
        #expect(try compressed(Content.text.bytes(100), type, raw: raw).starts(with: first))
    }

    @Test("zlib reads gz, raw or not", arguments: [-1, 0, 1, 3, 6, 8, 9], [false, true])
    func zlibReads(level: Int, raw: Bool) throws {
        for content in Content.allCases {
            let bytes = content.bytes(300_000)
            var stored = try compressed(bytes, .gz, level: level, raw: raw)
            var back = [UInt8](repeating: 1, count: bytes.count + 1)
            var stream = z_stream()
            try #require(
                inflateInit2_(&stream, raw ? 15 : 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK)
            let result = stored.withUnsafeMutableBufferPointer { input in
                back.withUnsafeMutableBufferPointer { output in
                    stream.next_in = input.baseAddress
                    stream.avail_in = UInt32(input.count)
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    return inflate(&stream, Z_FINISH)
                }
            }
            #expect(result == Z_STREAM_END && stream.avail_in == 0 && Int(stream.total_out) == bytes.count)
            #expect(back.starts(with: bytes))
            inflateEnd(&stream)
        }
    }

    @Test(arguments: [
        (CompressType.gz, [-2, 10]), (.lz4, [-6, 13]), (.zst, [-8, 23]), (.bz2, [0, 10, Int.max, .min]),
    ])
    func refusesOtherLevels(type: CompressType, levels: [Int]) {
        for level in levels {
            let error = #expect(throws: BackupError.self) { try Codecs.compressor(type, level: level) }
            #expect(error?.code == .optionInvalidValue)
        }
    }

    @Test func noneHasNoCodec() throws {
        #expect(try Codecs.compressor(.none, level: nil) == nil)
        #expect(try Codecs.decompressor(.none) == nil)
    }
}
