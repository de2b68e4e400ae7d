import BackupModel
import Crypto
package import HTTP

/// AWS Signature Version 4, in the header `Authorization`, with the payload signed.
///
/// Source: "AWS Signature Version 4 for API requests", IAM User Guide. Compared in the tests with AWS's published
/// vectors and with botocore.
package struct SignatureV4: Sendable {
    package var credentials: AWSCredentials
    package var region: String
    /// `s3`, `sts`, `s3-outposts`.
    package var service: String

    package init(_ credentials: AWSCredentials, region: String, service: String) {
        self.credentials = credentials
        self.region = region
        self.service = service
    }

    /// Adds the headers that sign the request as it is; whatever is added afterwards is not signed.
    /// - Parameter time: seconds since 1970, by the service's clock.
    package func sign(_ request: inout HTTPRequest, at time: Int64) {
        let stamp = ServiceTime.compact(time)
        let payload = Self.hexadecimal(SHA256.hash(data: request.body))
        request.headers["X-Amz-Date"] = stamp
        if service.hasPrefix("s3") { request.headers["X-Amz-Content-Sha256"] = payload }
        if let token = credentials.sessionToken { request.headers["X-Amz-Security-Token"] = token.revealed }

        let headers = signedHeaders(request)
        let names = headers.map(\.name).joined(separator: ";")
        let date = String(stamp.prefix(8))
        let scope = "\(date)/\(region)/\(service)/aws4_request"
        let text =
            "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n"
            + Self.hexadecimal(SHA256.hash(data: Array(canonical(request, headers, names, payload).utf8)))
        request.headers["Authorization"] =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope), SignedHeaders=\(names), "
            + "Signature=\(Self.hexadecimal(Self.code(text, key(date))))"
    }

    /// Lower-case names, sorted; values without needless spaces.
    private func signedHeaders(_ request: HTTPRequest) -> [(name: String, value: String)] {
        var headers = request.headers.fields.map { (name: $0.name.lowercased(), value: Self.trimmed($0.value)) }
        if request.headers["Host"] == nil { headers.append(("host", request.origin.authority)) }
        headers.removeAll { $0.name == "authorization" }
        return headers.sorted { $0.name < $1.name }
    }

    private func canonical(
        _ request: HTTPRequest, _ headers: [(name: String, value: String)], _ names: String, _ payload: String
    ) -> String {
        // Sorted by what is sent, not by what it means.
        let pairs = request.query.map {
            (name: PercentEncoding.encode($0.name), value: PercentEncoding.encode($0.value))
        }
        let sorted = pairs.sorted { one, other in
            one.name == other.name ? one.value < other.value : one.name < other.name
        }
        let query = sorted.map { pair in pair.name + "=" + pair.value }.joined(separator: "&")
        let fields = headers.map { "\($0.name):\($0.value)\n" }.joined()
        // S3 signs the path as it is sent; other services encode what is encoded once more.
        let path = service.hasPrefix("s3") ? request.path : PercentEncoding.encode(request.path, keepingSlashes: true)
        return "\(request.method)\n\(path)\n\(query)\n\(fields)\n\(names)\n\(payload)"
    }

    private func key(_ date: String) -> SymmetricKey {
        var key = SymmetricKey(data: Array("AWS4\(credentials.secretKey.revealed)".utf8))
        for part in [date, region, service, "aws4_request"] { key = SymmetricKey(data: Self.code(part, key)) }
        return key
    }

    private static func code(_ text: String, _ key: SymmetricKey) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)
    }

    private static func trimmed(_ value: String) -> String {
        value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
    }

    package static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
