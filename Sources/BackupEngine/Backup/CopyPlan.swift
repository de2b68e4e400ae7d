import PostgresFormats
import RepositoryFormats

/// A file to copy, and whether it must wait until the second of the scan is over.
package struct PlannedCopy: Sendable {
    package var file: SourceFile
    package var isHeld: Bool
}

enum CopyPlan {
    static let controlFile = "pg_data/global/pg_control"

    /// - Parameter scanStart: seconds since 1970; a file modified before it cannot change again in the same second.
    static func files(of manifest: Manifest, dataDirectory: String, scanStart: Int64) -> [PlannedCopy] {
        (0..<manifest.files.count).compactMap { index in
            guard !manifest.files.hasReference(index) else { return nil }
            let name = manifest.files.name(index)
            let relative = relativePath(name)
            let file = SourceFile(
                index: index, name: name, path: "\(dataDirectory)/\(relative)", size: manifest.files.size(index),
                stopsAtSize: isCoveredByWAL(name), hasPages: DataDirectoryRules.hasPages(relative),
                isControlFile: name == controlFile)
            return PlannedCopy(file: file, isHeld: manifest.files.timestamp(index) >= scanStart)
        }
    }

    /// Tablespaces are reached through their links in the data directory.
    private static func relativePath(_ name: String) -> String {
        name.hasPrefix("pg_data/") ? String(name.dropFirst("pg_data/".count)) : name
    }

    /// Files whose growth since the scan is replayed from WAL.
    private static func isCoveredByWAL(_ name: String) -> Bool {
        if name == controlFile { return false }
        let covered = ["pg_data/base/", "pg_data/global/", "pg_data/pg_xact/", "pg_data/pg_multixact/", "pg_tblspc/"]
        return covered.contains { name.hasPrefix($0) }
    }
}
