import BackupModel
import RepositoryStorage

/// Stands for a store that cannot even be set up, as with a key file that is missing: whatever is asked of it is answered
/// with why, and other repositories go on.
struct UnusableStore: RepositoryStore {
    let error: BackupError
    let location: String

    var capabilities: StoreCapabilities { [] }
    var concurrency: StoreConcurrency { StoreConcurrency(uploads: 1, downloads: 1) }
    private var refusal: StorageError { StorageError(error) }

    func read(_ path: String, range: Range<UInt64>?) async throws -> any ObjectReader { throw refusal }
    func write(_ path: String, _ mode: WriteMode) async throws -> any ObjectWriter { throw refusal }
    func list(_ directory: String, prefix: String, from token: String?) async throws -> ListPage { throw refusal }
    func info(_ path: String) async throws -> ObjectInfo? { throw refusal }
    func delete(_ paths: [String]) async throws { throw refusal }
    func deleteTree(_ directory: String) async throws { throw refusal }
    func makeDirectory(_ path: String) async throws { throw refusal }
    func syncAll(under directory: String) async throws { throw refusal }
    func link(_ path: String, to target: String) async throws { throw refusal }
}
