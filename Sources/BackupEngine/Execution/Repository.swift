package import RepositoryStorage
package import BackupModel
package import StreamFilters

/// One configured repository: its number and where it lies.
package struct Repository: Sendable {
    /// The `N` of `repoN-…`.
    package let key: Int
    package let store: any RepositoryStore
    /// `repoN-cipher-pass`, which encrypts the info files; they hold the passes of all else. nil: not encrypted.
    package let cipherPass: Secret<String>?

    package init(key: Int, store: any RepositoryStore, cipherPass: Secret<String>? = nil) {
        self.key = key
        self.store = store
        self.cipherPass = cipherPass
    }

    /// For what begins a tree of its own: archive, manifests, a full backup. nil when the repository is not encrypted.
    package func newCipherPass() throws(BackupError) -> Secret<String>? {
        guard cipherPass != nil else { return nil }
        return try .newCipherPass()
    }

    /// `repo1` in messages.
    package var name: String { "repo\(key)" }
}

extension Repository {
    /// What every storage failure becomes: the driver's words, with the repository named.
    package func describing<Result>(_ body: () async throws -> Result) async throws(BackupError) -> Result {
        do {
            return try await body()
        } catch {
            throw BackupError(error, in: name)
        }
    }

    /// The whole content of a small object; nil when there is none. Throws `.fileRead` past `limit` bytes, `.format` or
    /// `.crypto` when it is not stored as `form` says.
    package func readWhole(
        _ path: String, as form: StoredForm = .plain, limit: Int = 256 << 20
    ) async throws(BackupError) -> [UInt8]? {
        try await describing {
            let reader: any ObjectReader
            do {
                reader = try await store.read(path, range: nil)
            } catch let error as StorageError where error.isMissing {
                return nil
            }
            var bytes: [UInt8] = []
            do {
                _ = try await ObjectContentReader(bufferSize: 256 << 10).read(reader, form.decoder()) {
                    bytes.append(contentsOf: $0)
                    guard bytes.count <= limit else {
                        throw BackupError(
                            .fileRead, "'\(path)' is larger than \(limit) bytes, which no such file ever is")
                    }
                }
            } catch {
                await reader.close()
                throw error
            }
            await reader.close()
            return bytes
        }
    }

    /// Replaces an object atomically and durably.
    package func writeWhole(
        _ path: String, _ bytes: [UInt8], as form: StoredForm = .plain
    ) async throws(BackupError) {
        try await describing {
            let size = form.compress == .none ? bytes.count : nil
            let writer = try await StoredObjectWriter(store.write(path, .atomic), as: form, size: size)
            do {
                try await writer.append(bytes.span.bytes)
                try await writer.commit()
            } catch {
                await writer.abort()
                throw error
            }
        }
    }

    /// All of what lies directly under `directory`.
    package func listAll(_ directory: String, prefix: String = "") async throws(BackupError) -> [ObjectInfo] {
        try await describing {
            var page = try await store.list(directory, prefix: prefix, from: nil)
            var entries = page.entries
            while let token = page.next {
                page = try await store.list(directory, prefix: prefix, from: token)
                entries += page.entries
            }
            return entries
        }
    }

    /// What will be wanted later, where the store is behind a network and other calls run meanwhile; nil elsewhere.
    package func inAdvance<Value: Sendable>(
        _ body: @Sendable () async throws(BackupError) -> Value
    ) async -> Result<Value, BackupError>? {
        guard store.concurrency.downloads > 1 else { return nil }
        do throws(BackupError) {
            return .success(try await body())
        } catch {
            return .failure(error)
        }
    }

    /// ``Swift/Collection/mapInFlight(atMost:_:)`` with as many reads at once as the store gains from.
    package func readingEach<Item: Sendable, Result: Sendable>(
        _ items: [Item], _ body: @Sendable @escaping (Item) async throws -> Result
    ) async throws(BackupError) -> [Result] {
        try await describing { try await items.mapInFlight(atMost: store.concurrency.downloads, body) }
    }

    /// The same with writes or deletions.
    package func writingEach<Item: Sendable>(
        _ items: [Item], _ body: @Sendable @escaping (Item) async throws -> Void
    ) async throws(BackupError) {
        _ = try await describing { try await items.mapInFlight(atMost: store.concurrency.uploads, body) }
    }

    package func exists(_ path: String) async throws(BackupError) -> Bool {
        try await describing { try await store.info(path) != nil }
    }
}
