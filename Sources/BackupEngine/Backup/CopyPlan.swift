import PostgresFormats
import RepositoryFormats

/// Where the files of a backup are read.
package struct CopyPlan: Sendable {
    var dataDirectory: String
    /// Of a standby that has replayed all up to the start of the backup: what WAL covers is read there, what belongs to
    /// one server from the primary.
    var standbyDirectory: String?
    /// Reads the primary's files where they are on another host.
    var remote: (any RemoteFiles)?

    init(dataDirectory: String, standbyDirectory: String? = nil, remote: (any RemoteFiles)? = nil) {
        self.dataDirectory = dataDirectory
        self.standbyDirectory = standbyDirectory
        self.remote = remote
    }

    func source(_ row: Int, of files: ManifestFiles) -> SourceFile {
        let name = files.name(row)
        let relative = Self.relativePath(name)
        let isCovered = Self.isCoveredByWAL(name)
        let directory = isCovered ? standbyDirectory ?? dataDirectory : dataDirectory
        return SourceFile(
            index: row, name: name, path: "\(directory)/\(relative)", size: files.size(row), stopsAtSize: isCovered,
            hasPages: DataDirectoryRules.hasPages(relative), isControlFile: name == FileActions.controlFile,
            remote: isCovered ? nil : remote)
    }

    /// Tablespaces are reached through their links in the data directory.
    private static func relativePath(_ name: String) -> String {
        name.hasPrefix("pg_data/") ? String(name.dropFirst("pg_data/".count)) : name
    }

    /// Files whose growth since the scan is replayed from WAL.
    package static func isCoveredByWAL(_ name: String) -> Bool {
        if name == FileActions.controlFile { return false }
        let covered = ["pg_data/base/", "pg_data/global/", "pg_data/pg_xact/", "pg_data/pg_multixact/", "pg_tblspc/"]
        return covered.contains { name.hasPrefix($0) }
    }
}
