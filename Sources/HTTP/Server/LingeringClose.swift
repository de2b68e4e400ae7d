import NIOCore

/// Closes so that the peer gets to read what was sent last. A socket that is closed while something of the peer's is
/// still unread resets the connection, and what was on its way to the peer, an alert or an answer that says why, is
/// lost. So our side is shut first, and what comes is dropped until the peer closes too, time is up, or it was too much.
///
/// Unchecked: all of it belongs to the channel's event loop.
final class LingeringClose: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let time: TimeAmount
    private var isLingering = false
    private var dropped = 0
    private var closing: [EventLoopPromise<Void>] = []
    private var timer: Scheduled<Void>?

    /// Of what comes, in bytes: a peer that sends without end is not waited for.
    private static let limit = 16 << 20

    init(time: TimeAmount) { self.time = time }

    /// At once, whatever the peer makes of it.
    func cut(_ context: ChannelHandlerContext) {
        timer?.cancel()
        context.close(promise: nil)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, context.channel.isActive else {
            context.close(mode: mode, promise: promise)
            return
        }
        if let promise { closing.append(promise) }
        guard !isLingering else { return }
        isLingering = true
        let channel = context.channel
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        if channel.isActive { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isLingering else {
            context.fireChannelRead(data)
            return
        }
        dropped += unwrapInboundIn(data).readableBytes
        if dropped > Self.limit { context.close(promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if isLingering { context.read() } else { context.fireChannelReadComplete() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isLingering { context.close(promise: nil) } else { context.fireErrorCaught(error) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        for promise in closing { promise.succeed() }
        closing = []
        context.fireChannelInactive()
    }
}
