package import BackupModel
package import RepositoryStorage
package import StreamFilters

/// Encodes what is appended, and counts what is stored.
package final class StoredObjectWriter {
    private let writer: any ObjectWriter
    private let encoder: (any StreamCodec)?
    private let output = OutputBuffer(capacity: 256 << 10)
    package private(set) var storedSize: UInt64 = 0

    /// - Parameter size: the bytes that will be appended, where all are in memory: a store may then send them at once.
    ///   Not for a form that compresses.
    package init(_ writer: any ObjectWriter, as form: StoredForm, size: Int? = nil) throws(BackupError) {
        self.writer = writer
        encoder = try form.encoder()
        if let size { writer.expect(atMost: UInt64(size) + Self.cipherOverhead) }
    }

    /// Salt and padding of AES, bytes.
    private static let cipherOverhead: UInt64 = 32

    package func append(_ bytes: RawSpan) async throws {
        guard let encoder else {
            storedSize += UInt64(bytes.byteCount)
            try await writer.append(bytes)
            return
        }
        var done = 0
        while done < bytes.byteCount {
            done += try encoder.process(bytes.extracting(done..<bytes.byteCount), into: output)
            try await drain()
        }
    }

    package func commit() async throws {
        if let encoder {
            while true {
                let isDone = try encoder.finish(into: output)
                try await drain()
                if isDone { break }
            }
        }
        try await writer.commit()
    }

    package func abort() async { await writer.abort() }

    private func drain() async throws {
        guard output.count > 0 else { return }
        storedSize += UInt64(output.count)
        try await writer.append(output.filled.bytes)
        output.clear()
    }
}
