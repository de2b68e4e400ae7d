package import BackupModel
import Glibc
import Logging
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import RepositoryStorage

/// `check`: proves, by doing it, that every repository's store can be used, and that WAL travels from PostgreSQL into every repository, and says why when it does not.
package struct CheckCommand: Sendable {
    let context: EngineContext
    let stanza: String

    /// Failures of `archive_command` during the check after which waiting on is of no use.
    private static let failureLimit: Int64 = 3

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
    }

    package func run() async throws(BackupError) {
        let servers = try await BackupServers.connect(context, command: .check)
        try await probeStores()
        var archiveIDs: [Int: String] = [:]
        for repository in context.repositories {
            let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
            let backupInfo = try await repository.loadBackupInfo(stanza: stanza)
            for server in [servers.primary].compactMap({ $0 }) + servers.standbys {
                try StanzaIdentity.requireMatch(
                    server.control, archiveInfo, backupInfo, repository: repository, stanza: stanza)
            }
            archiveIDs[repository.key] = archiveInfo.currentArchiveID
        }
        for standby in servers.standbys {
            context.logger.notice(
                "the server in '\(standby.dataDirectory)' is a standby (in recovery): its configuration was checked; archiving is checked on the primary"
            )
        }
        for remote in servers.remotes {
            context.logger.notice(
                "the server in '\(remote.status.place)' is a \(remote.status.isInRecovery ? "standby" : "primary"): its own host can check it"
            )
        }
        guard let primary = servers.primary, context.configuration.bool(.archiveCheck) else { return }
        try await checkArchiving(primary.server, archiveIDs)
    }

    /// All of them before any is given up.
    private func probeStores() async throws(BackupError) {
        var failures: [BackupError] = []
        for repository in context.repositories {
            do throws(BackupError) {
                try await StoreProbe(repository: repository, stanza: stanza).run()
                context.logger.notice("\(repository.name): list, write, read and delete work in its store")
            } catch {
                failures.append(error)
            }
        }
        if let failure = combined(failures) { throw failure }
    }

    private func checkArchiving(_ server: PostgresServer, _ archiveIDs: [Int: String]) async throws(BackupError) {
        let settings = try server.archivingSettings()
        let diagnosis = diagnosis(settings)
        if let failure = diagnosis.failure { throw failure }
        // archive-push heeds it too, and would fail. Where this user may not look, it says nothing.
        do throws(BackupError) {
            try StopFile.check(
                stanza: stanza, lockPath: context.configuration.string(.lockPath) ?? "/tmp/pgbackrest")
        } catch {
            if error.code == .stop { throw error }
        }
        for warning in diagnosis.warnings { context.logger.warning("\(warning)") }
        for note in diagnosis.notes { context.logger.notice("\(note)") }
        let before = try server.archiverStatus()
        if before.isFailing { context.logger.warning("\(failures(before.failedCount, before))") }
        for repository in context.repositories {
            context.logger.notice("check \(repository.name) archive for a new WAL segment")
        }
        let start = try server.currentTime() / 1_000_000
        let segment = try server.switchWAL()
        let timeout = context.configuration.duration(.archiveTimeout) ?? .seconds(60)
        let found = try await wait(for: segment, server, archiveIDs, since: before, settings, timeout)
        let end = try server.currentTime() / 1_000_000
        for (repository, name) in found {
            guard let archiveID = archiveIDs[repository.key] else { continue }
            let path = RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: name.name)
            let info = try await repository.describing { try await repository.store.info(path) }
            if let stored = info?.modified, let skew = ClockSkew.seconds(stored: stored, after: start, before: end) {
                context.logger.warning(
                    "the clock of \(repository.name) is \(abs(skew))s \(skew > 0 ? "ahead of" : "behind") the database server's: set both by NTP, since retention and point-in-time recovery go by time"
                )
            }
        }
    }

    private func diagnosis(_ settings: ArchivingSettings) -> ArchivingDiagnosis {
        ArchivingDiagnosis(
            settings: settings, stanza: stanza, configFile: context.configuration.string(.config),
            checksMode: context.configuration.bool(.archiveModeCheck),
            // What this user may not look at says nothing.
            fileExists: { path in
                if access(path, F_OK) == 0 { return true }
                return errno == ENOENT || errno == ENOTDIR ? false : nil
            },
            isExecutable: { path in
                if access(path, X_OK) == 0 { return true }
                return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? false : nil
            })
    }

    // MARK: - Waiting

    private func wait(
        for segment: WALSegment, _ server: PostgresServer, _ archiveIDs: [Int: String], since before: ArchiverStatus,
        _ settings: ArchivingSettings, _ timeout: Duration
    ) async throws(BackupError) -> [(Repository, ArchivedSegmentName)] {
        let deadline = ContinuousClock.now + timeout
        var pause = Duration.milliseconds(10)
        var found: [(Repository, ArchivedSegmentName)] = []
        var waiting = context.repositories
        while true {
            var rest: [Repository] = []
            for repository in waiting {
                guard let archiveID = archiveIDs[repository.key] else { continue }
                do throws(BackupError) {
                    // Nothing is waited for here: all repositories are looked at in turns.
                    let name = try await repository.waitForSegment(
                        segment, archiveID: archiveID, stanza: stanza, timeout: .zero)
                    context.logger.notice(
                        "WAL segment \(segment) successfully archived to '\(name.name)' on \(repository.name)")
                    found.append((repository, name))
                } catch {
                    guard error.code == .archiveTimeout else { throw error }
                    rest.append(repository)
                }
            }
            waiting = rest
            if waiting.isEmpty { return found }
            let status = try server.archiverStatus()
            let failed = status.failedCount - before.failedCount
            let isLate = ContinuousClock.now >= deadline
            guard !isLate, failed < Self.failureLimit else {
                throw missing(
                    segment, in: waiting, found: found.map(\.0), failed: failed, status, settings,
                    timeout: isLate ? timeout : nil)
            }
            do {
                try await Task.sleep(for: pause)
            } catch {
                throw BackupError(.terminated, "waiting for WAL segment \(segment) was cancelled")
            }
            pause = min(pause * 2, .milliseconds(250))
        }
    }

    /// - Parameter timeout: nil when it was not waited for so long.
    private func missing(
        _ segment: WALSegment, in waiting: [Repository], found: [Repository], failed: Int64, _ status: ArchiverStatus,
        _ settings: ArchivingSettings, timeout: Duration?
    ) -> BackupError {
        let names = waiting.map(\.name).joined(separator: ", ")
        var message = "\(names): WAL segment \(segment) did not reach the archive"
        if let timeout { message += " within \(timeout.components.seconds) s" }
        if !found.isEmpty { message += ", although it is in \(found.map(\.name).joined(separator: ", "))" }
        if failed > 0 { message += "; \(failures(failed, status))" }
        let spooled = spooledErrors()
        if let first = spooled.first {
            message += "; asynchronous archiving failed for \(spooled.count) files, such as \(first)"
        }
        let hint =
            if !found.isEmpty {
                "does the configuration that archive_command reads name \(names), with the same path?"
            } else if failed > 0 || !spooled.isEmpty {
                "PostgreSQL's log has the errors of archive_command; run it by hand as the server's user: \(settings.archiveCommand)"
            } else if timeout != nil {
                "archive_command has not failed: is it slow, is much WAL waiting in pg_wal/archive_status, or does it archive elsewhere? PostgreSQL's log tells; archive-timeout sets how long to wait"
            } else {
                "look into PostgreSQL's log for errors of archive_command"
            }
        return BackupError(.archiveTimeout, message, hint: hint)
    }

    private func failures(_ count: Int64, _ status: ArchiverStatus) -> String {
        let last = status.lastFailedFile.map { ", last for \($0)" } ?? ""
        let time = status.lastFailedTime.map { " at \($0)" } ?? ""
        return "archive_command has failed \(count) times\(last)\(time)"
    }

    /// What asynchronous archiving left for PostgreSQL to find: `'<segment>' (reason)`.
    private func spooledErrors() -> [String] {
        guard let spool = context.configuration.string(.spoolPath) else { return [] }
        let directory = "\(spool)/archive/\(stanza)/out"
        guard let names = try? LocalFile.names(in: directory) else { return [] }
        return names.filter { $0.hasSuffix(".error") }.map { name in
            let bytes = (try? LocalFile.readAll("\(directory)/\(name)", limit: 1 << 16)) ?? []
            // The code stands on the first line.
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            return "'\(name.dropLast(".error".count))' (\(lines.dropFirst().first ?? lines.first ?? "no reason told"))"
        }
    }
}
