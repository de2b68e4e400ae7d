import BackupModel
import CCrypto

/// AES-256-CBC with the header of `openssl enc`: `Salted__`, 8 bytes of salt, then the blocks; `raw` leaves out the
/// magic. No authentication: what was changed shows in the checksums of the content.
final class AESEncryptor: StreamCodec {
    private let stream: AESStream
    private let pass: [UInt8]
    private let isRaw: Bool
    private var hasBegun = false
    private var hasEnded = false

    init(pass: Secret<String>, raw: Bool) throws(BackupError) {
        stream = try AESStream(encrypt: true)
        self.pass = Array(pass.revealed.utf8)
        isRaw = raw
    }

    var isAtEnd: Bool { hasEnded }

    func reset() {
        stream.reset()
        hasBegun = false
        hasEnded = false
    }

    func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int {
        try begin()
        return try input.withUnsafeBytes { (input) throws(BackupError) in
            guard let taken = stream.update(input, into: output) else { throw failure }
            return taken
        }
    }

    func finish(into output: OutputBuffer) throws(BackupError) -> Bool {
        try begin()
        guard stream.flush(into: output) else { return false }
        if !hasEnded {
            guard stream.finish() else { throw failure }
            hasEnded = true
        }
        return stream.flush(into: output)
    }

    private func begin() throws(BackupError) {
        guard !hasBegun else { return }
        var salt = [UInt8](repeating: 0, count: AESKey.saltSize)
        guard permafrost_random(&salt, salt.count) else {
            throw BackupError(.crypto, "unable to get random bytes from the system")
        }
        guard AESKey(pass: pass, salt: salt).begin(stream.context) else { throw failure }
        stream.put(isRaw ? salt : AESKey.magic + salt)
        hasBegun = true
    }

    private var failure: BackupError { BackupError(.crypto, "libcrypto was unable to encrypt") }
}

/// The way back of ``AESEncryptor``. Every error is `.crypto`. Damage before the last block, and one wrong passphrase in
/// 256, show only in what comes out.
final class AESDecryptor: StreamCodec {
    private let stream: AESStream
    private let pass: [UInt8]
    private let isRaw: Bool
    private var header: [UInt8] = []
    /// Bytes behind the header.
    private var length: UInt64 = 0
    private var hasBegun = false
    private var hasEnded = false

    init(pass: Secret<String>, raw: Bool) throws(BackupError) {
        stream = try AESStream(encrypt: false)
        self.pass = Array(pass.revealed.utf8)
        isRaw = raw
    }

    /// Only its end tells that a stream has ended.
    var isAtEnd: Bool { hasEnded }

    func reset() {
        stream.reset()
        header.removeAll(keepingCapacity: true)
        length = 0
        hasBegun = false
        hasEnded = false
    }

    func process(_ input: RawSpan, into output: OutputBuffer) throws(BackupError) -> Int {
        try input.withUnsafeBytes { (input) throws(BackupError) in
            let inHeader = try readHeader(input)
            guard hasBegun else { return inHeader }
            let body = UnsafeRawBufferPointer(rebasing: input[inHeader...])
            guard let taken = stream.update(body, into: output) else { throw undecryptable }
            length += UInt64(taken)
            return inHeader + taken
        }
    }

    func finish(into output: OutputBuffer) throws(BackupError) -> Bool {
        guard hasBegun, length > 0, length % UInt64(PERMAFROST_AES_BLOCK_SIZE) == 0 else {
            throw BackupError(
                .crypto, "encrypted data is cut off after \(UInt64(header.count) + length) bytes",
                hint: "part of the object is missing")
        }
        guard stream.flush(into: output) else { return false }
        if !hasEnded {
            guard stream.finish() else { throw undecryptable }
            hasEnded = true
        }
        return stream.flush(into: output)
    }

    /// How much of `input` belongs to the header.
    private func readHeader(_ input: UnsafeRawBufferPointer) throws(BackupError) -> Int {
        guard !hasBegun else { return 0 }
        let magic = isRaw ? [] : AESKey.magic
        let count = min(input.count, magic.count + AESKey.saltSize - header.count)
        header += input[..<count]
        guard header.starts(with: magic.prefix(header.count)) else {
            throw BackupError(
                .crypto, "cipher header invalid: the data is not encrypted",
                hint: "is or was the repository encrypted? repo-cipher-type must say what it was made with")
        }
        guard header.count == magic.count + AESKey.saltSize else { return count }
        guard AESKey(pass: pass, salt: Array(header[magic.count...])).begin(stream.context) else {
            throw undecryptable
        }
        hasBegun = true
        return count
    }

    private var undecryptable: BackupError {
        BackupError(.crypto, "unable to decrypt: the data is damaged or the passphrase is wrong")
    }
}
