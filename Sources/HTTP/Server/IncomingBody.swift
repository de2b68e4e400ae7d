import NIOCore

/// The body of a request, between the event loop, which appends to it, and the handler, which reads.
final class IncomingBody: HTTPBody {
    private struct State: Sendable {
        var pieces = CircularBuffer<ByteBuffer>()
        var buffered = 0
        /// What has not come yet, where the head said how much it is.
        var left: UInt64?
        var isAtEnd = false
        var failure: TransportError?
        /// Nobody reads on: what comes is dropped.
        var isDropped = false
        /// The event loop has stopped reading until there is room.
        var isPaused = false
        var awaitsContinue: Bool
    }

    private let state: Awaited<State>
    private let demand: @Sendable (_ body: IncomingBody, _ waits: Bool) -> Void

    /// The loop stops reading when so much is here; what it reads at once comes on top.
    static let room = 512 << 10
    /// What may be left of a body for its connection to be used again.
    static let worthDropping: UInt64 = 256 << 10

    /// - Parameter demand: is called when there is room again, or when the handler waits.
    init(
        _ framing: RequestHead.Framing, awaitsContinue: Bool,
        demand: @escaping @Sendable (_ body: IncomingBody, _ waits: Bool) -> Void
    ) {
        var state = State(awaitsContinue: awaitsContinue)
        if case .length(let count) = framing { state.left = count }
        state.isAtEnd = state.left == 0
        self.state = Awaited(state)
        self.demand = demand
    }

    // MARK: For the handler

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        guard !buffer.isEmpty else { return 0 }
        let count = buffer.count
        var taken = state.with { Self.take(count, &$0) }
        if taken == nil {
            demand(self, true)
            taken = try await state.first { Self.take(count, &$0) }
        }
        guard let taken else { return 0 }
        if let failure = taken.failure { throw failure }
        if taken.resumes { demand(self, false) }
        var offset = 0
        for piece in taken.pieces {
            piece.withUnsafeReadableBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]).copyMemory(from: bytes)
                offset += bytes.count
            }
        }
        return offset
    }

    func close() async {
        state.change { state in
            Self.drop(&state)
            state.failure = TransportError(.broken, "the body was closed")
        }
    }

    private struct Taken: Sendable {
        var pieces: [ByteBuffer] = []
        var failure: TransportError?
        var resumes = false
    }

    private static func take(_ limit: Int, _ state: inout State) -> Taken? {
        var taken = Taken()
        var count = 0
        while count < limit, !state.pieces.isEmpty {
            let wanted = min(limit - count, state.pieces[state.pieces.startIndex].readableBytes)
            guard let piece = state.pieces[state.pieces.startIndex].readSlice(length: wanted) else { break }
            if state.pieces[state.pieces.startIndex].readableBytes == 0 { state.pieces.removeFirst() }
            taken.pieces.append(piece)
            count += wanted
        }
        guard count == 0 else {
            state.buffered -= count
            taken.resumes = state.isPaused && state.buffered < room
            if taken.resumes { state.isPaused = false }
            return taken
        }
        taken.failure = state.failure
        return taken.failure != nil || state.isAtEnd ? taken : nil
    }

    private static func drop(_ state: inout State) {
        state.isDropped = true
        state.pieces.removeAll()
        state.buffered = 0
    }

    // MARK: For the event loop

    /// Whether more should be read from the connection. When not, `demand` will say when.
    func wantsMore() -> Bool {
        state.with { state in
            state.isPaused = !state.isAtEnd && state.buffered >= Self.room
            return !state.isAtEnd && !state.isPaused
        }
    }

    /// True once: 100 Continue is to be sent before the body will come.
    func takeContinue() -> Bool {
        state.with { state in
            defer { state.awaitsContinue = false }
            return state.awaitsContinue
        }
    }

    func append(_ piece: ByteBuffer) {
        state.change { state in
            state.awaitsContinue = false
            if let left = state.left { state.left = left - min(left, UInt64(piece.readableBytes)) }
            guard !state.isDropped else { return }
            state.buffered += piece.readableBytes
            // A piece may be a corner of a large buffer, which must not be kept for it.
            guard piece.readableBytes < piece.storageCapacity / 2 else {
                state.pieces.append(piece)
                return
            }
            let last = state.pieces.index(before: state.pieces.endIndex)
            if !state.pieces.isEmpty, state.pieces[last].readableBytes < Self.gathered {
                state.pieces[last].writeImmutableBuffer(piece)
            } else {
                var copy = ByteBuffer()
                copy.writeImmutableBuffer(piece)
                state.pieces.append(copy)
            }
        }
    }
    private static let gathered = 64 << 10

    var isComplete: Bool { state.with { $0.isAtEnd } }

    func end() { state.change { $0.isAtEnd = true } }

    func fail(_ error: TransportError) {
        state.change { state in
            guard !state.isAtEnd, state.failure == nil else { return }
            state.failure = error
        }
    }

    func dropRest() { state.change { Self.drop(&$0) } }

    /// What is left of it is so little, and surely on its way, that the connection is worth keeping.
    func canBeDropped() -> Bool {
        state.with { state in
            if state.isAtEnd { return true }
            guard let left = state.left else { return false }
            return left <= Self.worthDropping && !state.awaitsContinue
        }
    }
}
