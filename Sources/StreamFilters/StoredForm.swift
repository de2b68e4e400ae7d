package import BackupModel

/// How bytes lie in a repository: compressed, then encrypted, each or neither.
package struct StoredForm: Sendable {
    package var compress: CompressType
    /// nil is the default of the type; only for writing.
    package var level: Int?
    /// nil: not encrypted.
    package var cipherPass: Secret<String>?
    /// The framing of section B.8 and B.10 for parts of bundles beside block-incremental ones, super blocks and maps.
    package var isRaw: Bool

    package static let plain = StoredForm(compress: .none)

    package init(
        compress: CompressType, level: Int? = nil, cipherPass: Secret<String>? = nil, isRaw: Bool = false
    ) {
        self.compress = compress
        self.level = level
        self.cipherPass = cipherPass
        self.isRaw = isRaw
    }

    /// What content goes through on its way into the repository; nil when it is stored as it is.
    package func encoder() throws(BackupError) -> (any StreamCodec)? {
        let compressor = try Codecs.compressor(compress, level: level, raw: isRaw)
        guard let cipherPass else { return compressor }
        let cipher = try AESEncryptor(pass: cipherPass, raw: isRaw)
        return compressor.map { CodecChain($0, cipher) } ?? cipher
    }

    /// All of a small content as it is stored.
    package func encode(_ content: [UInt8]) throws(BackupError) -> [UInt8] {
        guard let encoder = try encoder() else { return content }
        let output = OutputBuffer(capacity: 64 << 10)
        var stored: [UInt8] = []
        var taken = 0
        while taken < content.count {
            taken += try encoder.process(content.span.bytes.extracting(taken..<content.count), into: output)
            stored += output.filled
            output.clear()
        }
        var isDone = false
        while !isDone {
            isDone = try encoder.finish(into: output)
            stored += output.filled
            output.clear()
        }
        return stored
    }

    /// The way back; nil when the stored bytes are the content.
    package func decoder() throws(BackupError) -> (any StreamCodec)? {
        let decompressor = try Codecs.decompressor(compress, raw: isRaw)
        guard let cipherPass else { return decompressor }
        let cipher = try AESDecryptor(pass: cipherPass, raw: isRaw)
        return decompressor.map { CodecChain(cipher, $0) } ?? cipher
    }
}
