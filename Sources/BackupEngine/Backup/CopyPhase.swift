import BackupModel
import Checksums
import Logging
import PostgresFormats
import RepositoryFormats
import Synchronization

/// Copies all files of a plan with as many workers as `process-max` says; pg_control last of all.
struct CopyPhase {
    let context: EngineContext
    let repository: Repository
    let stanza: String
    let label: String

    /// By row of the manifest; nil for files that were gone.
    func run(
        _ plan: [PlannedCopy], control: PostgresControl, manifestOptions: ManifestOptions, workers: WorkerThreads
    ) async throws -> [Int: CopiedFile?] {
        let total = plan.reduce(0) { $0 + $1.file.size }
        context.progress.begin(total: total)
        defer { context.progress.end() }
        let ordinary = plan.filter { !$0.file.isControlFile }
        let queue = CopyQueue(
            ready: ordinary.filter { !$0.isHeld }.map(\.file), held: ordinary.filter(\.isHeld).map(\.file),
            heldUntil: context.now() + 1)
        let results = Mutex<[Int: CopiedFile?]>([:])
        let report = Report(logger: context.logger, total: total)
        // Codecs with large tables lose more by taking turns in a processor's cache than paired sums save.
        let pairs = manifestOptions.compressType == .none || manifestOptions.compressType == .lz4
        try await workers.runPaired(pairs: pairs) { [self] pairing in
            let copier = try makeCopier(control, manifestOptions, pairing)
            while let file = try await queue.take() {
                let copied = try await copier.copy(file)
                results.withLock { $0[file.index] = .some(copied) }
                report.log(file, copied)
            }
        }
        if let file = plan.first(where: \.file.isControlFile)?.file {
            let copied = try await makeCopier(control, manifestOptions, HashPairing(participants: 1)).copy(file)
            results.withLock { $0[file.index] = .some(copied) }
            report.log(file, copied)
        }
        return results.withLock { $0 }
    }

    private func makeCopier(
        _ control: PostgresControl, _ options: ManifestOptions, _ pairing: HashPairing
    ) throws -> FileCopier {
        let pages =
            options.checksumPage == true
            ? PageCheckRules(
                pageSize: Int(control.pageSize), checksHeader: context.configuration.bool(.pageHeaderCheck)) : nil
        let progress = context.progress
        return FileCopier(
            branches: [
                try RepositoryBranch(
                    repository: repository, stanza: stanza, label: label, compress: options.compressType,
                    level: options.compressLevel, pairing: pairing)
            ], pages: pages, pairing: pairing, progress: { progress.add($0) })
    }

    /// A line for each file at level detail, a warning for each that has bad pages.
    private struct Report: Sendable {
        let logger: Logger
        let total: UInt64

        func log(_ file: SourceFile, _ copied: CopiedFile?) {
            guard let copied else {
                logger.info("skip file removed by database \(file.path)")
                return
            }
            logger.info("backup file \(file.path) (\(copied.size) bytes) checksum \(copied.checksum.hex)")
            if case .invalid(let pages) = copied.pageCheck {
                logger.warning("\(PageErrorText.sentence(file: file.path, pages))")
            }
        }
    }
}

enum PageErrorText {
    /// `invalid page checksums found in file 'F' at pages 3, 5-7`
    static func sentence(file: String, _ pages: [ClosedRange<UInt32>]) -> String {
        guard !pages.isEmpty else {
            return "page misalignment in file '\(file)': its size is not a multiple of the page size"
        }
        let count = pages.reduce(0) { $0 + $1.count }
        let list = pages.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        return
            "invalid page checksum\(count == 1 ? "" : "s") found in file '\(file)' at page\(count == 1 ? "" : "s") \(list.joined(separator: ", "))"
    }
}
