import BackupModel
import Checksums
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// One repository's share of a copier's work: what belongs to the repository and not to the content. Compress, encrypt,
/// SHA-1 of what is stored, write; by blocks where it keeps them; small files into bundles.
///
/// A failure of the repository does not show here: the branch falls silent, and the others go on.
final class RepositoryBranch {
    let backup: RepositoryBackup
    private let failures: RepositoryFailures
    private let pairing: HashPairing
    private let encoder: (any StreamCodec)?
    /// For parts of bundles; nil: the same.
    private let bundleEncoder: (any StreamCodec)?
    private let output: OutputBuffer
    private var blockWriter: BlockIncrementalWriter?
    private let storedSum = RunningSHA1()
    private let inFlight: CommitsInFlight?

    private var bundle: OpenBundle?
    /// The file in work.
    private var file: FileInWork?

    private struct FileInWork {
        var index: Int
        var path: String
        var isBundled: Bool
        var isRaw: Bool
        /// 0: not by blocks.
        var blockSize: UInt32 = 0
        var blockChecksumSize: UInt8 = 6
        var bundleOffset: UInt64 = 0
        var storedSize: UInt64 = 0
        var writer: (any ObjectWriter)?
    }

    init(
        _ backup: RepositoryBackup, failures: RepositoryFailures, pairing: HashPairing
    ) throws(BackupError) {
        self.backup = backup
        self.failures = failures
        self.pairing = pairing
        inFlight = backup.newCommitsInFlight()
        encoder = try backup.settings.form(inBundle: false).encoder()
        bundleEncoder = backup.settings.isBundleRaw ? try backup.settings.form(inBundle: true).encoder() : nil
        output = OutputBuffer(capacity: encoder == nil ? 1 : Codecs.recommendedOutputCapacity)
    }

    /// Whether the repository still wants the file, after a look at what it has of it.
    func needs(_ file: SourceFile) async throws -> Bool {
        if backup.hasFailed { return false }
        switch backup.actions[file.index] {
        case .none: return false
        case .copy, .compare, .keepIfEqual: return true
        case .keep:
            var isKept = false
            try await guarded { isKept = try await keepStored(file.index) }
            return !isKept && !backup.hasFailed
        }
    }

    /// What the content must have to need no copy; nil when that cannot be.
    func expectedChecksum(_ file: SourceFile) -> SHA1Digest? { backup.expectedChecksum(file.index) }

    /// Whether all of the file is to be read before anything is stored.
    func comparesFirst(_ file: SourceFile) -> Bool {
        let action = backup.actions[file.index]
        return action == .compare && !willStoreBlocks(backup.row(file.index), file) || action == .keepIfEqual
    }

    /// The content is the one expected: whether the repository has it.
    func acceptsUnchanged(_ file: SourceFile, checksum: SHA1Digest) async throws -> Bool {
        var isThere = true
        if backup.actions[file.index] == .keepIfEqual {
            try await guarded { isThere = try await keepStored(file.index) }
        } else {
            backup.setUnchanged(file.index, size: file.size, checksum: checksum)
        }
        return isThere
    }

    func begin(_ file: SourceFile) async throws {
        try await guarded { try await open(file) }
    }

    func append(_ bytes: UnsafeRawBufferPointer) async throws {
        guard file != nil else { return }
        try await guarded { try await encode(bytes) }
    }

    /// nil when nothing had to be stored: the file is as before.
    func finish(size: UInt64, checksum: SHA1Digest, pageCheck: PageCheckResult) async throws -> StoredFile? {
        guard file != nil else { return nil }
        var stored: StoredFile?
        try await guarded { stored = try await close(size: size, checksum: checksum, pageCheck: pageCheck) }
        return stored
    }

    /// Leaves nothing of the file in work, nothing of an open bundle, and no commit under way.
    func abort() async {
        await inFlight?.cancel()
        await file?.writer?.abort()
        file = nil
        await bundle?.abort()
        bundle = nil
    }

    /// No more files come: all that were taken are stored when it returns.
    func end() async throws {
        guard !backup.hasFailed else { return await abort() }
        try await guarded {
            try await closeBundle()
            try await inFlight?.finish()
        }
    }

    private func guarded(_ body: () async throws -> Void) async throws {
        guard !backup.hasFailed else { return await abort() }
        do {
            try inFlight?.check()
            try await body()
        } catch {
            await abort()
            // First recorded, so that who sees the mark finds the reason.
            try failures.record(backup.repository, error)
            backup.setFailed()
        }
    }
}

// MARK: - One file

