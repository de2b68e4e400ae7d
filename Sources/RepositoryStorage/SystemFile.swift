import CLinux
import Glibc

/// Files by system call: EINTR and short writes are handled, failures say what was tried on which path. All paths are
/// the system's; all calls block.
enum SystemFile {
    /// Repeats `call` while a signal interrupts it.
    static func uninterrupted<Value: SignedInteger>(_ call: () -> Value) -> Value {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    /// An open descriptor, closed on exec.
    static func open(
        _ path: String, _ flags: Int32, mode: UInt32 = 0, _ attempt: FileAttempt = .open
    ) throws(SystemFailure) -> Int32 {
        let descriptor = uninterrupted { Glibc.open(path, flags | O_CLOEXEC, mode) }
        if descriptor < 0 { throw SystemFailure(attempt, path) }
        return descriptor
    }

    /// Fills the front of `buffer`; 0 at the end of the file.
    static func read(
        _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, path: String
    ) throws(SystemFailure) -> Int {
        let count = uninterrupted { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
        if count < 0 { throw SystemFailure(.read, path) }
        return count
    }

    static func writeAll(_ descriptor: Int32, _ bytes: RawSpan, path: String) throws(SystemFailure) {
        var done = 0
        while done < bytes.byteCount {
            let count = bytes.withUnsafeBytes { buffer in
                uninterrupted { Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done) }
            }
            if count < 0 { throw SystemFailure(.write, path, unwritten: bytes.byteCount - done) }
            done += count
        }
    }

    /// From `offset` on, whatever the descriptor's own place is.
    static func writeAll(
        _ descriptor: Int32, _ bytes: RawSpan, at offset: UInt64, path: String
    ) throws(SystemFailure) {
        var done = 0
        while done < bytes.byteCount {
            guard let place = off_t(exactly: offset + UInt64(done)) else {
                throw SystemFailure(.write, path, number: EFBIG)
            }
            let count = bytes.withUnsafeBytes { buffer in
                uninterrupted { pwrite(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, place) }
            }
            if count < 0 { throw SystemFailure(.write, path, unwritten: bytes.byteCount - done) }
            done += count
        }
    }

    static func sync(_ descriptor: Int32, path: String) throws(SystemFailure) {
        if uninterrupted({ fsync(descriptor) }) != 0 { throw SystemFailure(.sync, path) }
    }

    /// Never repeated: Linux frees the descriptor whatever close(2) says.
    static func close(_ descriptor: Int32, path: String) throws(SystemFailure) {
        if Glibc.close(descriptor) != 0, errno != EINTR { throw SystemFailure(.close, path) }
    }

    static func setMode(_ descriptor: Int32, _ mode: UInt32, path: String) throws(SystemFailure) {
        if fchmod(descriptor, mode) != 0 { throw SystemFailure(.setMode, path) }
    }

    static func rename(_ old: String, to new: String) throws(SystemFailure) {
        if Glibc.rename(old, new) != 0 { throw SystemFailure(.rename, new) }
    }

    /// Fails with EEXIST when `new` is there; one of several concurrent callers wins.
    static func renameIfAbsent(_ old: String, to new: String) throws(SystemFailure) {
        if linux_rename_no_replace(old, new) == 0 { return }
        guard errno == EINVAL || errno == ENOSYS else { throw SystemFailure(.rename, new) }
        // NFS and others have no RENAME_NOREPLACE; link(2) is as exclusive there.
        if Glibc.link(old, new) != 0 { throw SystemFailure(.rename, new) }
        if unlink(old) != 0 { throw SystemFailure(.remove, old) }
    }

    /// False when there was nothing to remove.
    static func remove(_ path: String) throws(SystemFailure) -> Bool {
        if unlink(path) == 0 { return true }
        let failure = SystemFailure(.remove, path)
        if failure.isMissing { return false }
        throw failure
    }

    /// Facts about what `path` names, links not followed; nil when it is not there.
    static func status(_ path: String) throws(SystemFailure) -> stat? {
        var facts = stat()
        if lstat(path, &facts) == 0 { return facts }
        let failure = SystemFailure(.info, path)
        if failure.isMissing { return nil }
        throw failure
    }

    /// The bits of new modes that the process would lose: `Umask` of /proc/self/status; all when that cannot be read.
    /// Asking umask(2) would change it for other threads for a moment.
    static func processMask() -> UInt32 {
        guard let text = try? contents("/proc/self/status", limit: 1 << 16) else { return 0o777 }
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") where line.hasPrefix("Umask:") {
            return line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last.flatMap { UInt32($0, radix: 8) }
                ?? 0o777
        }
        return 0o777
    }

    /// All bytes of a file, nil when it has more than `limit`.
    static func contents(_ path: String, limit: Int) throws(SystemFailure) -> [UInt8]? {
        let descriptor = try open(path, O_RDONLY)
        defer { _ = Glibc.close(descriptor) }
        var bytes: [UInt8] = []
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { chunk.deallocate() }
        while true {
            let count = try read(descriptor, into: chunk, path: path)
            if count == 0 { return bytes }
            if count > limit - bytes.count { return nil }
            bytes.append(contentsOf: chunk[..<count])
        }
    }
}
