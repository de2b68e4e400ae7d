import BackupModel
import CCompression

/// gzip, or zlib when raw, by ISA-L.
final class GzipCompressor: SteppingCompressor {
    private let stream: OpaquePointer
    var isAtEnd = false

    /// 1 to 3.
    init(isalLevel: Int32, raw: Bool) throws(BackupError) {
        guard let stream = permafrost_deflate_create(isalLevel, raw) else { throw outOfMemory(.gz) }
        self.stream = stream
    }

    deinit { permafrost_deflate_free(stream) }

    func reset() {
        permafrost_deflate_reset(stream)
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep {
        guard let base = output.baseAddress else { return CodecStep(taken: 0, written: 0, isEnd: isAtEnd) }
        let step = permafrost_deflate_step(stream, input.baseAddress, input.count, base, output.count, end)
        guard step.error == 0 else { throw BackupError(.assertion, "unable to compress to gz: error \(step.error)") }
        return CodecStep(taken: step.taken, written: step.written, isEnd: step.ended)
    }
}

/// gzip, or zlib when raw, by zlib: for the levels that ISA-L does not have.
final class ZlibCompressor: SteppingCompressor {
    // On the heap, because zlib keeps its address.
    private let stream: UnsafeMutablePointer<z_stream>
    var isAtEnd = false

    init(level: Int, raw: Bool) throws(BackupError) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard permafrost_deflate_init(stream, Int32(level), raw ? 1 : 0) == Z_OK else {
            stream.deallocate()
            throw outOfMemory(.gz)
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    func reset() {
        deflateReset(stream)
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep {
        let (room, available) = (clamped(output.count), clamped(input.count))
        stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input.baseAddress)?.assumingMemoryBound(
            to: UInt8.self)
        stream.pointee.avail_in = available
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = room
        let result = deflate(stream, end ? Z_FINISH : Z_NO_FLUSH)
        guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else {
            throw BackupError(.assertion, "unable to compress to gz: error \(result)")
        }
        return CodecStep(
            taken: Int(available - stream.pointee.avail_in), written: Int(room - stream.pointee.avail_out),
            isEnd: result == Z_STREAM_END)
    }
}

/// gzip, or zlib when raw, by ISA-L, which checks the sum and the length at the end.
final class GzipDecompressor: SteppingDecompressor {
    private let stream: OpaquePointer
    let type = CompressType.gz
    var isAtEnd = false

    init(raw: Bool) throws(BackupError) {
        guard let stream = permafrost_inflate_create(raw) else { throw outOfMemory(.gz) }
        self.stream = stream
    }

    deinit { permafrost_inflate_free(stream) }

    func reset() {
        permafrost_inflate_reset(stream)
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> CodecStep {
        guard let base = output.baseAddress else { return CodecStep(taken: 0, written: 0, isEnd: isAtEnd) }
        let step = permafrost_inflate_step(stream, input.baseAddress, input.count, base, output.count)
        guard step.error == 0 else { throw damaged(String(cString: permafrost_inflate_reason(step.error))) }
        return CodecStep(taken: step.taken, written: step.written, isEnd: step.ended)
    }
}

/// The counts of zlib and bzip2 are 32 bits wide.
func clamped(_ count: Int) -> UInt32 { UInt32(min(count, 1 << 30)) }
