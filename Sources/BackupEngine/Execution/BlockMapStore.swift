package import BackupModel
package import RepositoryFormats
import RepositoryStorage
package import StreamFilters

/// Where the parts of a block-incremental file lie.
extension Manifest {
    /// The label of the backup that holds a file's own bytes.
    package func label(holding file: ManifestFile) -> String { file.reference.map { references[$0] } ?? label }

    /// The object that holds a file's own bytes: a bundle, or an object of its name.
    package func object(of file: ManifestFile, stanza: String) -> String {
        let label = label(holding: file)
        if file.bundleID != 0 { return RepositoryPaths.bundle(stanza: stanza, label: label, id: file.bundleID) }
        return RepositoryPaths.backupFile(
            stanza: stanza, label: label, name: file.name, compress: options.compressType,
            blockIncremental: file.isBlockIncremental)
    }

    /// The object that holds a super block of a file.
    package func object(of superBlock: BlockReadPlan.SuperBlock, file: ManifestFile, stanza: String) -> String {
        let label = references[superBlock.reference]
        if superBlock.bundleID != 0 {
            return RepositoryPaths.bundle(stanza: stanza, label: label, id: superBlock.bundleID)
        }
        return RepositoryPaths.backupFile(
            stanza: stanza, label: label, name: file.name, compress: options.compressType, blockIncremental: true)
    }

    /// How a file's bytes lie in its object, or the super blocks of a block-incremental one.
    package func form(of file: ManifestFile) -> StoredForm {
        StoredForm(
            compress: options.compressType, cipherPass: cipherPass,
            isRaw: file.isBlockIncremental || file.bundleID != 0 && isBundleRaw)
    }
}

extension ManifestFile {
    /// Stored as super blocks and a map.
    package var isBlockIncremental: Bool { blockSize != 0 && blockMapSize != 0 }
}

extension Repository {
    /// The block map of a file that has one (``ManifestFile/isBlockIncremental``). Throws `.format`, `.crypto` or
    /// `.fileMissing` when it is damaged or gone.
    package func loadBlockMap(
        of file: ManifestFile, in manifest: Manifest, stanza: String
    ) async throws(BackupError) -> BlockMap {
        let object = manifest.object(of: file, stanza: stanza)
        let (end, overflow) = file.bundleOffset.addingReportingOverflow(file.repoSize)
        guard file.isBlockIncremental, file.blockMapSize <= file.repoSize, !overflow else {
            throw BackupError(
                .format, "\(name): manifest of backup '\(manifest.label)' has an impossible block map of '\(file.name)'"
            )
        }
        do throws(BackupError) {
            let bytes = try await describing {
                let reader = try await store.read(object, range: (end - file.blockMapSize)..<end)
                var bytes: [UInt8] = []
                do {
                    let form = StoredForm(compress: .none, cipherPass: manifest.cipherPass, isRaw: true)
                    _ = try await ObjectContentReader(bufferSize: 64 << 10).read(reader, form.decoder()) {
                        bytes.append(contentsOf: $0)
                    }
                } catch {
                    await reader.close()
                    throw error
                }
                await reader.close()
                return bytes
            }
            if manifest.cipherPass == nil, UInt64(bytes.count) != file.blockMapSize {
                throw BackupError(.format, "block map is damaged: it is cut off")
            }
            return try BlockMap(
                decoding: bytes.span.bytes, blockSize: file.blockSize, checksumSize: Int(file.blockChecksumSize))
        } catch {
            throw error.within("block map of '\(file.name)' in '\(object)'")
        }
    }
}
