package import BackupModel
package import HTTP

/// Puts an access token into each request: `Authorization: Bearer …`.
package struct BearerAuthorizer: RequestAuthorizer {
    private let cache: CredentialCache<Secret<String>>

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - fetch: gets a token; makes its own retries.
    package init(
        now: @escaping @Sendable () -> Int64, fetch: @escaping @Sendable () async throws -> AccessTokens.Entry
    ) {
        cache = CredentialCache(now: now, fetch: fetch)
    }

    /// One that is given and stays.
    package init(token: Secret<String>) {
        self.init(now: { 0 }, fetch: { AccessTokens.Entry(token, expires: nil) })
    }

    package func authorize(_ request: inout HTTPRequest, at time: Int64) async throws {
        request.headers["Authorization"] = "Bearer " + (try await cache.current()).revealed
    }

    package func expire() async -> Bool { await cache.expire() }
}

/// Gets access tokens from those who give them out: `{"access_token": …, "expires_in": …}`.
package struct AccessTokens: Sendable {
    package typealias Entry = CredentialCache<Secret<String>>.Entry

    let transport: any HTTPTransport
    let retry: RequestRetry
    let environment: [String: String]
    /// Seconds since 1970.
    let now: @Sendable () -> Int64

    /// - Parameter transport: metadata services are reached without a proxy; it is this transport's to know.
    package init(
        _ transport: any HTTPTransport, _ retry: RequestRetry, environment: [String: String],
        now: @escaping @Sendable () -> Int64
    ) {
        self.transport = CountingTransport(transport, retry.counters)
        self.retry = retry
        self.environment = environment
        self.now = now
    }

    /// An environment variable that is set to something.
    func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// - Parameter source: who is asked, for errors.
    /// - Throws: ``ServiceFailure`` that no attempt of the caller can heal.
    func ask(_ source: String, _ request: HTTPRequest) async throws -> Entry {
        do {
            return try await retry.run { _ in
                let asked = now()
                let response: HTTPResponse
                do throws(TransportError) {
                    response = try await transport.send(request)
                } catch {
                    throw ServiceFailure(error)
                }
                let body = try await ServiceClient.collect(response)
                guard response.status == 200 else { throw Self.failure(response, body) }
                return try Self.entry(body, asked: asked)
            }
        } catch var failure as ServiceFailure {
            failure.message = "no access token from \(source): \(failure.message)"
            if failure.kind == .missing || failure.kind == .invalid { failure.kind = .badCredentials }
            failure.isFinal = true
            throw failure
        }
    }

    private static func entry(_ body: [UInt8], asked: Int64) throws(ServiceFailure) -> Entry {
        guard let json = CredentialJSON(body), let token = json["access_token"], !token.isEmpty else {
            throw ServiceFailure(.broken, "the answer has no access_token")
        }
        // By the service's clock where there is nothing else: App Service.
        let expires =
            json["expires_in"].flatMap { Int32($0) }.map { asked + Int64($0) }
            ?? json["expires_on"].flatMap { Int64($0) }
        guard let expires, expires > asked else {
            throw ServiceFailure(.broken, "the answer does not say how long the token is good for")
        }
        return Entry(Secret(token), expires: expires)
    }

    /// What Google, Microsoft and metadata services say in OAuth's words.
    private static func failure(_ response: HTTPResponse, _ body: [UInt8]) -> ServiceFailure {
        var failure = ServiceFailure(ServiceFailure.kind(status: response.status), "", status: response.status)
        if let json = CredentialJSON(body), let code = json["error"] {
            failure.code = code
            // Microsoft's text goes on with lines for its support.
            failure.message =
                json["error_description"].flatMap { $0.split(whereSeparator: \.isNewline).first }.map(String.init) ?? ""
        } else {
            failure.message = ServiceFailure.excerpt(of: body)
        }
        failure.retryAfter = ServiceFailure.retryAfter(response)
        // Instances that just started are asked for a token before it is there.
        if response.status == 410 { failure.kind = .unavailable }
        return failure
    }
}

extension ServiceFailure {
    /// What an answer that is none of the service's own begins with: a proxy's page, or nothing.
    static func excerpt(of body: [UInt8]) -> String {
        if body.isEmpty { return "no reason was given" }
        let start = String(decoding: body.prefix(100), as: UTF8.self)
        return "the answer is '\(String(start.map { $0.isNewline ? " " : $0 }))'"
    }

    /// The wait that an answer asks for, 300 seconds at most.
    static func retryAfter(_ response: HTTPResponse) -> Duration? {
        response.headers["Retry-After"].flatMap { Int($0) }.map { .seconds(min(max($0, 0), 300)) }
    }
}
