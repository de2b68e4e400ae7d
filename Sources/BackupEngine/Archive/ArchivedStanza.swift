import BackupModel
import RepositoryFormats

/// The archive of a stanza in one repository. `archive.info` is loaded once, on a thread that this archive has for
/// itself: a repository that hangs delays no other.
struct ArchivedStanza: Sendable {
    let repository: Repository
    private let loading: Task<ArchiveInfo, any Error>

    init(_ repository: Repository, stanza: String, threads: WorkerThreads) {
        self.repository = repository
        loading = Task(executorPreference: threads) { try await repository.loadArchiveInfo(stanza: stanza) }
    }

    func info() async throws(BackupError) -> ArchiveInfo {
        do {
            return try await loading.value
        } catch let error as BackupError {
            throw error
        } catch {
            throw BackupError(.unhandled, "\(repository.name): \(error)")
        }
    }
}

/// Several failures as one: the code and hint of the first, the words of all.
func combined(_ failures: [BackupError]) -> BackupError? {
    guard let first = failures.first, failures.count > 1 else { return failures.first }
    return BackupError(first.code, failures.map(\.message).joined(separator: "; "), hint: first.hint)
}
