import BackupModel
import Glibc

/// Standard output and input of commands that pass bytes on.
enum StandardStreams {

    private static let closed = BackupError(.fileWrite, "standard output was closed")

    static func write(_ bytes: UnsafeRawBufferPointer) throws(BackupError) {
        var rest = bytes
        while let base = rest.baseAddress, rest.count > 0 {
            let count = Glibc.write(1, base, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EPIPE { throw closed }
                throw BackupError(
                    .fileWrite, "unable to write to standard output: \(String(cString: strerror(errno)))")
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// 0 at the end.
    static func read(_ buffer: UnsafeMutableRawBufferPointer) throws(BackupError) -> Int {
        while true {
            let count = Glibc.read(0, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else {
                throw BackupError(
                    .fileRead, "unable to read standard input: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Runs what prints. A reader such as `head` may end early, which is no failure.
    static func printing(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as BackupError {
            if error.message != closed.message { throw error }
        }
    }
}
