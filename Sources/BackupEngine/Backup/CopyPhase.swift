import BackupModel
import Checksums
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization

/// Copies all files that any repository needs with as many workers as `process-max` says; pg_control last of all.
struct CopyPhase: Sendable {
    let context: EngineContext
    let backups: [RepositoryBackup]
    let failures: RepositoryFailures
    let plan: CopyPlan
    /// Seconds since 1970.
    let scanStart: Int64
    let control: PostgresControl

    func run(_ workers: WorkerThreads) async throws {
        guard let first = backups.first else { return }
        // Seconds of another host's clock begin at other moments.
        let heldUntil = Int64(FileClock.now()) + (plan.remote == nil ? 1 : 2)
        // Rows are the same in all manifests; only the first is asked, since a copy of the files would cost memory.
        let (queue, count, controlRow, total) = first.withFiles { files in
            var rows: [UInt32] = []
            for row in 0..<files.count where backups.contains(where: { $0.actions[row] != .none }) {
                rows.append(UInt32(row))
            }
            let total = rows.reduce(UInt64(0)) { $0 &+ files.size(Int($1)) }
            let control = files.index(of: FileActions.controlFile).map { UInt32($0) }
            let controlRow = control.flatMap { rows.contains($0) ? Int($0) : nil }
            rows.removeAll { $0 == control }
            let queue = CopyQueue(rows, of: files, heldFrom: scanStart, heldUntil: heldUntil)
            return (queue, rows.count, controlRow, total)
        }
        context.progress.begin(total: total)
        defer { context.progress.end() }
        let report = Report(logger: context.logger)
        // Codecs with large tables lose more by taking turns in a processor's cache than paired sums save.
        let pairs = backups.allSatisfy { $0.settings.compress == .none || $0.settings.compress == .lz4 }
        try await workers.runPaired(pairs: pairs, ahead: tasksAhead(workers), atMost: max(1, count)) { [self] pairing in
            try await copy(pairing, from: first, report) { try await queue.take() }
        }
        var last = controlRow
        try await copy(HashPairing(participants: 1), from: first, report) { last.take() }
    }

    /// Commits are in flight beside the workers. But large objects and bundles begin with a round trip, and what is read
    /// of a repository before a file is copied takes one: then a few more tasks keep the threads busy. Each has buffers,
    /// and a bundle of its own.
    private func tasksAhead(_ workers: WorkerThreads) -> Int {
        if backups.contains(where: \.readsBeforeCopying) { return workers.count * 3 }
        return backups.contains { $0.repository.store.concurrency.uploads > 1 } ? workers.count : 0
    }

    /// The files that `next` gives, one after the other; all are stored when it returns, and nothing goes on when it throws.
    private func copy(
        _ pairing: HashPairing, from backup: RepositoryBackup, _ report: Report, _ next: () async throws -> Int?
    ) async throws {
        let copier = try makeCopier(pairing)
        do {
            while let row = try await next() {
                let file = backup.withFiles { plan.source(row, of: $0) }
                report.log(file, try await copier.copy(file))
            }
            try await copier.end()
        } catch {
            await copier.abort()
            throw error
        }
    }

    private func makeCopier(_ pairing: HashPairing) throws -> FileCopier {
        let pages =
            backups.contains { $0.settings.checksumPage }
            ? PageCheckRules(
                pageSize: Int(control.pageSize), checksHeader: context.configuration.bool(.pageHeaderCheck)) : nil
        let progress = context.progress
        return FileCopier(
            branches: try backups.map { backup in
                try RepositoryBranch(backup, failures: failures, pairing: pairing)
            }, pages: pages, pairing: pairing, bufferSize: context.bufferSize, limit: context.diskLimit,
            progress: { progress.add($0) })
    }

    /// A line for each file at level detail, a warning for each that has bad pages.
    private struct Report: Sendable {
        let logger: Logger

        func log(_ file: SourceFile, _ outcome: FileOutcome) {
            switch outcome {
            case .gone: logger.info("skip file removed by database \(file.path)")
            case .unchanged: logger.info("match file from prior backup \(file.path) (\(file.size) bytes)")
            case .stored(let size, let checksum, let pageCheck):
                logger.info("backup file \(file.path) (\(size) bytes) checksum \(checksum.hex)")
                if case .invalid(let pages) = pageCheck {
                    logger.warning("\(PageErrorText.sentence(file: file.path, pages))")
                }
            }
        }
    }
}
