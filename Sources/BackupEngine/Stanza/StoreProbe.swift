package import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Uses a repository's store as backups will (list, write, read back, delete) on an object of its own, and says what is
/// not allowed: all of it at once, so that a policy is mended in one go.
package struct StoreProbe: Sendable {
    private let repository: Repository
    private let stanza: String

    private static let content = Array("written by the check of a repository; of no use later\n".utf8)

    package init(repository: Repository, stanza: String) {
        self.repository = repository
        self.stanza = stanza
    }

    /// - Throws: `.access` or what the store says of a missing permission, with a hint for each; what else fails, as it is.
    package func run() async throws(BackupError) {
        let name = String(UInt64.random(in: .min ... .max), radix: 36)
        let path = RepositoryPaths.probe(stanza: stanza, name: name)
        var failures: [(step: String, error: BackupError)] = []
        if let error = try await denied({ _ = try await repository.store.list("", prefix: "", from: nil) }) {
            failures.append(("list", error))
        }
        let unwritten = try await denied { try await write(path) }
        if let unwritten { failures.append(("write", unwritten)) }
        if let error = try await denied({ try await readBack(path, mayBeMissing: unwritten != nil) }) {
            failures.append(("read", error))
        }
        if let error = try await denied({ try await repository.store.delete([path]) }) {
            failures.append(("delete", error))
        }
        guard let first = failures.first else { return }
        let steps = failures.map(\.step).joined(separator: ", ")
        throw BackupError(
            first.error.code,
            "\(repository.name): its store does not allow what backups need, which is to \(steps): "
                + failures.map(\.error.message).joined(separator: "; "),
            hint: failures.compactMap(\.error.hint).joined(separator: "; "))
    }

    /// What a missing permission led to; anything else that fails is no matter of permissions, and is thrown.
    private func denied(_ body: () async throws -> Void) async throws(BackupError) -> BackupError? {
        try await repository.describing {
            do {
                try await body()
                return nil
            } catch let error as StorageError where error.isDenied {
                return error.error
            }
        }
    }

    private func write(_ path: String) async throws {
        let writer = try await repository.store.write(path, .atomic)
        do {
            try await writer.append(Self.content.span.bytes)
            try await writer.commit()
        } catch {
            await writer.abort()
            throw error
        }
    }

    private func readBack(_ path: String, mayBeMissing: Bool) async throws {
        var bytes: [UInt8] = []
        do {
            let reader = try await repository.store.read(path, range: nil)
            do {
                _ = try await ObjectContentReader(bufferSize: 4096).read(reader, StoredForm.plain.decoder()) {
                    bytes.append(contentsOf: $0)
                }
            } catch {
                await reader.close()
                throw error
            }
            await reader.close()
        } catch let error as StorageError where error.isMissing && mayBeMissing {
            return
        }
        guard bytes == Self.content || mayBeMissing else {
            throw BackupError(
                .fileRead, "\(repository.name): '\(path)' was written, and something else was read",
                hint: "is a cache or a proxy between this host and the store?")
        }
    }
}
