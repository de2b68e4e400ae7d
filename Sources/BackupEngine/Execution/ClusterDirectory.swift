package import BackupModel
import Glibc
package import PostgresFormats

/// A data directory on this host. Blocking.
package enum ClusterDirectory {
    /// Below a data directory.
    package static let controlFile = "global/pg_control"

    /// Reads and checks `global/pg_control`.
    package static func control(_ dataDirectory: String) throws(BackupError) -> PostgresControl {
        let bytes = try controlBytes(dataDirectory)
        do throws(BackupError) {
            return try PostgresControl(parsing: bytes.span.bytes)
        } catch {
            throw error.within("'\(dataDirectory)/\(controlFile)'")
        }
    }

    /// All of `global/pg_control` as it was at one moment.
    package static func controlBytes(_ dataDirectory: String) throws(BackupError) -> [UInt8] {
        guard let status = try LocalDirectory.status(dataDirectory, followLinks: true) else {
            throw BackupError(
                .pathMissing, "data directory '\(dataDirectory)' does not exist",
                hint: "is pg1-path right, and is this the database host?")
        }
        let path = "\(dataDirectory)/\(controlFile)"
        guard status.isDirectory, try LocalDirectory.status(path, followLinks: true) != nil else {
            throw BackupError(
                .fileMissing, "'\(dataDirectory)' is not a PostgreSQL data directory: it has no global/pg_control",
                hint: "is pg1-path right?")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError(.fileOpen, "unable to open '\(path)' for reading", errno) }
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: PostgresControl.fileSize, alignment: 16)
        defer { buffer.deallocate() }
        let count = try ControlFileReader.read(descriptor, path: path, into: buffer)
        return Array(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    /// Whether `postmaster.pid` is there.
    package static func isRunning(_ dataDirectory: String) throws(BackupError) -> Bool {
        try LocalDirectory.status("\(dataDirectory)/postmaster.pid") != nil
    }
}

extension PostgresControl {
    /// Throws `.versionNotSupported` for versions that can be restored but not backed up.
    package func requireSupported(in dataDirectory: String) throws(BackupError) {
        guard version.isSupported else {
            throw BackupError(
                .versionNotSupported, "PostgreSQL \(version), whose cluster is in '\(dataDirectory)', is not supported",
                hint: "versions 13 to 18 can be backed up")
        }
    }
}
