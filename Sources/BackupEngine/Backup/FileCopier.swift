import BackupModel
import Checksums
import Glibc
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// A file of the data directory that is to be copied.
struct SourceFile: Sendable {
    /// Row in the manifests; -1 for what is no file of the data directory.
    var index: Int
    var name: String
    var path: String
    /// Bytes when the manifest was built.
    var size: UInt64
    /// What grows after the scan is not read: WAL replay brings it. False for files that WAL does not cover.
    var stopsAtSize: Bool
    var hasPages: Bool
    var isControlFile: Bool
    /// Reads it where it is on another host; nil: it is at `path`.
    var remote: (any RemoteFiles)?
}

/// What became of a file.
enum FileOutcome: Sendable {
    case gone
    /// Each repository has it from before.
    case unchanged
    case stored(size: UInt64, checksum: SHA1Digest, pageCheck: PageCheckResult)
}

/// How pages of this cluster are checked; nil in its place switches checking off.
struct PageCheckRules: Sendable {
    /// Bytes.
    var pageSize: Int
    var checksHeader: Bool
    static let relationSegmentBytes = 1 << 30
}

/// Copies files into repositories, one after the other: a tree with one trunk and a branch for each repository.
///
/// Trunk: read a chunk, check its pages, add it to the content's SHA-1. Branch: compress, encrypt, add to the stored
/// bytes' SHA-1, write. All stages see a chunk while it is in the processor's cache. One task owns one copier.
final class FileCopier {
    /// Read at once.
    private let chunk: UnsafeMutableRawBufferPointer
    private let limit: RateLimit?
    private let branches: [RepositoryBranch]
    private let pages: PageCheckRules?
    private let pairing: HashPairing
    private let progress: @Sendable (UInt64) -> Void
    private let content = RunningSHA1()

    /// - Parameters:
    ///   - bufferSize: bytes read at once, at least those of pg_control.
    ///   - limit: of reading.
    init(
        branches: [RepositoryBranch], pages: PageCheckRules?, pairing: HashPairing, bufferSize: Int = 1 << 20,
        limit: RateLimit? = nil, progress: @escaping @Sendable (UInt64) -> Void
    ) {
        self.limit = limit
        let piece = max(limit?.piece(of: bufferSize) ?? bufferSize, PostgresControl.fileSize)
        chunk = .allocate(byteCount: piece, alignment: 4096)
        self.pairing = pairing
        self.branches = branches
        self.pages = pages
        self.progress = progress
    }

    deinit { chunk.deallocate() }

    /// Copies the file into the repositories that need it. On an error no branch keeps anything of it.
    func copy(_ file: SourceFile) async throws -> FileOutcome {
        do {
            var needing: [RepositoryBranch] = []
            for branch in branches where try await branch.needs(file) { needing.append(branch) }
            if needing.isEmpty {
                progress(file.size)
                return .unchanged
            }
            guard var opened = try await SourceReader.open(file) else {
                for branch in needing { branch.backup.setGone(file.index) }
                return .gone
            }
            do {
                let outcome = try await copy(file, &opened, needing)
                await opened.close()
                return outcome
            } catch {
                await opened.close()
                throw error
            }
        } catch {
            await abort()
            throw error
        }
    }

    /// Leaves nothing of the file in work, and nothing that goes on.
    func abort() async {
        for branch in branches { await branch.abort() }
    }

    /// Stores bytes that are no file of the data directory, such as backup_label. nil when the repository has failed.
    func store(_ bytes: [UInt8], as file: SourceFile, in branch: RepositoryBranch) async throws -> StoredFile? {
        do {
            _ = content.finish()
            try await branch.begin(file)
            try await bytes.withUnsafeBytesAsync { bytes in
                await pairing.update(content, bytes)
                try await branch.append(bytes)
            }
            return try await branch.finish(
                size: UInt64(bytes.count), checksum: content.finish(), pageCheck: .notChecked)
        } catch {
            await branch.abort()
            throw error
        }
    }

    /// No more files come: what branches hold open is finished.
    func end() async throws {
        for branch in branches { try await branch.end() }
    }

