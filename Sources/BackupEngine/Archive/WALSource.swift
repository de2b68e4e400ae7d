package import BackupModel
import Glibc
package import PostgresFormats
import RepositoryStorage

/// The WAL file that PostgreSQL handed over. Blocking.
package struct WALSource: Sendable {
    package let name: WALFileName
    package let fileName: String
    package let path: String
    /// Where pg_control is; nil when pg-path is not configured.
    package let dataDirectory: String?

    /// A relative path (`%p`) is relative to the data directory, which is where PostgreSQL starts its commands.
    package init(_ parameter: String, dataDirectory: String?) throws(BackupError) {
        fileName = splitLast(parameter).last
        guard let name = WALFileName(fileName) else {
            throw BackupError(
                .parameterInvalid, "'\(parameter)' is not named like a WAL segment, history or backup label file",
                hint: "archive_command must pass %p")
        }
        self.name = name
        self.dataDirectory = dataDirectory
        if parameter.hasPrefix("/") {
            path = parameter
        } else if let dataDirectory {
            path = "\(dataDirectory)/\(parameter)"
        } else {
            path = parameter
        }
    }

    /// `pg_wal`, when PostgreSQL called.
    var directory: String { splitLast(path).directory }

    var isSegment: Bool {
        switch name {
        case .segment, .partial: true
        case .history, .backupLabel: false
        }
    }

    func openForReading() throws(BackupError) -> Int32 {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let reason = errno
            throw systemError(
                reason == ENOENT ? .fileMissing : .fileOpen, "unable to open WAL file '\(path)'", reason)
        }
        return descriptor
    }

    func header() throws(BackupError) -> WALHeader {
        let descriptor = try openForReading()
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: WALHeader.readSize, alignment: 16)
        defer { buffer.deallocate() }
        let count = try readFully(descriptor, path, into: buffer)
        let header: WALHeader
        do throws(BackupError) {
            header = try WALHeader(
                parsing: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]).bytes)
        } catch {
            throw error.within("WAL file '\(path)'")
        }
        let size = try LocalDirectory.status(path, followLinks: true)?.size ?? 0
        guard size == header.segmentSize else {
            throw BackupError(
                .fileInvalid, "WAL file '\(path)' has \(size) bytes, but its header says \(header.segmentSize)",
                hint: "the file is cut short or damaged; archive-push must only be called by PostgreSQL")
        }
        return header
    }

    func readAll(limit: UInt64) throws(BackupError) -> [UInt8] {
        let size = try LocalDirectory.status(path, followLinks: true)?.size ?? 0
        guard size <= limit else {
            throw BackupError(.fileInvalid, "'\(path)' has \(size) bytes, more than any such file has")
        }
        let descriptor = try openForReading()
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(size) + 1, alignment: 16)
        defer { buffer.deallocate() }
        let count = try readFully(descriptor, path, into: buffer)
        return Array(buffer[..<count])
    }
}
