import BackupModel
import HTTP
import RepositoryStorage

/// Credentials of a role, from AWS's Security Token Service.
extension AWSCredentialFetcher {
    /// A role to take on.
    package struct Role: Sendable, Equatable {
        package var name: String
        package var session = "permafrost"
        package var externalID: String?
        /// Seconds.
        package var duration: Int?

        /// - Parameter name: `arn:aws:iam::123456789012:role/backup`.
        package init(_ name: String) { self.name = name }
    }

    /// By a token that somebody else signed, such as the Kubernetes cluster (IRSA).
    /// - Parameters:
    ///   - tokenFile: read each time: it is renewed by others.
    ///   - service: host of the service, nil is AWS's.
    package func webIdentity(_ role: Role, tokenFile: String, service: String?) async throws -> Entry {
        let token = text(try LocalFile.readAll(tokenFile, limit: 1 << 16))
        var fields = Self.fields("AssumeRoleWithWebIdentity", role)
        fields.append(("WebIdentityToken", token))
        let body = try await ask("the token service", try request(fields, service))
        return try Self.parse(body, action: "AssumeRoleWithWebIdentity")
    }

    /// By other credentials.
    package func assume(
        _ role: Role, with credentials: AWSCredentials, region: String, service: String?
    ) async throws -> Entry {
        var fields = Self.fields("AssumeRole", role)
        if let externalID = role.externalID { fields.append(("ExternalId", externalID)) }
        let signature = SignatureV4(credentials, region: region, service: "sts")
        let body = try await ask(
            "the token service", sign: { signature.sign(&$0, at: now()) }, try request(fields, service))
        return try Self.parse(body, action: "AssumeRole")
    }

    private func request(_ fields: [(name: String, value: String)], _ service: String?) throws(BackupError)
        -> HTTPRequest
    {
        let host = service ?? variable("AWS_ENDPOINT_URL_STS") ?? "sts.amazonaws.com"
        var request = HTTPRequest("POST", try S3Endpoint(host, port: nil).origin, path: "/")
        request.headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        request.body = Array(PercentEncoding.query(fields).utf8)
        return request
    }

    private static func fields(_ action: String, _ role: Role) -> [(name: String, value: String)] {
        var fields = [
            (name: "Action", value: action), (name: "Version", value: "2011-06-15"),
            (name: "RoleArn", value: role.name), (name: "RoleSessionName", value: role.session),
        ]
        if let duration = role.duration { fields.append(("DurationSeconds", String(duration))) }
        return fields
    }

    private static func parse(_ body: [UInt8], action: String) throws -> Entry {
        var found: [String: String] = [:]
        do {
            try XMLPull.forEachElement(in: body) { path, text in
                if path.count == 4, path[1] == "\(action)Result", path[2] == "Credentials" { found[path[3]] = text }
            }
        } catch {
            throw BackupError(.format, "no credentials from the token service: \(error)")
        }
        guard let key = found["AccessKeyId"], let secret = found["SecretAccessKey"],
            let token = found["SessionToken"], let expires = found["Expiration"].flatMap(ServiceTime.parseISO8601)
        else {
            throw BackupError(.format, "no credentials from the token service: its answer lacks some")
        }
        return Entry(
            AWSCredentials(accessKey: key, secretKey: Secret(secret), sessionToken: Secret(token)), expires: expires)
    }
}
