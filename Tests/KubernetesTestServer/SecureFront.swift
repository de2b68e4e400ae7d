import NIOCore
import NIOPosix
import NIOSSL

/// TLS for a plain server: takes connections, and passes on what they say. Unlike the server of the product, it lets in
/// those that have no certificate, as API servers do.
struct SecureFront: Sendable {
    private let channel: any Channel

    init(address: String, port: Int, certificateFile: String, keyFile: String, behind: Int) async throws {
        let chain = try NIOSSLCertificate.fromPEMFile(certificateFile)
        let options = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: keyFile, format: .pem)))
        let context = try NIOSSLContext(configuration: options)
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { client in
                client.eventLoop.makeCompletedFuture {
                    try client.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                }.flatMap {
                    // It says nothing before it is asked.
                    ClientBootstrap(group: client.eventLoop).connect(host: "127.0.0.1", port: behind)
                }.flatMapThrowing { server in
                    let (near, far) = (Passing(), Passing())
                    near.other = far
                    far.other = near
                    try client.pipeline.syncOperations.addHandler(near)
                    try server.pipeline.syncOperations.addHandler(far)
                }
            }
            .bind(host: address, port: port).get()
    }

    func stop() async { try? await channel.close() }
}

/// One of the two sides of a connection, both on one event loop.
private final class Passing: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    var other: Passing?
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        other = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { other?.context?.write(data, promise: nil) }

    func channelReadComplete(context: ChannelHandlerContext) { other?.context?.flush() }

    func channelInactive(context: ChannelHandlerContext) {
        other?.context?.close(promise: nil)
        other = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
