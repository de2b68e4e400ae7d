import BackupModel
import Glibc
import Jobs

/// Where a Pod's last words are read from.
enum ResultFile {
    /// Of a termination message.
    private static let limit = 4096

    /// In place: the file may be a mount of its own, which nothing can be renamed over.
    static func write(_ result: JobResult, _ path: String) throws(BackupError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw failure(.fileOpen, "unable to open '\(path)' for writing", errno) }
        defer { close(descriptor) }
        var rest = Array(result.text(limit: limit).utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(.fileWrite, "unable to write '\(path)'", errno) }
            rest = rest.dropFirst(count)
        }
    }

    private static func failure(_ code: ErrorCode, _ attempt: String, _ number: Int32) -> BackupError {
        BackupError(code, "\(attempt): \(String(cString: strerror(number)).lowercased())")
    }
}
