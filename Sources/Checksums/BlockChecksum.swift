import CLinux

/// The first bytes of a block's XXH3-128 in canonical form (section B.9 of the reference). Tells whether a block has
/// changed, not whether it is damaged: that is what the SHA-1 of the file is for.
package struct BlockChecksum: Hashable, Sendable {
    /// Bytes of the whole hash.
    package static let sizeLimit = 16

    // Big-endian: the first byte is the highest. Bytes past the size are zero.
    private var high: UInt64
    private var low: UInt64

    /// `size`: 1 to ``sizeLimit`` bytes.
    package init(of block: UnsafeRawBufferPointer, size: Int) {
        let sum = permafrost_xxh3_128(block.baseAddress, block.count)
        self.init(high: sum.high, low: sum.low, size: size)
    }

    /// From the stored form, of 1 to ``sizeLimit`` bytes.
    package init(stored: RawSpan) {
        var (high, low): (UInt64, UInt64) = (0, 0)
        for index in 0..<min(stored.byteCount, Self.sizeLimit) {
            let byte = UInt64(stored.unsafeLoad(fromByteOffset: index, as: UInt8.self))
            if index < 8 { high |= byte << (56 - 8 * index) } else { low |= byte << (120 - 8 * index) }
        }
        (self.high, self.low) = (high, low)
    }

    private init(high: UInt64, low: UInt64, size: Int) {
        // A shift by 64 is 0 in Swift.
        self.high = size >= 8 ? high : high & ~(UInt64.max >> (8 * size))
        self.low = size <= 8 ? 0 : low & ~(UInt64.max >> (8 * (size - 8)))
    }

    /// The first `size` bytes.
    package func append(to bytes: inout [UInt8], size: Int) {
        for index in 0..<min(size, Self.sizeLimit) {
            let word = index < 8 ? high : low
            bytes.append(UInt8(truncatingIfNeeded: word >> (56 - 8 * (index % 8))))
        }
    }
}
