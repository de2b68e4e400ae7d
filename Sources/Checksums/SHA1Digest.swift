/// A SHA-1 digest: 20 bytes.
package struct SHA1Digest: Hashable, Sendable {
    // Kept as integers so that a million of them are 20 bytes each, without references.
    package var high: UInt64
    package var middle: UInt64
    package var low: UInt32

    package init(high: UInt64, middle: UInt64, low: UInt32) {
        self.high = high
        self.middle = middle
        self.low = low
    }

    /// The digest of no bytes, da39a3ee….
    package static let ofNothing = SHA1Digest(
        high: 0xda39_a3ee_5e6b_4b0d, middle: 0x3255_bfef_9560_1890, low: 0xafd8_0709)

    /// From 40 lower-case hex digits.
    package init?(hex: some StringProtocol) {
        guard hex.utf8.count == 40 else { return nil }
        let digest = hex.utf8.withContiguousStorageIfAvailable { SHA1Digest(hexBytes: $0.span.bytes) }
        guard let digest = digest ?? SHA1Digest(hexBytes: Array(hex.utf8).span.bytes) else { return nil }
        self = digest
    }

    package init?(hexBytes: RawSpan) {
        guard hexBytes.byteCount == 40,
            let first = HexDigits.value(hexBytes, at: 0), let second = HexDigits.value(hexBytes, at: 8),
            let third = HexDigits.value(hexBytes, at: 16), let fourth = HexDigits.value(hexBytes, at: 24),
            let fifth = HexDigits.value(hexBytes, at: 32)
        else { return nil }
        self.init(
            high: UInt64(first) << 32 | UInt64(second), middle: UInt64(third) << 32 | UInt64(fourth), low: fifth)
    }

    /// 20 bytes.
    package var bytes: [UInt8] {
        [high, middle].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
            + (0..<4).map { UInt8(truncatingIfNeeded: low >> (24 - 8 * $0)) }
    }

    /// 40 lower-case hex digits.
    package var hex: String {
        String(unsafeUninitializedCapacity: 40) { buffer in
            let digits = hexDigits
            return withUnsafeBytes(of: digits) {
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0)
                return $0.count
            }
        }
    }

    package func appendHex(to bytes: inout [UInt8]) {
        let digits = hexDigits
        withUnsafeBytes(of: digits) { bytes.append(contentsOf: $0) }
    }

    private var hexDigits: (UInt64, UInt64, UInt64, UInt64, UInt64) {
        (
            HexDigits.of(UInt32(truncatingIfNeeded: high >> 32)), HexDigits.of(UInt32(truncatingIfNeeded: high)),
            HexDigits.of(UInt32(truncatingIfNeeded: middle >> 32)), HexDigits.of(UInt32(truncatingIfNeeded: middle)),
            HexDigits.of(low)
        )
    }
}

/// Eight hex digits at once, one in each byte of a word.
private enum HexDigits {
    private static let ones: UInt64 = 0x0101_0101_0101_0101

    /// The digits as they lie in memory.
    static func of(_ value: UInt32) -> UInt64 {
        var nibbles = UInt64(value)
        nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff
        nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff
        nibbles = (nibbles | nibbles << 4) & (0x0f &* ones)
        return text(nibbles).bigEndian
    }

    /// nil when the eight bytes at `offset` are not all lower-case hex digits. They must exist.
    static func value(_ bytes: RawSpan, at offset: Int) -> UInt32? {
        let digits = UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
        var nibbles = (digits & (0x0f &* ones)) &+ 9 &* (digits >> 6 & ones)
        guard nibbles & (0xf0 &* ones) == 0, text(nibbles) == digits else { return nil }
        nibbles = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff
        nibbles = (nibbles | nibbles >> 8) & 0x0000_ffff_0000_ffff
        return UInt32(truncatingIfNeeded: nibbles | nibbles >> 16)
    }

    private static func text(_ nibbles: UInt64) -> UInt64 {
        let letters = (nibbles &+ 6 &* ones) >> 4 & ones
        return nibbles &+ 0x30 &* ones &+ 0x27 &* letters
    }
}
