package import BackupModel
package import RepositoryStorage

/// How the objects of a service are read, for ``BucketReads``: requests about keys. Each call makes its own retries and
/// throws ``ServiceFailure``, or `BackupError` when there are no credentials.
package protocol ObjectReading: Sendable {
    var place: BucketPlace { get }
    var retry: RequestRetry { get }

    /// One page of the keys that begin with `prefix`.
    /// - Parameters:
    ///   - isDelimited: keys that go on with a slash later are shown once, up to it.
    ///   - limit: at most so many; nil for as many as the service gives.
    func page(_ prefix: String, isDelimited: Bool, from token: String?, limit: Int?) async throws -> ObjectPage
    /// nil when there is no such object.
    func facts(_ key: String) async throws -> ObjectFacts?
    func source(_ key: String) async throws -> any DownloadSource
}

/// What a driver knows of its service, for ``BucketStore``.
package protocol ObjectService: ObjectReading {
    /// Whether the service is known to create only what is absent when it is asked to; others are tried out.
    var heedsConditions: Bool { get }

    /// An absent one is no error.
    func delete(_ key: String) async throws
    /// The same of any number.
    func delete(_ keys: [String]) async throws
    func target(_ key: String, isCreate: Bool) -> any UploadTarget
}

extension ObjectService {
    /// One by one, some at once.
    package func delete(_ keys: [String]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, key) in keys.enumerated() {
                if index >= 32 { try await group.next() }
                group.addTask { try await delete(key) }
            }
            while try await group.next() != nil {}
        }
    }
}

/// A bucket or container, a directory in it, and how much is on its way at once.
package struct BucketPlace: Sendable {
    /// For people, in ``RepositoryStore/location``: `gcs:bucket`.
    package var name: String
    /// For people, in errors: `bucket 'x' at storage.googleapis.com`.
    package var description: String
    /// Directory in the bucket, without slashes at its ends; `""` is all of it.
    package var root: String
    /// Of parts, bytes.
    package var partSize: Int
    package var partsInFlight: Int
    /// Objects that are read at once.
    package var readsInFlight: Int

    package init(name: String, description: String, root: String, partSize: Int, partsInFlight: Int, readsInFlight: Int)
    {
        self.name = name
        self.description = description
        self.root = root
        self.partSize = partSize
        self.partsInFlight = partsInFlight
        self.readsInFlight = readsInFlight
    }

    /// ``RepositoryStore/location``.
    package var location: String { name + (root.isEmpty ? "" : "/\(root)") }

    /// The key of what the contract calls `path`.
    package func key(_ path: String) -> String {
        root.isEmpty ? path : path.isEmpty ? root : "\(root)/\(path)"
    }

    /// With which the keys of all that lies in `directory` begin.
    package func prefix(_ directory: String) -> String {
        let key = key(directory)
        return key.isEmpty ? "" : key + "/"
    }

    /// Turns what goes wrong in `body` into the contract's errors.
    package func describing<Value>(
        _ attempt: String, _ key: String, code: ErrorCode = .service, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let failure as ServiceFailure {
            if failure.kind == .cancelled { throw CancellationError() }
            throw error(failure, attempt, key, code: code)
        } catch let error as BackupError {
            // Of the credentials.
            throw StorageError(error.within("unable to \(attempt) '\(key)' in \(description)"))
        }
    }

    package func error(
        _ failure: ServiceFailure, _ attempt: String, _ key: String, code: ErrorCode = .service
    ) -> StorageError {
        failure.storageError("\(attempt) '\(key)' in \(description)", code: code)
    }
}

package struct ObjectFacts: Sendable, Equatable {
    /// Bytes.
    package var size: UInt64
    /// Seconds since 1970; 0 where the service does not tell.
    package var modified: Int64
    /// ``ObjectVersion/id``, of one that is read as it was at a time.
    package var version: String?

    package init(size: UInt64, modified: Int64, version: String? = nil) {
        self.size = size
        self.modified = modified
        self.version = version
    }

    func info(_ name: String) -> ObjectInfo {
        var info = ObjectInfo(name: name, kind: .object, size: size, modified: modified)
        info.version = version
        return info
    }
}

/// A page of a listing.
package struct ObjectPage: Sendable {
    package var objects: [(key: String, facts: ObjectFacts)] = []
    /// What keys have in common, with the slash at its end.
    package var prefixes: [String] = []
    /// nil on the last page.
    package var next: String?

    package init() {}

    /// What lies directly under the directory whose keys begin with `prefix`.
    package func entries(under prefix: String) -> [ObjectInfo] {
        let count = prefix.utf8.count
        // Some servers list what lies beside, too.
        let objects = objects.filter { $0.key.utf8.starts(with: prefix.utf8) }
        let prefixes = prefixes.filter { $0.utf8.starts(with: prefix.utf8) }
        let found =
            objects.map { $0.facts.info(String($0.key.utf8.dropFirst(count)) ?? "") }
            + prefixes.map { path in
                ObjectInfo(
                    name: String(path.utf8.dropFirst(count).dropLast()) ?? "", kind: .directory, size: 0, modified: 0)
            }
        // Consoles mark a directory by an empty object whose key ends in a slash.
        return found.filter { !$0.name.isEmpty && !($0.kind == .object && $0.name.hasSuffix("/")) }
    }
}
