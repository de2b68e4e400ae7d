import BackupModel
import HTTP
import RepositoryStorage

/// Credentials of the machine or the container that this runs in.
extension AWSCredentialFetcher {
    /// Of an EC2 instance, by IMDSv2; by version 1 where the token's address is not known.
    /// - Parameter role: nil is the one that the instance has.
    package func instance(role: String?) async throws -> Entry {
        let source = "the metadata of the instance"
        if variable("AWS_EC2_METADATA_DISABLED")?.lowercased() == "true" {
            throw BackupError(.access, "no credentials from \(source): AWS_EC2_METADATA_DISABLED is set")
        }
        let base = try S3Endpoint(
            variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? "http://169.254.169.254", port: nil
        ).origin
        var headers = HTTPHeaders()
        var request = HTTPRequest("PUT", base, path: "/latest/api/token")
        request.headers["X-aws-ec2-metadata-token-ttl-seconds"] = "21600"
        do {
            headers["X-aws-ec2-metadata-token"] = try await text(ask(source, request))
        } catch let failure as ServiceFailure where [403, 404, 405].contains(failure.status) {
            // Version 1 has no tokens.
        }
        let directory = "/latest/meta-data/iam/security-credentials/"
        var name = role
        if name == nil {
            var request = HTTPRequest("GET", base, path: directory)
            request.headers = headers
            name = try await text(ask(source, request)).split(whereSeparator: \.isNewline).first.map(String.init)
        }
        guard let name, !name.isEmpty else {
            throw BackupError(.access, "no credentials from \(source): it has no role")
        }
        request = HTTPRequest("GET", base, path: directory + PercentEncoding.encode(name))
        request.headers = headers
        return try Self.parse(try await ask(source, request), from: source)
    }

    /// Of an ECS task or an EKS pod: `AWS_CONTAINER_CREDENTIALS_…`.
    package func container() async throws -> Entry {
        let source = "the container's credentials service"
        let address: String
        if let full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            address = full
        } else if let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            address = "http://169.254.170.2" + relative
        } else {
            throw BackupError(
                .optionInvalid, "no credentials from \(source): AWS_CONTAINER_CREDENTIALS_FULL_URI is not set",
                hint: "repo-s3-key-type=pod-id works in pods with an EKS pod identity")
        }
        let parts = try Self.split(address)
        var request = HTTPRequest("GET", parts.origin, path: parts.path)
        request.query = parts.query
        if let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            request.headers["Authorization"] = text(try LocalFile.readAll(file, limit: 1 << 16))
        } else if let token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN") {
            request.headers["Authorization"] = token
        }
        return try Self.parse(try await ask(source, request), from: source)
    }

    func text(_ bytes: [UInt8]) -> String {
        var bytes = bytes[...]
        while let last = bytes.last, [0x0a, 0x0d, 0x20].contains(last) { bytes = bytes.dropLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A whole address with path and query.
    private static func split(
        _ address: String
    ) throws(BackupError) -> (origin: HTTPOrigin, path: String, query: [(name: String, value: String)]) {
        let start = address.firstRange(of: "://")?.upperBound ?? address.startIndex
        let slash = address[start...].firstIndex(of: "/") ?? address.endIndex
        let origin = try S3Endpoint(String(address[..<slash]), port: nil).origin
        let parts = address[slash...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let query = (parts.count > 1 ? parts[1].split(separator: "&") : []).map { field in
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map {
                PercentEncoding.decode(String($0), plusIsSpace: true) ?? String($0)
            }
            return (name: pair[0], value: pair.count > 1 ? pair[1] : "")
        }
        let path = parts.first.map(String.init) ?? ""
        return (origin, path.isEmpty ? "/" : path, query)
    }
}
