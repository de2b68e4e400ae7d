import BackupModel
import Glibc

/// A file that is being restored; closed when nobody holds it.
final class TargetFile {
    enum Mode { case replacing, patching, adjusting }

    private let descriptor: Int32
    private let path: String

    /// - Parameter mode: to write it anew, to write parts of what is there, or to change no content.
    init(_ path: String, _ mode: Mode = .replacing) throws(BackupError) {
        let flags =
            switch mode {
            case .replacing: O_WRONLY | O_CREAT | O_TRUNC
            case .patching: O_RDWR
            // It exists, and read permission is what its owner surely has.
            case .adjusting: O_RDONLY
            }
        descriptor = open(path, flags | O_CLOEXEC, 0o600)
        self.path = path
        guard descriptor >= 0 else {
            throw LocalDisk.failure(.fileOpen, mode == .replacing ? "create file" : "open file", path)
        }
    }

    deinit { close(descriptor) }

    func write(_ bytes: UnsafeRawBufferPointer) throws(BackupError) {
        try LocalDisk.writeAll(bytes, to: descriptor, path: path)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(BackupError) {
        var rest = bytes
        var position = off_t(offset)
        while !rest.isEmpty {
            let written = pwrite(descriptor, rest.baseAddress, rest.count, position)
            if written < 0 {
                if errno == EINTR { continue }
                throw LocalDisk.failure(.fileWrite, "write file", path)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            position += off_t(written)
        }
    }

    /// Zeros beyond what is written take no room.
    func setSize(_ size: UInt64) throws(BackupError) {
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw LocalDisk.failure(.fileWrite, "set size of", path)
        }
    }

    /// Sets what the manifest says and makes it durable.
    func finish(mode: UInt16, owner: FileOwner?, modified: Int64) throws(BackupError) {
        if let owner { try LocalDisk.change(owner: owner, of: descriptor, path: path) }
        guard fchmod(descriptor, mode_t(mode)) == 0 else { throw LocalDisk.failure(.fileMode, "set mode of", path) }
        try LocalDisk.change(modified: modified, of: descriptor, path: path)
        guard fsync(descriptor) == 0 else { throw LocalDisk.failure(.fileSync, "sync file", path) }
    }
}
