package import BackupModel
package import HTTP
package import RepositoryStorage

/// Calls of a Kubernetes API server. All may be made from many tasks at once; none blocks.
///
/// A call that failed in a way that may pass is made again a few times, with growing pauses, or when the server says that
/// it may: reads always, changes only when it is certain that they were not carried out.
package final class KubernetesClient: Sendable {
    package struct Options: Sendable {
        /// Who owns the fields that we write.
        package var fieldManager: String
        /// Of one call; `attempts` in all.
        package var retry = RetryPolicy(attempts: 5, shortest: .milliseconds(200), longest: .seconds(5))
        /// A server that asks to wait longer is not waited for.
        package var longestWait = Duration.seconds(15)
        /// Objects of one answer to a list.
        package var pageSize = 500
        package var time: any WaitingTime = MonotonicTime()

        package init(fieldManager: String) { self.fieldManager = fieldManager }
    }

    package let options: Options
    /// Where ours are that say no other.
    package let namespace: String
    private let origin: HTTPOrigin
    private let pathPrefix: String
    private let calls: any HTTPTransport
    private let watches: any HTTPTransport
    private let token: BearerToken

    /// Schemas of custom resources are nested deeper than anything else that services say. The server takes objects of
    /// users that are ten thousand levels deep: one of them must not hide all others.
    static let deepest = 128
    private static let answerLimit = 256 << 20
    /// Of a call.
    private static let silence = Duration.seconds(30)
    /// Of a watch, in which a bookmark comes each minute.
    private static let watchSilence = Duration.seconds(100)
    /// Each watch has a connection, and keeps it: one that waited for another's would never begin.
    private static let watchLimit = 1 << 16

    /// - Throws: when a certificate or key cannot be used.
    package convenience init(_ access: ClusterAccess, _ options: Options) throws(BackupError) {
        var transport = access.transport
        transport.connectTimeout = .seconds(10)
        transport.timeout = Self.silence
        let calls = try NetworkTransport(transport)
        transport.timeout = Self.watchSilence
        transport.connections = Self.watchLimit
        self.init(access, options, calls: calls, watches: try NetworkTransport(transport))
    }

    /// - Parameters:
    ///   - calls: takes silence for the end of a connection after a short while.
    ///   - watches: after longer than it takes the server to send a bookmark.
    package init(
        _ access: ClusterAccess, _ options: Options, calls: any HTTPTransport, watches: any HTTPTransport
    ) {
        self.options = options
        self.calls = calls
        self.watches = watches
        origin = access.origin
        pathPrefix = access.pathPrefix
        namespace = access.namespace
        token = BearerToken(access.credential)
    }

    // MARK: Requests

    /// - Parameters:
    ///   - what: what is tried, for messages.
    ///   - isRead: whether it may be made again after it was perhaps carried out.
    func answer(
        _ request: HTTPRequest, _ what: String, isRead: Bool
    ) async throws(KubernetesError) -> [UInt8] {
        var failures = 0
        while true {
            do throws(KubernetesError) {
                let response = try await send(request, what, over: calls)
                do throws(TransportError) {
                    return try await response.body.collect(limit: Self.answerLimit)
                } catch {
                    throw KubernetesError(error, what)
                }
            } catch {
                failures += 1
                guard failures < options.retry.attempts, error.isRetryable, isRead || error.wasNotDone else {
                    throw error
                }
                let pause = max(options.retry.wait(after: failures), error.retryAfter ?? .zero)
                guard pause <= options.longestWait else { throw error }
                // Cancelled: the failure that led here says more than the cancellation does.
                do { try await options.time.sleep(for: pause) } catch _ { throw error }
            }
        }
    }

    func object(
        _ request: HTTPRequest, _ what: String, isRead: Bool
    ) async throws(KubernetesError) -> KubernetesObject {
        let bytes = try await answer(request, what, isRead: isRead)
        guard let json = ServiceJSON(cutting: bytes, deepest: Self.deepest), let object = KubernetesObject(json) else {
            throw KubernetesError(status: nil, message: "unable to \(what): the answer is no object of JSON")
        }
        return object
    }

    /// For a watch: an answer that goes on.
    func stream(_ request: HTTPRequest, _ what: String) async throws(KubernetesError) -> any HTTPBody {
        try await send(request, what, over: watches).body
    }

    /// - Returns: an answer that says yes.
    private func send(
        _ request: HTTPRequest, _ what: String, over transport: any HTTPTransport
    ) async throws(KubernetesError) -> HTTPResponse {
        var mayRenew = true
        while true {
            var authorized = request
            do throws(BackupError) {
                if let token = try await token.current() {
                    authorized.headers["Authorization"] = "Bearer \(token.revealed)"
                }
            } catch {
                throw KubernetesError(error, what)
            }
            let failure: KubernetesError
            do throws(TransportError) {
                let response = try await transport.send(authorized)
                if (200...299).contains(response.status) { return response }
                let body = try await response.body.collect(limit: 1 << 20)
                failure = KubernetesError(response.status, response.headers, body, what)
            } catch {
                throw KubernetesError(error, what)
            }
            guard failure.isUnauthorized, mayRenew, token.refused() else { throw failure }
            mayRenew = false
        }
    }

    /// - Parameters:
    ///   - namespace: nil for all, or for what has none.
    ///   - name: nil for the collection.
    func request(
        _ method: String, _ type: ResourceType, _ namespace: String?, _ name: String? = nil,
        _ subresource: String? = nil
    ) -> HTTPRequest {
        var path = pathPrefix + (type.group.isEmpty ? "/api/" : "/apis/\(type.group)/") + type.version
        if type.isNamespaced, let namespace { path += "/namespaces/" + PercentEncoding.encode(namespace) }
        path += "/" + type.plural
        if let name { path += "/" + PercentEncoding.encode(name) }
        if let subresource { path += "/" + subresource }
        var request = HTTPRequest(method, origin, path: path)
        request.headers = ["Accept": "application/json", "User-Agent": options.fieldManager]
        return request
    }

    /// - Parameter path: of the API, with a slash at its front: `/version`.
    package func get(path: String) async throws(KubernetesError) -> ServiceJSON {
        var request = HTTPRequest("GET", origin, path: pathPrefix + path)
        request.headers = ["Accept": "application/json", "User-Agent": options.fieldManager]
        return try await object(request, "get '\(path)'", isRead: true).json
    }

    static func described(_ verb: String, _ type: ResourceType, _ key: ObjectKey) -> String {
        "\(verb) \(type) '\(key)'"
    }
}
