import AsyncHTTPClient
import NIOCore
import NIOSSL
import Synchronization

/// Remembers that a server refused our certificate. With TLS 1.3 it says so only after the handshake, and a request that
/// was begun meanwhile may learn no more than that its connection is gone.
final class RefusalWatch: Sendable {
    private struct State: Sendable {
        var count = 0
        var reason = ""
    }

    private let state = Mutex(State())

    /// Grows with each refusal.
    var count: Int { state.withLock { $0.count } }

    /// The last refusal when there was one behind the `count` that was seen before.
    func reason(after count: Int) -> String? { state.withLock { $0.count > count ? $0.reason : nil } }

    private func note(_ reason: String) {
        state.withLock { state in
            state.count += 1
            state.reason = reason
        }
    }

    /// Puts an observer behind the TLS of a connection. At once, on the connection's own thread, where it is called:
    /// the client must not learn of a connection's end before it learns that there is one.
    func observe(_ channel: any Channel) -> EventLoopFuture<Void> {
        guard channel.eventLoop.inEventLoop else { return channel.eventLoop.makeSucceededVoidFuture() }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            guard let tls = try? pipeline.handler(type: NIOSSLClientHandler.self) else { return }
            try pipeline.addHandler(Observer(self), position: .after(tls))
        }
    }

    private final class Observer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let watch: RefusalWatch

        init(_ watch: RefusalWatch) { self.watch = watch }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            if let refusal = TLSFailure(error)?.refusal { watch.note(refusal) }
            context.fireErrorCaught(error)
        }
    }
}