    private func copy(
        _ file: SourceFile, _ opened: inout SourceReader, _ needing: [RepositoryBranch]
    ) async throws -> FileOutcome {
        var needing = needing
        _ = content.finish()
        if !file.isControlFile, needing.contains(where: { $0.expectedChecksum(file) != nil }) {
            if file.size <= UInt64(chunk.count) {
                let room = file.stopsAtSize ? Int(file.size) : chunk.count
                let count = try await read(opened, room)
                // Otherwise it has grown past what can be compared.
                if file.stopsAtSize || count < room { return try await copyWhole(file, opened, count, needing) }
                try await opened.rewind()
            } else if needing.contains(where: { $0.comparesFirst(file) }) {
                let checksum = try await checksum(file, opened)
                needing = try await changed(needing, file, checksum)
                if needing.isEmpty {
                    progress(file.size)
                    return .unchanged
                }
                try await opened.rewind()
            }
        }
        var pageChecker = pageChecker(file)
        for branch in needing { try await branch.begin(file) }
        var size: UInt64 = 0
        while true {
            try Task.checkCancellation()
            let room = file.stopsAtSize ? Int(min(UInt64(chunk.count), file.size - size)) : chunk.count
            if room == 0 { break }
            let count =
                file.isControlFile
                ? (size == 0 ? try await opened.readControl(into: chunk) : 0)
                : try await read(opened, room)
            if count == 0 { break }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count])
            pageChecker?.check(bytes, opened.descriptor)
            await pairing.update(content, bytes)
            for branch in needing { try await branch.append(bytes) }
            size += UInt64(count)
            progress(UInt64(count))
            if count < room { break }
        }
        return try await finish(
            file, needing, size: size, checksum: content.finish(),
            pageCheck: pageChecker?.finish(opened.descriptor) ?? .notChecked)
    }

    /// A file that is in `chunk` as a whole: known before anything is stored is whether it has changed at all.
    private func copyWhole(
        _ file: SourceFile, _ opened: SourceReader, _ count: Int, _ needing: [RepositoryBranch]
    ) async throws -> FileOutcome {
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count])
        await pairing.update(content, bytes)
        let checksum = content.finish()
        progress(UInt64(count))
        let needing = try await changed(needing, file, checksum)
        if needing.isEmpty { return .unchanged }
        var pageChecker = pageChecker(file)
        pageChecker?.check(bytes, opened.descriptor)
        for branch in needing { try await branch.begin(file) }
        for branch in needing where count > 0 { try await branch.append(bytes) }
        return try await finish(
            file, needing, size: UInt64(count), checksum: checksum,
            pageCheck: pageChecker?.finish(opened.descriptor) ?? .notChecked)
    }

    private func finish(
        _ file: SourceFile, _ needing: [RepositoryBranch], size: UInt64, checksum: SHA1Digest,
        pageCheck: PageCheckResult
    ) async throws -> FileOutcome {
        var isStored = false
        for branch in needing {
            let stored = try await branch.finish(size: size, checksum: checksum, pageCheck: pageCheck)
            if stored != nil { isStored = true }
        }
        return isStored ? .stored(size: size, checksum: checksum, pageCheck: pageCheck) : .unchanged
    }

    /// The branches whose repository does not have this content.
    private func changed(
        _ branches: [RepositoryBranch], _ file: SourceFile, _ checksum: SHA1Digest
    ) async throws -> [RepositoryBranch] {
        var changed: [RepositoryBranch] = []
        for branch in branches {
            if branch.expectedChecksum(file) == checksum,
                try await branch.acceptsUnchanged(file, checksum: checksum)
            {
                continue
            }
            changed.append(branch)
        }
        return changed
    }

    private func checksum(_ file: SourceFile, _ opened: SourceReader) async throws -> SHA1Digest {
        var size: UInt64 = 0
        while true {
            try Task.checkCancellation()
            let room = file.stopsAtSize ? Int(min(UInt64(chunk.count), file.size - size)) : chunk.count
            let count = room == 0 ? 0 : try await read(opened, room)
            if count == 0 { return content.finish() }
            await pairing.update(content, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count]))
            size += UInt64(count)
        }
    }

    private func pageChecker(_ file: SourceFile) -> FilePageChecker? {
        guard file.hasPages, file.remote == nil, let pages else { return nil }
        return FilePageChecker(rules: pages, fileName: file.name)
    }

    private func read(_ opened: SourceReader, _ room: Int) async throws -> Int {
        let count = try await opened.read(into: UnsafeMutableRawBufferPointer(rebasing: chunk[..<room]))
        try await limit?.take(count)
        return count
    }
}

extension Array where Element == UInt8 {
    /// The bytes across suspension points; the array is kept alive meanwhile.
    func withUnsafeBytesAsync(_ body: (UnsafeRawBufferPointer) async throws -> Void) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: self)
        try await body(UnsafeRawBufferPointer(copy))
    }
}
