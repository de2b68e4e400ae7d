import BackupModel
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization

/// The archive of a stanza in one repository. `archive.info` is loaded once, on a thread that this archive has for
/// itself: a repository that hangs delays no other.
struct ArchivedStanza: Sendable {
    let repository: Repository
    private let stanza: String
    private let loading: Task<ArchiveInfo, any Error>
    /// Whether it is loaded, so that nothing need be guessed.
    private let isKnown = SharedFlag()

    init(_ repository: Repository, stanza: String, threads: WorkerThreads) {
        self.repository = repository
        self.stanza = stanza
        loading = Task(executorPreference: threads) { [isKnown] in
            let info = try await repository.loadArchiveInfo(stanza: stanza)
            isKnown.set()
            return info
        }
    }

    /// The objects that hold a segment, by ``Repository/archivedSegments(_:isPartial:archiveID:stanza:)``.
    /// - Parameters:
    ///   - version: of the cluster, where it is known. Mostly it has the first archive of its version: behind a network
    ///     that is listed while `archive.info`, which tells, is on its way.
    ///   - accept: what is to be seen to between; throws when there is nothing to look for.
    func segments(
        _ segment: WALSegment, isPartial: Bool, version: PostgresVersion?,
        accept: (ArchiveInfo) throws(BackupError) -> Void
    ) async throws(BackupError) -> (info: ArchiveInfo, objects: [ArchivedSegmentName]) {
        try await repository.describing {
            var guess: String?
            if let version, !isKnown.isSet, repository.store.concurrency.downloads > 1 {
                guess = RepositoryPaths.archiveID(version: version, historyID: 1)
            }
            async let guessed = list(segment, isPartial, guess)
            let info = try await info()
            try accept(info)
            if guess == info.currentArchiveID, let objects = try await guessed { return (info, objects) }
            return (info, try await list(segment, isPartial, info.currentArchiveID) ?? [])
        }
    }

    private func list(
        _ segment: WALSegment, _ isPartial: Bool, _ archiveID: String?
    ) async throws(BackupError) -> [ArchivedSegmentName]? {
        guard let archiveID else { return nil }
        return try await repository.archivedSegments(
            segment, isPartial: isPartial, archiveID: archiveID, stanza: stanza)
    }

    func info() async throws(BackupError) -> ArchiveInfo {
        do {
            return try await loading.value
        } catch {
            throw BackupError(error, in: repository.name)
        }
    }
}

/// Set once, by one task, and seen by others.
private final class SharedFlag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// Several failures as one: the code and hint of the first, the words of all.
func combined(_ failures: [BackupError]) -> BackupError? {
    guard let first = failures.first, failures.count > 1 else { return failures.first }
    return BackupError(first.code, failures.map(\.message).joined(separator: "; "), hint: first.hint)
}
