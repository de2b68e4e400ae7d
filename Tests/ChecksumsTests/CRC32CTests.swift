import CLinux
import Checksums
import Testing

@Suite struct CRC32CTests {
    @Test(
        "RFC 3720, B.4",
        arguments: [
            (Array("123456789".utf8), 0xe306_9283),
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            ([UInt8](0..<32), 0x46dd_794e),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func knownAnswers(bytes: [UInt8], sum: UInt32) {
        #expect(crc32c(bytes.span.bytes) == sum)
        #expect(permafrost_crc32c_portable(bytes, bytes.count) == sum)
    }

    @Test func instructionAndTableAgreeAtEveryLength() {
        let bytes = noise(100, seed: 4)
        for length in 0...bytes.count {
            #expect(
                crc32c(bytes.span.extracting(first: length).bytes) == permafrost_crc32c_portable(bytes, length))
        }
    }

    @Test func piecesHaveTheSumOfTheWhole() {
        let bytes = noise(100, seed: 5)
        for length in 0...bytes.count {
            let first = crc32c(0, extendedBy: bytes.span.extracting(first: length).bytes)
            let both = crc32c(first, extendedBy: bytes.span.extracting(droppingFirst: length).bytes)
            #expect(both == crc32c(bytes.span.bytes))
        }
    }
}
