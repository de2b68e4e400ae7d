import BackupModel
import RepositoryFormats
import RepositoryStorage
import StreamFilters

extension Repository {
    /// Writes a manifest atomically, in pieces.
    /// - Parameter cipherPass: of ``BackupInfo``.
    func saveManifest(
        _ manifest: Manifest, at path: String, compress: CompressType = .none, cipherPass: Secret<String>?
    ) async throws {
        try await describing {
            let writer = try await StoredObjectWriter(
                store.write(path, .atomic),
                as: StoredForm(compress: compress, level: compress == .none ? nil : 9, cipherPass: cipherPass))
            do {
                var encoder = ManifestEncoder(manifest)
                var piece: [UInt8] = []
                while encoder.next(into: &piece) {
                    try await writer.append(piece.span.bytes)
                    piece.removeAll(keepingCapacity: true)
                }
                try await writer.commit()
            } catch {
                await writer.abort()
                throw error
            }
        }
    }
}
