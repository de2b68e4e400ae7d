import BackupModel
import Glibc
import Logging
import PostgresAccess
import PostgresFormats
import RepositoryFormats

/// The cluster that is backed up: its servers when it runs, its data directory. Blocks where they are of this host.
struct BackupSource {
    /// With the time of the primary's host: files have their times from there.
    let context: EngineContext
    /// nil for a cluster that is stopped.
    let primary: (any ClusterServer)?
    /// Most files are read from it; nil: from the primary.
    let standby: BackupServer?
    let control: PostgresControl
    /// Of the primary, or of what is stopped; ``ClusterServer/place``.
    let dataDirectory: String
    /// Whether the WAL that the backup needs is waited for.
    let checksArchive: Bool

    var isOnline: Bool { primary != nil }
    var servers: [any ClusterServer] { (primary.map { [$0] } ?? []) + (standby.map { [$0] } ?? []) }
    var plan: CopyPlan {
        CopyPlan(dataDirectory: dataDirectory, standbyDirectory: standby?.dataDirectory, remote: primary?.files)
    }

    static func open(_ context: EngineContext) async throws(BackupError) -> BackupSource {
        let configuration = context.configuration
        let isOnline = configuration.bool(.online)
        let use = BackupServers.StandbyUse(configuration)
        let servers = isOnline ? try await BackupServers.connect(context, command: .backup) : nil
        let standby = try servers?.standby(use, context)
        let primary = try await servers?.requirePrimary(use, context)
        do throws(BackupError) {
            return try make(context, primary, standby)
        } catch {
            await primary?.close()
            throw error
        }
    }

    private static func make(
        _ context: EngineContext, _ primary: (any ClusterServer)?, _ standby: BackupServer?
    ) throws(BackupError) -> BackupSource {
        let configuration = context.configuration
        let isOnline = primary != nil
        let dataDirectory: String
        if let primary { dataDirectory = primary.place } else { dataDirectory = try context.dataDirectory() }
        let control: PostgresControl
        if let primary { control = primary.control } else { control = try ClusterDirectory.control(dataDirectory) }
        try control.requireSupported(in: dataDirectory)
        if !isOnline, try ClusterDirectory.isRunning(dataDirectory) {
            guard configuration.bool(.force) else {
                throw BackupError(
                    .postgresRunning, "--no-online was given, but postmaster.pid is in '\(dataDirectory)'",
                    hint: "stop PostgreSQL, or use --force if you are certain that it does not run")
            }
            context.logger.warning(
                "postmaster.pid is present and --force was given: the backup may not be consistent")
        }
        if let primary, let standby, primary.control.systemIdentifier != standby.control.systemIdentifier {
            throw BackupError(
                .databaseMismatch,
                "'\(standby.dataDirectory)' is no standby of '\(primary.place)': system ids differ",
                hint: "all pgN of a stanza belong to one cluster")
        }
        return BackupSource(
            context: context.shifted(by: primary?.clockOffset ?? .zero), primary: primary, standby: standby,
            control: control, dataDirectory: dataDirectory,
            checksArchive: isOnline && configuration.bool(.archiveCheck))
    }

    /// A backup that the server has begun.
    struct Started {
        var start: BackupStart
        /// Complete and about to be archived when the backup began: its arrival proves that archiving works.
        var proofSegment: WALSegment?
        var databases: [ManifestDatabase]
        var tablespaces: [UInt32: String]
    }

    /// Begins the backup on the primary, and waits until the standby has what was written before. nil offline.
    func start(label: String) async throws(BackupError) -> Started? {
        guard let server = primary else { return nil }
        let before = checksArchive ? try await server.currentWALSegment() : nil
        let isFast = context.configuration.bool(.startFast)
        context.logger.notice(
            "execute non-exclusive backup start: backup begins after the \(isFast ? "requested immediate" : "next regular") checkpoint completes"
        )
        let start = try await server.startBackup(label: "Permafrost backup \(label)", fast: isFast)
        context.logger.notice("backup start archive = \(start.segment), lsn = \(start.lsn)")
        let onDisk = try await server.readControl()
        guard onDisk.checkpoint >= start.lsn, onDisk.timeline == start.timeline else {
            throw BackupError(
                .databaseMismatch,
                "pg_control in '\(dataDirectory)' has checkpoint \(onDisk.checkpoint) on timeline \(onDisk.timeline), but the backup began at \(start.lsn) on timeline \(start.timeline)",
                hint: "is the data directory the one of this server, and is its file system coherent?")
        }
        if let before, before == start.segment {
            // Nothing was written since the last switch: make the start segment archivable now.
            _ = try await server.switchWAL()
        }
        let databases = try await server.databases().map {
            ManifestDatabase(name: $0.name, id: $0.oid, lastSystemID: $0.lastSystemOID)
        }
        let tablespaces = try await server.tablespaces()
        if let standby {
            context.logger.notice("wait for replay on the standby to reach \(start.lsn)")
            try await standby.catchUp(
                to: start, timeout: context.configuration.duration(.archiveTimeout) ?? .seconds(60))
        }
        return Started(
            start: start, proofSegment: before, databases: databases,
            tablespaces: Dictionary(tablespaces.map { ($0.oid, $0.name) }) { first, _ in first })
    }

    func scan(_ started: Started?) async throws(BackupError) -> ClusterListing {
        let listing: ClusterListing
        let excludes = context.configuration.list(.exclude)
        if let primary {
            listing = try await primary.scan(tablespaces: started?.tablespaces ?? [:], excludes: excludes)
        } else {
            let start = min(context.now(), Int64(FileClock.now()))
            let found = try DataDirectoryScan(
                dataDirectory: dataDirectory, version: control.version, catalogVersion: control.catalogVersion,
                isOnline: false, tablespaceNames: [:], excludes: excludes
            ).run()
            listing = ClusterListing(found: found, start: start, end: context.now())
        }
        for warning in listing.found.warnings { context.logger.warning("\(warning)") }
        return listing
    }

    /// Ends the backup on the primary. nil offline.
    func stop(_ started: Started?) async throws(BackupError) -> BackupStop? {
        guard let primary, let started else { return nil }
        for server in servers { try await server.requireUnchanged() }
        context.logger.notice("execute non-exclusive backup stop and wait for all WAL segments to archive")
        let stop = try await primary.stopBackup()
        context.logger.notice("backup stop archive = \(stop.segment), lsn = \(stop.lsn)")
        guard stop.timeline == started.start.timeline else {
            throw BackupError(
                .databaseMismatch,
                "the timeline changed from \(started.start.timeline) to \(stop.timeline) during the backup",
                hint: "run the backup again")
        }
        return stop
    }
}

extension EngineContext {
    /// With a clock that is ahead of this host's by `offset`.
    fileprivate func shifted(by offset: Duration) -> EngineContext {
        guard offset != .zero else { return self }
        let skew = offset.components.seconds
        if abs(skew) > 1 {
            logger.warning(
                "the primary's clock is \(abs(skew))s \(skew > 0 ? "ahead of" : "behind") this host's: set both by NTP, since retention and point-in-time recovery go by time"
            )
        }
        var shifted = self
        shifted.now = {
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            let time = Duration.seconds(Int64(now.tv_sec)) + .nanoseconds(Int64(now.tv_nsec)) + offset
            return time.components.seconds
        }
        return shifted
    }
}
