/// Moves the bytes of objects no faster than a limit allows, which other stores may share. Listings and other calls
/// without content are not counted.
///
/// Bytes are counted as they are handed to and by the driver: one that gathers them into larger parts sends each part at
/// once.
package struct ThrottledStore: RepositoryStore {
    private let store: any RepositoryStore
    private let limit: RateLimit

    package init(_ store: any RepositoryStore, _ limit: RateLimit) {
        self.store = store
        self.limit = limit
    }

    package var capabilities: StoreCapabilities { store.capabilities }
    package var location: String { store.location }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        ThrottledReader(try await store.read(path, range: range), limit)
    }
    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        ThrottledWriter(try await store.write(path, mode), limit)
    }
    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await store.list(directory, prefix: prefix, from: token)
    }
    package func info(_ path: String) async throws -> ObjectInfo? { try await store.info(path) }
    package func delete(_ paths: [String]) async throws { try await store.delete(paths) }
    package func deleteTree(_ directory: String) async throws { try await store.deleteTree(directory) }
    package func makeDirectory(_ path: String) async throws { try await store.makeDirectory(path) }
    package func syncAll(under directory: String) async throws { try await store.syncAll(under: directory) }
    package func link(_ path: String, to target: String) async throws { try await store.link(path, to: target) }
    package func hardLink(_ path: String, to existing: String) async throws {
        try await store.hardLink(path, to: existing)
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
