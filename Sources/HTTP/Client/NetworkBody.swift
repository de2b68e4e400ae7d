import AsyncHTTPClient
import NIOCore

/// What follows the head of an answer. It is read from the connection only as fast as it is asked for.
///
/// Unchecked: a body is for one task at a time, as ``HTTPBody`` says.
final class NetworkBody: HTTPBody, @unchecked Sendable {
    private let origin: HTTPOrigin
    private var iterator: HTTPClientResponse.Body.AsyncIterator?
    /// Came and was not asked for yet.
    private var piece = ByteBuffer()

    init(_ body: HTTPClientResponse.Body, _ origin: HTTPOrigin) {
        self.origin = origin
        iterator = body.makeAsyncIterator()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        while piece.readableBytes == 0 {
            do {
                guard let next = try await iterator?.next() else {
                    iterator = nil
                    return 0
                }
                piece = next
            } catch {
                iterator = nil
                throw TransportError(error, origin)
            }
        }
        let count = min(buffer.count, piece.readableBytes)
        piece.readWithUnsafeReadableBytes { bytes in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return count
        }
        return count
    }

    /// Dropping the iterator ends the request, and its connection where something is still to come.
    func close() async {
        iterator = nil
        piece = ByteBuffer()
    }
}
