package import BackupModel
import BackupEngine
import Glibc
import PostgresFormats
import RepositoryStorage

/// WAL of a server on this host that waits to be archived.
package struct ArchiveLag: Sendable, Equatable {
    package var segments = 0
    package var bytes: UInt64 = 0

    init(segments: Int, bytes: UInt64) {
        self.segments = segments
        self.bytes = bytes
    }

    /// From the names in `archive_status`. Blocking.
    package init(dataDirectory: String) throws(BackupError) {
        let size = try ClusterDirectory.control(dataDirectory).walSegmentSize
        for name in try LocalFile.names(in: "\(dataDirectory)/pg_wal/archive_status") {
            guard name.hasSuffix(Self.suffix) else { continue }
            switch WALFileName(name.dropLast(Self.suffix.utf8.count)) {
            case .segment, .partial:
                segments += 1
                bytes += size
            default: break
            }
        }
    }

    private static let suffix = ".ready"
}
