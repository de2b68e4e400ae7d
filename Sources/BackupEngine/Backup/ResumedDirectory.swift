import BackupModel
import RepositoryFormats
import RepositoryStorage

/// The directory that an interrupted run has left.
struct ResumedDirectory: Sendable {
    let repository: Repository
    let stanza: String
    let label: String

    /// Deletes what no row refers to that is kept. Returns the greatest id of a bundle, so that new ones get others.
    func clean(_ manifest: Manifest, _ actions: [FileAction]) async throws -> UInt64 {
        var kept: Set<String> = [
            RepositoryPaths.copy(of: RepositoryPaths.manifest(stanza: stanza, label: label))
        ]
        for row in 0..<manifest.files.count where actions[row] == .keep || actions[row] == .keepIfEqual {
            kept.insert(manifest.object(of: manifest.files[row], stanza: stanza))
        }
        let set = RepositoryPaths.backupSet(stanza: stanza, label: label)
        var lastBundle: UInt64 = 0
        for bundle in try await repository.listAll("\(set)/bundle") {
            lastBundle = max(lastBundle, UInt64(bundle.name) ?? 0)
        }
        try await deleteOthers(set, kept)
        return lastBundle
    }

    private func deleteOthers(_ directory: String, _ kept: Set<String>) async throws {
        var unknown: [String] = []
        var directories: [String] = []
        for entry in try await repository.listAll(directory) {
            let path = "\(directory)/\(entry.name)"
            if entry.kind == .directory {
                directories.append(path)
            } else if !kept.contains(path) {
                unknown.append(path)
            }
        }
        _ = try await repository.readingEach(directories) { try await deleteOthers($0, kept) }
        guard !unknown.isEmpty else { return }
        try await repository.describing { try await repository.store.delete(unknown) }
    }
}
