import Synchronization

/// Buffers through which bodies move: so many large ones, and small ones for whoever comes besides. Nobody waits for one,
/// since who has one may wait for a client.
package final class TransferBuffers: Sendable {
    /// Safe by `state`'s lock: under it a buffer goes from the list to one request, which alone has it until it gives it back.
    private struct Large: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }
    private struct State {
        var taken = 0
        var free: [Large] = []
    }
    private let limit: Int
    private let state = Mutex(State())

    /// Large, so that a chunk is one write to the disk and one record after the other for TLS.
    private static let largeSize = 256 << 10
    private static let smallSize = 32 << 10
    /// Kept for the next request: the system clears each page of a new one.
    private static let keptLimit = 8

    package init(large limit: Int) { self.limit = limit }

    deinit { for buffer in state.withLock({ $0.free }) { buffer.bytes.deallocate() } }

    /// Runs `body` with a buffer of its own.
    func run<Value>(_ body: (UnsafeMutableRawBufferPointer) async throws -> Value) async throws -> Value {
        let buffer = take()
        defer { give(buffer) }
        return try await body(buffer)
    }

    private func take() -> UnsafeMutableRawBufferPointer {
        let (kept, isLarge) = state.withLock { state in
            state.taken += 1
            return (state.free.popLast(), state.taken <= limit)
        }
        return kept?.bytes
            ?? UnsafeMutableRawBufferPointer.allocate(
                byteCount: isLarge ? Self.largeSize : Self.smallSize, alignment: 4096)
    }

    private func give(_ buffer: UnsafeMutableRawBufferPointer) {
        let large = Large(bytes: buffer)
        let isKept = state.withLock { state in
            state.taken -= 1
            guard large.bytes.count == Self.largeSize, state.free.count < Self.keptLimit else { return false }
            state.free.append(large)
            return true
        }
        if !isKept { buffer.deallocate() }
    }
}
