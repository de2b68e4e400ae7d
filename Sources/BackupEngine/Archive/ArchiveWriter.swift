import BackupModel
import Checksums
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Synchronization

/// Stores WAL files in all repositories at once: a file is read, hashed and compressed once, and each repository answers
/// for itself.
///
/// A segment that is there already with the same content is a success, with another content an error. Nothing of a
/// file shows in a repository before all of it is durable.
struct ArchiveWriter: Sendable {
    private let context: EngineContext
    private let stanza: String
    private let archives: [ArchivedStanza]
    private let threads: WorkerThreads
    private let compress: CompressType
    private let control: PostgresControl?
    /// How many may be pushed at a time.
    let files: Int
    private let compressions: CallSlots

    /// What became of one file.
    struct Outcome: Sendable {
        /// By the key of the repository; empty when all have the file.
        var failures: [Int: BackupError] = [:]
        var warnings: [String] = []
    }

    /// - Parameters:
    ///   - dataDirectory: nil when pg-path is not configured.
    ///   - processes: how many files are compressed at a time.
    ///   - isAlone: whether one file is stored and no other.
    init(
        _ context: EngineContext, dataDirectory: String?, processes: Int = 1, isAlone: Bool = false
    ) throws(BackupError) {
        compressions = CallSlots(processes)
        self.context = context
        let stanza = try context.stanza()
        self.stanza = stanza
        compress = try context.compressType()
        control = try dataDirectory.map { path throws(BackupError) in try ClusterDirectory.control(path) }
        files = isAlone ? 1 : Self.filesInFlight(context, processes, segmentSize: control?.walSegmentSize)
        let threads = WorkerThreads(count: context.repositories.count * files)
        self.threads = threads
        archives = context.repositories.map { ArchivedStanza($0, stanza: stanza, threads: threads) }
    }

    /// More than are compressed at a time where a repository is behind a network. Each waits in memory for its answer,
    /// which bounds it.
    private static func filesInFlight(_ context: EngineContext, _ processes: Int, segmentSize: UInt64?) -> Int {
        let uploads = context.repositories.map(\.store.concurrency.uploads).max() ?? 1
        return max(processes, min(uploads, memory / Int(clamping: max(segmentSize ?? 16 << 20, 1 << 20))))
    }
    /// Bytes of segments.
    private static let memory = 96 << 20

    /// Bytes; nil when pg-path is not configured.
    var segmentSize: UInt64? { control?.walSegmentSize }

    /// - Parameters:
    ///   - skipped: keys of repositories that are not to be tried.
    ///   - isAhead: the file will be pushed once more, since not all repositories can be reached now: where something of
    ///     its name lies, that is enough.
    /// - Throws: what is wrong with the file itself.
    func push(
        _ source: WALSource, except skipped: Set<Int> = [], isAhead: Bool = false
    ) async throws(BackupError) -> Outcome {
        let header = try source.isSegment && context.configuration.bool(.archiveHeaderCheck) ? source.header() : nil
        let content = SharedContent(
            source, compress: compress, level: context.configuration.integer(.compressLevel), compressions)
        if !isAhead { content.start() }
        return await withTaskGroup(of: (Int, Result<String?, BackupError>).self) { group in
            for archive in archives where !skipped.contains(archive.repository.key) {
                group.addTask(executorPreference: threads) {
                    do throws(BackupError) {
                        let warning = try await store(source, header, content, archive, isAhead: isAhead)
                        return (archive.repository.key, .success(warning))
                    } catch {
                        return (archive.repository.key, .failure(error))
                    }
                }
            }
            var outcome = Outcome()
            for await (key, result) in group {
                switch result {
                case .success(let warning): if let warning { outcome.warnings.append(warning) }
                case .failure(let error): outcome.failures[key] = error
                }
            }
            return outcome
        }
    }

