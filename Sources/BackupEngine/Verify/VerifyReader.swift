import BackupModel
import Checksums
import RepositoryStorage
import StreamFilters

/// What one task of a verification reads with: buffers and codecs that it uses again and again. Nothing is kept of what
/// was read but its checksum.
final class VerifyReader {
    private static let chunk = 1 << 20

    private let repository: Repository
    private let pairing: HashPairing
    private let progress: any ProgressSink
    private let buffer: UnsafeMutableRawBufferPointer
    private let output = OutputBuffer(capacity: Codecs.recommendedOutputCapacity)
    private let sum = RunningSHA1()
    private var decoders: [DecoderKey: any StreamCodec] = [:]

    private struct DecoderKey: Hashable {
        var compress: CompressType
        var isRaw: Bool
    }

    /// One for each task and each part of a repository: within a part all is encrypted with one pass.
    init(_ repository: Repository, _ pairing: HashPairing, progress: any ProgressSink) {
        self.repository = repository
        self.pairing = pairing
        self.progress = progress
        buffer = .allocate(byteCount: Self.chunk, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Of the bytes as they are stored.
    func stored(_ object: String, range: Range<UInt64>? = nil) async throws -> (checksum: SHA1Digest, size: UInt64) {
        try await reading(object, range) { reader in
            _ = sum.finish()
            var size: UInt64 = 0
            while let bytes = try await next(reader) {
                await pairing.update(sum, bytes)
                size += UInt64(bytes.count)
            }
            return (sum.finish(), size)
        }
    }

    /// Of the content. `consume` sees it in chunks.
    func content(
        _ object: String, range: Range<UInt64>? = nil, _ form: StoredForm,
        _ consume: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) async throws -> (checksum: SHA1Digest, size: UInt64) {
        guard let decoder = try decoder(form) else {
            return try await reading(object, range) { reader in
                _ = sum.finish()
                var size: UInt64 = 0
                while let bytes = try await next(reader) {
                    consume(bytes)
                    await pairing.update(sum, bytes)
                    size += UInt64(bytes.count)
                }
                return (sum.finish(), size)
            }
        }
        // Codecs with larger tables lose more by taking turns in a processor's cache than paired sums save.
        let isPaired = form.compress == .none || form.compress == .lz4
        return try await reading(object, range) { reader in
            _ = sum.finish()
            decoder.reset()
            output.clear()
            var size: UInt64 = 0
            func drain() async {
                guard output.count > 0 else { return }
                consume(output.filled)
                if isPaired { await pairing.update(sum, output.filled) } else { sum.update(output.filled) }
                size += UInt64(output.count)
                output.clear()
            }
            while let bytes = try await next(reader) {
                var rest = bytes
                while true {
                    let taken = try decoder.process(rest.bytes, into: output)
                    rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
                    let isFull = output.count == output.capacity
                    await drain()
                    if decoder.isAtEnd, !rest.isEmpty {
                        throw BackupError(.format, "there are bytes after the end of the compressed data")
                    }
                    if decoder.isAtEnd || rest.isEmpty && !isFull { break }
                }
            }
            while true {
                let isDone = try decoder.finish(into: output)
                await drain()
                if isDone { break }
            }
            return (sum.finish(), size)
        }
    }

    /// Of `count` neighbouring parts of an object, which is read once from front to back.
    /// - Parameters:
    ///   - part: where the n-th lies, in ascending order and without overlap.
    ///   - consume: told for each; `size` is less than asked for at the end of the object.
    func parts(
        of object: String, count: Int, _ part: (Int) -> Range<UInt64>,
        _ consume: (_ index: Int, _ checksum: SHA1Digest, _ size: UInt64) -> Void
    ) async throws {
        guard count > 0 else { return }
        let whole = part(0).lowerBound..<part(count - 1).upperBound
        try await reading(object, whole) { reader in
            var position = whole.lowerBound
            var window = UnsafeRawBufferPointer(start: nil, count: 0)
            _ = sum.finish()
            for index in 0..<count {
                let range = part(index)
                var size: UInt64 = 0
                while position < range.upperBound {
                    if window.isEmpty {
                        guard let bytes = try await next(reader) else { break }
                        window = bytes
                    }
                    // What is between two parts belongs to no file.
                    let end = position < range.lowerBound ? range.lowerBound : range.upperBound
                    let bytes = UnsafeRawBufferPointer(rebasing: window.prefix(Int(clamping: end - position)))
                    if position >= range.lowerBound {
                        await pairing.update(sum, bytes)
                        size += UInt64(bytes.count)
                    }
                    position += UInt64(bytes.count)
                    window = UnsafeRawBufferPointer(rebasing: window.dropFirst(bytes.count))
                }
                consume(index, sum.finish(), size)
            }
        }
    }

    /// The next bytes, in the one buffer of this reader; nil at the end.
    private func next(_ reader: any ObjectReader) async throws -> UnsafeRawBufferPointer? {
        try Task.checkCancellation()
        let count = try await reader.read(into: buffer)
        guard count > 0 else { return nil }
        progress.add(UInt64(count))
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
    }

    private func reading<Result>(
        _ object: String, _ range: Range<UInt64>?, _ body: (any ObjectReader) async throws -> Result
    ) async throws -> Result {
        let reader = try await repository.store.read(object, range: range)
        do {
            let result = try await body(reader)
            await reader.close()
            return result
        } catch {
            await reader.close()
            throw error
        }
    }

    private func decoder(_ form: StoredForm) throws(BackupError) -> (any StreamCodec)? {
        let key = DecoderKey(compress: form.compress, isRaw: form.isRaw)
        if let decoder = decoders[key] { return decoder }
        let decoder = try form.decoder()
        decoders[key] = decoder
        return decoder
    }
}

extension VerifyReader {
    /// Runs `check`, and makes what keeps an object from being read a finding. Only cancellation is thrown.
    func finding(
        _ object: String, file: String? = nil, files: Int = 1, _ check: () async throws -> VerifyFinding?
    ) async throws -> VerifyFinding? {
        do {
            return try await check()
        } catch let error as StorageError {
            if error.error.code == .terminated { throw error }
            if error.isMissing { return VerifyFinding(.missing, object, file: file, files: files, "it is not there") }
            return VerifyFinding(.unread, object, file: file, files: files, error.error.message)
        } catch let error as BackupError {
            if error.code == .terminated || error.code == .featureNotSupported { throw error }
            return VerifyFinding(
                .other, object, file: file, files: files, "it cannot be decoded: \(error.message)")
        }
    }
}
