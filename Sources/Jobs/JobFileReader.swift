import BackupModel
import Glibc
import RepositoryStorage

/// Reads a file of a job while its program appends to it.
final class JobFileReader: Sendable {
    private let path: String
    private let descriptor: Int32

    /// So much is read at once, and kept of it for a watcher.
    static let pieceSize = 128 << 10

    init(_ path: String) throws(BackupError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            throw BackupError(
                .fileOpen, "unable to open '\(path)': \(String(cString: strerror(errno)).lowercased())")
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Up to ``pieceSize`` bytes; none where the file ends for now.
    func read(at offset: UInt64) async throws(BackupError) -> [UInt8] {
        let outcome = await OwnThread.run { [descriptor] in
            var facts = stat()
            guard fstat(descriptor, &facts) == 0 else { return Outcome.failure(errno) }
            let size = UInt64(clamping: facts.st_size)
            guard size > offset, let start = off_t(exactly: offset) else { return .bytes([]) }
            var bytes = [UInt8](repeating: 0, count: Int(min(size - offset, UInt64(Self.pieceSize))))
            let count = pread(descriptor, &bytes, bytes.count, start)
            guard count >= 0 else { return .failure(errno) }
            bytes.removeLast(bytes.count - count)
            return .bytes(bytes)
        }
        switch outcome {
        case .bytes(let bytes): return bytes
        case .failure(let number):
            throw BackupError(
                .fileRead, "unable to read '\(path)': \(String(cString: strerror(number)).lowercased())")
        }
    }

    private enum Outcome: Sendable {
        case bytes([UInt8])
        case failure(Int32)
    }
}
