import BackupModel

/// The value of `tls-cipher-12`: names only. OpenSSL's words for many (`HIGH`, `!aNULL`) mean other ciphers in each
/// library, and the library traps on a list that leaves none.
enum CipherList {
    /// What BoringSSL has for TLS 1.2.
    static let known = [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
    ]

    static func validated(_ text: String) throws(BackupError) -> String {
        let names = text.split(separator: ":").map(String.init)
        if let unknown = names.first(where: { !known.contains($0) }) ?? (names.isEmpty ? text : nil) {
            throw BackupError(
                .optionInvalidValue, "'\(unknown)' is not valid for 'tls-cipher-12'",
                hint: "name ciphers, with colons between them, out of: \(known.joined(separator: " "))")
        }
        return names.joined(separator: ":")
    }
}
