import BackupModel
package import Checksums
package import RepositoryStorage
package import StreamFilters

/// Reads a stored object as its content: ranged or whole, decompressed, with the content's SHA-1.
package final class ObjectContentReader {
    private let input: UnsafeMutableRawBufferPointer
    private let output: OutputBuffer

    /// - Parameter bufferSize: bytes read, and decoded, at once.
    package init(bufferSize: Int = 1 << 20) {
        input = .allocate(byteCount: bufferSize, alignment: 4096)
        output = OutputBuffer(capacity: bufferSize)
    }
    deinit { input.deallocate() }

    /// Hands the content on in chunks.
    /// - Throws: `.format` or `.fileRead` when the object is cut short, damaged, or has bytes after its end.
    package func read(
        _ reader: any ObjectReader, _ decompressor: (any StreamCodec)?,
        _ consume: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws -> (checksum: SHA1Digest, size: UInt64) {
        var sum = SHA1()
        var size: UInt64 = 0
        decompressor?.reset()
        while true {
            try Task.checkCancellation()
            let count = try await reader.read(into: input)
            if count == 0 { break }
            var rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(input)[..<count])
            guard let decompressor else {
                sum.update(rest.bytes)
                size += UInt64(count)
                try await consume(rest)
                continue
            }
            while true {
                let taken = try decompressor.process(rest.bytes, into: output)
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
                let isFull = output.count == output.capacity
                if output.count > 0 {
                    sum.update(output.filled.bytes)
                    size += UInt64(output.count)
                    try await consume(output.filled)
                    output.clear()
                }
                if decompressor.isAtEnd, !rest.isEmpty {
                    throw BackupError(.format, "there are bytes after the end of the compressed data")
                }
                if rest.isEmpty, !isFull { break }
                if decompressor.isAtEnd { break }
            }
        }
        if let decompressor {
            while try !decompressor.finish(into: output) {
                sum.update(output.filled.bytes)
                size += UInt64(output.count)
                try await consume(output.filled)
                output.clear()
            }
            if output.count > 0 {
                sum.update(output.filled.bytes)
                size += UInt64(output.count)
                try await consume(output.filled)
                output.clear()
            }
        }
        return (sum.finish(), size)
    }
}
