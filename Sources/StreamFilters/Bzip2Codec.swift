import BackupModel
import CCompression

/// The stream of bzip2, which cannot be reset: it ends and begins anew.
private struct Bzip2Stream: ~Copyable {
    // On the heap, because bzip2 keeps its address.
    private let stream: UnsafeMutablePointer<bz_stream>
    private let end: (UnsafeMutablePointer<bz_stream>) -> Int32
    private var hasBegun = false

    init(end: @escaping (UnsafeMutablePointer<bz_stream>) -> Int32) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: bz_stream())
        self.end = end
    }

    deinit {
        if hasBegun { _ = end(stream) }
        stream.deallocate()
    }

    mutating func reset() {
        if hasBegun { _ = end(stream) }
        hasBegun = false
    }

    /// Answers what `call` answered.
    mutating func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer,
        begin: (UnsafeMutablePointer<bz_stream>) -> Int32, call: (UnsafeMutablePointer<bz_stream>) -> Int32
    ) throws(BackupError) -> (result: Int32, step: CodecStep) {
        if !hasBegun {
            stream.pointee = bz_stream()
            guard begin(stream) == BZ_OK else { throw outOfMemory(.bz2) }
            hasBegun = true
        }
        let (room, available) = (clamped(output.count), clamped(input.count))
        stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input.baseAddress)?.assumingMemoryBound(
            to: CChar.self)
        stream.pointee.avail_in = available
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: CChar.self)
        stream.pointee.avail_out = room
        let result = call(stream)
        let step = CodecStep(
            taken: Int(available - stream.pointee.avail_in), written: Int(room - stream.pointee.avail_out),
            isEnd: result == BZ_STREAM_END)
        return (result, step)
    }
}

final class Bzip2Compressor: SteppingCompressor {
    private let level: Int32
    private var stream = Bzip2Stream(end: { BZ2_bzCompressEnd($0) })
    var isAtEnd = false

    /// 1 to 9: the block size in units of 100,000 bytes.
    init(level: Int) { self.level = Int32(level) }

    func reset() {
        stream.reset()
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep {
        let (result, step) = try stream.step(
            input, output, begin: { BZ2_bzCompressInit($0, level, 0, 0) },
            call: { BZ2_bzCompress($0, end ? BZ_FINISH : BZ_RUN) })
        guard result >= 0 else { throw BackupError(.assertion, "unable to compress to bz2: error \(result)") }
        return step
    }
}

final class Bzip2Decompressor: SteppingDecompressor {
    private var stream = Bzip2Stream(end: { BZ2_bzDecompressEnd($0) })
    let type = CompressType.bz2
    var isAtEnd = false

    func reset() {
        stream.reset()
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> CodecStep {
        let (result, step) = try stream.step(
            input, output, begin: { BZ2_bzDecompressInit($0, 0, 0) }, call: { BZ2_bzDecompress($0) })
        switch result {
        case BZ_OK, BZ_STREAM_END: return step
        case BZ_DATA_ERROR: throw damaged("wrong checksum or invalid block")
        case BZ_DATA_ERROR_MAGIC: throw damaged("invalid header")
        case BZ_MEM_ERROR: throw outOfMemory(.bz2)
        default: throw damaged("error \(result)")
        }
    }
}
