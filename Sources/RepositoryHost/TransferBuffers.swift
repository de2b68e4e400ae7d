import Synchronization

/// Buffers through which bodies move: so many large ones, and small ones for whoever comes besides. Nobody waits for one,
/// since who has one may wait for a client.
package final class TransferBuffers: Sendable {
    private let limit: Int
    private let taken = Atomic<Int>(0)

    /// Large, so that a chunk is one write to the disk and one record after the other for TLS.
    private static let largeSize = 256 << 10
    private static let smallSize = 32 << 10

    package init(large limit: Int) { self.limit = limit }

    /// Runs `body` with a buffer of its own.
    func run<Value>(_ body: (UnsafeMutableRawBufferPointer) async throws -> Value) async throws -> Value {
        let isLarge = taken.add(1, ordering: .relaxed).newValue <= limit
        defer { taken.subtract(1, ordering: .relaxed) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: isLarge ? Self.largeSize : Self.smallSize, alignment: 4096)
        defer { buffer.deallocate() }
        return try await body(buffer)
    }
}
