/// What of a data directory belongs into a backup, by name, with pgBackRest's rules.
///
/// Paths have no leading or trailing slash and are relative to the data directory; the files of a tablespace are named
/// `pg_tblspc/<oid>/PG_…/<database>/<file>`, wherever the tablespace lies.
package enum DataDirectoryRules {
    /// Directories (relative to the data directory) that are backed up empty: what they hold is made anew at start or
    /// is of use to the running server only. The WAL directory is none of them, as it has directories below it that are kept
    /// (and emptied, such as `archive_status` in an online backup); its files are left out by ``isExcluded(_:version:online:)``.
    package static func keepsOnlyDirectory(_ directory: String, version: PostgresVersion, online: Bool) -> Bool {
        emptiedDirectories.contains(directory) || (online && directory == archiveStatus(version))
    }

    /// Whether a file is left out, or a link or directory with all that is below it. `path` is relative to the data
    /// directory, or for a tablespace `pg_tblspc/<oid>/PG_…/<db>/<file>`. Unlogged relations need the whole directory:
    /// see ``unloggedFiles(in:)``.
    ///
    /// The name alone decides: whoever walks the directory leaves out sockets, pipes and devices too.
    package static func isExcluded(_ path: String, version: PostgresVersion, online: Bool) -> Bool {
        if hasTemporaryComponent(path) || path.hasSuffix(".pgbackrest.tmp") { return true }
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else {
            return isExcludedRootFile(path, version: version)
        }
        let parent = path[..<slash]
        let name = path[path.utf8.index(after: slash)...]
        if isBelowEmptiedDirectory(path, version: version, online: online) { return true }
        if online, parent == version.walDirectory {
            // The server makes neither of these two in a data directory of which it expects them.
            return name != "archive_status" && name != "summaries"
        }
        guard RelationPath.isDatabaseDirectory(parent) else { return false }
        return RelationPath.isInternalInit(name) || RelationPath.isTemporaryRelation(name)
    }

    /// Whether pages of the file are checked: relations in `global`, `base/<oid>` and tablespaces.
    ///
    /// That is every file in these directories but `pg_control`, `pg_filenode.map` and `PG_VERSION`.
    package static func hasPages(_ path: String) -> Bool {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return false }
        let parent = path[..<slash]
        let name = path[path.utf8.index(after: slash)...]
        guard RelationPath.isDatabaseDirectory(parent), !name.isEmpty else { return false }
        return name != "pg_filenode.map" && name != "PG_VERSION" && !(name == "pg_control" && parent == "global")
    }

    /// Whether a backup from a standby takes the file from the standby; all others come from the primary. These are
    /// the files that replay makes consistent, so reading them may also stop at the size that they had at first.
    package static func isCopiedFromStandby(_ path: String, version: PostgresVersion) -> Bool {
        guard path != "global/pg_control" else { return false }
        let root = path.prefix { $0 != "/" }
        return root.utf8.count < path.utf8.count
            && ["base", "global", "pg_multixact", "pg_tblspc", version.transactionDirectory].contains(String(root))
    }

    /// From a file name with or without `.N`: which 1 GiB segment of the relation it is.
    package static func relationSegment(ofFile name: some StringProtocol) -> UInt32 {
        let bytes = Substring(name).utf8
        guard let dot = bytes.lastIndex(of: UInt8(ascii: ".")) else { return 0 }
        return UInt32(decimal: bytes[dot...].dropFirst()) ?? 0
    }

    /// The absolute block number of the first page in a file. Wraps for a segment that no server would write, whose pages
    /// are then found invalid.
    package static func firstBlock(ofFile name: some StringProtocol, pageSize: UInt32) -> UInt32 {
        relationSegment(ofFile: name) &* (relationSegmentSize / pageSize)
    }

    /// Bytes of a full segment file of a relation.
    package static let relationSegmentSize: UInt32 = 1 << 30

    /// The file names of one database directory that belong to unlogged relations and are left out: all forks but
    /// `_init` of every relfilenode that has an `_init` fork.
    package static func unloggedFiles(in names: [String]) -> Set<String> {
        let unlogged = Set(names.lazy.filter { $0.hasSuffix("_init") }.map { $0.dropLast("_init".count) })
        guard !unlogged.isEmpty else { return [] }
        return Set(
            names.lazy.filter { name in
                RelationPath.fileNumber(ofFork: name).map(unlogged.contains) ?? false
            })
    }

    private static let emptiedDirectories: Set<String> = [
        "pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans",
    ]

    private static func archiveStatus(_ version: PostgresVersion) -> String { "\(version.walDirectory)/archive_status" }

    private static func isBelowEmptiedDirectory(_ path: String, version: PostgresVersion, online: Bool) -> Bool {
        // All of them start with pg_, and almost no path of a large cluster does but those of tablespaces.
        guard path.hasPrefix("pg_"), !path.hasPrefix("pg_tblspc/") else { return false }
        if emptiedDirectories.contains(String(path.prefix { $0 != "/" })) { return true }
        return online && path.hasPrefix("\(archiveStatus(version))/")
    }

    /// Whether a component begins with `pgsql_tmp`: what sorts and the like leave behind.
    private static func hasTemporaryComponent(_ path: String) -> Bool {
        var rest = path.utf8[...]
        while true {
            if rest.starts(with: "pgsql_tmp".utf8) { return true }
            guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return false }
            rest = rest[slash...].dropFirst()
        }
    }

    private static func isExcludedRootFile(_ name: String, version: PostgresVersion) -> Bool {
        switch name {
        case "recovery.signal", "standby.signal": version.number >= 120_000
        case "recovery.conf", "recovery.done": version.number < 120_000
        case "backup_manifest", "backup_manifest.tmp": version.number >= 130_000
        case "postgresql.auto.conf.tmp", "backup_label", "backup_label.old", "postmaster.opts", "postmaster.pid": true
        default: false
        }
    }
}
