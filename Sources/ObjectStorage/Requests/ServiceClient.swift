import BackupModel
package import HTTP
import RepositoryStorage
import Synchronization

/// Adds to requests what proves who asks.
package protocol RequestAuthorizer: Sendable {
    /// - Parameter time: seconds since 1970, by the service's clock as far as it is known.
    /// - Throws: ``ServiceFailure`` or `BackupError` when there are no credentials.
    func authorize(_ request: inout HTTPRequest, at time: Int64) async throws
    /// The service does not take the credentials any more.
    /// - Returns: whether others may be had.
    func expire() async -> Bool
}

/// Sends requests to one service, with credentials, and tells answers from failures.
package final class ServiceClient: Sendable {
    package let retry: RequestRetry
    private let transport: any HTTPTransport
    private let authorizer: any RequestAuthorizer
    private let now: @Sendable () -> Int64
    private let describe: @Sendable (_ answer: HTTPResponse, _ body: [UInt8], _ action: String) -> ServiceFailure
    /// Seconds that the service's clock is ahead of ours, once it refused ours.
    private let clockOffset = Mutex<Int64>(0)

    /// Of answers that are kept in memory: a list of 5000 long keys.
    private static let answerLimit = 32 << 20

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - describe: makes a failure of an answer that is none of those that were asked for.
    package init(
        _ transport: any HTTPTransport, _ authorizer: any RequestAuthorizer, _ retry: RequestRetry,
        now: @escaping @Sendable () -> Int64,
        describe: @escaping @Sendable (_ answer: HTTPResponse, _ body: [UInt8], _ action: String) -> ServiceFailure
    ) {
        self.transport = CountingTransport(transport, retry.counters)
        self.authorizer = authorizer
        self.retry = retry
        self.now = now
        self.describe = describe
    }

    /// One attempt; the answer has a body that must be read or closed.
    /// - Parameters:
    ///   - action: the permission that it needs, for errors.
    ///   - accepting: statuses besides 2xx that the caller understands.
    /// - Throws: ``ServiceFailure``.
    func attempt(_ request: HTTPRequest, action: String, accepting: [Int] = []) async throws -> HTTPResponse {
        var request = request
        try await authorizer.authorize(&request, at: now() + clockOffset.withLock { $0 })
        let response: HTTPResponse
        do throws(TransportError) {
            response = try await transport.send(request)
        } catch {
            throw ServiceFailure(error)
        }
        if (200...299).contains(response.status) || accepting.contains(response.status) { return response }
        var failure = describe(response, try await Self.collect(response), action)
        await learn(from: &failure, response)
        throw failure
    }

    /// One attempt with its whole body.
    func attemptWhole(
        _ request: HTTPRequest, action: String, accepting: [Int] = []
    ) async throws -> (head: HTTPResponse, body: [UInt8]) {
        let response = try await attempt(request, action: action, accepting: accepting)
        return (response, try await Self.collect(response))
    }

    /// A request that is made again where that may help; `read` makes something of the answer, and what it throws
    /// counts as a broken one.
    func answer<Value>(
        _ request: HTTPRequest, action: String, accepting: [Int] = [],
        _ read: (_ head: HTTPResponse, _ body: [UInt8]) throws -> Value
    ) async throws -> Value {
        try await retry.run { _ in
            let (head, body) = try await attemptWhole(request, action: action, accepting: accepting)
            do {
                return try read(head, body)
            } catch let failure as ServiceFailure {
                throw failure
            } catch {
                throw ServiceFailure(.broken, "\(error)", status: head.status)
            }
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
    private func learn(from failure: inout ServiceFailure, _ response: HTTPResponse) async {
        switch failure.kind {
        case .credentialsExpired:
            if await !authorizer.expire() { failure.kind = .badCredentials }
        case .clockSkew:
            guard let server = response.headers["Date"].flatMap(ServiceTime.parseHTTP) else { break }
            let offset = server - now()
            failure.message += "; the clock of this host differs by \(offset.magnitude)s"
            clockOffset.withLock { known in
                failure.isFinal = (known - offset).magnitude < 5
                known = offset
            }
        default: break
        }
    }
}
