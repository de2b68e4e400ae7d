package import BackupEngine
package import BackupModel
import RepositoryFormats
package import RepositoryStorage
import Synchronization

/// A repository on a volume of this host.
package final class HostVolume: Sendable {
    package let store: PosixStore
    package let repository: Repository
    /// Uploads that are done: a request that finishes one may be made again.
    let completed = RecentNames(limit: 4096)
    /// Of one stanza's `backup.info`, by what it was read from: a backup asks for each of its files.
    private let labels = Mutex<[String: (version: String, labels: Set<String>)]>([:])

    /// - Parameter cipherPass: where this host is told it.
    package init(key: Int, store: PosixStore, cipherPass: Secret<String>?) {
        self.store = store
        repository = Repository(key: key, store: store, cipherPass: cipherPass)
    }

    /// Whether `backup.info` has the backup; where that cannot be read here, whether it has its final manifest.
    func isComplete(_ label: String, stanza: String) async throws(BackupError) -> Bool {
        do throws(BackupError) {
            return try await listed(stanza).contains(label)
        } catch {
            switch error.code {
            // No backup was ever finished.
            case .fileMissing: return false
            case .crypto:
                return try await repository.describing {
                    try await self.store.info(RepositoryPaths.manifest(stanza: stanza, label: label)) != nil
                }
            default: throw error
            }
        }
    }

    private func listed(_ stanza: String) async throws(BackupError) -> Set<String> {
        let path = RepositoryPaths.backupInfo(stanza: stanza)
        // Its version first: what is read then may be newer, and is read again, but never older.
        let version = (try? store.open(path, range: nil))?.version
        if let version, let known = labels.withLock({ $0[stanza] }), known.version == version { return known.labels }
        let found = Set(try await repository.loadBackupInfo(stanza: stanza).backups.map(\.label))
        if let version { labels.withLock { $0[stanza] = (version, found) } }
        return found
    }
}

/// The last so many names that were put in.
final class RecentNames: Sendable {
    private struct State {
        var names: Set<String> = []
        var order: [String] = []
        var next = 0
    }
    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    func contains(_ name: String) -> Bool { state.withLock { $0.names.contains(name) } }

    func insert(_ name: String) {
        state.withLock { state in
            guard state.names.insert(name).inserted else { return }
            if state.order.count < limit {
                state.order.append(name)
            } else {
                state.names.remove(state.order[state.next])
                state.order[state.next] = name
                state.next = (state.next + 1) % limit
            }
        }
    }
}
