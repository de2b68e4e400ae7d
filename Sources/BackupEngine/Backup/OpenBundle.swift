import RepositoryFormats
import RepositoryStorage

/// The bundle that a worker puts small files into, one after the other; its object is made with the first byte.
final class OpenBundle {
    let id: UInt64
    private let repository: Repository
    private let path: String
    private var writer: (any ObjectWriter)?
    /// Bytes in the object.
    private(set) var offset: UInt64 = 0
    /// Bytes of content in it, before compression.
    private(set) var contentSize: UInt64 = 0
    /// What is in it, by row of the manifest.
    private(set) var files: [(row: Int, stored: StoredFile)] = []

    init(_ backup: RepositoryBackup) {
        id = backup.newBundleID()
        repository = backup.repository
        path = RepositoryPaths.bundle(stanza: backup.stanza, label: backup.label, id: id)
    }

    func append(_ bytes: UnsafeRawBufferPointer) async throws {
        try await repository.describing {
            if writer == nil { writer = try await repository.store.write(path, .inPlace) }
            try await writer?.append(bytes.bytes)
        }
        offset += UInt64(bytes.count)
    }

    /// A file is in it, whole.
    func take(_ row: Int, _ stored: StoredFile) {
        files.append((row, stored))
        contentSize += stored.size
    }

    /// Whoever takes it commits or aborts it.
    func takeWriter() -> (any ObjectWriter)? {
        defer { writer = nil }
        return writer
    }

    func abort() async {
        await writer?.abort()
        writer = nil
    }
}
