package import BackupModel
import Glibc
import Logging
package import PostgresAccess
import PostgresFormats

/// The running servers of a stanza: all `pgN` that answer. Blocking.
package struct BackupServers {
    /// Whether files are read from a standby, `backup-standby`.
    package enum StandbyUse: String, Sendable {
        case no = "n"
        case prefer
        case require = "y"
    }

    /// nil when only standbys answer.
    package let primary: BackupServer?
    /// In the order of their keys.
    package let standbys: [BackupServer]

    /// Asks every configured server. One that does not answer is told as a warning, as long as another does.
    /// - Throws: the failure of the first server when none answers, `.databaseConnect` when two are primaries.
    package static func connect(_ context: EngineContext, command: Command) throws(BackupError) -> BackupServers {
        var found: [BackupServer] = []
        var failures: [(key: Int, error: BackupError)] = []
        for key in context.configuration.postgresKeys {
            do throws(BackupError) {
                found.append(try BackupServer.connect(context, key: key, command: command))
            } catch {
                failures.append((key, error))
            }
        }
        if found.isEmpty, let first = failures.first { throw first.error }
        for (key, error) in failures {
            context.logger.warning("unable to check pg\(key): [\(error.code.rawValue)] \(error.message)")
        }
        let primaries = found.filter { !$0.server.facts.isInRecovery }
        guard primaries.count < 2 else {
            throw BackupError(
                .databaseConnect,
                "more than one primary cluster found: \(primaries.map { "'\($0.dataDirectory)'" }.joined(separator: ", "))",
                hint: "pgN-path and pgN-port must name one primary and its standbys")
        }
        return BackupServers(
            primary: primaries.first, standbys: found.filter { $0.server.facts.isInRecovery })
    }

    /// The server on which a backup is started and stopped.
    package func requirePrimary() throws(BackupError) -> BackupServer {
        if let primary { return primary }
        throw BackupError(
            .databaseConnect, "unable to find primary cluster: every server that answers is a standby",
            hint: "the backup is started and stopped on the primary: let one pgN-path and pgN-port name it")
    }

    /// The server that most files are read from; nil: the primary.
    package func standby(_ use: StandbyUse, _ context: EngineContext) throws(BackupError) -> BackupServer? {
        guard use != .no else { return nil }
        if let standby = standbys.first { return standby }
        guard use == .prefer else {
            throw BackupError(
                .databaseConnect, "unable to find standby cluster, which backup-standby=y requires",
                hint: "let a pgN-path name a standby that runs, or use backup-standby=prefer")
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
    /// Interval at which ``requireUnchanged()`` is called during a copy: many firewalls forget idle connections.
    package static let heartbeat = Duration.seconds(30)

    /// Throws `.databaseMismatch` when the server was promoted or demoted since the session began.
    package func requireUnchanged() throws(BackupError) {
        let isInRecovery = try server.isInRecovery()
        guard isInRecovery == server.facts.isInRecovery else {
            throw BackupError(
                .databaseMismatch,
                "the \(isInRecovery ? "primary" : "standby") on '\(dataDirectory)' became a \(isInRecovery ? "standby" : "primary") during the backup",
                hint: "run the backup again")
        }
    }

    /// Waits until the files of this standby hold all that the primary had written when the backup began.
    ///
    /// - Parameter timeout: for the standby to make any progress.
    /// - Throws: `.archiveTimeout` when it makes none, `.databaseMismatch` when it follows another timeline.
    package func catchUp(to start: BackupStart, timeout: Duration) throws(BackupError) {
        try wait(timeout, "standby on '\(dataDirectory)' to replay WAL up to \(start.lsn)") {
            () throws(BackupError) in
            let replayed = try server.replayLSN() ?? LSN(rawValue: 0)
            return (replayed, replayed > start.lsn)
        }
        // A restart point writes out what was replayed, and records it in pg_control.
        try server.checkpoint()
        try wait(timeout, "pg_control of the standby in '\(dataDirectory)' to reach the checkpoint at \(start.lsn)") {
            () throws(BackupError) in
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
        _ timeout: Duration, _ what: String, until step: () throws(BackupError) -> (LSN, Bool)
    ) throws(BackupError) {
        var deadline = ContinuousClock.now + timeout
        var furthest = LSN(rawValue: 0)
        while true {
            let (reached, isEnough) = try step()
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
