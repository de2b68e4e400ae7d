import NIOCore
import NIOSSL
import NIOTLS

/// What all connections of a server share.
struct ServerService: Sendable {
    let handler: any ServerHandler
    let limits: ServerLimits
    let executor: (any TaskExecutor)?
    let log: RefusalLog
    let registry: ConnectionRegistry
}

/// One connection: finds requests in what comes, has each answered by a task, one after the other, and watches the
/// clock. It reads from the connection only what it wants, so that nobody can fill its memory.
///
/// Unchecked: all of it belongs to the channel's event loop.
final class ServerConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase {
        /// The TLS handshake.
        case securing
        case idle
        /// Some bytes of a head have come.
        case head
        /// There is an exchange.
        case answering
        /// Nothing more is answered; what comes is dropped.
        case closing
    }

    let service: ServerService
    let channel: any Channel
    let lingering: LingeringClose
    let tls: NIOSSLServerHandler?
    private let authorities: [NIOSSLCertificate]
    private var context: ChannelHandlerContext?

    private(set) var phase = Phase.idle
    /// Since when the phase lasts.
    private var since = NIODeadline.now()
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture

    /// Or why no request is answered.
    private var client: Result<ClientIdentity, RequestFault>
    private var isProven = false
    private var readIsPending = false
    /// Came and is not used yet: the beginning of a head, or requests that were sent without waiting for answers.
    private var input = ByteBuffer()
    private var scanner = HeadScanner()
    private var exchange: Exchange?

    /// - Parameter client: of a connection without certificates.
    init(_ service: ServerService, _ channel: any Channel, tls: ServerTLS?, client: ClientIdentity) {
        self.service = service
        self.channel = channel
        self.tls = tls.map { NIOSSLServerHandler(context: $0.context) }
        authorities = tls?.authorities ?? []
        self.client = .success(client)
        lingering = LingeringClose(time: TimeAmount(service.limits.farewell))
    }

    var peer: String { channel.remoteAddress.map(Self.text) ?? "a process of this host" }

    private static func text(_ address: SocketAddress) -> String {
        switch address {
        case .v4, .v6:
            let port = address.port.map(String.init) ?? "?"
            let host = address.ipAddress ?? "?"
            return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unixDomainSocket: return "a process of this host"
        }
    }

    // MARK: What comes

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        enter(tls == nil ? .idle : .securing)
        if case .success(.local) = client { prove() }
        readIfWanted()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted = event as? TLSUserEvent, phase == .securing {
            identify()
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Takes the client's name from its certificate, which the library has verified.
    private func identify() {
        client = ClientCertificate.identity(tls?.peerCertificate)
        if case .success(let name) = client {
            isProven = service.registry.prove(self, as: name)
            if !isProven { client = .failure(RequestFault(503, "too many connections of this client")) }
        }
        enter(.idle)
    }

    private func prove() {
        guard !isProven else { return }
        isProven = true
        service.registry.prove(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard phase != .closing else { return }
        exchange?.lastRead = .now()
        if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        readIsPending = false
        readIfWanted()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if phase == .securing,
            let (kind, text) = ClientCertificate.refusal(error, tls?.peerCertificate, authorities: authorities)
        {
            service.log.note("connection refused", kind, detail: text, peer: peer)
        }
        // The TLS handler closes by itself, and must, since it sends the alert that says why.
        guard !(error is NIOSSLError), !(error is BoringSSLError) else { return }
        cut()
    }

    func channelInactive(context: ChannelHandlerContext) {
        phase = .closing
        timer?.cancel()
        service.registry.remove(self)
        if let exchange {
            let gone = TransportError(.broken, "\(peer) closed the connection")
            exchange.body.fail(gone)
            exchange.response?.fail(gone)
            exchange.task?.cancel()
        }
        exchange = nil
        input = ByteBuffer()
    }

    private func readIfWanted() {
        guard !readIsPending, let context else { return }
        if let exchange, phase == .answering {
            if exchange.isBroken { return }
            // Behind the body one read only, for the sake of those that leave: their goodbye is seen by who reads.
            guard exchange.body.isComplete ? input.readableBytes == 0 : exchange.body.wantsMore() else { return }
        }
        readIsPending = true
        context.read()
    }

    private func process() {
        while input.readableBytes > 0 {
            switch phase {
            case .securing, .closing: return
            case .idle:
                enter(.head)
                scanner = HeadScanner()
            case .head:
                do throws(RequestFault) {
                    guard let head = try takeHead() else { return }
                    try begin(head)
                } catch {
                    refuse(error)
                }
            case .answering:
                feed()
                if phase == .answering { return }
            }
        }
    }

    private func takeHead() throws(RequestFault) -> RequestHead? {
        let scanned: Result<Int?, RequestFault> = input.withUnsafeReadableBytes { bytes in
            do throws(RequestFault) {
                return .success(try scanner.end(in: bytes, limit: service.limits.head))
            } catch {
                return .failure(error)
            }
        }
        guard let count = try scanned.get(), let bytes = input.readBytes(length: count) else { return nil }
        return try RequestHead(parsing: bytes[...])
    }

    /// Gives what has come of the body to the exchange.
    private func feed() {
        guard let exchange, !exchange.isBroken, !exchange.body.isComplete else { return }
        do throws(RequestFault) {
            try exchange.feed(&input)
        } catch {
            service.log.note("request refused", error.reason, peer: peer)
            exchange.breakOff(TransportError(.broken, error.reason))
        }
        if input.readableBytes == 0 { input = ByteBuffer() }
        endExchangeIfDone()
    }

    // MARK: Requests

    private func begin(_ head: RequestHead) throws(RequestFault) {
        let client = try client.get()
        prove()
        let body = IncomingBody(head.framing, awaitsContinue: head.awaitsContinue) { [self] body, waits in
            channel.eventLoop.execute { [self] in isWanted(body, waits: waits) }
        }
        let request = ServerRequest(
            method: head.method, path: head.target.path, query: head.target.query, headers: head.headers,
            client: client, body: body)
        let exchange = Exchange(body: body, framing: head.framing)
        self.exchange = exchange
        enter(.answering)
        let answering = Answering(service: service, connection: self, head: head, body: body)
        exchange.task = Task(executorPreference: service.executor) { await answering.run(request) }
    }

    private func isWanted(_ body: IncomingBody, waits: Bool) {
        guard let exchange, exchange.body === body, phase == .answering, let context else { return }
        if exchange.body.takeContinue() {
            context.writeAndFlush(wrapOutboundOut(ResponseHead.goOn), promise: nil)
        }
        if waits, exchange.waitsSince == nil {
            exchange.waitsSince = .now()
            watch()
        }
        readIfWanted()
    }

    /// Writes a part of the answer, which goes out at once.
    func send(_ bytes: ByteBuffer, of response: ResponseStream) {
        guard let exchange, phase == .answering, let context else {
            response.fail(TransportError(.broken, "\(peer) closed the connection"))
            return
        }
        exchange.response = response
        exchange.writes += 1
        if exchange.writes == 1 {
            exchange.lastSent = .now()
            watch()
        }
        let count = bytes.readableBytes
        let sent = channel.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenSuccess { [self] in
            exchange.writes -= 1
            exchange.lastSent = .now()
            response.sent(count)
            endExchangeIfDone()
        }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: sent)
    }

    /// The handler's answer is made, and all of it was sent or is being sent.
    /// - Parameter keepsAlive: false as well when it was cut.
    func answered(keepsAlive: Bool) {
        guard let exchange, phase == .answering else { return }
        exchange.isAnswered = true
        exchange.keepsAlive = keepsAlive && exchange.body.canBeDropped()
        exchange.body.dropRest()
        exchange.answeredAt = .now()
        watch()
        endExchangeIfDone()
    }

    private func endExchangeIfDone() {
        guard let exchange, phase == .answering, exchange.isAnswered, exchange.writes == 0 else { return }
        guard exchange.keepsAlive, !exchange.isBroken, !service.registry.isStopping else {
            close()
            return
        }
        guard exchange.body.isComplete else {
            readIfWanted()
            return
        }
        self.exchange = nil
        enter(.idle)
        // Not from within: a thousand requests in one buffer are a loop, not a recursion.
        channel.eventLoop.execute { [self] in
            process()
            readIfWanted()
        }
    }

    /// Answers what the handler does not get to see, and closes.
    private func refuse(_ fault: RequestFault) {
        service.log.note("request refused", fault.reason, peer: peer)
        let text = ByteBuffer(string: fault.reason + "\n")
        var answer = ResponseHead.bytes(
            fault.status, ["Content-Type": "text/plain; charset=utf-8"], .length(UInt64(text.readableBytes)),
            closes: true)
        answer.writeImmutableBuffer(text)
        if let context { context.writeAndFlush(wrapOutboundOut(answer), promise: nil) }
        close()
    }

    // MARK: Ends

    /// So that the peer gets all that was sent.
    private func close() {
        guard phase != .closing else { return }
        exchange?.task?.cancel()
        exchange = nil
        input = ByteBuffer()
        enter(.closing)
        context?.close(promise: nil)
        readIfWanted()
    }

    /// At once, whatever the peer was doing.
    func cut() {
        guard let below = try? channel.pipeline.syncOperations.context(handler: lingering) else { return }
        lingering.cut(below)
    }

    /// Closes when what runs has ended.
    func drain() {
        switch phase {
        case .securing: cut()
        case .idle, .head: close()
        case .answering, .closing: break
        }
    }

    // MARK: The clock

    private func enter(_ phase: Phase) {
        self.phase = phase
        since = .now()
        watch()
    }

    private var deadline: NIODeadline? {
        let limits = service.limits
        switch phase {
        case .securing: return since + TimeAmount(limits.handshake)
        case .idle: return since + TimeAmount(isProven ? limits.idle : limits.handshake)
        case .head: return since + TimeAmount(limits.handshake)
        case .answering: return exchange?.deadline(limits)
        // Two rounds of it: one for TLS to say goodbye, one for the socket.
        case .closing: return since + TimeAmount(limits.farewell * 3)
        }
    }

    /// Sees to it that `checkTime` runs at the deadline or before.
    private func watch() {
        guard let deadline, timer == nil || deadline < timerDeadline else { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = channel.eventLoop.scheduleTask(deadline: deadline) { [self] in checkTime() }
    }

    private func checkTime() {
        timer = nil
        guard let deadline, channel.isActive else { return }
        guard deadline <= .now() else {
            watch()
            return
        }
        switch phase {
        case .securing:
            service.log.note("connection refused", "no TLS handshake in \(service.limits.handshake)", peer: peer)
            cut()
        case .idle: close()
        case .head: refuse(RequestFault(408, "no whole head in \(service.limits.handshake)"))
        case .answering: timeOut()
        case .closing: cut()
        }
    }

    private func timeOut() {
        guard let exchange else { return }
        if exchange.writes > 0 {
            service.log.note("connection cut", "nothing was read there for \(service.limits.silence)", peer: peer)
            cut()
        } else if exchange.isAnswered {
            close()
        } else {
            let reason = "nothing of the body came for \(service.limits.silence)"
            service.log.note("request refused", reason, peer: peer)
            exchange.breakOff(TransportError(.timeout, reason))
            watch()
        }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        // A century is for ever.
        let (seconds, attoseconds) = min(max(duration, .zero), .seconds(3_000_000_000)).components
        self = .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
