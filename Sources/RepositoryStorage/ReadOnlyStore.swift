import BackupModel

/// Lets reads through and nothing else: for `--dry-run` and for commands that must never change a repository.
package struct ReadOnlyStore: RepositoryStore {
    private let store: any RepositoryStore

    package init(_ store: any RepositoryStore) { self.store = store }

    package var capabilities: StoreCapabilities { store.capabilities }
    package var location: String { store.location }
    package var concurrency: StoreConcurrency { store.concurrency }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await store.read(path, range: range)
    }
    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await store.list(directory, prefix: prefix, from: token)
    }
    package func info(_ path: String) async throws -> ObjectInfo? { try await store.info(path) }

    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        throw refusal("write", path)
    }
    package func delete(_ paths: [String]) async throws {
        if let first = paths.first { throw refusal("delete", first) }
    }
    package func deleteTree(_ directory: String) async throws { throw refusal("delete", directory) }
    package func makeDirectory(_ path: String) async throws { throw refusal("create directory", path) }
    package func syncAll(under directory: String) async throws { throw refusal("sync", directory) }
    package func link(_ path: String, to target: String) async throws { throw refusal("link", path) }
    package func hardLink(_ path: String, to existing: String) async throws { throw refusal("link", path) }

    private func refusal(_ what: String, _ path: String) -> StorageError {
        StorageError(
            BackupError(
                .assertion, "unable to \(what) '\(path)' in repository '\(location)': it was opened for reading only"))
    }
}
