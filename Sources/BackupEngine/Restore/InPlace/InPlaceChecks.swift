import BackupModel
import Glibc
import PostgresAccess
import PostgresFormats
import RepositoryFormats

/// What is checked while the server still runs: each of these refuses, and leaves everything as it is.
enum InPlaceChecks {
    /// The volume alone, before a repository is asked.
    static func place(_ request: InPlaceRequest) throws(BackupError) {
        let paths = request.paths
        guard geteuid() != 0 else {
            throw BackupError(
                .hostInvalid,
                "a restore in place cannot be made by root: PostgreSQL, which recovers, refuses to run so",
                hint: "run it as the user that runs PostgreSQL")
        }
        // What a killed run has moved away was looked at by that run.
        guard request.method == .copy, let status = try LocalDisk.status(paths.data) else { return }
        guard status.kind == .directory else {
            throw BackupError(
                .pathOpen, "the data directory '\(paths.data)' is a link, which cannot be exchanged",
                hint: "name in pg1-path what it leads to")
        }
        let parent = try LocalDisk.status(paths.parent, followingLinks: true)
        guard status.device == parent?.device, try !isMountPoint(paths.data) else {
            throw BackupError(
                .pathOpen, "the data directory '\(paths.data)' is a volume of its own, which cannot be exchanged",
                hint: "restore with --delta, which keeps no old data, or move the data directory one level down")
        }
        guard access(paths.parent, R_OK | W_OK | X_OK) == 0 else {
            throw BackupError(
                .pathOpen, "unable to restore beside '\(paths.data)': no permission to write to '\(paths.parent)'")
        }
    }

    private static func isMountPoint(_ path: String) throws(BackupError) -> Bool {
        guard let bytes = try LocalDisk.read("/proc/self/mountinfo") else { return false }
        let real = LocalDisk.realPath(path)
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains { line in
            line.split(separator: " ").dropFirst(4).first.map(String.init) == real
        }
    }

    /// The backup beside the cluster that it is to replace.
    /// - Parameter control: of the present data directory; nil when an interrupted run has left none.
    static func cluster(
        _ manifest: Manifest, replaces control: PostgresControl?, _ request: InPlaceRequest
    ) throws(BackupError) {
        let database = manifest.database
        guard database.version >= PostgresVersion(number: 120_000) else {
            throw BackupError(
                .versionNotSupported, "PostgreSQL \(database.version) cannot be restored in place",
                hint: "versions from 12 on can; stop the server and restore without --in-place")
        }
        if let control {
            guard control.version == database.version else {
                throw BackupError(
                    .databaseMismatch,
                    "backup set \(manifest.label) is of PostgreSQL \(database.version), but '\(request.paths.data)' of"
                        + " \(control.version)", hint: "choose a set of the present version with --set")
            }
            guard control.systemIdentifier == database.systemIdentifier else {
                throw BackupError(
                    .databaseMismatch,
                    "'\(request.paths.data)' holds the cluster with system identifier \(control.systemIdentifier), but"
                        + " backup set \(manifest.label) is of \(database.systemIdentifier)",
                    hint: "check pg1-path, the stanza and --set")
            }
        }
        guard request.method == .delta || !manifest.targets.contains(where: { $0.tablespaceID != nil }) else {
            let names = manifest.targets.compactMap { $0.tablespaceName ?? $0.tablespaceID.map(String.init) }
            throw BackupError(
                .tablespaceMap,
                "backup set \(manifest.label) has tablespaces outside of the data directory, of which there cannot be two:"
                    + " \(names.joined(separator: ", "))",
                hint: "restore with --delta, which keeps no old data")
        }
    }

