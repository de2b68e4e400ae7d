import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// A backup set in a repository, as files are read from it.
struct RestoreSource: Sendable {
    var repository: Repository
    var manifest: Manifest
    var stanza: String

    func context(_ file: ManifestFile) -> String {
        "unable to restore '\(file.name)' of backup set \(manifest.label(holding: file)) from \(repository.name)"
    }

    func damaged(_ code: ErrorCode, _ file: ManifestFile, _ reason: String) -> UnreadableFile {
        UnreadableFile(
            error: BackupError(
                code,
                "\(context(file)): \(reason) (stored in '\(manifest.object(of: file, stanza: stanza))')",
                hint: "the repository is damaged here: restore another backup set, or from another repository"))
    }

    /// What a failed reading of `file` becomes; errors of other origin stay what they are.
    func unreadable(_ error: any Error, _ file: ManifestFile) -> any Error {
        guard let error = error as? StorageError else { return error }
        if error.isMissing { return damaged(error.error.code, file, "the object is missing") }
        return UnreadableFile(error: error.error.within(context(file)))
    }
}

/// A repository did not give what it should: another one may. Errors of the data directory are never this.
struct UnreadableFile: Error {
    var error: BackupError
}

/// The other repositories, from which single files are taken when the chosen one does not have them whole.
///
/// A file is taken only if its name, size and SHA-1 in the other manifest are those in the manifest that is restored:
/// then it is the same file, whatever backup it is of. Relations that have not changed between two backups are, and
/// with backups of both repositories in one pass all files are.
actor RestoreAlternatives {
    private let manifest: Manifest
    private let stanza: String
    private let repositories: [Repository]
    private let workers: WorkerThreads
    private var loading: Task<[RestoreSource], Never>?

    init(_ repositories: [Repository], to manifest: Manifest, stanza: String, workers: WorkerThreads) {
        self.workers = workers
        self.manifest = manifest
        self.stanza = stanza
        self.repositories = repositories
    }

    /// Where the same file is, with its row there.
    func sources(of file: ManifestFile) async -> [(source: RestoreSource, file: ManifestFile)] {
        return await load().compactMap { source in
            guard let index = source.manifest.files.index(of: file.name) else { return nil }
            let other = source.manifest.files[index]
            guard other.size == file.size, other.checksum == file.checksum, file.checksum != nil else { return nil }
            return (source, other)
        }
    }

    /// Once, however many ask.
    private func load() async -> [RestoreSource] {
        if let loading { return await loading.value }
        let task = Task(executorPreference: workers) {
            var sources: [RestoreSource] = []
            for repository in self.repositories {
                if let source = try? await self.nearest(in: repository) { sources.append(source) }
            }
            return sources
        }
        loading = task
        return await task.value
    }

    /// The backup of the same label, else the one that was made at about the same time, of the same cluster.
    private func nearest(in repository: Repository) async throws(BackupError) -> RestoreSource? {
        let info = try await repository.loadBackupInfo(stanza: stanza)
        let wanted = manifest.timestampStop
        let same = info.backups.first { $0.label == manifest.label }
        guard
            let entry = same
                ?? info.backups.min(by: {
                    $0.timestampStop.distance(to: wanted).magnitude < $1.timestampStop.distance(to: wanted).magnitude
                })
        else { return nil }
        let other = try await repository.loadManifest(stanza: stanza, label: entry.label, cipherPass: info.cipherPass)
        guard other.database.systemIdentifier == manifest.database.systemIdentifier else { return nil }
        return RestoreSource(repository: repository, manifest: other, stanza: stanza)
    }
}
