import BackupModel
import HTTP

/// Access tokens from Google.
extension AccessTokens {
    /// By a key file of a service account.
    package func google(_ key: ServiceAccountKey) async throws -> Entry {
        let address = try ServiceAddress(key.tokenAddress)
        var request = HTTPRequest("POST", address.origin, path: address.path)
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        let assertion = try key.assertion(at: now())
        request.body = Array(
            PercentEncoding.query([
                (name: "grant_type", value: "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                (name: "assertion", value: assertion.revealed),
            ]).utf8)
        return try await ask("'\(address.origin.authority)' for service account '\(key.email)'", request)
    }

    /// Of the service account that the machine or the pod runs as, workload identity among them.
    package func googleMetadata() async throws -> Entry {
        let host = variable("GCE_METADATA_HOST") ?? "metadata.google.internal"
        let address = try ServiceAddress("http://\(host)/computeMetadata/v1/instance/service-accounts/default/token")
        var request = HTTPRequest("GET", address.origin, path: address.path)
        request.headers["Metadata-Flavor"] = "Google"
        do {
            return try await ask("the metadata service '\(address.origin.authority)'", request)
        } catch var failure as ServiceFailure where failure.status == nil || failure.status == 404 {
            failure.hint = "repo-gcs-key-type=auto works where Google gives the machine or the pod a service account"
            throw failure
        }
    }
}

/// A whole address of a service, with its path.
struct ServiceAddress {
    var origin: HTTPOrigin
    var path: String

    init(_ text: String) throws(BackupError) {
        let start = text.firstRange(of: "://")?.upperBound ?? text.startIndex
        let slash = text[start...].firstIndex(of: "/") ?? text.endIndex
        origin = try S3Endpoint(String(text[..<slash]), port: nil).origin
        path = slash == text.endIndex ? "/" : String(text[slash...])
    }
}
