import Checksums
import Testing

@Suite struct BlockChecksumTests {
    /// By `xxhsum -H2`.
    @Test(
        arguments: [
            ("", "99aa06d3014798d86001c324468d497f"), ("abc", "06b05ab6733a618578af5f94892f3950"),
        ])
    func vectors(text: String, hex: String) {
        var stored: [UInt8] = []
        var text = text
        let sum = text.withUTF8 { BlockChecksum(of: UnsafeRawBufferPointer($0), size: 16) }
        sum.append(to: &stored, size: 16)
        #expect(stored.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == hex)
    }

    @Test(arguments: 1...16) func isCut(size: Int) {
        var block = (0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let (whole, cut) = block.withUnsafeBytes {
            (BlockChecksum(of: $0, size: 16), BlockChecksum(of: $0, size: size))
        }
        var (wholeBytes, cutBytes): ([UInt8], [UInt8]) = ([], [])
        whole.append(to: &wholeBytes, size: 16)
        cut.append(to: &cutBytes, size: size)
        #expect(cutBytes == Array(wholeBytes[..<size]))
        #expect(BlockChecksum(stored: cutBytes.span.bytes) == cut)
        #expect((whole == cut) == (size == 16))
        block[4000] ^= 1
        #expect(block.withUnsafeBytes { BlockChecksum(of: $0, size: size) } != cut)
    }
}
