package import BackupModel

package enum Codecs {
    /// Bytes of an ``OutputBuffer`` that holds whatever a compressor makes of 1 MiB of input, so that each chunk takes
    /// one call of its library. Any other size works too.
    package static let recommendedOutputCapacity = 1280 * 1024

    /// nil for `.none`. `level` nil is the default of the type. `raw`: the framing of section B.8 for bundles with
    /// block incremental. Throws `.optionInvalidValue` for a level that the type does not have, `.memory` without
    /// memory.
    package static func compressor(
        _ type: CompressType, level: Int?, raw: Bool = false
    ) throws(BackupError) -> (any StreamCodec)? {
        guard let levels = levels(type) else { return nil }
        if let level, !levels.contains(level) {
            throw BackupError(
                .optionInvalidValue, "compress level \(level) is out of range for \(type.rawValue)",
                hint: "levels of \(type.rawValue) are \(levels.lowerBound) to \(levels.upperBound)")
        }
        switch type {
        case .none: return nil
        case .gz: return try gzip(level: level ?? -1, raw: raw)
        case .lz4: return try LZ4Compressor(level: level ?? 1, raw: raw)
        case .zst: return try ZstdCompressor(level: level ?? 3)
        case .bz2: return Bzip2Compressor(level: level ?? 9)
        }
    }

    /// nil for `.none`. Throws `.memory` without memory.
    package static func decompressor(
        _ type: CompressType, raw: Bool = false
    ) throws(BackupError) -> (any StreamCodec)? {
        switch type {
        case .none: nil
        case .gz: try GzipDecompressor(raw: raw)
        case .lz4: try LZ4Decompressor()
        case .zst: try ZstdDecompressor()
        case .bz2: Bzip2Decompressor()
        }
    }

    package static func hasLevel(_ level: Int, _ type: CompressType) -> Bool { levels(type)?.contains(level) ?? false }

    private static func levels(_ type: CompressType) -> ClosedRange<Int>? {
        switch type {
        case .none: nil
        case .gz: -1...9
        case .lz4: -5...12
        case .zst: -7...22
        case .bz2: 1...9
        }
    }

    /// ISA-L where it has a level of about the same size, several times as fast; its level 0 would grow random data.
    private static func gzip(level: Int, raw: Bool) throws(BackupError) -> any StreamCodec {
        switch level {
        case 1...3: try GzipCompressor(isalLevel: 1, raw: raw)
        case 7...8: try GzipCompressor(isalLevel: 3, raw: raw)
        case 0, 9: try ZlibCompressor(level: level, raw: raw)
        default: try GzipCompressor(isalLevel: 2, raw: raw)
        }
    }
}
