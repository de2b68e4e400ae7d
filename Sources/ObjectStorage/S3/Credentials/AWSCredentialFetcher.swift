import BackupModel
package import HTTP

/// Gets temporary credentials where AWS and its like have them to give. Each call makes its own retries.
package struct AWSCredentialFetcher: Sendable {
    package typealias Entry = CredentialCache<AWSCredentials>.Entry

    let transport: any HTTPTransport
    let retry: RequestRetry
    let environment: [String: String]
    /// Seconds since 1970.
    let now: @Sendable () -> Int64

    package init(
        _ transport: any HTTPTransport, _ retry: RequestRetry, environment: [String: String],
        now: @escaping @Sendable () -> Int64
    ) {
        self.transport = transport
        self.retry = retry
        self.environment = environment
        self.now = now
    }

    /// An environment variable that is set to something.
    func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// One request; the body of the answer, which must be a success.
    /// - Parameter source: who was asked, for errors.
    func ask(_ source: String, sign: (@Sendable (inout HTTPRequest) -> Void)? = nil, _ request: HTTPRequest)
        async throws
        -> [UInt8]
    {
        do {
            return try await retry.run { _ in
                var request = request
                sign?(&request)
                let response: HTTPResponse
                do throws(TransportError) {
                    response = try await transport.send(request)
                } catch {
                    throw ServiceFailure(error)
                }
                let body = try await S3Service.collect(response)
                guard (200...299).contains(response.status) else { throw Self.failure(response, body) }
                return body
            }
        } catch var failure as ServiceFailure {
            failure.message = "no credentials from \(source): \(failure.message)"
            if failure.kind == .missing || failure.kind == .invalid { failure.kind = .badCredentials }
            failure.isFinal = true
            throw failure
        }
    }

    private static func failure(_ response: HTTPResponse, _ body: [UInt8]) -> ServiceFailure {
        let answer = S3ErrorAnswer(body)
        var kind = ServiceFailure.kind(status: response.status)
        if let code = answer?.code, code.hasPrefix("Throttling") { kind = .throttled }
        let text = String(decoding: body.prefix(200), as: UTF8.self).map { $0.isNewline ? " " : $0 }
        return ServiceFailure(
            kind, answer?.message ?? (text.isEmpty ? "no reason was given" : String(text)), status: response.status,
            code: answer?.code, requestID: answer?.requestID ?? response.headers["x-amzn-RequestId"])
    }

    /// Credentials as metadata services and programs write them.
    static func parse(_ body: [UInt8], from source: String, tokenName: String = "Token") throws(BackupError) -> Entry {
        guard let json = CredentialJSON(body) else {
            throw BackupError(.jsonFormat, "no credentials from \(source): the answer is no JSON object")
        }
        guard let key = json["AccessKeyId"], let secret = json["SecretAccessKey"], !key.isEmpty, !secret.isEmpty else {
            let reason =
                json["Message"] ?? json["message"] ?? json["Code"] ?? "AccessKeyId or SecretAccessKey is missing"
            throw BackupError(.access, "no credentials from \(source): \(reason)")
        }
        var expires: Int64?
        if let text = json["Expiration"] {
            guard let time = ServiceTime.parseISO8601(text) else {
                throw BackupError(.format, "no credentials from \(source): '\(text)' is no time")
            }
            expires = time
        }
        return Entry(
            AWSCredentials(
                accessKey: key, secretKey: Secret(secret), sessionToken: json[tokenName].map { Secret($0) }),
            expires: expires)
    }
}

/// Credentials that are fetched, and fetched again in time.
package struct RenewedAWSCredentials: AWSCredentialSource {
    private let cache: CredentialCache<AWSCredentials>

    package init(
        now: @escaping @Sendable () -> Int64, _ fetch: @escaping @Sendable () async throws -> AWSCredentialFetcher.Entry
    ) {
        cache = CredentialCache(now: now, fetch: fetch)
    }

    package func current() async throws -> AWSCredentials { try await cache.current() }
    package func expire() async -> Bool { await cache.expire() }
}
