import Crypto
import Testing

@testable import Checksums

@Suite struct SHA1Tests {
    @Test(
        "FIPS 180 examples",
        arguments: [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
            ),
        ])
    func knownAnswers(text: String, hex: String) {
        #expect(SHA1.hash(Array(text.utf8).span.bytes).hex == hex)
    }

    @Test func nothingHasItsConstant() {
        var sum = SHA1()
        #expect(sum.finish() == .ofNothing)
    }

    @Test("every length around the block size, with and without instructions", arguments: [true, false])
    func lengths(usingInstructions: Bool) {
        let bytes = noise(400, seed: 1)
        var sum = SHA1(usingInstructions: usingInstructions)
        for length in 0...bytes.count {
            let part = Array(bytes[..<length])
            sum.update(part.span.bytes)
            #expect(sum.finish() == oracle(part), "length \(length)")
        }
    }

    @Test(arguments: [true, false], [1, 7, 63, 64, 65, 127, 1000])
    func chunks(usingInstructions: Bool, size: Int) {
        let bytes = noise(5000, seed: 2)
        var sum = SHA1(usingInstructions: usingInstructions)
        for start in stride(from: 0, to: bytes.count, by: size) {
            sum.update(bytes.span.extracting(start..<min(start + size, bytes.count)).bytes)
            sum.update(RawSpan())
        }
        #expect(sum.finish() == oracle(bytes))
    }

    @Test("pairs at random splits", arguments: [(true, true), (true, false), (false, true), (false, false)])
    func pairs(first: Bool, second: Bool) {
        var random = Generator(state: 3)
        var left = SHA1(usingInstructions: first)
        var right = SHA1(usingInstructions: second)
        for round in 0..<200 {
            let a = noise(Int.random(in: 0...3000, using: &random), seed: UInt64(round))
            let b = noise(Int.random(in: 0...3000, using: &random), seed: UInt64(round) + 1000)
            var (atA, atB) = (0, 0)
            while atA < a.count || atB < b.count {
                let (endA, endB) = (
                    Int.random(in: atA...min(atA + 300, a.count), using: &random),
                    Int.random(in: atB...min(atB + 300, b.count), using: &random)
                )
                SHA1.update(
                    &left, a.span.extracting(atA..<endA).bytes, &right, b.span.extracting(atB..<endB).bytes)
                (atA, atB) = (endA, endB)
            }
            #expect(left.finish() == oracle(a), "round \(round)")
            #expect(right.finish() == oracle(b), "round \(round)")
        }
    }

    private func oracle(_ bytes: [UInt8]) -> SHA1Digest? {
        let hex = Insecure.SHA1.hash(data: bytes).map { (byte: UInt8) in
            String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return SHA1Digest(hex: hex.joined())
    }
}

@Suite struct SHA1DigestTests {
    private static let text = "0123456789abcdeffedcba98765432100f1e2d3c"

    @Test func readsAndWritesHex() throws {
        let digest = try #require(SHA1Digest(hex: Self.text))
        #expect(digest.high == 0x0123_4567_89ab_cdef)
        #expect(digest.middle == 0xfedc_ba98_7654_3210)
        #expect(digest.low == 0x0f1e_2d3c)
        #expect(digest.hex == Self.text)
        var bytes = Array("x=".utf8)
        digest.appendHex(to: &bytes)
        #expect(bytes == Array("x=\(Self.text)".utf8))
        #expect(SHA1Digest(hex: "<\(Self.text)>".dropFirst().dropLast()) == digest)
        #expect(SHA1Digest.ofNothing.hex == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    }

    @Test func refusesEveryOtherByteAtEveryPlace() {
        let digits = Set("0123456789abcdef".utf8)
        for place in 0..<40 {
            var bytes = Array(Self.text.utf8)
            for byte in UInt8.min...UInt8.max {
                bytes[place] = byte
                let digest = SHA1Digest(hexBytes: bytes.span.bytes)
                #expect((digest != nil) == digits.contains(byte), "byte \(byte) at \(place)")
                if let digest { #expect(Array(digest.hex.utf8) == bytes) }
            }
        }
    }

    @Test(arguments: ["", "da39", String(repeating: "0", count: 39), String(repeating: "0", count: 41), "é"])
    func refusesOtherLengths(text: String) {
        #expect(SHA1Digest(hex: text) == nil)
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
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
}
