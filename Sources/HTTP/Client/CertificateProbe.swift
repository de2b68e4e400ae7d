import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS

/// Asks a server for its certificate without trusting it, to say what is wrong with one that did not pass: the library
/// tells no more than that it did not. Nothing is sent or read.
enum CertificateProbe {
    static func certificate(
        of origin: HTTPOrigin, _ tls: TLSConfiguration, within time: TimeAmount
    ) async -> NIOSSLCertificate? {
        var tls = tls
        tls.certificateVerification = .none
        guard let context = try? NIOSSLContext(configuration: tls) else { return nil }
        let found = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: NIOSSLCertificate?.self)
        let bootstrap = ClientBootstrap(group: found.futureResult.eventLoop).connectTimeout(time)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // An address is no name to ask for.
                    let name = (try? SocketAddress(ipAddress: origin.host, port: 0)) == nil ? origin.host : nil
                    let handler = try NIOSSLClientHandler(context: context, serverHostname: name)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    try channel.pipeline.syncOperations.addHandler(Catcher(handler, found))
                }
            }
        do {
            let channel = try await bootstrap.connect(host: origin.host, port: origin.port).get()
            let timer = channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
            let certificate = try await found.futureResult.get()
            timer.cancel()
            channel.close(promise: nil)
            return certificate
        } catch {
            found.succeed(nil)
            return nil
        }
    }

    /// Belongs to the channel's event loop.
    private final class Catcher: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let tls: NIOSSLClientHandler
        private let found: EventLoopPromise<NIOSSLCertificate?>

        init(_ tls: NIOSSLClientHandler, _ found: EventLoopPromise<NIOSSLCertificate?>) {
            self.tls = tls
            self.found = found
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .handshakeCompleted = event as? TLSUserEvent { found.succeed(tls.peerCertificate) }
            context.fireUserInboundEventTriggered(event)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            found.succeed(nil)
            context.fireChannelInactive()
        }
    }
}
