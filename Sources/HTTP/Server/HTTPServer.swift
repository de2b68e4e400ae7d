package import BackupModel
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import RepositoryStorage
import Synchronization

/// An HTTP/1.1 server: over TLS 1.3 with certificates on both sides, over a socket in the file system, or plain.
///
/// Each request is answered by ``ServerHandler`` in a task of its own, one request of a connection after the other.
/// Bodies come and go as fast as handler and peer take them, and nothing that a peer does or leaves undone takes more
/// than ``ServerLimits`` allow.
package final class HTTPServer: Sendable {
    private struct State: Sendable {
        var listeners: [any Channel] = []
        var tls: ServerTLS?
        var watch: CertificateWatch?
        var socket: SocketFile?
    }

    private let options: ServerOptions
    private let service: ServerService
    private let state = Mutex(State())
    private let group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

    /// What the system keeps of connections that nobody has taken yet.
    private static let backlog: Int32 = 1024
    /// A connection reads so much at once.
    private static let readSize = 256 << 10
    /// Files that are no connections.
    private static let otherFiles = 256

    package init(_ options: ServerOptions, handler: any ServerHandler) {
        self.options = options
        let files = Self.raiseFileLimit()
        service = ServerService(
            handler: handler, limits: options.limits, executor: options.executor, log: RefusalLog(options.log),
            registry: ConnectionRegistry(
                limit: max(16, min(options.limits.connections, files - Self.otherFiles)),
                limitOfClient: options.limits.connectionsOfClient))
    }

    // MARK: Start and end

    /// Reads the certificates and begins to listen.
    /// - Returns: the port; 0 for a socket in the file system.
    package func start() async throws(BackupError) -> Int {
        switch options.listener {
        case .tls(let address, let port, _):
            try reload()
            return try await listen(on: address, port: port)
        case .plain(let address, let port): return try await listen(on: address, port: port)
        case .socket(let path, let mode):
            let file = SocketFile(path: path, mode: mode)
            try file.prepare()
            let channel: any Channel
            do {
                channel = try await bootstrap().bind(unixDomainSocketPath: file.temporary).get()
            } catch {
                throw BackupError(.fileOpen, "unable to listen on '\(path)': \(error)")
            }
            do throws(BackupError) {
                try file.publish()
            } catch {
                try? await channel.close()
                throw error
            }
            state.withLock { state in
                state.listeners = [channel]
                state.socket = file
            }
            return 0
        }
    }

    /// Reads the certificates again. Connections that are there go on as they were made; new ones use what was read.
    /// - Throws: with path and reason when a file cannot be used; then all stays as it was.
    package func reload() throws(BackupError) {
        guard case .tls(_, _, let files) = options.listener else { return }
        // Before they are read: what changes meanwhile is noticed.
        let facts = CertificateWatch.facts(files)
        let tls = try ServerTLS(files, farewell: options.limits.farewell)
        if let warning = tls.warning { options.log(warning) }
        state.withLock { state in
            state.tls = tls
            state.watch = CertificateWatch(facts)
        }
    }

    /// Reads the certificates again when their files have changed and were the same in the last two calls: to be called
    /// every few seconds. Blocking.
    /// - Returns: whether there are new ones.
    /// - Throws: as ``reload()``, once for each change.
    package func renewIfChanged() throws(BackupError) -> Bool {
        guard case .tls(_, _, let files) = options.listener else { return false }
        let facts = CertificateWatch.facts(files)
        guard state.withLock({ $0.watch?.hasChanged(facts) ?? false }) else { return false }
        try reload()
        return true
    }

    /// When the certificate that new connections get ends, in seconds since 1970; nil without one.
    package var certificateEnd: Int64? { state.withLock { $0.tls?.end } }

    /// Takes no connection any more and closes those that are idle. What is being answered may end in this time; then
    /// it is cut.
    package func stop(graceful: Duration) async {
        let (listeners, socket) = state.withLock { state in
            defer {
                state.listeners = []
                state.socket = nil
            }
            return (state.listeners, state.socket)
        }
        for listener in listeners { try? await listener.close() }
        socket?.remove()
        service.registry.stop()
        for connection in service.registry.connections {
            connection.channel.eventLoop.execute { connection.drain() }
        }
        await wait(graceful)
        for connection in service.registry.connections {
            connection.channel.eventLoop.execute { connection.cut() }
        }
        await wait(.seconds(5))
    }

    /// Until there is no connection, at most.
    private func wait(_ time: Duration) async {
        let end = ContinuousClock.now + time
        while !service.registry.connections.isEmpty, ContinuousClock.now < end {
            // Also in a task that was cancelled: the connections have their own pace.
            await Task.detached { try? await Task.sleep(for: .milliseconds(10)) }.value
        }
    }

    // MARK: Listening

    private func listen(on text: String, port: Int) async throws(BackupError) -> Int {
        var port = port
        var listeners: [any Channel] = []
        var failure: (any Error)?
        for address in try ListenAddress.resolve(text, port: port) {
            do {
                var address = address
                address.port = port
                let channel = try await bootstrap().bind(to: address).get()
                listeners.append(channel)
                port = channel.localAddress?.port ?? port
            } catch {
                failure = failure ?? error
                if ListenAddress.isAbsent(error) { continue }
                break
            }
            // The wildcard of IPv6 takes IPv4 too; its own is for hosts without IPv6.
            if text == "*" { break }
        }
        let isAbsent = failure.map(ListenAddress.isAbsent) ?? false
        guard !listeners.isEmpty, failure == nil || isAbsent else {
            for listener in listeners { try? await listener.close() }
            let reason = failure.map { "\($0)" } ?? "no address"
            throw BackupError(
                .hostConnect, "unable to listen on '\(text)', port \(port): \(reason)",
                hint: "is another server running on this port?")
        }
        state.withLock { $0.listeners = listeners }
        return port
    }

    private func bootstrap() -> ServerBootstrap {
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try prepare(channel) }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 4096, maximum: Self.readSize))
        guard case .socket = options.listener else {
            // A host that vanished says nothing; the system finds out within two minutes.
            let keepAlive: [(NIOBSDSocket.Option, Int)] = [
                (.init(rawValue: TCP_KEEPIDLE), 60), (.init(rawValue: TCP_KEEPINTVL), 15),
                (.init(rawValue: TCP_KEEPCNT), 4),
            ]
            bootstrap = bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.socketOption(.so_keepalive), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            for (name, value) in keepAlive {
                bootstrap = bootstrap.childChannelOption(
                    ChannelOptions.Types.SocketOption(level: .tcp, name: name), value: value)
            }
            return bootstrap
        }
        return bootstrap
    }

    /// Makes a new connection ready, or refuses it.
    private func prepare(_ channel: any Channel) throws {
        let tls = state.withLock { $0.tls }
        let client: ClientIdentity
        if case .socket = options.listener {
            client = .local(userID: try PeerCredentials.userID(channel))
        } else {
            client = .anonymous
        }
        let connection = ServerConnection(service, channel, tls: tls, client: client)
        switch service.registry.admit(connection) {
        case .admitted: break
        case .replaced(let oldest):
            service.log.note("connection cut", "too many connections", peer: oldest.peer)
            oldest.channel.eventLoop.execute { oldest.cut() }
        case .refused:
            service.log.note("connection refused", "too many connections", peer: connection.peer)
            throw ChannelError.operationUnsupported
        }
        channel.closeFuture.whenComplete { [service] _ in service.registry.remove(connection) }
        var handlers: [any ChannelHandler & Sendable] = []
        handlers.append(connection.lingering)
        try channel.pipeline.syncOperations.addHandlers(handlers)
        if let handler = connection.tls { try channel.pipeline.syncOperations.addHandler(handler) }
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    /// Takes the soft limit of open files to the hard one.
    /// - Returns: the limit.
    private static func raiseFileLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}

/// `struct ucred` of socket(7).
private struct PeerCredentials: Sendable {
    var processID: Int32 = 0
    var userID: UInt32 = 0
    var groupID: UInt32 = 0

    static func userID(_ channel: any Channel) throws -> UInt32 {
        // The answer is there at once, since this is the channel's own thread.
        guard let provider = channel as? any SocketOptionProvider else { throw ChannelError.operationUnsupported }
        let future: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
            level: .init(rawValue: SOL_SOCKET), name: .init(rawValue: SO_PEERCRED))
        let found = NIOLoopBoundBox<PeerCredentials?>(nil, eventLoop: channel.eventLoop)
        future.whenSuccess { found.value = $0 }
        guard let credentials = found.value else { throw ChannelError.operationUnsupported }
        return credentials.userID
    }
}
