import BackupModel
import CCrypto
import Checksums

/// Key and start vector of one stream, from the pass and the stream's salt: EVP_BytesToKey with SHA-1 and one round, as
/// `openssl enc -md sha1` does (section B.10 of the reference).
struct AESKey: ~Copyable {
    static let saltSize = 8
    static let magic = Array("Salted__".utf8)
    private static let size = Int(PERMAFROST_AES_KEY_SIZE + PERMAFROST_AES_BLOCK_SIZE)

    private let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 60, alignment: 16)

    init(pass: [UInt8], salt: [UInt8]) {
        var digest: [UInt8] = []
        for start in stride(from: 0, to: Self.size, by: 20) {
            var sum = SHA1()
            sum.update(digest.span.bytes)
            sum.update(pass.span.bytes)
            sum.update(salt.span.bytes)
            digest = sum.finish().bytes
            UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + 20]).copyBytes(from: digest)
        }
    }

    deinit {
        permafrost_wipe(bytes.baseAddress, bytes.count)
        bytes.deallocate()
    }

    /// Begins a stream of `aes` with it.
    func begin(_ aes: OpaquePointer) -> Bool {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        return permafrost_aes_begin(aes, base, base + Int(PERMAFROST_AES_KEY_SIZE))
    }

    /// The 48 bytes in hexadecimal, for tests.
    var hex: String {
        bytes.prefix(Self.size).map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined()
    }
}

/// A context of libcrypto, and what it put out that had no room yet.
final class AESStream {
    let context: OpaquePointer
    private let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 16)
    private var pending = 0..<0

    init(encrypt: Bool) throws(BackupError) {
        var reason: UnsafePointer<CChar>?
        guard permafrost_crypto_load(&reason) else {
            throw BackupError(
                .crypto, "unable to load libcrypto: \(reason.map { String(cString: $0) } ?? "unknown reason")",
                hint: "install the package of OpenSSL's libraries, libssl3 on Debian")
        }
        guard let context = permafrost_aes_create(encrypt) else {
            throw BackupError(.memory, "unable to allocate memory for encryption")
        }
        self.context = context
    }

    deinit {
        permafrost_aes_free(context)
        permafrost_wipe(staging.baseAddress, staging.count)
        staging.deallocate()
    }

    func reset() { pending = 0..<0 }

    /// Writes to the stream's output before anything else.
    func put(_ bytes: [UInt8]) {
        staging.copyBytes(from: bytes)
        pending = 0..<bytes.count
    }

    /// False when `output` is full and something is left.
    func flush(into output: OutputBuffer) -> Bool {
        let count = min(pending.count, output.free.count)
        output.free.copyBytes(from: UnsafeRawBufferPointer(rebasing: staging[pending.prefix(count)]))
        output.advance(by: count)
        pending = pending.dropFirst(count)
        return pending.isEmpty
    }

    /// How much of `input` was taken before `output` was full; nil when libcrypto refused.
    func update(_ input: UnsafeRawBufferPointer, into output: OutputBuffer) -> Int? {
        let block = Int(PERMAFROST_AES_BLOCK_SIZE)
        var taken = 0
        while flush(into: output), taken < input.count, output.count < output.capacity {
            let isRoomy = output.free.count >= 2 * block
            let count = min(input.count - taken, isRoomy ? output.free.count - block : block)
            guard let source = input.baseAddress?.assumingMemoryBound(to: UInt8.self),
                let target = (isRoomy ? output.free.baseAddress : staging.baseAddress)?
                    .assumingMemoryBound(to: UInt8.self)
            else { return nil }
            let written = permafrost_aes_update(context, source + taken, count, target)
            guard written >= 0 else { return nil }
            taken += count
            if isRoomy { output.advance(by: written) } else { pending = 0..<written }
        }
        return taken
    }

    /// The last block goes to what is flushed next; false when libcrypto refused.
    func finish() -> Bool {
        guard let target = staging.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        let written = permafrost_aes_finish(context, target)
        guard written >= 0 else { return false }
        pending = 0..<written
        return true
    }
}