extension RepositoryBranch {
    private func willStoreBlocks(_ row: ManifestFile, _ file: SourceFile) -> Bool {
        guard let blocks = backup.settings.blocks, !file.isControlFile, file.index >= 0 else { return false }
        if row.blockSize > 0 { return file.size >= row.blockSize }
        return blocks.sizes.blockSize(fileSize: file.size, age: backup.outline.timestampStart - row.timestamp) > 0
    }

    private func open(_ source: SourceFile) async throws {
        let limit = source.isControlFile || source.index < 0 ? nil : backup.settings.bundles?.limit
        let isBundled = limit.map { source.size <= $0 } ?? false
        _ = storedSum.finish()
        output.clear()
        var new = FileInWork(
            index: source.index, path: "", isBundled: isBundled, isRaw: isBundled && backup.settings.isBundleRaw)
        if isBundled {
            let bundle = bundle ?? OpenBundle(backup)
            self.bundle = bundle
            new.bundleOffset = bundle.offset
        }
        if let blocks = backup.settings.blocks, source.index >= 0 {
            let row = backup.row(source.index)
            if willStoreBlocks(row, source) { try await openBlocks(row, source, blocks, &new) }
        }
        if new.blockSize == 0 { codec(new)?.reset() }
        new.path = RepositoryPaths.backupFile(
            stanza: backup.stanza, label: backup.label, name: source.name, compress: backup.settings.compress,
            blockIncremental: new.blockSize > 0)
        file = new
    }

    private func openBlocks(
        _ row: ManifestFile, _ source: SourceFile, _ blocks: BackupSettings.Blocks, _ new: inout FileInWork
    ) async throws {
        var prior: BlockMap?
        if row.blockSize > 0 {
            // Within a set these never change.
            new.blockSize = row.blockSize
            new.blockChecksumSize = row.blockChecksumSize
            if row.reference != nil, row.isBlockIncremental {
                prior = try await backup.repository.loadBlockMap(of: row, in: backup.outline, stanza: backup.stanza)
            }
        } else {
            new.blockSize = blocks.sizes.blockSize(
                fileSize: source.size, age: backup.outline.timestampStart - row.timestamp)
            new.blockChecksumSize = blocks.sizes.checksumSize(blockSize: new.blockSize)
        }
        if blockWriter == nil {
            var form = backup.settings.form(inBundle: true)
            form.isRaw = true
            blockWriter = try BlockIncrementalWriter(
                superBlockSize: blocks.superBlockSize, reference: backup.outline.references.count - 1, form: form)
        }
        blockWriter?.begin(
            blockSize: Int(new.blockSize), checksumSize: Int(new.blockChecksumSize), prior: prior,
            bundleID: new.isBundled ? bundle?.id ?? 0 : 0, bundleOffset: new.bundleOffset)
    }

    private func codec(_ file: FileInWork) -> (any StreamCodec)? { file.isRaw ? bundleEncoder ?? encoder : encoder }

    private func encode(_ bytes: UnsafeRawBufferPointer) async throws {
        guard let file else { return }
        if file.blockSize > 0 {
            try await blockWriter?.append(bytes) { try await self.writeHashed($0) }
            return
        }
        guard let codec = codec(file) else { return try await write(bytes) }
        var rest = bytes
        while !rest.isEmpty {
            let taken = try codec.process(rest.bytes, into: output)
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
            try await drain()
        }
    }

    private func close(
        size: UInt64, checksum: SHA1Digest, pageCheck: PageCheckResult
    ) async throws -> StoredFile? {
        guard var file else { return nil }
        var stored = StoredFile(size: size, checksum: checksum, pageCheck: pageCheck, repoSize: 0)
        if file.blockSize > 0 {
            let result = try await blockWriter?.finish { try await self.writeHashed($0) }
            if let (mapSize, _) = result ?? nil {
                stored.blockSize = file.blockSize
                stored.blockChecksumSize = file.blockChecksumSize
                stored.blockMapSize = mapSize
            } else if size > 0 {
                self.file = nil
                try requireUnchanged(file.index, size, checksum)
                if backup.settle([file.index]) { try await backup.saveProgress() }
                return nil
            }
        } else if size > 0 || !backup.outline.isBundle {
            try await finishEncoding()
        }
        file = self.file ?? file
        stored.repoSize = file.storedSize
        let isPlain = file.blockSize == 0 && codec(file) == nil
        stored.repoChecksum = isPlain || file.storedSize == 0 ? nil : storedSum.finish()
        if file.isBundled, file.storedSize > 0 {
            stored.bundleID = bundle?.id ?? 0
            stored.bundleOffset = file.bundleOffset
        }
        try await publish(file, stored)
        return stored
    }

    private func finishEncoding() async throws {
        guard let file else { return }
        if let codec = codec(file) {
            while true {
                let isDone = try codec.finish(into: output)
                try await drain()
                if isDone { break }
            }
        } else if file.storedSize == 0, !file.isBundled {
            // Where empty files are objects too.
            try await openObject()
        }
    }

