import NIOCore

/// Sends one answer, and waits where the other side reads slowly.
final class ResponseStream: ResponseWriter {
    private struct State: Sendable {
        /// Bytes that the connection has not taken yet.
        var outstanding = 0
        var written: UInt64 = 0
        var failure: TransportError?
    }

    private let state = Awaited(State())
    private let send: @Sendable (ByteBuffer, ResponseStream) -> Void
    private let framing: ResponseHead.Framing

    /// Of one write to the connection: large, since each costs a lock, a wake-up and a system call.
    private static let pieceSize = 256 << 10
    /// What may be under way: one piece goes out while the next is made.
    private static let limit = 1 << 20

    /// - Parameter send: hands bytes to the connection, which reports each by `sent`.
    init(_ framing: ResponseHead.Framing, send: @escaping @Sendable (ByteBuffer, ResponseStream) -> Void) {
        self.framing = framing
        self.send = send
    }

    func write(_ bytes: RawSpan) async throws {
        try await write(bytes, head: nil)
    }

    /// - Parameter head: goes out in one piece with the first bytes.
    func write(_ bytes: RawSpan, head: ByteBuffer?) async throws {
        var head = head
        var offset = 0
        repeat {
            let count = min(bytes.byteCount - offset, Self.pieceSize)
            let fits = state.with { state in
                state.written += UInt64(count)
                if case .length(let length) = framing { return state.written <= length }
                return true
            }
            guard fits else { throw WrongLength(isMore: true) }
            let piece = self.piece(bytes.extracting(offset..<(offset + count)), head.take())
            if piece.readableBytes > 0 {
                try await waitForRoom(piece.readableBytes)
                send(piece, self)
            }
            offset += count
        } while offset < bytes.byteCount
    }

    /// The lines before the body.
    func begin(_ head: ByteBuffer) async throws(TransportError) {
        try await waitForRoom(head.readableBytes)
        send(head, self)
    }

    /// What goes behind the body.
    /// - Throws: when less was written than was announced.
    func finish() async throws {
        switch framing {
        case .none: break
        case .length(let length):
            guard state.with({ $0.written }) == length else {
                throw WrongLength(isMore: false)
            }
        case .chunked: try await begin(ByteBuffer(string: "0\r\n\r\n"))
        }
    }

    private func piece(_ bytes: RawSpan, _ head: ByteBuffer?) -> ByteBuffer {
        let frame = framing == .chunked && bytes.byteCount > 0
        var piece = ByteBufferAllocator().buffer(capacity: (head?.readableBytes ?? 0) + bytes.byteCount + 24)
        if let head { piece.writeImmutableBuffer(head) }
        if frame { piece.writeString(String(bytes.byteCount, radix: 16) + "\r\n") }
        _ = bytes.withUnsafeBytes { piece.writeBytes($0) }
        if frame { piece.writeStaticString("\r\n") }
        return piece
    }

    private func waitForRoom(_ count: Int) async throws(TransportError) {
        let room: Result<Void, TransportError> = try await state.first { state in
            if let failure = state.failure { return .failure(failure) }
            guard state.outstanding == 0 || state.outstanding + count <= Self.limit else { return nil }
            state.outstanding += count
            return .success(())
        }
        try room.get()
    }

    // MARK: For the event loop

    func sent(_ count: Int) { state.change { $0.outstanding -= count } }

    func fail(_ error: TransportError) {
        state.change { state in
            if state.failure == nil { state.failure = error }
        }
    }
}

/// The handler's fault.
private struct WrongLength: Error, CustomStringConvertible {
    var isMore: Bool
    var description: String { "\(isMore ? "more" : "less") was written than the length that was announced" }
}
