import BackupModel
package import Checksums
import Glibc
import PostgresFormats
package import RepositoryFormats

/// A file of the data directory that is to be copied.
package struct SourceFile: Sendable {
    /// Row in the manifest.
    package var index: Int
    package var name: String
    package var path: String
    /// Bytes when the manifest was built.
    package var size: UInt64
    /// What grows after the scan is not read: WAL replay brings it. False for files that WAL does not cover.
    package var stopsAtSize: Bool
    package var hasPages: Bool
    package var isControlFile: Bool
}

/// What copying one file gave.
package struct CopiedFile: Sendable {
    package var size: UInt64
    package var checksum: SHA1Digest
    package var pageCheck: PageCheckResult
    package var stored: [StoredFile]
}

/// A file as one repository holds it.
package struct StoredFile: Sendable {
    package var repoSize: UInt64
    /// nil when the stored bytes are the content.
    package var repoChecksum: SHA1Digest?
}

/// How pages of this cluster are checked; nil in its place switches checking off.
package struct PageCheckRules: Sendable {
    /// Bytes.
    package var pageSize: Int
    package var checksHeader: Bool
    package static let relationSegmentBytes = 1 << 30
}

/// Copies files into repositories, one after the other: a tree with one trunk and a branch for each repository.
///
/// Trunk: read a chunk, check its pages, add it to the content's SHA-1. Branch: compress, add to the stored bytes'
/// SHA-1, write. All stages see a chunk while it is in the processor's cache. One task owns one copier.
package final class FileCopier {
    /// Read at once, in bytes; a multiple of every page size.
    package static let chunkSize = 1 << 20

    private let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCopier.chunkSize, alignment: 4096)
    private let branches: [RepositoryBranch]
    private let pages: PageCheckRules?
    private let pairing: HashPairing
    private let progress: @Sendable (UInt64) -> Void
    private let content = RunningSHA1()

    package init(
        branches: [RepositoryBranch], pages: PageCheckRules?, pairing: HashPairing,
        progress: @escaping @Sendable (UInt64) -> Void
    ) {
        self.pairing = pairing
        self.branches = branches
        self.pages = pages
        self.progress = progress
    }

    deinit { chunk.deallocate() }

    /// nil when the file is gone. On an error no branch keeps anything of the file.
    package func copy(_ file: SourceFile) async throws -> CopiedFile? {
        let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let reason = errno
            if reason == ENOENT, !file.isControlFile { return nil }
            throw systemError(.fileOpen, "unable to open '\(file.path)' for reading", reason)
        }
        defer { close(descriptor) }
        do {
            for branch in branches { try await branch.begin(file) }
            let copied = try await copy(file, descriptor)
            return copied
        } catch {
            for branch in branches { await branch.abort() }
            throw error
        }
    }

    /// Stores bytes that are no file of the data directory, such as backup_label.
    package func store(_ bytes: [UInt8], as file: SourceFile) async throws -> CopiedFile {
        do {
            for branch in branches { try await branch.begin(file) }
            _ = content.finish()
            try await bytes.withUnsafeBytesAsync { try await pass($0) }
            return try await finish(size: UInt64(bytes.count), content: content.finish(), pageCheck: .notChecked)
        } catch {
            for branch in branches { await branch.abort() }
            throw error
        }
    }

    private func copy(_ file: SourceFile, _ descriptor: Int32) async throws -> CopiedFile {
        _ = content.finish()
        var size: UInt64 = 0
        var pageChecker: FilePageChecker?
        if file.hasPages, let pages { pageChecker = FilePageChecker(rules: pages, fileName: file.name) }
        while true {
            try Task.checkCancellation()
            let room = file.stopsAtSize ? min(UInt64(Self.chunkSize), file.size - size) : UInt64(Self.chunkSize)
            if room == 0 { break }
            let count =
                file.isControlFile
                ? (size == 0 ? try ControlFileReader.read(descriptor, path: file.path, into: chunk) : 0)
                : try readFully(
                    descriptor, file.path, into: UnsafeMutableRawBufferPointer(rebasing: chunk[..<Int(room)]))
            if count == 0 { break }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(chunk)[..<count])
            pageChecker?.check(bytes, descriptor)
            try await pass(bytes)
            size += UInt64(count)
            progress(UInt64(count))
            if count < Int(room) { break }
        }
        return try await finish(
            size: size, content: content.finish(), pageCheck: pageChecker?.finish(descriptor) ?? .notChecked)
    }

    private func pass(_ bytes: UnsafeRawBufferPointer) async throws {
        await pairing.update(content, bytes)
        for branch in branches { try await branch.append(bytes) }
    }

    private func finish(size: UInt64, content: SHA1Digest, pageCheck: PageCheckResult) async throws -> CopiedFile {
        var stored: [StoredFile] = []
        for branch in branches { stored.append(try await branch.finish()) }
        return CopiedFile(size: size, checksum: content, pageCheck: pageCheck, stored: stored)
    }
}

/// Fills `buffer` or reaches the end of the file.
func readFully(_ descriptor: Int32, _ path: String, into buffer: UnsafeMutableRawBufferPointer) throws(BackupError)
    -> Int
{
    var done = 0
    while done < buffer.count, let base = buffer.baseAddress {
        let count = read(descriptor, base + done, buffer.count - done)
        if count == 0 { break }
        if count < 0 {
            if errno == EINTR { continue }
            throw systemError(.fileRead, "unable to read '\(path)'", errno)
        }
        done += count
    }
    return done
}

/// Reads pg_control whole: PostgreSQL rewrites it in place, so a read may see half of a change.
enum ControlFileReader {
    static func read(_ descriptor: Int32, path: String, into buffer: UnsafeMutableRawBufferPointer) throws(BackupError)
        -> Int
    {
        let size = PostgresControl.readSize
        var before: [UInt8] = []
        while true {
            guard lseek(descriptor, 0, SEEK_SET) == 0 else {
                throw systemError(.fileRead, "unable to read '\(path)'", errno)
            }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
            let count = try readFully(descriptor, path, into: target)
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(target)[..<count])
            do throws(BackupError) {
                _ = try PostgresControl(parsing: bytes.bytes)
                break
            } catch {
                // The same bad bytes twice are no torn read.
                let now = Array(bytes)
                if now == before || count < size { throw error.within("'\(path)'") }
                before = now
                usleep(50_000)
            }
        }
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[size..<PostgresControl.fileSize])
        rest.initializeMemory(as: UInt8.self, repeating: 0)
        return PostgresControl.fileSize
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
