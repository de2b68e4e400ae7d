package import BackupModel
import CCrypto
import HTTP

/// A key file of a Google service account.
package struct ServiceAccountKey: Sendable {
    package var email: String
    package var keyID: String?
    /// PEM.
    package var privateKey: Secret<String>
    /// Where tokens are had.
    package var tokenAddress: String

    package static let scope = "https://www.googleapis.com/auth/devstorage.read_write"
    /// Of a token, seconds; the most that Google takes.
    private static let lifetime: Int64 = 3600

    /// - Parameter file: its name, for errors.
    package init(_ bytes: [UInt8], file: String) throws(BackupError) {
        guard let json = CredentialJSON(bytes) else {
            throw BackupError(.jsonFormat, "'\(file)' is no key file of Google's: it is no JSON object")
        }
        if let type = json["type"], type != "service_account" {
            throw BackupError(
                .featureNotSupported, "the credentials in '\(file)' are of type '\(type)'",
                hint: "name a key file of a service account, or set repo-gcs-key-type=auto where the machine has one")
        }
        guard let email = json["client_email"], let privateKey = json["private_key"] else {
            throw BackupError(
                .fileInvalid, "'\(file)' is no key file of Google's: client_email or private_key is missing")
        }
        self.email = email
        self.privateKey = Secret(privateKey)
        keyID = json["private_key_id"]
        tokenAddress = json["token_uri"] ?? "https://oauth2.googleapis.com/token"
    }

    /// The signed statement that is exchanged for a token: a JWT, RS256 (RFC 7515, 7523).
    /// - Parameter time: seconds since 1970.
    package func assertion(at time: Int64) throws(BackupError) -> Secret<String> {
        let quoted = ServiceJSON.quoted
        var header = "{\"alg\":\"RS256\",\"typ\":\"JWT\""
        if let keyID { header += ",\"kid\":\(quoted(keyID))" }
        header += "}"
        let claims =
            "{\"iss\":\(quoted(email)),\"scope\":\(quoted(Self.scope)),\"aud\":\(quoted(tokenAddress)),"
            + "\"iat\":\(time),\"exp\":\(time + Self.lifetime)}"
        let text = Self.base64URL(Array(header.utf8)) + "." + Self.base64URL(Array(claims.utf8))
        return Secret(text + "." + Self.base64URL(try signature(Array(text.utf8))))
    }

    private func signature(_ message: [UInt8]) throws(BackupError) -> [UInt8] {
        var reason: UnsafePointer<CChar>?
        guard permafrost_crypto_load(&reason) else {
            let text = reason.map { String(cString: $0) } ?? "no reason was given"
            throw BackupError(
                .crypto, "libcrypto cannot be loaded: \(text)", hint: "install OpenSSL 3 (libcrypto.so.3)")
        }
        var signature = [UInt8](repeating: 0, count: 2048)
        let pem = Array(privateKey.revealed.utf8)
        let size = permafrost_sign_sha256(pem, pem.count, message, message.count, &signature, signature.count)
        guard size > 0 else {
            throw BackupError(
                .crypto, "the private key of service account '\(email)' is none that can be signed with",
                hint: "get a new key file for the account")
        }
        return Array(signature[..<size])
    }

    private static func base64URL(_ bytes: [UInt8]) -> String {
        String(
            Base64.encode(bytes).compactMap { (digit: Character) -> Character? in
                switch digit {
                case "+": "-"
                case "/": "_"
                case "=": nil
                default: digit
                }
            })
    }
}
