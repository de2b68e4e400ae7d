import BackupModel

/// Two codecs, one behind the other: compress and encrypt, or decrypt and decompress.
final class CodecChain: StreamCodec {
    private let first: any StreamCodec
    private let second: any StreamCodec
    private let isDecrypting: Bool
    private let middle = OutputBuffer(capacity: 256 << 10)
    /// What of `middle` the second has taken.
    private var position = 0
    private var firstHasEnded = false
    private var hasEnded = false

    init(_ compressor: any StreamCodec, _ encryptor: AESEncryptor) {
        (first, second, isDecrypting) = (compressor, encryptor, false)
    }

    init(_ decryptor: AESDecryptor, _ decompressor: any StreamCodec) {
        (first, second, isDecrypting) = (decryptor, decompressor, true)
    }

    /// What ends the second may be followed by padding of the first, so that only `finish` tells.
    var isAtEnd: Bool { hasEnded }

    func reset() {
        first.reset()
        second.reset()
        middle.clear()
        position = 0
        firstHasEnded = false
        hasEnded = false
    }

    func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int {
        var taken = 0
        while try pass(into: output), taken < input.byteCount {
            taken += try first.process(input.extracting(taken..<input.byteCount), into: middle)
        }
        return taken
    }

    func finish(into output: OutputBuffer) throws(BackupError) -> Bool {
        while try pass(into: output) {
            if firstHasEnded {
                hasEnded = try explaining { () throws(BackupError) in try second.finish(into: output) }
                return hasEnded
            }
            firstHasEnded = try first.finish(into: middle)
        }
        return false
    }

    /// Hands on what the first put out; false when `output` is full before all of it is taken.
    private func pass(into output: OutputBuffer) throws(BackupError) -> Bool {
        while position < middle.count {
            let rest = UnsafeRawBufferPointer(rebasing: middle.filled[position...])
            position += try explaining { () throws(BackupError) in
                guard !second.isAtEnd else {
                    throw BackupError(.format, "there are bytes after the end of the compressed data")
                }
                return try second.process(rest.bytes, into: output)
            }
            if position < middle.count, !second.isAtEnd { return false }
        }
        middle.clear()
        position = 0
        return true
    }

    /// What a decompressor cannot read was not decrypted to what it was.
    private func explaining<Result>(_ body: () throws(BackupError) -> Result) throws(BackupError) -> Result {
        do throws(BackupError) {
            return try body()
        } catch {
            guard isDecrypting, error.code == .format else { throw error }
            throw BackupError(
                .crypto, "what was decrypted is damaged, or the passphrase is wrong: \(error.message)",
                hint: error.hint)
        }
    }
}
