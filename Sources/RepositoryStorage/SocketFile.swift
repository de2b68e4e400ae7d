package import BackupModel
import Glibc

/// The file of a Unix socket. Blocking. The socket is made beside its place and moved there when its mode is right, so that nobody
/// finds it with another.
package struct SocketFile: Sendable {
    package let path: String
    package let mode: UInt32
    /// Where the server makes it, between ``prepare()`` and ``publish()``.
    package var temporary: String { path + ".new" }

    package init(path: String, mode: UInt32) {
        self.path = path
        self.mode = mode
    }

    /// - Throws: when a server listens there, when something else is there, when the path is too long.
    package func prepare() throws(BackupError) {
        // sun_path, with its final zero.
        guard temporary.utf8.count < 108 else {
            throw BackupError(
                .optionInvalidValue, "the path of a socket '\(path)' is longer than the system allows",
                hint: "the limit is 103 bytes")
        }
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else {
                throw BackupError(.fileExists, "'\(path)' exists and is no socket")
            }
            if try isLive() { throw BackupError(.lockAcquire, "another server listens on '\(path)'") }
        }
        unlink(temporary)
    }

    /// Gives the socket that was made at `temporary` its mode and its place.
    package func publish() throws(BackupError) {
        guard chmod(temporary, mode_t(mode)) == 0, rename(temporary, path) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(temporary)
            throw BackupError(.fileMode, "unable to make the socket '\(path)': \(reason)")
        }
    }

    package func remove() { unlink(path) }

    private func isLive() throws(BackupError) -> Bool {
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else {
            throw BackupError(.fileOpen, "unable to make a socket: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // A server whose queue is full is there too.
        return status == 0 || errno == EAGAIN
    }
}
