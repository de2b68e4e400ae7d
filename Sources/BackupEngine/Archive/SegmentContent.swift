import BackupModel
import Checksums
import Glibc
import RepositoryStorage
import StreamFilters

/// A WAL segment read once: its SHA-1, which is part of its name in the archive, and the bytes to store.
///
/// The name is known only after the last byte, so the stored bytes wait in memory: at most one segment (16 MiB unless
/// the cluster was made with another size). SHA-1 and compression run on two threads over the same chunks.
// Only read once it is made.
struct SegmentContent: @unchecked Sendable {
    private(set) var checksum = SHA1Digest.ofNothing
    private var pieces: [OutputBuffer] = []
    private static let chunkSize = 512 << 10
    /// Chunks on their way to the SHA-1 at a time: enough for neither thread to wait, few enough for the cache.
    private static let chunksInFlight = 4

    static func read(_ source: WALSource, compress: CompressType, level: Int?) async throws -> SegmentContent {
        let descriptor = try source.openForReading()
        defer { close(descriptor) }
        let size = Int(try LocalDirectory.status(source.path, followLinks: true)?.size ?? 0)
        let filled = AsyncStream<Chunk>.makeStream()
        let returned = AsyncStream<Chunk>.makeStream()
        let hashingThread = WorkerThreads(count: 1)
        let hashing = Task(executorPreference: hashingThread) {
            var sum = SHA1()
            for await chunk in filled.stream {
                sum.update(chunk.buffer.filled.bytes)
                returned.continuation.yield(chunk)
            }
            return sum.finish()
        }
        var content = SegmentContent()
        do {
            defer { filled.continuation.finish() }
            let codec = try StoredForm(compress: compress, level: level).encoder()
            let keepsContent = codec == nil
            var recycled = returned.stream.makeAsyncIterator()
            var chunks = 0
            var done = 0
            while done < size {
                let chunk: Chunk
                if !keepsContent, chunks == chunksInFlight, let next = await recycled.next() {
                    chunk = next
                    chunk.buffer.clear()
                } else {
                    chunk = Chunk(buffer: OutputBuffer(capacity: chunkSize))
                    chunks += 1
                }
                let room = UnsafeMutableRawBufferPointer(rebasing: chunk.buffer.free[..<min(chunkSize, size - done)])
                let count = try readFully(descriptor, source.path, into: room)
                guard count > 0 else {
                    throw BackupError(
                        .fileRead, "WAL file '\(source.path)' ended after \(done) of \(size) bytes while it was read")
                }
                chunk.buffer.advance(by: count)
                done += count
                // Both threads only read it until it comes back.
                filled.continuation.yield(chunk)
                if let codec { try content.compress(chunk.buffer.filled.bytes, codec) }
                if keepsContent { content.pieces.append(chunk.buffer) }
            }
            if let codec { try content.finish(codec) }
        } catch {
            _ = await hashing.value
            throw error
        }
        content.checksum = await hashing.value
        return content
    }

    /// Stores it atomically and durably, encrypted with the pass of the repository's archive.
    func write(to store: any RepositoryStore, _ path: String, cipherPass: Secret<String>?) async throws {
        let form = StoredForm(compress: .none, cipherPass: cipherPass)
        let size = pieces.reduce(0) { $0 + $1.count }
        let writer = try await StoredObjectWriter(store.write(path, .atomic), as: form, size: size)
        do {
            for piece in pieces where piece.count > 0 { try await writer.append(piece.filled.bytes) }
            try await writer.commit()
        } catch {
            await writer.abort()
            throw error
        }
    }

    private mutating func compress(_ bytes: RawSpan, _ codec: any StreamCodec) throws(BackupError) {
        var done = 0
        while done < bytes.byteCount {
            done += try codec.process(bytes.extracting(done..<bytes.byteCount), into: room())
        }
    }

    private mutating func finish(_ codec: any StreamCodec) throws(BackupError) {
        while try !codec.finish(into: room()) {}
    }

    /// A piece that is not full.
    private mutating func room() -> OutputBuffer {
        if let last = pieces.last, last.count < last.capacity { return last }
        let piece = OutputBuffer(capacity: Codecs.recommendedOutputCapacity)
        pieces.append(piece)
        return piece
    }
}

/// Part of a segment on its way through the SHA-1.
// Filled by the reader before it is handed over, and only read until it returns.
private struct Chunk: @unchecked Sendable {
    let buffer: OutputBuffer
}
