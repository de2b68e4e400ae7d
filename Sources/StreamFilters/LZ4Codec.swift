import BackupModel
import CCompression

// Debian's liblz4 is built so that its XXH32 runs at 1.8 GB/s, slower than the compression itself. The content checksum
// is therefore xxhash's here (10 GB/s), in both directions, and LZ4F believes that there is none.

/// The content checksum of a frame: XXH32, little-endian at its end.
private struct ContentSum: ~Copyable {
    static let flag: UInt8 = 1 << 2
    static let size = 4
    private let state: OpaquePointer

    init() throws(BackupError) {
        guard let state = XXH32_createState() else { throw outOfMemory(.lz4) }
        self.state = state
        reset()
    }

    deinit { XXH32_freeState(state) }

    func reset() { XXH32_reset(state, 0) }

    func update(_ bytes: UnsafeRawBufferPointer) {
        if bytes.count > 0 { XXH32_update(state, bytes.baseAddress, bytes.count) }
    }

    var value: UInt32 { XXH32_digest(state) }
}

/// LZ4 frames of linked 64 KiB blocks, with content checksum unless raw.
final class LZ4Compressor: SteppingCompressor {
    private static let blockSize = 64 * 1024
    /// Magic, flags, block size, checksum of the two, without the optional fields, which we do not write.
    private static let headerSize = 7

    private let context: OpaquePointer
    private var preferences: LZ4F_preferences_t
    private let hasSum: Bool
    private let sum: ContentSum
    private var hasBegun = false
    private var hasEnded = false
    var isAtEnd = false

    // LZ4F writes only into room for the worst case. Where the output has less, one block goes through here.
    private let staging: UnsafeMutableRawBufferPointer
    private var staged = 0..<0

    /// -5 to 12; a negative level is faster and worse.
    init(level: Int, raw: Bool) throws(BackupError) {
        var context: OpaquePointer?
        guard LZ4F_isError(LZ4F_createCompressionContext(&context, UInt32(LZ4F_VERSION))) == 0, let context else {
            throw outOfMemory(.lz4)
        }
        self.context = context
        hasSum = !raw
        do {
            sum = try ContentSum()
        } catch {
            LZ4F_freeCompressionContext(context)
            throw error
        }
        preferences = LZ4F_preferences_t()
        preferences.compressionLevel = Int32(level)
        // More than the header or the end need.
        staging = .allocate(byteCount: LZ4F_compressBound(Self.blockSize, &preferences), alignment: 64)
    }

    deinit {
        LZ4F_freeCompressionContext(context)
        staging.deallocate()
    }

    func reset() {
        hasBegun = false
        hasEnded = false
        isAtEnd = false
        staged = 0..<0
        sum.reset()
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep {
        guard staged.isEmpty else { return drain(into: output, taken: 0) }
        guard hasBegun else {
            hasBegun = true
            return try write(output, room: Int(LZ4F_HEADER_SIZE_MAX), taken: 0) {
                let size = LZ4F_compressBegin(context, $0.baseAddress, $0.count, &preferences)
                if hasSum && size == Self.headerSize { announceSum(inHeader: $0) }
                return size
            }
        }
        guard !end else {
            guard !hasEnded else { return CodecStep(taken: 0, written: 0, isEnd: true) }
            hasEnded = true
            return try write(output, room: LZ4F_compressBound(0, &preferences) + ContentSum.size, taken: 0) {
                let size = LZ4F_compressEnd(context, $0.baseAddress, $0.count, nil)
                guard hasSum && LZ4F_isError(size) == 0 else { return size }
                $0.storeBytes(of: sum.value.littleEndian, toByteOffset: size, as: UInt32.self)
                return size + ContentSum.size
            }
        }
        var count = input.count
        var room = LZ4F_compressBound(count, &preferences)
        if room > output.count {
            count = min(count, Self.blockSize)
            room = LZ4F_compressBound(count, &preferences)
        }
        if hasSum { sum.update(UnsafeRawBufferPointer(rebasing: input[..<count])) }
        return try write(output, room: room, taken: count) {
            LZ4F_compressUpdate(context, $0.baseAddress, $0.count, input.baseAddress, count, nil)
        }
    }

    private func announceSum(inHeader header: UnsafeMutableRawBufferPointer) {
        header[4] |= ContentSum.flag
        header[6] = UInt8(truncatingIfNeeded: XXH32(header.baseAddress.map { $0 + 4 }, 2, 0) >> 8)
    }

    /// Lets `call` write at most `room` bytes into `output` or, where that has less, by way of the staging buffer.
    private func write(
        _ output: UnsafeMutableRawBufferPointer, room: Int, taken: Int,
        call: (UnsafeMutableRawBufferPointer) -> Int
    ) throws(BackupError) -> CodecStep {
        let isDirect = room <= output.count
        let written = call(isDirect ? output : staging)
        guard LZ4F_isError(written) == 0 else {
            throw BackupError(.assertion, "unable to compress to lz4: \(String(cString: LZ4F_getErrorName(written)))")
        }
        if isDirect { return CodecStep(taken: taken, written: written, isEnd: hasEnded) }
        staged = 0..<written
        return drain(into: output, taken: taken)
    }

    private func drain(into output: UnsafeMutableRawBufferPointer, taken: Int) -> CodecStep {
        let part = staged.prefix(output.count)
        output.copyMemory(from: UnsafeRawBufferPointer(rebasing: staging[part]))
        staged = part.upperBound..<staged.upperBound
        return CodecStep(taken: taken, written: part.count, isEnd: hasEnded && staged.isEmpty)
    }
}

final class LZ4Decompressor: SteppingDecompressor {
    private static let magic: [UInt8] = [0x04, 0x22, 0x4d, 0x18]

    private let context: OpaquePointer
    private let sum: ContentSum
    /// The first bytes of the stream, to the one with the flags.
    private var head: [UInt8] = []
    /// The last four bytes taken, little-endian.
    private var tail: UInt32 = 0
    let type = CompressType.lz4
    var isAtEnd = false

    init() throws(BackupError) {
        var context: OpaquePointer?
        guard LZ4F_isError(LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))) == 0, let context else {
            throw outOfMemory(.lz4)
        }
        self.context = context
        do {
            sum = try ContentSum()
        } catch {
            LZ4F_freeDecompressionContext(context)
            throw error
        }
    }

    deinit { LZ4F_freeDecompressionContext(context) }

    func reset() {
        LZ4F_resetDecompressionContext(context)
        isAtEnd = false
        head.removeAll(keepingCapacity: true)
        tail = 0
        sum.reset()
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> CodecStep {
        if head.count <= Self.magic.count { head += input.prefix(Self.magic.count + 1 - head.count) }
        let hasSum = head.count > Self.magic.count && head.starts(with: Self.magic) && head[4] & ContentSum.flag != 0
        var options = LZ4F_decompressOptions_t()
        options.skipChecksums = hasSum ? 1 : 0
        var (taken, written) = (input.count, output.count)
        let rest = LZ4F_decompress(context, output.baseAddress, &written, input.baseAddress, &taken, &options)
        guard LZ4F_isError(rest) == 0 else { throw damaged(String(cString: LZ4F_getErrorName(rest))) }
        if hasSum {
            sum.update(UnsafeRawBufferPointer(rebasing: output[..<written]))
            for byte in input[..<taken].suffix(ContentSum.size) { tail = tail >> 8 | UInt32(byte) << 24 }
            guard rest != 0 || tail == sum.value else { throw damaged("wrong checksum") }
        }
        return CodecStep(taken: taken, written: written, isEnd: rest == 0)
    }
}
