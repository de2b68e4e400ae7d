package import BackupModel
import Glibc
import PostgresFormats
import RepositoryFormats

/// What is checked before anything is changed (sections C.8.1 and C.8.7 of the reference).
package enum RestorePreflight {
    /// The data directory alone, before a repository is asked: throws `.postgresRunning` and `.pathMissing`, and takes
    /// `delta` and `force` back where the directory does not look like one of PostgreSQL's.
    package static func checkDataDirectory(_ options: inout RestoreOptions) throws(BackupError) -> [RestoreNotice] {
        let directory = options.dataDirectory
        guard let status = try LocalDisk.status(directory, followingLinks: true) else {
            let parent = LocalDisk.parent(of: directory)
            guard try LocalDisk.status(parent, followingLinks: true)?.kind == .directory else {
                throw BackupError(
                    .pathMissing, "data directory '\(directory)' does not exist, nor does the directory above it",
                    hint: "create the directory, owned by the user that runs PostgreSQL")
            }
            return []
        }
        guard status.kind == .directory else {
            throw BackupError(.pathMissing, "data directory '\(directory)' is no directory")
        }
        if try LocalDisk.status("\(directory)/postmaster.pid") != nil {
            throw BackupError(
                .postgresRunning, "unable to restore while PostgreSQL is running",
                hint: "'postmaster.pid' in '\(directory)' indicates that PostgreSQL is running; remove it only if"
                    + " PostgreSQL is not running")
        }
        guard options.delta || options.force else { return [] }
        if try isDataDirectory(directory) { return [] }
        options.delta = false
        options.force = false
        return [
            RestoreNotice(
                isWarning: true,
                text: "--delta or --force specified but unable to find 'PG_VERSION' or 'backup.manifest' in"
                    + " '\(directory)' to confirm that this is a valid data directory; --delta and --force have been"
                    + " disabled and if any files exist in the destination directories the restore will be aborted")
        ]
    }

    /// Whether it looks like one of PostgreSQL's.
    private static func isDataDirectory(_ path: String) throws(BackupError) -> Bool {
        // The last is all that is there of a restore that was killed at its very beginning.
        for name in ["PG_VERSION", "backup.manifest", "backup.manifest.pgbackrest.tmp"] {
            if try LocalDisk.status("\(path)/\(name)") != nil { return true }
        }
        return false
    }

    /// Throws `.pathNotEmpty` for a directory with files that are none of a restore's.
    static func requireOurs(_ path: String) throws(BackupError) {
        guard let names = try LocalDisk.names(in: path), !names.isEmpty, try !isDataDirectory(path) else { return }
        throw BackupError(
            .pathNotEmpty, "unable to restore to path '\(path)' because it contains files that are not PostgreSQL's",
            hint: "remove it if it is no longer needed")
    }

    /// All places that are written to. Throws `.pathNotEmpty`, `.fileExists`, `.pathOpen`, `.databaseMismatch` and
    /// `.fileWrite` (too little room).
    package static func check(_ plan: RestorePlan, _ options: RestoreOptions) throws(BackupError) {
        let replaces = options.delta || options.force
        for root in plan.roots {
            guard let status = try LocalDisk.status(root.path, followingLinks: !root.isFile) else { continue }
            if root.isFile {
                if replaces { continue }
                throw BackupError(
                    .fileExists, "unable to restore file '\(root.path)' because it already exists",
                    hint: "try using --delta if this is what you intended")
            }
            guard status.kind == .directory else {
                throw BackupError(.pathOpen, "unable to restore to '\(root.path)', which is no directory")
            }
            guard geteuid() == 0 || status.user == geteuid() else {
                throw BackupError(
                    .pathOpen, "unable to restore to path '\(root.path)' not owned by current user",
                    hint: "run the restore as the user that runs PostgreSQL")
            }
            guard access(root.path, R_OK | W_OK | X_OK) == 0 else {
                throw BackupError(
                    .pathOpen, "unable to restore to path '\(root.path)' without rwx permissions",
                    hint: "correct the permissions of the directory")
            }
            if !replaces, try LocalDisk.names(in: root.path)?.isEmpty == false {
                throw BackupError(
                    .pathNotEmpty, "unable to restore to path '\(root.path)' because it contains files",
                    hint: "try using --delta if this is what you intended; that also continues an interrupted restore")
            }
        }
        if replaces {
            try checkSystemIdentifier(plan, options)
        } else {
            try checkRoom(plan)
        }
    }

    /// A delta keeps what is alike; in the directory of another cluster it is more likely a mistake than a wish.
    private static func checkSystemIdentifier(_ plan: RestorePlan, _ options: RestoreOptions) throws(BackupError) {
        if options.force { return }
        guard let bytes = try LocalDisk.read("\(plan.dataDirectory)/global/pg_control"),
            let control = try? PostgresControl(parsing: bytes.span.bytes)
        else { return }
        let expected = plan.manifest.database.systemIdentifier
        guard control.systemIdentifier == expected else {
            throw BackupError(
                .databaseMismatch,
                "'\(plan.dataDirectory)' holds the cluster with system identifier \(control.systemIdentifier), but"
                    + " backup set \(plan.manifest.label) is of \(expected)",
                hint: "check pg1-path and the stanza; add --force to overwrite the other cluster")
        }
    }

    private static func checkRoom(_ plan: RestorePlan) throws(BackupError) {
        var needs: [UInt64: (bytes: UInt64, room: UInt64, path: String)] = [:]
        for (root, size) in zip(plan.roots, plan.sizes()) {
            guard let (device, room) = try LocalDisk.room(root.path) else { continue }
            needs[device, default: (0, room, root.path)].bytes += size
        }
        for need in needs.values where need.bytes > need.room {
            throw BackupError(
                .fileWrite,
                "the file system of '\(need.path)' has \(need.room) bytes free, but \(need.bytes) are to be restored"
                    + " there",
                hint: "make room, or move parts elsewhere with --tablespace-map or --link-map")
        }
    }
}
