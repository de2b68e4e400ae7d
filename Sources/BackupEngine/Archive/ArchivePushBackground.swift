package import BackupModel
import Glibc
import Logging
import PostgresFormats
import RepositoryStorage
import Synchronization

/// `archive-push:async`: pushes all that is ready, in parallel, and says in the spool what became of each file.
///
/// A repository that fails is not tried again in this run, the others get all files at once; a file is done only when
/// every repository has it.
package struct ArchivePushBackground: Sendable {
    private let context: EngineContext
    private let walDirectory: String
    private let spool: ArchiveSpool
    private let stanza: String
    private let lockPath: String

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        guard context.configuration.parameters.count == 1 else {
            throw BackupError(.parameterInvalid, "archive-push:async takes one parameter: the path of pg_wal")
        }
        walDirectory = context.configuration.parameters[0]
        stanza = try context.stanza()
        lockPath = context.configuration.string(.lockPath) ?? "/tmp/pgbackrest"
        spool = try ArchiveSpool(context.configuration, .push)
    }

    package func run() async throws {
        try await withArchiveLock(context, spool) { try await pushReady() }
    }

    /// What this run has found out.
    private struct Findings {
        /// Repositories that failed, by key.
        var down: [Int: BackupError] = [:]
        /// What is wrong with a file, or with this host: nothing more is begun.
        var stop: BackupError?
        var pushed = 0
    }

    private func pushReady() async throws {
        let processes = max(1, context.configuration.integer(.processMax) ?? 1)
        let writer = try ArchiveWriter(
            context, dataDirectory: ArchivePush.dataDirectory(context), processes: processes)
        let queue = try ArchivePushQueue(
            walDirectory: walDirectory, spool, segmentSize: writer.segmentSize ?? 16 << 20,
            batchSize: context.configuration.size(.archivePushBatchSize) ?? 16 << 30)
        try spool.remove(queue.stale)
        guard let first = queue.files.first, let last = queue.files.last else {
            context.logger.notice("no WAL files are ready")
            return
        }
        context.logger.notice("push \(queue.files.count) WAL file(s) to archive: \(first)...\(last)")

        let findings = SharedFindings()
        var files = queue.files[...]
        let limit = ArchivePushLimit(context, walDirectory: walDirectory)
        let isOver = try limit?.isExceeded() ?? false
        if let limit, isOver {
            // With several repositories one that is down may be why: the others need not suffer from it.
            if context.repositories.count > 1 { try await push(files.removeFirst(), writer, findings, over: limit) }
            let down = findings.state.withLock { $0.down.count }
            if down == 0 || down == context.repositories.count {
                for name in files { try drop(name, limit.warning(name, [])) }
                return
            }
        }
        let work = WorkQueue(Array(files))
        let threads = WorkerThreads(count: processes)
        try await threads.runOnEach(tasks: min(writer.files, max(1, files.count))) { _ in
            while let name = work.take() {
                try Task.checkCancellation()
                try StopFile.check(stanza: stanza, lockPath: lockPath)
                let state = findings.state.withLock { $0 }
                if state.stop != nil { return }
                if state.down.count == context.repositories.count, !isOver { return }
                try await push(name, writer, findings, over: isOver ? limit : nil)
            }
        }
        let state = findings.state.withLock { $0 }
        let failures = state.down.sorted { $0.key < $1.key }.map(\.value) + (state.stop.map { [$0] } ?? [])
        if let failure = combined(failures) { throw failure }
    }

    /// - Parameter limit: when it is exceeded: the file counts as pushed, whatever fails.
    private func push(
        _ name: String, _ writer: ArchiveWriter, _ findings: SharedFindings, over limit: ArchivePushLimit?
    ) async throws {
        let before = findings.state.withLock { $0.down }
        let outcome: ArchiveWriter.Outcome
        do throws(BackupError) {
            let source = try WALSource("\(walDirectory)/\(name)", dataDirectory: nil)
            outcome = try await writer.push(
                source, except: Set(before.keys), isAhead: !before.isEmpty && limit == nil)
        } catch {
            // PostgreSQL has got its answer from elsewhere and has removed the file.
            let ready = "\(walDirectory)/archive_status/\(name)\(ArchivePushQueue.readySuffix)"
            if error.code == .fileMissing, try LocalDirectory.status(ready) == nil { return }
            try tell(error, of: name)
            findings.state.withLock { $0.stop = error }
            return
        }
        findings.state.withLock { $0.down.merge(outcome.failures) { first, _ in first } }
        let missing = before.merging(outcome.failures) { first, _ in first }
        if missing.isEmpty {
            for warning in outcome.warnings { context.logger.warning("\(warning)") }
            let warning = outcome.warnings.isEmpty ? nil : outcome.warnings.joined(separator: "\n")
            try spool.write(.done(warning: warning), for: name)
            findings.state.withLock { $0.pushed += 1 }
            context.logger.info("pushed WAL file '\(name)' to the archive")
        } else if let limit {
            let keys = missing.count == context.repositories.count ? [] : missing.keys.sorted()
            try drop(name, limit.warning(name, keys))
        } else if let failure = combined(outcome.failures.sorted { $0.key < $1.key }.map(\.value)) {
            try tell(failure, of: name)
        } else {
            context.logger.info("pushed WAL file '\(name)' ahead to the repositories that are up")
        }
    }

    private func tell(_ error: BackupError, of name: String) throws(BackupError) {
        context.logger.error("could not push WAL file '\(name)': \(error.description)")
        try spool.write(.failed(code: error.code, message: error.description), for: name)
    }

    private func drop(_ name: String, _ warning: String) throws(BackupError) {
        context.logger.error("\(warning)")
        try spool.write(.done(warning: warning), for: name)
    }

    /// What the workers share.
    private final class SharedFindings: Sendable {
        let state = Mutex(Findings())
    }
}

/// Runs `body` while no other process, ours or pgBackRest's, archives for the stanza. What goes wrong is told in the
/// spool, to whoever waits.
/// - Throws: `.lockAcquire` when another does.
func withArchiveLock(
    _ context: EngineContext, _ spool: ArchiveSpool, _ body: () async throws -> Void
) async throws {
    try spool.prepare()
    do {
        try await CommandLocks.onHost(context, [.archive]) { _ in try await body() }
    } catch {
        let reason = BackupError(error)
        if reason.code != .lockAcquire {
            try? spool.write(
                .failed(code: reason.code, message: reason.description), for: SpoolStatus.global)
        }
        throw error
    }
}
