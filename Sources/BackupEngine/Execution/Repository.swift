package import RepositoryStorage
package import BackupModel

/// One configured repository: its number and where it lies.
package struct Repository: Sendable {
    /// The `N` of `repoN-…`.
    package let key: Int
    package let store: any RepositoryStore

    package init(key: Int, store: any RepositoryStore) {
        self.key = key
        self.store = store
    }

    /// `repo1` in messages.
    package var name: String { "repo\(key)" }
}

extension Repository {
    /// What every storage failure becomes: the driver's words, with the repository named.
    package func describing<Result>(_ body: () async throws -> Result) async throws(BackupError) -> Result {
        do {
            return try await body()
        } catch let error as StorageError {
            throw error.error.within(name)
        } catch let error as BackupError {
            throw error
        } catch {
            throw BackupError(.unhandled, "\(name): \(error)")
        }
    }

    /// The whole of a small object; nil when there is none. Throws `.fileRead` past `limit` bytes.
    package func readWhole(_ path: String, limit: Int = 256 << 20) async throws(BackupError) -> [UInt8]? {
        try await describing {
            let reader: any ObjectReader
            do {
                reader = try await store.read(path, range: nil)
            } catch let error as StorageError where error.isMissing {
                return nil
            }
            var bytes: [UInt8] = []
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
            defer { buffer.deallocate() }
            while true {
                let count = try await reader.read(into: buffer)
                if count == 0 { break }
                bytes.append(contentsOf: UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
                if bytes.count > limit {
                    await reader.close()
                    throw BackupError(.fileRead, "'\(path)' is larger than \(limit) bytes, which no such file ever is")
                }
            }
            await reader.close()
            return bytes
        }
    }

    /// Replaces an object atomically and durably.
    package func writeWhole(_ path: String, _ bytes: [UInt8]) async throws(BackupError) {
        try await describing {
            let writer = try await store.write(path, .atomic)
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

    package func exists(_ path: String) async throws(BackupError) -> Bool {
        try await describing { try await store.info(path) != nil }
    }
}
