import BackupModel
import Glibc

package final class PosixReader: ObjectReader {
    private var facts = stat()
    private let path: String
    private var descriptor: Int32
    private var remaining = UInt64.max

    init(_ path: String, range: Range<UInt64>?) throws(SystemFailure) {
        self.path = path
        // A FIFO would make the opener wait for a writer.
        descriptor = try SystemFile.open(path, O_RDONLY | O_NONBLOCK)
        if fstat(descriptor, &facts) != 0 { throw SystemFailure(.info, path) }
        if facts.st_mode & S_IFMT != S_IFREG {
            throw SystemFailure(.open, path, number: facts.st_mode & S_IFMT == S_IFDIR ? EISDIR : ENXIO)
        }
        guard let range else { return }
        remaining = range.upperBound - range.lowerBound
        guard let start = Int(exactly: range.lowerBound), start <= facts.st_size else {
            remaining = 0
            return
        }
        if start > 0, lseek(descriptor, start, SEEK_SET) < 0 { throw SystemFailure(.read, path) }
    }

    deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

    /// Of all of the object, bytes, when it was opened.
    package var size: UInt64 { UInt64(clamping: facts.st_size) }

    /// Of another object, or of the same one after it was written to, it is another.
    package var version: String {
        "\(facts.st_ino)-\(facts.st_size)-\(facts.st_mtim.tv_sec).\(facts.st_mtim.tv_nsec)"
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        let wanted = Int(min(UInt64(buffer.count), remaining))
        if wanted == 0 { return 0 }
        do throws(SystemFailure) {
            guard descriptor >= 0 else { throw SystemFailure(.read, path, number: EBADF) }
            let count = try SystemFile.read(descriptor, into: .init(rebasing: buffer[..<wanted]), path: path)
            remaining -= UInt64(count)
            return count
        } catch {
            throw StorageError(error.error(), isMissing: error.isMissing, isRetryable: error.isRetryable)
        }
    }

    package func close() async {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }
}

final class PosixWriter: ObjectWriter {
    private let store: PosixStore
    private let mode: WriteMode
    /// Where the object shall be, and where its bytes are before that: the same for `.inPlace`.
    private let path: String
    private let writtenPath: String
    private var descriptor: Int32
    private var leftover = true

    init(_ store: PosixStore, _ path: String, _ mode: WriteMode) throws(StorageError) {
        let isInPlace = if case .inPlace = mode { true } else { false }
        let writtenPath = isInPlace ? path : store.temporaryName(for: path)
        self.store = store
        self.mode = mode
        self.path = path
        self.writtenPath = writtenPath
        descriptor = try store.storage { () throws(SystemFailure) in
            try store.creatingParents(of: path, durable: !isInPlace) { () throws(SystemFailure) in
                try Self.create(writtenPath, mode: store.fileMode)
            }
        }
        if store.mustSetFileMode {
            // The deinit cleans up when this throws.
            try store.storage { () throws(SystemFailure) in
                try SystemFile.setMode(descriptor, store.fileMode, path: writtenPath)
            }
        }
    }

    deinit { discard() }

    /// Never truncates what is there: readers of it, and other names of the same file (`repo-hardlink`), keep theirs.
    private static func create(_ path: String, mode: UInt32) throws(SystemFailure) -> Int32 {
        for _ in 0..<10 {
            do throws(SystemFailure) {
                return try SystemFile.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: mode, .create)
            } catch {
                guard error.number == EEXIST else { throw error }
            }
            _ = try SystemFile.remove(path)
        }
        throw SystemFailure(.create, path, number: EEXIST)
    }

    func append(_ bytes: RawSpan) async throws {
        try store.storage { () throws(SystemFailure) in
            guard descriptor >= 0 else { throw SystemFailure(.write, path, number: EBADF) }
            try SystemFile.writeAll(descriptor, bytes, path: writtenPath)
        }
    }

    func commit() async throws {
        try store.storage { () throws(SystemFailure) in
            guard descriptor >= 0 else { throw SystemFailure(.write, path, number: EBADF) }
            try SystemFile.sync(descriptor, path: writtenPath)
            let closing = descriptor
            descriptor = -1
            try SystemFile.close(closing, path: writtenPath)
            switch mode {
            case .inPlace:
                leftover = false
                return
            case .atomic:
                try SystemFile.rename(writtenPath, to: path)
            case .create:
                try SystemFile.renameIfAbsent(writtenPath, to: path)
            }
            leftover = false
            try store.syncName(of: path)
        }
    }

    func abort() async { discard() }

    private func discard() {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
        if leftover { _ = unlink(writtenPath) }
        leftover = false
    }
}