    /// The file is stored whole: make its object durable, or leave that to its bundle.
    private func publish(_ file: FileInWork, _ stored: StoredFile) async throws {
        if file.isBundled, stored.repoSize > 0, let bundle, let limit = backup.settings.bundles?.size {
            self.file = nil
            bundle.take(file.index, stored)
            if bundle.contentSize >= limit { try await closeBundle() }
            return
        }
        let object = FinishedObject(
            backup: backup, writer: file.writer, files: file.index < 0 ? [] : [(file.index, stored)])
        // What is no row of the manifest is entered by who waits for it here.
        if let inFlight, file.writer != nil, file.index >= 0 {
            try await inFlight.begin(holding: file.storedSize) { try await object.store() }
            self.file = nil
        } else {
            self.file = nil
            try await object.store()
        }
    }

    private func closeBundle() async throws {
        guard let bundle else { return }
        let object = FinishedObject(backup: backup, writer: bundle.takeWriter(), files: bundle.files)
        self.bundle = nil
        guard let inFlight else { return try await object.store() }
        do {
            try await inFlight.begin(holding: bundle.offset) { try await object.store() }
        } catch {
            await object.writer?.abort()
            throw error
        }
    }

    /// No block has changed. Block checksums are short: the whole content's must agree where it is known.
    private func requireUnchanged(_ index: Int, _ size: UInt64, _ checksum: SHA1Digest) throws {
        if let expected = backup.expectedChecksum(index), expected != checksum {
            throw BackupError(
                .checksum,
                "\(backup.repository.name): '\(backup.row(index).name)' has changed, but none of its block checksums has",
                hint: "make a full backup: it compares no blocks")
        }
        backup.setUnchanged(index, size: size, checksum: checksum)
    }

    /// Whether what an interrupted run has stored of the file is whole.
    private func keepStored(_ index: Int) async throws -> Bool {
        let row = backup.row(index)
        let path = backup.outline.object(of: row, stanza: backup.stanza)
        let range = row.bundleID == 0 ? nil : row.bundleOffset..<row.bundleOffset + row.repoSize
        let found = try await backup.repository.storedChecksum(path, range: range)
        guard let found, found.size == row.repoSize, found.checksum == row.repoChecksum ?? row.checksum else {
            return false
        }
        _ = backup.settle([index])
        return true
    }
}

// MARK: - Bytes on their way out

extension RepositoryBranch {
    /// Hashes and writes what the codec has put out, so that it has room again.
    private func drain() async throws {
        guard output.count > 0 else { return }
        try await writeHashed(output.filled)
        output.clear()
    }

    private func writeHashed(_ bytes: UnsafeRawBufferPointer) async throws {
        await pairing.update(storedSum, bytes)
        try await write(bytes)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) async throws {
        guard !bytes.isEmpty else { return }
        file?.storedSize += UInt64(bytes.count)
        if file?.isBundled == true {
            try await bundle?.append(bytes)
            return
        }
        if file?.writer == nil { try await openObject() }
        let writer = file?.writer
        try await backup.repository.describing { try await writer?.append(bytes.bytes) }
    }

    private func openObject() async throws {
        guard let path = file?.path else { return }
        let store = backup.repository.store
        let writer = try await backup.repository.describing { try await store.write(path, .inPlace) }
        file?.writer = writer
    }
}

/// An object of which all bytes are written, and what is in it.
// Handed over by the branch that wrote it, which keeps nothing of it.
private struct FinishedObject: @unchecked Sendable {
    let backup: RepositoryBackup
    let writer: (any ObjectWriter)?
    let files: [(row: Int, stored: StoredFile)]

    /// Makes it durable; only then its rows are entered.
    func store() async throws {
        do {
            try await backup.repository.describing { try await writer?.commit() }
        } catch {
            await writer?.abort()
            throw error
        }
        for (row, stored) in files { backup.setStored(row, stored) }
        if !files.isEmpty, backup.settle(files.map(\.row)) { try await backup.saveProgress() }
    }
}

extension Repository {
    /// SHA-1 and size of an object, or of a range of it, as it lies in the repository; nil when there is none.
    func storedChecksum(
        _ path: String, range: Range<UInt64>?
    ) async throws(BackupError) -> (checksum: SHA1Digest, size: UInt64)? {
        try await describing {
            do {
                let reader = try await store.read(path, range: range)
                let result = try await ObjectContentReader(bufferSize: 256 << 10).read(reader, nil) { _ in }
                await reader.close()
                return (result.checksum, result.size)
            } catch let error as StorageError where error.isMissing {
                return nil
            }
        }
    }
}
