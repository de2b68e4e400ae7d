package import BackupModel
import Glibc
package import PostgresFormats
import RepositoryStorage

extension TransactionEnds {
    /// Of a segment that is archived and still in `pg_wal`. Blocking; reads all of it.
    /// - Returns: microseconds since 1970; nil when no transaction has ended in it, or PostgreSQL needs the file for others.
    package static func latest(in segment: WALSegment, dataDirectory: String) throws(BackupError) -> Int64? {
        let path = "\(dataDirectory)/pg_wal/\(segment)"
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 {
            let reason = errno
            if reason == ENOENT { return nil }
            throw systemError(.fileOpen, "unable to open '\(path)' for reading", reason)
        }
        defer { _ = Glibc.close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        var ends: TransactionEnds?
        while true {
            let count = try readFully(descriptor, path, into: buffer)
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            if ends == nil {
                // Renamed for a segment to come: what is in it is not this one's.
                guard let found = try? TransactionEnds(segment, start: bytes.bytes) else { return nil }
                ends = found
            }
            guard ends?.read(bytes.bytes) == true, count == buffer.count else { return ends?.latest }
        }
    }
}