    /// A target that cannot be reached from this set, whatever is in the archive.
    /// - Parameter now: seconds since 1970.
    static func target(_ manifest: Manifest, _ options: RestoreOptions, now: Int64) throws(BackupError) {
        switch (options.type, options.target) {
        case (.time, let target?):
            let time = try TargetTime.parse(target)
            guard time >= manifest.timestampStop else {
                throw BackupError(
                    .backupSetInvalid,
                    "target time \(target) is before the end of backup set \(manifest.label)"
                        + " (\(TargetTime.describe(manifest.timestampStop)))",
                    hint: "choose a later target, or an older set, which is done for you without --set")
            }
            guard time <= now else {
                throw BackupError(
                    .optionInvalidValue, "target time \(target) is in the future",
                    hint: "choose a time up to now, or --type=default for all that there is")
            }
        case (.lsn, let target?):
            guard let lsn = LSN(target) else {
                throw BackupError(.optionInvalidValue, "target '\(target)' is not an LSN, which looks like 16/B374D848")
            }
            guard let stop = manifest.lsnStop.flatMap({ LSN($0) }), lsn < stop else { return }
            throw BackupError(
                .backupSetInvalid,
                "target \(target) is before the end of backup set \(manifest.label) (\(stop))",
                hint: "choose a later target, or an older set, which is done for you without --set")
        default: break
        }
    }

    /// That all WAL is there that makes the set consistent, in whichever repository.
    static func archive(
        _ manifest: Manifest, segmentSize: UInt64, stanza: String, repositories: [Repository]
    ) async throws(BackupError) {
        guard manifest.options.online, let start = manifest.archiveStart.flatMap({ WALSegment($0) }),
            let stop = manifest.archiveStop.flatMap({ WALSegment($0) })
        else { return }
        let version = manifest.database.version
        var missing: [WALSegment] = []
        var next = start
        while next <= stop {
            // With archive-copy the set has it by itself.
            if manifest.files.index(of: "pg_data/\(version.walDirectory)/\(next)") == nil { missing.append(next) }
            next = next.next(segmentSize: segmentSize)
        }
        var failure: BackupError?
        for repository in repositories where !missing.isEmpty {
            do throws(BackupError) {
                let info = try await repository.loadArchiveInfo(stanza: stanza)
                let there = try await repository.readingEach(missing) { [archiveID = info.currentArchiveID] segment in
                    try await repository.archivedSegments(segment, archiveID: archiveID, stanza: stanza)
                }
                missing = zip(missing, there).filter { $0.1.isEmpty }.map(\.0)
            } catch {
                failure = failure ?? error
            }
        }
        guard let first = missing.first else { return }
        if let failure { throw failure }
        throw BackupError(
            .fileMissing,
            "WAL segment \(first) is not in the archive, without which backup set \(manifest.label) cannot be made"
                + " consistent" + (missing.count > 1 ? ", nor are \(missing.count - 1) more" : ""),
            hint: "choose another set with --set; 'verify' tells which can be restored")
    }

    /// Whether between a record and the shutdown of the server there is nothing but the end of a segment: a server that
    /// archives ends its segment when it is shut down, and writes its last checkpoint as the first record of the next.
    static func isLast(_ record: LSN, before checkpoint: LSN, segmentSize: UInt64) -> Bool {
        let longHeader: UInt64 = 40
        let segment = record.rawValue / segmentSize
        return checkpoint.rawValue == (segment + 1) * segmentSize + longHeader
    }

    /// Room for a second copy beside the first, less what an interrupted run has left of it.
    static func room(_ plan: RestorePlan, segmentSize: UInt64) throws(BackupError) -> RestoreReport.Room? {
        guard let (_, free) = try LocalDisk.room(plan.dataDirectory) else { return nil }
        // Recovery keeps a few segments beside what it works on.
        let wanted = plan.sizes().reduce(0, &+) &+ 4 &* segmentSize
        let present = try LocalDisk.size(of: plan.dataDirectory)
        return RestoreReport.Room(needed: wanted > present ? wanted - present : 0, free: free)
    }

    static func require(_ room: RestoreReport.Room?, at path: String) throws(BackupError) {
        guard let room, room.needed > room.free else { return }
        throw BackupError(
            .fileWrite,
            "the file system of '\(path)' has \(room.free) bytes free, but a second copy beside the present one needs"
                + " \(room.needed)",
            hint: "make room, or restore with --delta, which keeps no old data")
    }
}
