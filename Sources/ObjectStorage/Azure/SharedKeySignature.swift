package import BackupModel
import Crypto
package import HTTP

/// Authorisation by the account's key, "SharedKey" of Azure's Blob service (version 2015-02-21 and later).
package struct SharedKeySignature: RequestAuthorizer {
    private let account: String
    private let key: SymmetricKey

    /// - Parameter key: base64.
    package init(account: String, key: Secret<String>) throws(BackupError) {
        guard let bytes = Base64.decode(key.revealed), !bytes.isEmpty else {
            throw BackupError(
                .optionInvalidValue, "the key of Azure account '\(account)' is no base64",
                hint: "a shared access signature goes with repo-azure-key-type=sas")
        }
        self.account = account
        self.key = SymmetricKey(data: bytes)
    }

    package func authorize(_ request: inout HTTPRequest, at time: Int64) {
        request.headers["x-ms-date"] = ServiceTime.http(time)
        let code = HMAC<SHA256>.authenticationCode(for: Array(text(request).utf8), using: key)
        request.headers["Authorization"] = "SharedKey \(account):\(Base64.encode(code))"
    }

    package func expire() -> Bool { false }

    /// What is signed.
    package func text(_ request: HTTPRequest) -> String {
        var lines = [request.method]
        for name in ["Content-Encoding", "Content-Language"] { lines.append(request.headers[name] ?? "") }
        lines.append(request.body.isEmpty ? "" : String(request.body.count))
        for name in [
            "Content-MD5", "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match",
            "If-Unmodified-Since", "Range",
        ] { lines.append(request.headers[name] ?? "") }
        let own = request.headers.fields.map { (name: $0.name.lowercased(), value: $0.value) }
            .filter { $0.name.hasPrefix("x-ms-") }
        lines += Self.sorted(own)
        lines.append("/\(account)\(request.path)")
        lines += Self.sorted(request.query.map { (name: $0.name.lowercased(), value: $0.value) })
        return lines.joined(separator: "\n")
    }

    private static func sorted(_ fields: [(name: String, value: String)]) -> [String] {
        fields.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }.map { "\($0.name):\($0.value)" }
    }
}

/// Authorisation by a shared access signature, which the account's owner made for some actions and some time.
package struct SharedAccessSignature: RequestAuthorizer {
    private let fields: Secret<[(name: String, value: String)]>

    package init(_ text: Secret<String>) throws(BackupError) {
        let text = text.revealed
        let query = text.hasPrefix("?") ? text.dropFirst() : text[...]
        var fields: [(name: String, value: String)] = []
        for field in query.split(separator: "&") {
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let value = PercentEncoding.decode(String(pair[1])) else {
                throw Self.invalid
            }
            fields.append((String(pair[0]), value))
        }
        guard fields.contains(where: { $0.name == "sig" }) else { throw Self.invalid }
        self.fields = Secret(fields)
    }

    package func authorize(_ request: inout HTTPRequest, at time: Int64) { request.query += fields.revealed }

    package func expire() -> Bool { false }

    private static var invalid: BackupError {
        BackupError(
            .optionInvalidValue, "the shared access signature for Azure is none: it has no field 'sig'",
            hint: "the key of an account goes with repo-azure-key-type=shared")
    }
}
