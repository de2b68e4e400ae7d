package import BackupModel
import Glibc
import Logging
package import PostgresAccess
import PostgresFormats

/// The running servers of a stanza: all `pgN` that answer.
package struct BackupServers {
    /// Whether files are read from a standby, `backup-standby`.
    package enum StandbyUse: String, Sendable {
        case no = "n"
        case prefer
        case require = "y"
    }

    /// One that runs beside an agent, and what that says of it.
    package struct Remote: Sendable {
        package var key: Int
        package var status: RemoteServerStatus
    }

    /// nil when no primary answers on this host.
    package let primary: BackupServer?
    /// Those of this host, in the order of their keys.
    package let standbys: [BackupServer]
    /// Those of other hosts, in the order of their keys.
    package let remotes: [Remote]

    package var remotePrimary: Remote? { remotes.first { !$0.status.isInRecovery } }

    /// Asks every configured server. One that does not answer is told as a warning, as long as another of this host does.
    /// - Throws: the failure of the first server of this host when none answers, `.databaseConnect` when two are
    ///   primaries.
    package static func connect(
        _ context: EngineContext, command: Command
    ) async throws(BackupError) -> BackupServers {
        var (found, failures) = try BackupServer.connectAll(context.configuration, command: command)
        var remotes: [Remote] = []
        for key in context.configuration.remotePostgresKeys {
            guard let servers = context.remoteServers else { continue }
            do throws(BackupError) {
                remotes.append(Remote(key: key, status: try await servers.status(key)))
            } catch {
                if error.code == .terminated { throw error }
                failures.append(BackupServer.Failure(key: key, error: error))
            }
        }
        for failure in failures { failure.warn(context.logger) }
        let servers = BackupServers(
            primary: found.first { !$0.facts.isInRecovery }, standbys: found.filter(\.facts.isInRecovery),
            remotes: remotes)
        try requireOnePrimary([servers.primary?.place, servers.remotePrimary?.status.place].compactMap(\.self))
        try requireOnePrimary(remotes.filter { !$0.status.isInRecovery }.map(\.status.place))
        try servers.requireOneCluster()
        return servers
    }

    static func requireOnePrimary(_ places: [String]) throws(BackupError) {
        guard places.count > 1 else { return }
        throw BackupError(
            .databaseConnect,
            "more than one primary cluster found: \(places.map { "'\($0)'" }.joined(separator: ", "))",
            hint: "pgN-path, pgN-port and pgN-host must name one primary and its standbys")
    }

    /// What runs on other hosts is part of the cluster that runs here.
    private func requireOneCluster() throws(BackupError) {
        guard let here = primary ?? standbys.first else { return }
        for remote in remotes where remote.status.systemIdentifier != here.control.systemIdentifier {
            throw BackupError(
                .databaseMismatch,
                "'\(remote.status.place)' and '\(here.place)' are not of one cluster: system ids differ",
                hint: "all pgN of a stanza belong to one cluster")
        }
    }

    /// The server on which a backup is started and stopped. Another host's only gives what no standby has, and so only
    /// for a backup from a standby.
    package func requirePrimary(
        _ use: StandbyUse, _ context: EngineContext
    ) async throws(BackupError) -> any ClusterServer {
        if let primary { return primary }
        guard let remote = remotePrimary, let servers = context.remoteServers else {
            throw BackupError(
                .databaseConnect, "unable to find primary cluster: every server that answers is a standby",
                hint: "the backup is started and stopped on the primary: let one pgN-path and pgN-port name it")
        }
        guard use != .no, !standbys.isEmpty else {
            throw BackupError(
                .hostInvalid,
                "the primary is '\(remote.status.place)', and without a standby, and backup-standby, its files are not read from here",
                hint: "run the backup on that host, or use backup-standby")
        }
        context.logger.notice("the primary is '\(remote.status.place)': the agent there starts and stops the backup")
        return try await servers.open(remote.key)
    }

    /// The server that most files are read from; nil: the primary.
    package func standby(_ use: StandbyUse, _ context: EngineContext) throws(BackupError) -> BackupServer? {
        guard use != .no else { return nil }
        if let standby = standbys.first { return standby }
        let remote = remotes.first(where: \.status.isInRecovery)
        guard use == .prefer else {
            throw BackupError(
                .databaseConnect, "unable to find standby cluster, which backup-standby=y requires",
                hint: remote.map {
                    "run the backup on the host of '\($0.status.place)': a standby's files are read there"
                }
                    ?? "let a pgN-path name a standby that runs, or use backup-standby=prefer")
        }
        context.logger.warning("unable to find a standby to perform the backup, using primary instead")
        return nil
    }
}

extension BackupServers.StandbyUse {
    package init(_ configuration: Configuration) {
        self = configuration.string(.backupStandby).flatMap(Self.init(rawValue:)) ?? .no
    }
}

/// What a backup asks of a server while it runs.
extension BackupServer {
    /// Interval at which ``ClusterServer/requireUnchanged()`` is called during a copy: many firewalls forget idle connections.
    package static let heartbeat = Duration.seconds(30)

    /// Waits until the files of this standby hold all that the primary had written when the backup began.
    ///
    /// - Parameter timeout: for the standby to make any progress.
    /// - Throws: `.archiveTimeout` when it makes none, `.databaseMismatch` when it follows another timeline.
    package func catchUp(to start: BackupStart, timeout: Duration) async throws(BackupError) {
        try await wait(timeout, "standby on '\(dataDirectory)' to replay WAL up to \(start.lsn)") {
            () async throws(BackupError) in
            try await requireUnchanged()
            let replayed = try server.replayLSN() ?? LSN(rawValue: 0)
            return (replayed, replayed > start.lsn)
        }
        // A restart point writes out what was replayed, and records it in pg_control.
        try server.checkpoint()
        try await wait(
            timeout, "pg_control of the standby in '\(dataDirectory)' to reach the checkpoint at \(start.lsn)"
        ) {
            () async throws(BackupError) in
            let control = try ClusterDirectory.control(dataDirectory)
            return (control.checkpoint, control.checkpoint >= start.lsn)
        }
        let timeline = try ClusterDirectory.control(dataDirectory).timeline
        guard timeline == start.timeline else {
            throw BackupError(
                .databaseMismatch,
                "the standby on '\(dataDirectory)' is on timeline \(timeline), but the backup began on timeline \(start.timeline)",
                hint: "does the standby follow this primary?")
        }
    }

    /// - Parameter step: how far it is, and whether that is far enough.
    private func wait(
        _ timeout: Duration, _ what: String, until step: () async throws(BackupError) -> (LSN, Bool)
    ) async throws(BackupError) {
        var deadline = ContinuousClock.now + timeout
        var furthest = LSN(rawValue: 0)
        while true {
            let (reached, isEnough) = try await step()
            if isEnough { return }
            if reached > furthest {
                furthest = reached
                deadline = ContinuousClock.now + timeout
            }
            guard ContinuousClock.now < deadline, !Task.isCancelled else {
                throw BackupError(
                    Task.isCancelled ? .terminated : .archiveTimeout,
                    "timeout waiting for the \(what): it only reached \(furthest)",
                    hint: "does the standby replicate, and is its replay paused or delayed?")
            }
            usleep(100_000)
        }
    }
}
