package import BackupModel
import Glibc
import Logging
import PostgresFormats
import RepositoryStorage
import Synchronization

/// `archive-get:async`: fetches the segments that it is given into the spool, in parallel, up to the first that no
/// repository has.
package struct ArchiveGetBackground: Sendable {
    private let context: EngineContext
    private let segments: [WALSegment]
    private let spool: ArchiveSpool

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        segments = try context.configuration.parameters.map { name throws(BackupError) in
            guard let segment = WALSegment(name) else {
                throw BackupError(.parameterInvalid, "archive-get:async takes names of WAL segments, not '\(name)'")
            }
            return segment
        }
        spool = try ArchiveSpool(context.configuration, .get)
    }

    package func run() async throws {
        try await withArchiveLock(context, spool) { try await fetchAll() }
    }

    private func fetchAll() async throws {
        guard let first = segments.first, let last = segments.last else { return }
        context.logger.notice("get \(segments.count) WAL file(s) from archive: \(first)...\(last)")
        let processes = max(1, context.configuration.integer(.processMax) ?? 1)
        // What waits for a store behind a network needs no thread.
        let downloads = context.repositories.map(\.store.concurrency.readAhead).max() ?? 0
        let files = min(max(processes, downloads), segments.count)
        let reader = try ArchiveReader(context, files: files)
        try spool.remove(segments.map { $0.description + SpoolStatus.failedSuffix })
        let work = WorkQueue(segments)
        let isAtEnd = Atomic<Bool>(false)
        let failure = Mutex<BackupError?>(nil)
        try await WorkerThreads(count: processes).runOnEach(tasks: files) { _ in
            while !isAtEnd.load(ordering: .relaxed), let segment = work.take() {
                try Task.checkCancellation()
                do throws(BackupError) {
                    if try await !fetch(segment, reader) { isAtEnd.store(true, ordering: .relaxed) }
                } catch {
                    isAtEnd.store(true, ordering: .relaxed)
                    failure.withLock { $0 = $0 ?? error }
                    context.logger.error("could not get WAL file '\(segment)': \(error.description)")
                    try spool.write(
                        .failed(code: error.code, message: error.description), for: segment.description)
                }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// False when no repository has it.
    private func fetch(_ segment: WALSegment, _ reader: ArchiveReader) async throws(BackupError) -> Bool {
        let name = segment.description
        // A queue that was planned while another process filled it.
        if try spool.holds(name) { return true }
        guard
            let warnings = try await reader.fetch(
                .segment(segment), to: spool.path(name), isDurable: true)
        else {
            context.logger.info("unable to find \(name) in the archive")
            try spool.write(.done(warning: nil), for: name)
            return false
        }
        for warning in warnings { context.logger.warning("\(warning)") }
        return true
    }
}