    private func requireSameCluster(
        _ info: ArchiveInfo, _ header: WALHeader?, _ source: WALSource, _ repository: Repository
    ) throws(BackupError) {
        let current = info.current
        let expected = "PostgreSQL \(current.version), system id \(current.systemIdentifier)"
        let hint = "is this the right stanza? After an upgrade of PostgreSQL run 'stanza-upgrade'"
        if let control, control.version != current.version || control.systemIdentifier != current.systemIdentifier {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): the cluster is PostgreSQL \(control.version), system id \(control.systemIdentifier), but stanza '\(stanza)' is for \(expected)",
                hint: hint)
        }
        if let header, header.version != current.version || header.systemIdentifier != current.systemIdentifier {
            throw BackupError(
                .archiveMismatch,
                "\(repository.name): WAL file '\(source.path)' is of PostgreSQL \(header.version), system id \(header.systemIdentifier), but stanza '\(stanza)' is for \(expected)",
                hint: hint)
        }
    }

    /// Returns what is to be warned of.
    private func store(
        _ source: WALSource, _ header: WALHeader?, _ content: SharedContent, _ archive: ArchivedStanza, isAhead: Bool
    ) async throws(BackupError) -> String? {
        switch source.name {
        case .segment(let segment):
            return try await storeSegment(segment, false, source, header, content, archive, isAhead: isAhead)
        case .partial(let segment):
            return try await storeSegment(segment, true, source, header, content, archive, isAhead: isAhead)
        case .history, .backupLabel:
            let info = try await archive.info()
            try requireSameCluster(info, header, source, archive.repository)
            return try await storeSmallFile(source, info, archive.repository)
        }
    }

    private func storeSegment(
        _ segment: WALSegment, _ isPartial: Bool, _ source: WALSource, _ header: WALHeader?, _ content: SharedContent,
        _ archive: ArchivedStanza, isAhead: Bool
    ) async throws(BackupError) -> String? {
        let repository = archive.repository
        let (info, objects) = try await archive.segments(
            segment, isPartial: isPartial, version: control?.version ?? header?.version
        ) { info throws(BackupError) in try requireSameCluster(info, header, source, repository) }
        let archiveID = info.currentArchiveID
        if isAhead, !objects.isEmpty { return nil }
        let content = try await content.value()
        let checksum = content.checksum.hex
        guard let other = objects.first(where: { $0.checksum != checksum }) ?? objects.first else {
            let name = ArchivedSegmentName(
                segment: segment, isPartial: isPartial, checksum: checksum, compress: compress
            ).name
            let path = RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: name)
            try await repository.describing {
                try await content.write(to: repository.store, path, cipherPass: info.cipherPass)
            }
            return nil
        }
        guard other.checksum == checksum else {
            throw BackupError(
                .archiveDuplicate,
                "WAL file '\(source.path)' is already in the \(repository.name) archive with another checksum: \(other.name)",
                hint: "does another cluster archive to this stanza, or was this one restored without a new timeline?")
        }
        // With archive_mode=always each host pushes the same segments.
        guard context.configuration.bool(.archiveModeCheck) else { return nil }
        return "WAL file '\(source.path)' is already in the \(repository.name) archive with the same checksum\n"
            + "HINT: this is normal after PostgreSQL or its host crashed, or while another repository was down"
    }

    private func storeSmallFile(
        _ source: WALSource, _ info: ArchiveInfo, _ repository: Repository
    ) async throws(BackupError) -> String? {
        let bytes = try source.readAll(limit: 16 << 20)
        let path = RepositoryPaths.archiveFile(
            stanza: stanza, archiveID: info.currentArchiveID, name: source.fileName)
        let form = StoredForm(compress: .none, cipherPass: info.cipherPass)
        let before = try await repository.readWhole(path, as: form, limit: 16 << 20)
        if before == bytes { return nil }
        try await repository.writeWhole(path, bytes, as: form)
        return before == nil
            ? nil : "'\(source.fileName)' was in the \(repository.name) archive with other content and was replaced"
    }
}

/// The content of one file, which all repositories wait for and which is read once, when the first asks.
private final class SharedContent: Sendable {
    private let reading = Mutex<Task<SegmentContent, any Error>?>(nil)
    private let source: WALSource
    private let compress: CompressType
    private let level: Int?
    private let compressions: CallSlots

    init(_ source: WALSource, compress: CompressType, level: Int?, _ compressions: CallSlots) {
        self.compressions = compressions
        self.source = source
        self.compress = compress
        self.level = level
    }

    /// On a thread of its own: the threads of the repositories may all be waiting for theirs.
    @discardableResult
    func start() -> Task<SegmentContent, any Error>? {
        guard source.isSegment else { return nil }
        return reading.withLock { task in
            if let task { return task }
            let started = Task(executorPreference: WorkerThreads(count: 1)) { [source, compress, level, compressions] in
                try await compressions.run {
                    try await SegmentContent.read(source, compress: compress, level: level)
                }
            }
            task = started
            return started
        }
    }

    func value() async throws(BackupError) -> SegmentContent {
        do {
            guard let content = try await start()?.value else {
                throw BackupError(.assertion, "'\(source.path)' is no WAL segment")
            }
            return content
        } catch {
            throw BackupError(error, in: "'\(source.path)'")
        }
    }
}
