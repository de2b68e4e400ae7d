package import BackupModel
package import HTTP
import Synchronization

/// A small API server of Kubernetes, in memory, on loopback: any type of objects, with versions and conflicts, watches,
/// status, owners, finalizers, selectors, patches and server-side apply. A definition of custom resources makes it serve
/// them; schemas are not checked.
package final class APITestServer: Sendable {
    package struct Behaviour: Sendable {
        /// Without one of these every request is answered 401; empty for anybody.
        package var tokens: Set<String> = []
        package var bookmarkPause = Duration.milliseconds(500)
        /// A state that is too old is told in the watch, and not in place of it.
        package var tellsGoneInWatch = false
        /// Answers in place of the server, where it gives one.
        package var intercept: (@Sendable (ServerRequest) async -> ServerResponse?)?
        /// Has the logs of containers, in place of ``APITestServer/setLog(namespace:pod:_:)``; nil for what it does not
        /// know.
        package var logs: (@Sendable (LogRequest) async -> ContainerLog?)?

        package init() {}
    }

    struct Shared: Sendable {
        var table = ObjectTable()
        var behaviour = Behaviour()
        var requests: [String] = []
        var logs: [String: String] = [:]
        var watchers: [Int: AsyncStream<Void>.Continuation] = [:]
        var lastWatcher = 0
        /// Grows with each wish to cut all watches.
        var cuts = 0
    }

    let shared = Mutex(Shared())
    private let server = Mutex<HTTPServer?>(nil)
    private let listening = Mutex(0)

    private let fronts = Mutex<[SecureFront]>([])

    /// 0 before it is started.
    package var port: Int { listening.withLock { $0 } }

    package init() {}

    /// - Returns: the port on 127.0.0.1.
    package func start(port: Int = 0) async throws(BackupError) -> Int {
        let server = HTTPServer(ServerOptions(.plain(address: "127.0.0.1", port: port)), handler: self)
        self.server.withLock { $0 = server }
        let taken = try await server.start()
        listening.withLock { $0 = taken }
        return taken
    }

    /// Serves the same by TLS as well; clients need no certificates.
    /// - Parameters:
    ///   - certificateFile, keyFile: PEM.
    package func secure(address: String, port: Int, certificateFile: String, keyFile: String) async throws {
        let front = try await SecureFront(
            address: address, port: port, certificateFile: certificateFile, keyFile: keyFile, behind: self.port)
        fronts.withLock { $0.append(front) }
    }

    package func stop() async {
        cutWatches()
        for front in fronts.withLock({ $0 }) { await front.stop() }
        let server = server.withLock { $0.take() }
        await server?.stop(graceful: .zero)
    }

    // MARK: What tests do to it

    package func set(_ change: @Sendable (inout Behaviour) -> Void) { shared.withLock { change(&$0.behaviour) } }

    /// As it is stored, without a request.
    package func object(_ plural: String, namespace: String, name: String) -> ServiceJSON? {
        shared.withLock { $0.table.find(plural: plural, ObjectTable.Key(namespace: namespace, name: name)) }
    }

    /// `METHOD /path?query`, since the start or since they were asked for.
    package func takeRequests() -> [String] {
        shared.withLock { shared in
            defer { shared.requests = [] }
            return shared.requests
        }
    }

    /// Watches that are open.
    package var watches: Int { shared.withLock { $0.watchers.count } }

    /// Forgets what has happened: who asks for what came after an older state is answered 410.
    package func compact() { shared.withLock { $0.table.compact() } }

    /// Ends all watches at once, in the middle of a word.
    package func cutWatches() {
        let watchers = shared.withLock { shared in
            shared.cuts += 1
            return Array(shared.watchers.values)
        }
        for watcher in watchers { watcher.yield() }
    }

    package func setLog(namespace: String, pod: String, _ text: String) {
        shared.withLock { $0.logs["\(namespace)/\(pod)"] = text }
    }

    package func add(_ type: ServedType) { shared.withLock { _ = $0.table.types.insert(type) } }

    /// Changes the table and tells watchers.
    func change<Result: Sendable>(
        _ body: (inout ObjectTable) throws(APIFailure) -> Result
    ) throws(APIFailure) -> Result {
        let (result, watchers) = try shared.withLock { shared throws(APIFailure) in
            let before = shared.table.version
            let result = try body(&shared.table)
            return (result, shared.table.version == before ? [] : Array(shared.watchers.values))
        }
        for watcher in watchers { watcher.yield() }
        return result
    }
}
