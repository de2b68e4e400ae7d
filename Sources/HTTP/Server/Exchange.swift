import NIOCore

/// A request and its answer, as the connection sees them. Belongs to its event loop.
final class Exchange {
    let body: IncomingBody
    var task: Task<Void, Never>?
    var response: ResponseStream?

    private enum Framing {
        case length(UInt64)
        case chunked(ChunkedDecoder)
    }

    private var framing: Framing
    /// Nothing more of the body is to be had, and the connection ends with the answer.
    private(set) var isBroken = false

    /// Since when the handler waits for the body.
    var waitsSince: NIODeadline?
    var lastRead = NIODeadline.now()
    /// Parts of the answer that the connection has not taken yet.
    var writes = 0
    var lastSent = NIODeadline.now()
    var isAnswered = false
    var answeredAt = NIODeadline.now()
    var keepsAlive = true

    init(body: IncomingBody, framing: RequestHead.Framing) {
        self.body = body
        switch framing {
        case .length(let count): self.framing = .length(count)
        case .chunked: self.framing = .chunked(ChunkedDecoder())
        }
    }

    func feed(_ input: inout ByteBuffer) throws(RequestFault) {
        waitsSince = nil
        switch framing {
        case .length(let left):
            let count = min(left, UInt64(input.readableBytes))
            guard let piece = input.readSlice(length: Int(count)) else { return }
            framing = .length(left - count)
            body.append(piece)
            if left == count { body.end() }
        case .chunked(var decoder):
            while let piece = try decoder.next(&input) { body.append(piece) }
            if decoder.isAtEnd { body.end() }
            framing = .chunked(decoder)
        }
    }

    func breakOff(_ error: TransportError) {
        isBroken = true
        body.fail(error)
    }

    func deadline(_ limits: ServerLimits) -> NIODeadline? {
        if writes > 0 { return lastSent + TimeAmount(limits.silence) }
        if isAnswered { return max(answeredAt, lastRead) + TimeAmount(limits.farewell) }
        guard let waitsSince, !isBroken else { return nil }
        return max(waitsSince, lastRead) + TimeAmount(limits.silence)
    }
}
