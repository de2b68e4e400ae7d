import BackupModel
import Checksums
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Reads files of one backup set and verifies them; with the buffers that it uses again and again. Used by one task.
///
/// Throws ``UnreadableFile`` for what is wrong with the repository, and what its callers' closures throw.
final class StoredFileReader {
    let source: RestoreSource
    private let pairing: HashPairing
    private let buffer: UnsafeMutableRawBufferPointer
    private let output = OutputBuffer(capacity: chunk)
    private let codec: (any StreamCodec)?
    private let bundleCodec: (any StreamCodec)?
    private let blocks: BlockContentReader
    private let sum = RunningSHA1()

    static let chunk = 1 << 20

    init(_ source: RestoreSource, pairing: HashPairing) throws(BackupError) {
        self.source = source
        self.pairing = pairing
        let manifest = source.manifest
        var form = StoredForm(compress: manifest.options.compressType, cipherPass: manifest.cipherPass)
        codec = try form.decoder()
        form.isRaw = true
        bundleCodec = manifest.isBundleRaw ? try form.decoder() : codec
        blocks = try BlockContentReader(source.repository, manifest, stanza: source.stanza)
        buffer = .allocate(byteCount: Self.chunk, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Files that lie one behind the other in one object, or one file by itself. `write` gets the content of each in
    /// pieces, `finish` is told when it is whole and as the manifest says.
    func read(
        _ files: ArraySlice<ManifestFile>,
        begin: (ManifestFile) throws -> Void, write: (UnsafeRawBufferPointer) async throws -> Void,
        finish: (ManifestFile) throws -> Void
    ) async throws {
        guard let first = files.first, let last = files.last else { return }
        if first.isBlockIncremental {
            try begin(first)
            try await readBlocks(first, write)
            try finish(first)
            return
        }
        let range = first.bundleID == 0 ? nil : first.bundleOffset..<last.bundleOffset + last.repoSize
        var current = first
        do {
            let object = source.manifest.object(of: first, stanza: source.stanza)
            let window = StoredBytes(try await source.repository.store.read(object, range: range), buffer)
            do {
                for file in files {
                    current = file
                    try begin(file)
                    try await decode(file, window, write)
                    try finish(file)
                }
            } catch {
                await window.reader.close()
                throw error
            }
            await window.reader.close()
        } catch {
            throw source.unreadable(error, current)
        }
    }

    /// The blocks of a block-incremental file that differ from those that are `present`, in the order of the file. What
    /// the file is then must be verified by the caller. nil when all differ, and nothing was read.
    func readBlocks(
        _ file: ManifestFile, unlike present: [BlockChecksum],
        _ write: (_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) async throws -> Void
    ) async throws -> UInt64? {
        let plan = try await reading(file) { try await blocks.plan(file, present: present) }
        guard plan.size < file.size else { return nil }
        try await reading(file) {
            try await blocks.read(plan, of: file) { offset, bytes in try await local { try await write(offset, bytes) }
            }
        }
        return plan.size
    }

    private func readBlocks(_ file: ManifestFile, _ write: (UnsafeRawBufferPointer) async throws -> Void) async throws {
        let plan = try await reading(file) { try await blocks.plan(file) }
        _ = sum.finish()
        try await reading(file) {
            try await blocks.read(plan, of: file) { _, bytes in
                await pairing.update(sum, bytes)
                try await local { try await write(bytes) }
            }
        }
        try verify(file)
    }

    /// What `body` throws is the repository's fault, but for what went through ``local(_:)``.
    private func reading<Result>(_ file: ManifestFile, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let failure as LocalFailure {
            throw failure.error
        } catch let error as BackupError {
            throw source.damaged(error.code, file, error.message)
        }
    }

    private struct LocalFailure: Error { var error: any Error }

    private func local(_ body: () async throws -> Void) async throws {
        do { try await body() } catch { throw LocalFailure(error: error) }
    }

    private func verify(_ file: ManifestFile) throws {
        let digest = sum.finish()
        guard let expected = file.checksum, digest == expected else {
            throw source.damaged(
                .checksum, file,
                "actual checksum '\(digest.hex)' does not match expected checksum '\(file.checksum?.hex ?? "none")'")
        }
    }

    /// Hands the content of `file`, the next of what `window` reads, to `write`, and verifies it.
    private func decode(
        _ file: ManifestFile, _ window: StoredBytes, _ write: (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        let codec = file.bundleID == 0 ? codec : bundleCodec
        codec?.reset()
        _ = sum.finish()
        var content: UInt64 = 0
        func take(_ bytes: UnsafeRawBufferPointer) async throws {
            if bytes.isEmpty { return }
            content += UInt64(bytes.count)
            guard content <= file.size else {
                throw source.damaged(
                    .checksum, file, "content is longer than the \(file.size) bytes that the manifest says")
            }
            await pairing.update(sum, bytes)
            try await write(bytes)
        }
        var rest = file.repoSize
        while rest > 0 {
            try Task.checkCancellation()
            let stored = try await window.next(atMost: rest)
            guard !stored.isEmpty else {
                throw source.damaged(
                    codec == nil ? .checksum : .format, file,
                    "stored bytes end after \(file.repoSize - rest) of \(file.repoSize)")
            }
            rest -= UInt64(stored.count)
            guard let codec else {
                try await take(stored)
                continue
            }
            var position = 0
            while position < stored.count {
                output.clear()
                let used = try decoding(file) { () throws(BackupError) in
                    guard !codec.isAtEnd else {
                        throw BackupError(.format, "bytes follow the end of the compressed stream")
                    }
                    return try codec.process(
                        UnsafeRawBufferPointer(rebasing: stored[position...]).bytes, into: output)
                }
                guard used > 0 || !output.filled.isEmpty || codec.isAtEnd else {
                    throw source.damaged(.format, file, "compressed stream makes no progress")
                }
                position += used
                try await take(output.filled)
            }
        }
        if let codec {
            var isDone = false
            while !isDone {
                output.clear()
                isDone = try decoding(file) { () throws(BackupError) in try codec.finish(into: output) }
                try await take(output.filled)
            }
        }
        if file.bundleID == 0, try await !window.next(atMost: 1).isEmpty {
            throw source.damaged(.format, file, "there is more than the \(file.repoSize) bytes that the manifest says")
        }
        guard content == file.size else {
            throw source.damaged(.checksum, file, "content has \(content) bytes instead of \(file.size)")
        }
        try verify(file)
    }

    private func decoding<Result>(_ file: ManifestFile, _ body: () throws(BackupError) -> Result) throws -> Result {
        do throws(BackupError) {
            return try body()
        } catch {
            if error.code == .memory || error.code == .assertion { throw error }
            throw source.damaged(error.code, file, error.message)
        }
    }
}

/// What is read of one object, in pieces of a worker's buffer.
private final class StoredBytes {
    let reader: any ObjectReader
    private let buffer: UnsafeMutableRawBufferPointer
    private var filled: UnsafeRawBufferPointer

    init(_ reader: any ObjectReader, _ buffer: UnsafeMutableRawBufferPointer) {
        self.reader = reader
        self.buffer = buffer
        filled = UnsafeRawBufferPointer(start: buffer.baseAddress, count: 0)
    }

    /// Empty at the end; valid until the next call.
    func next(atMost limit: UInt64) async throws -> UnsafeRawBufferPointer {
        if filled.isEmpty {
            let count = try await reader.read(into: buffer)
            filled = UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)
        }
        let piece = UnsafeRawBufferPointer(rebasing: filled.prefix(Int(min(limit, UInt64(filled.count)))))
        filled = UnsafeRawBufferPointer(rebasing: filled.dropFirst(piece.count))
        return piece
    }
}
