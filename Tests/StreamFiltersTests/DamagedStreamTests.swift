import BackupModel
import StreamFilters
import Testing

@Suite struct DamagedStreamTests {
    @Test("cut off anywhere", arguments: realTypes, [false, true])
    func truncated(type: CompressType, raw: Bool) throws {
        let decompressor = try makeDecompressor(type, raw: raw)
        for content in [Content.empty, .text, .random] {
            let stored = try compressed(content.bytes(600), type, raw: raw)
            for length in stored.indices {
                for (chunk, capacity) in [(7, 4096), (1 << 20, 64)] {
                    decompressor.reset()
                    let error = #expect(throws: BackupError.self, "\(length) of \(stored.count) bytes") {
                        try run(decompressor, Array(stored[..<length]), chunk: chunk, capacity: capacity, limit: 600)
                    }
                    #expect(error?.code == .format)
                    #expect(error?.message == "\(type.rawValue) stream is cut off")
                }
            }
        }
    }

    @Test("one bit flipped", arguments: realTypes, [false, true])
    func flipped(type: CompressType, raw: Bool) throws {
        let decompressor = try makeDecompressor(type, raw: raw)
        // Without a checksum in the stream the damage may show in the content only, which its SHA-1 finds.
        let hasSum = type == .gz || type == .bz2 || (type == .lz4 && !raw)
        for content in [Content.text, .pages] {
            let bytes = content.bytes(1200)
            let stored = try compressed(bytes, type, raw: raw)
            for bit in 0..<(stored.count * 8) {
                var damaged = stored
                damaged[bit / 8] ^= 1 << (bit % 8)
                decompressor.reset()
                do {
                    let back = try run(decompressor, damaged, chunk: 1000, capacity: 4096, limit: 4 << 20)
                    // Some bits mean nothing for the content: fields of a header, padding, unused codes.
                    if hasSum { #expect(back.output == bytes, "bit \(bit)") }
                } catch let error as BackupError {
                    #expect(error.code == .format)
                    #expect(error.message.hasPrefix("\(type.rawValue) stream is "))
                }
            }
            decompressor.reset()
            #expect(
                try run(decompressor, stored, chunk: 100, capacity: 100).output == bytes, "works again after errors")
        }
    }

    @Test("noise", arguments: realTypes, [false, true])
    func noiseIsNoStream(type: CompressType, raw: Bool) throws {
        let decompressor = try makeDecompressor(type, raw: raw)
        let head = try compressed(Content.random.bytes(100), type, raw: raw).prefix(12)
        for seed in 0..<100 as Range<UInt64> {
            for kept in [0, 4, head.count] {
                decompressor.reset()
                // What has no checksum may by chance be a stream.
                do {
                    _ = try run(
                        decompressor, head.prefix(kept) + noise(2000, seed: seed), chunk: 512, capacity: 4096,
                        limit: 256 << 20)
                } catch let error as BackupError {
                    #expect(error.code == .format)
                }
            }
        }
    }

    @Test("a bomb comes in pieces of the output buffer", arguments: realTypes)
    func bomb(type: CompressType) throws {
        let size = 32 << 20
        let stored = try compressed([UInt8](repeating: 0, count: size), type)
        let decompressor = try makeDecompressor(type)
        let buffer = OutputBuffer(capacity: 8192)
        var (total, start) = (0, 0)
        while !decompressor.isAtEnd && start < stored.count {
            start += try decompressor.process(stored.span.extracting(start...).bytes, into: buffer)
            total += buffer.count
            buffer.clear()
        }
        while try !decompressor.finish(into: buffer) {
            total += buffer.count
            buffer.clear()
        }
        #expect(total + buffer.count == size)
    }

    @Test("given up in the middle and used again", arguments: realTypes)
    func abandoned(type: CompressType) throws {
        let (compressor, decompressor) = (try makeCompressor(type), try makeDecompressor(type))
        let bytes = Content.text.bytes(500_000)
        let size = try compressed(bytes, type).count
        let buffer = OutputBuffer(capacity: 1000)
        for part in [0, 1, 70_000, 500_000] {
            _ = try compressor.process(bytes.span.extracting(first: part).bytes, into: buffer)
            _ = try compressor.finish(into: buffer)
            buffer.clear()
            compressor.reset()
            let stored = try run(compressor, bytes, chunk: 1 << 20, capacity: Codecs.recommendedOutputCapacity).output
            compressor.reset()
            // lz4 keeps its table, and with other contents finds other matches.
            #expect(abs(stored.count - size) < size / 100, "about the stream of a new compressor")

            _ = try decompressor.process(stored.span.extracting(first: min(part, stored.count)).bytes, into: buffer)
            buffer.clear()
            decompressor.reset()
            #expect(try run(decompressor, stored, chunk: 1 << 20, capacity: 10_000).output == bytes)
            decompressor.reset()
        }
    }
}
