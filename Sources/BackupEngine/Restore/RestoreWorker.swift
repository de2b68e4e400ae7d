import BackupModel
import Checksums
import Glibc
import Logging
import RepositoryFormats
import RepositoryStorage
import Telemetry
import StreamFilters

/// One thread of a restore, with the buffers that it uses again and again. Used by one task.
final class RestoreWorker {
    private let plan: RestorePlan
    private let options: RestoreOptions
    private let repository: Repository
    private let owners: RestoreOwners
    private let logger: Logger
    private let progress: RestoreProgress

    private let buffer: UnsafeMutableRawBufferPointer
    private let output: OutputBuffer
    private let codec: (any StreamCodec)?
    private let bundleCodec: (any StreamCodec)?
    private let sum = RunningSHA1()
    private let pairing: HashPairing

    private static let chunk = 1 << 20

    init(_ execution: RestoreExecution, progress: RestoreProgress, pairing: HashPairing) throws(BackupError) {
        self.pairing = pairing
        plan = execution.plan
        options = execution.options
        repository = execution.repository
        owners = execution.owners
        logger = execution.logger
        self.progress = progress
        let type = plan.manifest.options.compressType
        codec = try Codecs.decompressor(type, raw: false)
        bundleCodec = plan.manifest.isBundleRaw ? try Codecs.decompressor(type, raw: true) : codec
        output = OutputBuffer(capacity: Self.chunk)
        buffer = .allocate(byteCount: Self.chunk, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Takes jobs until there are none.
    func run(_ queue: WorkQueue<RestorePlan.Job>) async throws {
        while let job = queue.take() {
            try Task.checkCancellation()
            var missing: [ManifestFile] = []
            for row in plan.order[job.files] {
                let file = plan.manifest.files[Int(row)]
                if try restoreWithoutRepository(file) { continue }
                missing.append(file)
            }
            var rest = missing[...]
            while let first = rest.first {
                var end = first.bundleOffset + first.repoSize
                var run = rest.prefix(1)
                for file in rest.dropFirst() where job.isBundle {
                    guard file.bundleOffset == end else { break }
                    end = file.bundleOffset + file.repoSize
                    run = rest[run.startIndex..<(run.endIndex + 1)]
                }
                rest = rest[run.endIndex...]
                try await restore(run, range: job.isBundle ? first.bundleOffset..<end : nil)
            }
        }
    }

    /// The content of one small file, verified; nothing is written.
    func load(_ file: ManifestFile) async throws -> [UInt8] {
        var content: [UInt8] = []
        try await reading(
            [file], range: file.bundleID == 0 ? nil : file.bundleOffset..<file.bundleOffset + file.repoSize
        ) {
            window in
            try await decode(file, window) { bytes throws(BackupError) in content.append(contentsOf: bytes) }
        }
        return content
    }

    /// Files of no bytes, and those that a delta finds alike.
    private func restoreWithoutRepository(_ file: ManifestFile) throws(BackupError) -> Bool {
        let path = plan.path(of: file.name)
        if options.delta, try isAlike(file, path) {
            try adjust(file, path)
            let done = progress.add(file.size)
            log(file, path, done, note: " - exists and matches backup")
            return true
        }
        guard file.size == 0 else { return false }
        let target = try TargetFile(path)
        try finish(target, file)
        log(file, path, progress.add(0), note: "")
        return true
    }

    private func restore(_ files: ArraySlice<ManifestFile>, range: Range<UInt64>?) async throws {
        try await reading(files, range: range) { window in
            for file in files {
                let path = plan.path(of: file.name)
                let target = try TargetFile(path)
                try await decode(file, window) { bytes throws(BackupError) in try target.write(bytes) }
                try finish(target, file)
                log(file, path, progress.add(file.size), note: "")
            }
        }
    }

    private func reading(
        _ files: ArraySlice<ManifestFile>, range: Range<UInt64>?, _ body: (StoredBytes) async throws -> Void
    ) async throws {
        guard let first = files.first else { return }
        let object = plan.object(of: first)
        do {
            let window = StoredBytes(try await repository.store.read(object, range: range), buffer)
            do {
                try await body(window)
            } catch {
                await window.reader.close()
                throw error
            }
            await window.reader.close()
        } catch let error as StorageError {
            if error.isMissing { throw damaged(error.error.code, first, "the object is missing") }
            throw error.error.within(context(first))
        }
    }

    private func context(_ file: ManifestFile) -> String {
        "unable to restore '\(file.name)' of backup set \(plan.label(of: file)) from \(repository.name)"
    }

    private func damaged(_ code: ErrorCode, _ file: ManifestFile, _ reason: String) -> BackupError {
        BackupError(
            code, "\(context(file)): \(reason) (stored in '\(plan.object(of: file))')",
            hint: "the repository is damaged here: restore another backup set, or from another repository"
        )
    }

    /// Hands the content of `file`, the next of what `window` reads, to `sink`, and verifies it.
    private func decode(
        _ file: ManifestFile, _ window: StoredBytes, to sink: (UnsafeRawBufferPointer) throws(BackupError) -> Void
    ) async throws {
        let codec = file.bundleID == 0 ? codec : bundleCodec
        codec?.reset()
        _ = sum.finish()
        var content: UInt64 = 0
        func take(_ bytes: UnsafeRawBufferPointer) async throws(BackupError) {
            if bytes.isEmpty { return }
            content += UInt64(bytes.count)
            guard content <= file.size else {
                throw damaged(.checksum, file, "content is longer than the \(file.size) bytes that the manifest says")
            }
            await pairing.update(sum, bytes)
            try sink(bytes)
        }
        var rest = file.repoSize
        while rest > 0 {
            try Task.checkCancellation()
            let stored = try await window.next(atMost: rest)
            guard !stored.isEmpty else {
                throw damaged(
                    codec == nil ? .checksum : .format, file,
                    "stored bytes end after \(file.repoSize - rest) of \(file.repoSize)")
            }
            rest -= UInt64(stored.count)
            guard let codec else {
                try await take(stored)
                continue
            }
            do throws(BackupError) {
                try await decompress(stored, codec, take)
            } catch {
                throw error.code == .format ? damaged(.format, file, error.message) : error
            }
        }
        if let codec {
            do throws(BackupError) {
                var isDone = false
                while !isDone {
                    output.clear()
                    isDone = try codec.finish(into: output)
                    try await take(output.filled)
                }
            } catch {
                throw error.code == .format ? damaged(.format, file, error.message) : error
            }
        }
        if file.bundleID == 0, try await !window.next(atMost: 1).isEmpty {
            throw damaged(.format, file, "there is more than the \(file.repoSize) bytes that the manifest says")
        }
        guard content == file.size else {
            throw damaged(.checksum, file, "content has \(content) bytes instead of \(file.size)")
        }
        let digest = sum.finish()
        guard let expected = file.checksum, digest == expected else {
            throw damaged(
                .checksum, file,
                "actual checksum '\(digest.hex)' does not match expected checksum '\(file.checksum?.hex ?? "none")'")
        }
    }

    private func decompress(
        _ stored: UnsafeRawBufferPointer, _ codec: any StreamCodec,
        _ take: (UnsafeRawBufferPointer) async throws(BackupError) -> Void
    ) async throws(BackupError) {
        var position = 0
        while position < stored.count {
            guard !codec.isAtEnd else { throw BackupError(.format, "bytes follow the end of the compressed stream") }
            output.clear()
            let used = try codec.process(
                UnsafeRawBufferPointer(rebasing: stored[position...]).bytes, into: output)
            guard used > 0 || !output.filled.isEmpty || codec.isAtEnd else {
                throw BackupError(.format, "compressed stream makes no progress")
            }
            position += used
            try await take(output.filled)
        }
    }

    private func isAlike(_ file: ManifestFile, _ path: String) throws(BackupError) -> Bool {
        guard let present = try LocalDisk.status(path, followingLinks: true), present.kind == .file,
            present.size >= file.size
        else { return false }
        if options.force, present.size == file.size, present.modified == file.timestamp,
            file.timestamp < plan.manifest.timestampCopyStart
        {
            return true
        }
        if file.size > 0 {
            guard let digest = try localSum(path, size: file.size), digest == file.checksum else { return false }
        }
        if present.size > file.size {
            guard truncate(path, off_t(file.size)) == 0 else {
                throw LocalDisk.failure(.fileWrite, "truncate file", path)
            }
        }
        return true
    }

    /// SHA-1 of the first `size` bytes; nil when there are fewer.
    private func localSum(_ path: String, size: UInt64) throws(BackupError) -> SHA1Digest? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw LocalDisk.failure(.fileOpen, "open file", path) }
        defer { close(descriptor) }
        _ = sum.finish()
        var rest = size
        while rest > 0 {
            let count = read(descriptor, buffer.baseAddress, Int(min(rest, UInt64(buffer.count))))
            if count < 0 {
                if errno == EINTR { continue }
                throw LocalDisk.failure(.fileRead, "read file", path)
            }
            if count == 0 { return nil }
            sum.update(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
            rest -= UInt64(count)
        }
        return sum.finish()
    }

    private func adjust(_ file: ManifestFile, _ path: String) throws(BackupError) {
        guard let present = try LocalDisk.status(path, followingLinks: true) else { return }
        let owner = owners.owner(user: file.user, group: file.group)
        let hasOwner = owner.map { $0.user == present.user && $0.group == present.group } ?? true
        if present.mode == file.mode && present.modified == file.timestamp && hasOwner { return }
        let target = try TargetFile(path, truncating: false)
        try finish(target, file)
    }

    private func finish(_ target: borrowing TargetFile, _ file: ManifestFile) throws(BackupError) {
        try target.finish(
            mode: file.mode, owner: owners.owner(user: file.user, group: file.group), modified: file.timestamp)
    }

    private func log(_ file: ManifestFile, _ path: String, _ done: UInt64, note: String) {
        logger.log(
            level: RestoreExecution.detail,
            """
            restore file \(path)\(note) (\(file.bundleID == 0 ? "" : "bundle \(file.bundleID)/\(file.bundleOffset), ")\
            \(SizeText.bytes(file.size)), \(progress.percent(done)))\
            \(file.checksum.map { file.size == 0 ? "" : " checksum \($0.hex)" } ?? "")
            """)
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

/// A file that is being restored.
private struct TargetFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    init(_ path: String, truncating: Bool = true) throws(BackupError) {
        // Without O_TRUNC it exists, and read permission is what its owner surely has.
        let flags = truncating ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY
        descriptor = open(path, flags | O_CLOEXEC, 0o600)
        self.path = path
        guard descriptor >= 0 else { throw LocalDisk.failure(.fileOpen, "create file", path) }
    }

    deinit { close(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer) throws(BackupError) {
        try LocalDisk.writeAll(bytes, to: descriptor, path: path)
    }

    /// Sets what the manifest says and makes it durable.
    func finish(mode: UInt16, owner: FileOwner?, modified: Int64) throws(BackupError) {
        if let owner { try LocalDisk.change(owner: owner, of: descriptor, path: path) }
        guard fchmod(descriptor, mode_t(mode)) == 0 else { throw LocalDisk.failure(.fileMode, "set mode of", path) }
        try LocalDisk.change(modified: modified, of: descriptor, path: path)
        guard fsync(descriptor) == 0 else { throw LocalDisk.failure(.fileSync, "sync file", path) }
    }
}
