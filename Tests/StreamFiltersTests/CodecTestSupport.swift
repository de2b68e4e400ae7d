import BackupModel
import Foundation
import StreamFilters
import Testing

/// Kinds of content that codecs treat differently.
enum Content: String, CaseIterable, Sendable {
    case empty, zeros, random, text, pages

    static let maximum = 3_000_017
    private static let cache = Dictionary(uniqueKeysWithValues: allCases.map { ($0, $0.make(maximum)) })

    /// The first `count` bytes, or none.
    func bytes(_ count: Int) -> [UInt8] { Array(Self.cache[self, default: []].prefix(count)) }

    private func make(_ count: Int) -> [UInt8] {
        switch self {
        case .empty: return []
        case .zeros: return [UInt8](repeating: 0, count: count)
        case .random: return noise(count, seed: 1)
        case .text:
            let words = "the quick brown fox jumps over the lazy dog and writes ahead of all others".split(
                separator: " ")
            var generator = Generator(state: 2)
            var text: [UInt8] = []
            while text.count < count {
                text += words[Int.random(in: 0..<words.count, using: &generator)].utf8
                text += " \(UInt16.random(in: 0...999, using: &generator)) ".utf8
            }
            return Array(text.prefix(count))
        case .pages:
            // Like heap pages: partly empty, rows that differ little.
            var bytes = [UInt8](repeating: 0, count: count)
            for row in 0..<(count / 128) where row % 64 < 40 {
                for byte in 0..<100 {
                    bytes[row * 128 + byte] = byte < 12 ? UInt8(truncatingIfNeeded: row * 7 + byte * byte) : 0x20
                }
            }
            return bytes
        }
    }
}

/// Deterministic noise (xorshift64*).
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = Generator(state: seed &+ 0x9e37_79b9_7f4a_7c15)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        for index in 0..<count {
            buffer.initializeElement(at: index, to: UInt8(truncatingIfNeeded: generator.next() >> 32))
        }
        initialized = count
    }
}

/// All that the codec makes of one stream in chunks, and how many bytes of it were taken.
func run(
    _ codec: any StreamCodec, _ input: [UInt8], chunk: Int, capacity: Int, limit: Int = .max
) throws -> (output: [UInt8], taken: Int) {
    let buffer = OutputBuffer(capacity: capacity)
    var output: [UInt8] = []
    var start = 0
    func empty() throws {
        output += buffer.filled
        buffer.clear()
        try #require(output.count <= limit, "more output than can be")
    }
    while start < input.count && !codec.isAtEnd {
        let end = min(start + chunk, input.count)
        while start < end && !codec.isAtEnd {
            let taken = try codec.process(input.span.extracting(start..<end).bytes, into: buffer)
            try #require(
                taken == end - start || buffer.count == capacity || codec.isAtEnd, "stopped before either was used up")
            start += taken
            if buffer.count == capacity { try empty() }
        }
    }
    while try !codec.finish(into: buffer) {
        try #require(buffer.count == capacity, "asks for room though there is some")
        try empty()
    }
    try empty()
    return (output, start)
}

func makeCompressor(_ type: CompressType, level: Int? = nil, raw: Bool = false) throws -> any StreamCodec {
    try #require(try Codecs.compressor(type, level: level, raw: raw))
}

func makeDecompressor(_ type: CompressType, raw: Bool = false) throws -> any StreamCodec {
    try #require(try Codecs.decompressor(type, raw: raw))
}

func compressed(_ bytes: [UInt8], _ type: CompressType, level: Int? = nil, raw: Bool = false) throws -> [UInt8] {
    try run(
        makeCompressor(type, level: level, raw: raw), bytes, chunk: 1 << 20, capacity: Codecs.recommendedOutputCapacity
    ).output
}

let realTypes: [CompressType] = [.gz, .lz4, .zst, .bz2]
