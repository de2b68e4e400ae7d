import CLinux
import Crypto

/// A running SHA-1 (FIPS 180-4).
package struct SHA1: ~Copyable {
    private static let blockSize = 64
    private static let initialState = permafrost_sha1_state(
        word: (0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0))
    private static let hasInstructions = permafrost_sha1_is_available()

    private var state = initialState
    /// Bytes of the stream so far; those past the last whole block wait in `pending`.
    private var length: UInt64 = 0
    private var pending = InlineArray<64, UInt8>(repeating: 0)
    /// Does all the work on processors without SHA instructions.
    private var fallback: Insecure.SHA1?

    package init() { self.init(usingInstructions: true) }

    /// Without the instructions even if the processor has them, to test the fallback.
    init(usingInstructions: Bool) {
        fallback = usingInstructions && Self.hasInstructions ? nil : Insecure.SHA1()
    }

    package mutating func update(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// Ends the sum and begins a new one.
    package mutating func finish() -> SHA1Digest {
        if let fallback {
            self.fallback = Insecure.SHA1()
            return fallback.finalize().withUnsafeBytes { digest in
                SHA1Digest(
                    high: UInt64(bigEndian: digest.loadUnaligned(as: UInt64.self)),
                    middle: UInt64(bigEndian: digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
                    low: UInt32(bigEndian: digest.loadUnaligned(fromByteOffset: 16, as: UInt32.self)))
            }
        }
        pad()
        let word = state.word
        state = Self.initialState
        length = 0
        return SHA1Digest(
            high: UInt64(word.0) << 32 | UInt64(word.1), middle: UInt64(word.2) << 32 | UInt64(word.3), low: word.4)
    }

    package static func hash(_ bytes: RawSpan) -> SHA1Digest {
        var sum = SHA1()
        sum.update(bytes)
        return sum.finish()
    }

    /// Two streams at once, interleaved: faster than one after the other on processors with SHA instructions.
    package static func update(
        _ first: inout SHA1, _ firstBytes: RawSpan, _ second: inout SHA1, _ secondBytes: RawSpan
    ) {
        firstBytes.withUnsafeBytes { firstBytes in
            secondBytes.withUnsafeBytes { secondBytes in
                guard first.fallback == nil, second.fallback == nil else {
                    first.update(firstBytes)
                    second.update(secondBytes)
                    return
                }
                var firstRest = first.fillPending(firstBytes)
                var secondRest = second.fillPending(secondBytes)
                let blocks = min(firstRest.count, secondRest.count) / blockSize
                if blocks > 0, let firstBase = firstRest.baseAddress, let secondBase = secondRest.baseAddress {
                    permafrost_sha1_update_pair(&first.state, firstBase, &second.state, secondBase, blocks)
                    let count = blocks * blockSize
                    first.length &+= UInt64(count)
                    second.length &+= UInt64(count)
                    firstRest = UnsafeRawBufferPointer(rebasing: firstRest[count...])
                    secondRest = UnsafeRawBufferPointer(rebasing: secondRest[count...])
                }
                first.update(firstRest)
                second.update(secondRest)
            }
        }
    }

    private mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard fallback == nil else {
            fallback?.update(bufferPointer: bytes)
            return
        }
        let rest = fillPending(bytes)
        let blocks = rest.count / Self.blockSize
        if blocks > 0, let base = rest.baseAddress {
            permafrost_sha1_update(&state, base, blocks)
            length &+= UInt64(blocks * Self.blockSize)
        }
        keep(UnsafeRawBufferPointer(rebasing: rest[(blocks * Self.blockSize)...]))
    }

    private var pendingCount: Int { Int(length % UInt64(Self.blockSize)) }

    /// Completes a block that was begun; answers what of `bytes` remains, which is nothing unless none is pending.
    private mutating func fillPending(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let count = pendingCount
        guard count > 0 else { return bytes }
        let taken = min(Self.blockSize - count, bytes.count)
        keep(UnsafeRawBufferPointer(rebasing: bytes[..<taken]))
        if pendingCount == 0 && taken > 0 { takePending() }
        return UnsafeRawBufferPointer(rebasing: bytes[taken...])
    }

    /// Adds to the pending bytes, which it must not overflow.
    private mutating func keep(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        let count = pendingCount
        withUnsafeMutableBytes(of: &pending) {
            UnsafeMutableRawBufferPointer(rebasing: $0[count...]).copyMemory(from: bytes)
        }
        length &+= UInt64(bytes.count)
    }

    private mutating func takePending() {
        withUnsafeBytes(of: &pending) { permafrost_sha1_update(&state, $0.baseAddress, 1) }
    }

    /// A one bit, zeros, and the length in bits, to a whole number of blocks.
    private mutating func pad() {
        let bits = length &* 8
        var count = pendingCount
        pending[count] = 0x80
        count += 1
        if count > Self.blockSize - 8 {
            zeroPending(from: count)
            takePending()
            count = 0
        }
        zeroPending(from: count)
        withUnsafeMutableBytes(of: &pending) {
            $0.storeBytes(of: bits.bigEndian, toByteOffset: Self.blockSize - 8, as: UInt64.self)
        }
        takePending()
    }

    private mutating func zeroPending(from start: Int) {
        for index in start..<Self.blockSize { pending[index] = 0 }
    }
}
