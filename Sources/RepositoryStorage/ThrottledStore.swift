/// Moves the bytes of objects no faster than a limit allows, which other stores may share. Listings and other calls
/// without content are not counted.
///
/// Bytes are counted as they are handed to and by the driver: one that gathers them into larger parts sends each part at
/// once.
package struct ThrottledStore: StoreWrapper {
    package let store: any RepositoryStore
    private let limit: RateLimit

    package init(_ store: any RepositoryStore, _ limit: RateLimit) {
        self.store = store
        self.limit = limit
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        ThrottledReader(try await store.read(path, range: range), limit)
    }
    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        ThrottledWriter(try await store.write(path, mode), limit)
    }
}

private final class ThrottledReader: ObjectReader {
    private let reader: any ObjectReader
    private let limit: RateLimit

    init(_ reader: any ObjectReader, _ limit: RateLimit) {
        self.reader = reader
        self.limit = limit
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<limit.piece(of: buffer.count)])
        let count = try await reader.read(into: piece)
        try await limit.take(count)
        return count
    }

    func close() async { await reader.close() }
}

private final class ThrottledWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let limit: RateLimit

    init(_ writer: any ObjectWriter, _ limit: RateLimit) {
        self.writer = writer
        self.limit = limit
    }

    func expect(atMost size: UInt64) { writer.expect(atMost: size) }

    func append(_ bytes: RawSpan) async throws {
        var done = 0
        while done < bytes.byteCount {
            let count = limit.piece(of: bytes.byteCount - done)
            try await limit.take(count)
            try await writer.append(bytes.extracting(done..<done + count))
            done += count
        }
    }

    func commit() async throws { try await writer.commit() }
    func abort() async { await writer.abort() }
}
