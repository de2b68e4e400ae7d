/// A store that changes some calls of another one, and hands on the rest. Not for one that must see every call, such as
/// ``ReadOnlyStore``: of those the compiler asks each.
package protocol StoreWrapper: RepositoryStore {
    var store: any RepositoryStore { get }
}

extension StoreWrapper {
    package var capabilities: StoreCapabilities { store.capabilities }
    package var location: String { store.location }
    package var concurrency: StoreConcurrency { store.concurrency }

    package func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader {
        try await store.read(path, range: range)
    }
    package func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter {
        try await store.write(path, mode)
    }
    package func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage {
        try await store.list(directory, prefix: prefix, from: token)
    }
    package func info(_ path: String) async throws -> ObjectInfo? { try await store.info(path) }
    package func delete(_ paths: [String]) async throws { try await store.delete(paths) }
    package func deleteTree(_ directory: String) async throws { try await store.deleteTree(directory) }
    package func makeDirectory(_ path: String) async throws { try await store.makeDirectory(path) }
    package func syncAll(under directory: String) async throws { try await store.syncAll(under: directory) }
    package func link(_ path: String, to target: String) async throws { try await store.link(path, to: target) }
    package func hardLink(_ path: String, to existing: String) async throws {
        try await store.hardLink(path, to: existing)
    }
}
