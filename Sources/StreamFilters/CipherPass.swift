package import BackupModel
import CCrypto

extension Secret where Value == String {
    /// A pass that encrypts part of a repository: 48 random bytes in base64, as pgBackRest makes them. Throws `.crypto`
    /// when the system has no randomness.
    package static func newCipherPass() throws(BackupError) -> Secret<String> {
        var bytes = [UInt8](repeating: 0, count: 48)
        guard permafrost_random(&bytes, bytes.count) else {
            throw BackupError(.crypto, "unable to get random bytes from the system")
        }
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        // 48 is a multiple of 3: no padding.
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = UInt32(bytes[start]) << 16 | UInt32(bytes[start + 1]) << 8 | UInt32(bytes[start + 2])
            for shift in [18, 12, 6, 0] { text.append(digits[Int(group >> UInt32(shift) & 63)]) }
        }
        return Secret(String(decoding: text, as: UTF8.self))
    }
}
