import Crypto
import BackupModel
package import HTTP
import Synchronization

/// Gets what requests are signed with.
package protocol AWSCredentialSource: Sendable {
    /// - Throws: ``ServiceFailure`` or `BackupError`.
    func current() async throws -> AWSCredentials
    /// The service takes them no more.
    /// - Returns: whether others may be had.
    func expire() async -> Bool
}

/// Keys that are given and stay.
package struct GivenAWSCredentials: AWSCredentialSource {
    private let credentials: AWSCredentials

    package init(_ credentials: AWSCredentials) { self.credentials = credentials }

    package func current() async throws -> AWSCredentials { credentials }
    package func expire() async -> Bool { false }
}

/// A bucket of S3, or of a service that speaks its protocol: signs requests, sends them, and understands the answers.
///
/// Nothing is asked for beyond the permissions ListBucket, GetBucketLocation, GetObject, PutObject and DeleteObject, but
/// for the initiator's right to end an upload.
package final class S3Service: Sendable {
    package let options: S3Options
    package let retry: RequestRetry
    private let transport: any HTTPTransport
    private let credentials: any AWSCredentialSource
    private let now: @Sendable () -> Int64
    private let state: Mutex<State>
    /// Of uploads in parts, on this host.
    let journal: UploadJournal?
    /// Tells the user what does not stop the work.
    let warn: @Sendable (String) -> Void
    let deletionMode = S3Deletion.Mode()

    private struct State {
        var region: String?
        /// Seconds that the service's clock is ahead of ours, once it refused ours.
        var clockOffset: Int64 = 0
        var wantsMD5 = false
    }

    /// Of answers that are kept in memory: a list of 1000 long keys.
    static let answerLimit = 16 << 20

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - warn: tells the user what does not stop the work.
    package init(
        _ options: S3Options, _ transport: any HTTPTransport, _ credentials: any AWSCredentialSource,
        _ retry: RequestRetry, now: @escaping @Sendable () -> Int64,
        warn: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.options = options
        self.warn = warn
        // Tells uploads to this bucket from others in the journal.
        let identity = "\(options.endpoint?.origin.authority ?? "aws") \(options.bucket)"
        journal = options.journalDirectory.map { UploadJournal($0, bucket: identity) }
        self.transport = CountingTransport(transport, retry.counters)
        self.credentials = credentials
        self.retry = retry
        self.now = now
        state = Mutex(State(region: options.region))
    }

    /// For people: bucket and endpoint.
    var description: String {
        let endpoint = options.endpoint?.origin.authority ?? state.withLock { $0.region }.map(S3Address.endpoint)
        return "bucket '\(options.bucket)' at \(endpoint ?? "s3.amazonaws.com")"
    }

    /// Ends the uploads in parts that a run which was killed left; once in a run.
    func endLeftOver() async {
        await journal?.endLeftOver { key, id in await self.abortUpload(key, id) }
    }

    /// A request that is made again where that may help; the answer has a body that must be read or closed.
    /// - Parameters:
    ///   - action: the permission that it needs.
    ///   - accepting: statuses besides 2xx that the caller understands.
    /// - Throws: ``ServiceFailure``.
    func send(
        action: String, accepting: [Int] = [], _ make: (S3Address) -> HTTPRequest
    ) async throws -> HTTPResponse {
        try await retry.run { _ in try await attempt(action: action, accepting: accepting, make) }
    }

    /// The same, with the whole body; `read` makes something of it, and what it throws counts as a broken answer.
    func answer<Value>(
        action: String, _ make: (S3Address) -> HTTPRequest, _ read: ([UInt8]) throws -> Value
    ) async throws -> Value {
        try await retry.run { _ in
            let response = try await attempt(action: action, make)
            let body = try await Self.collect(response)
            do {
                return try read(body)
            } catch {
                if S3ErrorAnswer(body) != nil {
                    throw S3Failures.failure(response, body, action: action, options)
                }
                throw ServiceFailure(.broken, "\(error)", status: response.status)
            }
        }
    }

    /// One attempt.
    func attempt(
        action: String, accepting: [Int] = [], _ make: (S3Address) -> HTTPRequest
    ) async throws -> HTTPResponse {
        let region = try await region()
        var request = make(S3Address(options, region: region))
        if state.withLock({ $0.wantsMD5 }), request.method == "PUT" { Self.addMD5(&request) }
        let response = try await exchange(&request, region)
        if (200...299).contains(response.status) || accepting.contains(response.status) { return response }
        let body = try await Self.collect(response)
        var failure = S3Failures.failure(response, body, action: action, options)
        try await learn(from: &failure, response, body)
        throw failure
    }

    private func exchange(_ request: inout HTTPRequest, _ region: String) async throws -> HTTPResponse {
        let keys = try await credentials.current()
        SignatureV4(keys, region: region, service: options.service)
            .sign(&request, at: now() + state.withLock { $0.clockOffset })
        do throws(TransportError) {
            return try await transport.send(request)
        } catch {
            var failure = ServiceFailure(error)
            if let hint = S3Failures.hint(failure, request.origin.host, options) { failure.hint = hint }
            throw failure
        }
    }

    static func collect(_ response: HTTPResponse) async throws -> [UInt8] {
        do throws(TransportError) {
            return try await response.body.collect(limit: answerLimit)
        } catch {
            throw ServiceFailure(error)
        }
    }

    /// Changes what the next attempt does, where an answer says how.
    private func learn(from failure: inout ServiceFailure, _ response: HTTPResponse, _ body: [UInt8]) async throws {
        switch failure.kind {
        case .credentialsExpired: failure.isFinal = await !credentials.expire()
        case .clockSkew:
            guard let server = response.headers["Date"].flatMap(ServiceTime.parseHTTP) else { break }
            let offset = server - now()
            failure.message += "; the clock of this host differs by \(offset.magnitude)s"
            state.withLock { state in
                failure.isFinal = (state.clockOffset - offset).magnitude < 5
                state.clockOffset = offset
            }
        case .wrongRegion where options.region == nil:
            guard let region = S3Failures.region(response, body), !region.isEmpty else { break }
            state.withLock { state in
                if state.region != region { failure.kind = .unavailable }
                state.region = region
            }
        case .invalid where failure.message.contains("Content-MD5"):
            // A bucket with Object Lock: no object goes in without.
            state.withLock { state in
                if !state.wantsMD5 { failure.kind = .unavailable }
                state.wantsMD5 = true
            }
        default: break
        }
    }

    static func addMD5(_ request: inout HTTPRequest) {
        request.headers["Content-MD5"] = Base64.encode(Insecure.MD5.hash(data: request.body))
    }

    /// That of the bucket, asked for when it was not given.
    private func region() async throws -> String {
        if let region = state.withLock({ $0.region }) { return region }
        let first = "us-east-1"
        var pathStyle = options
        if options.endpoint == nil { pathStyle.style = .path }
        var request = S3Address(pathStyle, region: first).request("GET", key: nil)
        request.query = [("location", "")]
        let response = try await exchange(&request, first)
        let body = try await Self.collect(response)
        guard (200...299).contains(response.status) else {
            var failure = S3Failures.failure(response, body, action: "s3:GetBucketLocation", options)
            if failure.kind == .wrongRegion, let region = S3Failures.region(response, body), !region.isEmpty {
                state.withLock { $0.region = region }
                return region
            }
            if failure.kind == .credentialsExpired { failure.isFinal = await !credentials.expire() }
            failure.message += " (asked for the region of the bucket)"
            if failure.hint == nil || failure.kind == .denied {
                failure.hint = "set repo\(options.repositoryKey)-s3-region"
            }
            throw failure
        }
        let text: String?
        do {
            text = try S3Location.parse(body)
        } catch {
            throw ServiceFailure(.broken, "\(error)", status: response.status)
        }
        // Names from before there were regions.
        let region = text.flatMap { ["": first, "EU": "eu-west-1", "US": first][$0] ?? $0 } ?? first
        state.withLock { $0.region = region }
        return region
    }
}
