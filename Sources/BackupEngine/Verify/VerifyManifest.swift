import BackupModel
import Checksums
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// The manifest of a backup and its copy, both read whole.
struct VerifyManifest {
    /// From the first of the two that is whole; nil when neither is.
    var manifest: Manifest?
    var findings: [VerifyFinding] = []

    /// - Parameter cipherPass: of ``BackupInfo``.
    static func load(
        _ repository: Repository, stanza: String, label: String, cipherPass: Secret<String>?
    ) async throws -> VerifyManifest {
        let path = RepositoryPaths.manifest(stanza: stanza, label: label)
        let copy = RepositoryPaths.copy(of: path)
        var result = VerifyManifest()
        var sums: [String: SHA1Digest] = [:]
        for path in [path, copy] {
            do {
                let form = StoredForm(compress: .none, cipherPass: cipherPass)
                // The copy is parsed only where it is needed: equal content has been parsed already.
                var decoder: ManifestDecoder? = result.manifest == nil ? ManifestDecoder() : nil
                let reader = try await repository.store.read(path, range: nil)
                do {
                    sums[path] = try await ObjectContentReader().read(reader, form.decoder()) {
                        try decoder?.feed($0.bytes)
                    }.checksum
                } catch {
                    await reader.close()
                    throw error
                }
                await reader.close()
                guard let decoder = decoder.take() else { continue }
                let manifest = try decoder.finish()
                guard manifest.label == label else {
                    throw BackupError(.format, "it is the manifest of backup '\(manifest.label)'")
                }
                result.manifest = manifest
            } catch let error as StorageError {
                if error.error.code == .terminated { throw error }
                sums[path] = nil
                result.findings.append(
                    error.isMissing
                        ? VerifyFinding(.missing, path, "it is not there")
                        : VerifyFinding(.unread, path, error.error.message))
            } catch let error as BackupError {
                if error.code == .terminated || error.code == .featureNotSupported { throw error }
                sums[path] = nil
                result.findings.append(
                    VerifyFinding(VerifyFinding.Kind(error), path, error.message))
            }
        }
        if let main = sums[path], let second = sums[copy], main != second {
            result.findings.append(VerifyFinding(.other, copy, "it differs from the manifest"))
        }
        return result
    }
}
