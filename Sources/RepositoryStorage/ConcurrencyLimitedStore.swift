/// Bounds how many calls that move content are in flight in one store: uploads and downloads apart.
///
/// What counts is a call while it runs: opening a writer, a chunk appended, a commit; opening a reader, a chunk read. A
/// writer or reader that is open but idle counts nothing. So nobody ever waits while holding what another waits for: not
/// the copier that has a writer open in each of several repositories, not the worker whose bundle stays open while it
/// stores a file beside it, not the task that waits for a partner to hash with.
///
/// Of a store behind a network commits and reads count: there opening a writer and appending to it only fills the part
/// that is sent next, in the background, and must not wait for the commits of other objects.
package struct ConcurrencyLimitedStore: StoreWrapper {
    package let store: any RepositoryStore
    private let uploads: CallSlots?
    private let downloads: CallSlots?

    /// - Parameters:
    ///   - uploads: at most so many at once; nil for any number.
    ///   - downloads: the same.
    package init(_ store: any RepositoryStore, uploads: Int?, downloads: Int?) {
        self.store = store
        self.uploads = uploads.map(CallSlots.init)
        self.downloads = downloads.map(CallSlots.init)
    }

    /// As many calls as there are slots. One that makes its callers wait one by one gains nothing from more.
    package var concurrency: StoreConcurrency {
        var concurrency = store.concurrency
        if let uploads, concurrency.uploads > 1 { concurrency.uploads = uploads.count }
        if let downloads, concurrency.downloads > 1 { concurrency.downloads = downloads.count }
        return concurrency
    }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        guard let downloads else { return try await store.read(path, range: range) }
        let reader = try await downloads.run { try await store.read(path, range: range) }
        return LimitedReader(reader, downloads)
    }
    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        guard let uploads else { return try await store.write(path, mode) }
        if store.concurrency.uploads > 1 {
            return LimitedWriter(try await store.write(path, mode), uploads, countsChunks: false)
        }
        let writer = try await uploads.run { try await store.write(path, mode) }
        return LimitedWriter(writer, uploads, countsChunks: true)
    }
}

private final class LimitedReader: ObjectReader {
    private let reader: any ObjectReader
    private let slots: CallSlots

    init(_ reader: any ObjectReader, _ slots: CallSlots) {
        self.reader = reader
        self.slots = slots
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        try await slots.run { try await reader.read(into: buffer) }
    }

    func close() async { await reader.close() }
}

private final class LimitedWriter: ObjectWriter {
    private let writer: any ObjectWriter
    private let slots: CallSlots
    private let countsChunks: Bool

    init(_ writer: any ObjectWriter, _ slots: CallSlots, countsChunks: Bool) {
        self.writer = writer
        self.slots = slots
        self.countsChunks = countsChunks
    }

    func expect(atMost size: UInt64) { writer.expect(atMost: size) }

    func append(_ bytes: RawSpan) async throws {
        guard countsChunks else { return try await writer.append(bytes) }
        // Not by `run`: a span cannot be captured.
        try await slots.acquire()
        defer { slots.release() }
        try await writer.append(bytes)
    }

    func commit() async throws { try await slots.run { try await writer.commit() } }

    /// Without a slot: what cleans up after a failure must not wait, and fails for nobody.
    func abort() async { await writer.abort() }
}
