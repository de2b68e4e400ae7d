import BackupModel
import CCompression

/// Plain Zstandard frames, of unknown content size and without checksum, as pgBackRest's.
final class ZstdCompressor: SteppingCompressor {
    private let context: OpaquePointer
    var isAtEnd = false

    /// -7 to 22.
    init(level: Int) throws(BackupError) {
        guard let context = ZSTD_createCCtx() else { throw outOfMemory(.zst) }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level))
    }

    deinit { ZSTD_freeCCtx(context) }

    func reset() {
        ZSTD_CCtx_reset(context, ZSTD_reset_session_only)
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, end: Bool
    ) throws(BackupError) -> CodecStep {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let rest = ZSTD_compressStream2(context, &target, &source, end ? ZSTD_e_end : ZSTD_e_continue)
        guard ZSTD_isError(rest) == 0 else {
            throw BackupError(.assertion, "unable to compress to zst: \(String(cString: ZSTD_getErrorName(rest)))")
        }
        return CodecStep(taken: source.pos, written: target.pos, isEnd: end && rest == 0)
    }
}

final class ZstdDecompressor: SteppingDecompressor {
    private let context: OpaquePointer
    let type = CompressType.zst
    var isAtEnd = false

    init() throws(BackupError) {
        guard let context = ZSTD_createDCtx() else { throw outOfMemory(.zst) }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    func reset() {
        ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
        isAtEnd = false
    }

    func step(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer
    ) throws(BackupError) -> CodecStep {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let rest = ZSTD_decompressStream(context, &target, &source)
        guard ZSTD_isError(rest) == 0 else { throw damaged(String(cString: ZSTD_getErrorName(rest))) }
        return CodecStep(taken: source.pos, written: target.pos, isEnd: rest == 0)
    }
}
