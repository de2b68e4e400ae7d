/// Checks data pages as PostgreSQL does (format: `checksum_impl.h` of PostgreSQL).
///
/// A page has 1 to 32 KiB, a power of two. Its size is validated where it is read, in ``PostgresControl``.
package enum PageCheck {
    /// Whether one page is valid: all zero when `pd_upper` is 0 (`checkHeader`) or when `pd_checksum` is 0 (otherwise),
    /// else its checksum, computed with its absolute block number, matches.
    package static func isValid(_ page: UnsafeRawBufferPointer, block: UInt32, checkHeader: Bool) -> Bool {
        precondition(isPageSize(page.count), "a page of \(page.count) bytes")
        guard let start = page.baseAddress else { return false }
        return isValid(start, size: page.count, block: block, checkHeader: checkHeader)
    }

    /// Calls `invalid` with the index (from 0) of each invalid page of `pages`, whose length is a multiple of
    /// `pageSize`; `firstBlock` is the absolute block number of the first.
    package static func check(
        _ pages: UnsafeRawBufferPointer, pageSize: Int, firstBlock: UInt32, checkHeader: Bool,
        invalid: (Int) -> Void
    ) {
        precondition(
            isPageSize(pageSize) && pages.count.isMultiple(of: pageSize),
            "\(pages.count) bytes of \(pageSize)-byte pages")
        guard let start = pages.baseAddress else { return }
        for index in 0..<pages.count / pageSize {
            let block = firstBlock &+ UInt32(truncatingIfNeeded: index)
            if !isValid(start + index * pageSize, size: pageSize, block: block, checkHeader: checkHeader) {
                invalid(index)
            }
        }
    }

    /// The checksum that the page should have as `block` (absolute), whatever its `pd_checksum` is now.
    package static func checksum(of page: UnsafeRawBufferPointer, block: UInt32) -> UInt16 {
        precondition(isPageSize(page.count), "a page of \(page.count) bytes")
        guard let start = page.baseAddress else { return 0 }
        return checksum(start, size: page.count, block: block)
    }

    private static func isPageSize(_ size: Int) -> Bool {
        size >= 1 << 10 && size <= 1 << 15 && size & (size - 1) == 0
    }

    private static let checksumOffset = 8
    private static let upperOffset = 14

    @inline(__always)
    private static func isValid(_ page: UnsafeRawPointer, size: Int, block: UInt32, checkHeader: Bool) -> Bool {
        let stored = page.loadUnaligned(fromByteOffset: checksumOffset, as: UInt16.self)
        let mark = checkHeader ? page.loadUnaligned(fromByteOffset: upperOffset, as: UInt16.self) : stored
        return mark == 0 ? isZero(page, size: size) : stored == checksum(page, size: size, block: block)
    }

    /// `size` is a multiple of 128.
    private static func isZero(_ page: UnsafeRawPointer, size: Int) -> Bool {
        var row = page
        let end = page + size
        while row < end {
            var bits: UInt64 = 0
            for word in 0..<16 {
                bits |= row.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
            }
            if bits != 0 { return false }
            row += 128
        }
        return true
    }

    /// FNV-1a in 32 lanes, over rows of 32 words, with two more rows of zeros at the end to mix the last ones.
    ///
    /// A scalar loop over an `InlineArray` becomes vector code; explicit `SIMD32` does not.
    @inline(never)
    private static func checksum(_ page: UnsafeRawPointer, size: Int, block: UInt32) -> UInt16 {
        var sums = bases
        // The third word of the page holds pd_checksum (first in memory), which counts as zero, and pd_flags.
        let header = page.loadUnaligned(fromByteOffset: checksumOffset, as: UInt32.self)
        for lane in 0..<lanes {
            let value = page.loadUnaligned(fromByteOffset: lane * 4, as: UInt32.self)
            sums[lane] = mixed(sums[lane], lane == 2 ? header & UInt32(littleEndian: 0xFFFF_0000) : value)
        }
        var row = page + lanes * 4
        let end = page + size
        while row < end {
            for lane in 0..<lanes {
                sums[lane] = mixed(sums[lane], row.loadUnaligned(fromByteOffset: lane * 4, as: UInt32.self))
            }
            row += lanes * 4
        }
        var result: UInt32 = 0
        for lane in 0..<lanes {
            result ^= mixed(mixed(sums[lane], 0), 0)
        }
        return UInt16(truncatingIfNeeded: (result ^ block) % 65535 + 1)
    }

    @inline(__always)
    private static func mixed(_ sum: UInt32, _ value: UInt32) -> UInt32 {
        let both = sum ^ value
        return (both &* 16_777_619) ^ (both >> 17)
    }

    private static let lanes = 32
    private static let bases: InlineArray<32, UInt32> = [
        0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
        0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
        0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
        0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
    ]
}
