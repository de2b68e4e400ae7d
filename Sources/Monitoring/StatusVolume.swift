package import BackupModel
import Glibc

/// A directory whose file system may fill up.
package struct StatusVolume: Sendable, Equatable {
    /// What it is for: `data`, `wal`, `spool`, `repo1`.
    package var name: String
    package var path: String

    package init(name: String, path: String) {
        self.name = name
        self.path = path
    }

    /// Bytes of its file system, and of those that may still be written. Blocking.
    package func space() throws(BackupError) -> (size: UInt64, free: UInt64) {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else {
            throw BackupError(
                .fileInfo,
                "unable to get the free space of '\(path)': \(String(cString: strerror(errno)).lowercased())")
        }
        let unit = UInt64(facts.f_frsize)
        func bytes(_ blocks: UInt64) -> UInt64 {
            let (bytes, overflow) = blocks.multipliedReportingOverflow(by: unit)
            return overflow ? .max : bytes
        }
        return (bytes(UInt64(facts.f_blocks)), bytes(UInt64(facts.f_bavail)))
    }

    /// Of a cluster: its data directory, and `pg_wal` where that is on another file system. Blocking.
    package static func ofCluster(_ dataDirectory: String) -> [StatusVolume] {
        let data = StatusVolume(name: "data", path: dataDirectory)
        let wal = StatusVolume(name: "wal", path: "\(dataDirectory)/pg_wal")
        var (one, other) = (stat(), stat())
        guard stat(data.path, &one) == 0, stat(wal.path, &other) == 0, one.st_dev != other.st_dev else { return [data] }
        return [data, wal]
    }
}
