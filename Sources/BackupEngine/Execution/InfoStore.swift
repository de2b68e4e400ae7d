package import BackupModel
package import RepositoryFormats
import RepositoryStorage

/// Info files and manifests: each is kept twice, read from the first copy that is whole.
extension Repository {
    package func loadArchiveInfo(stanza: String) async throws(BackupError) -> ArchiveInfo {
        try await loadEither(
            RepositoryPaths.archiveInfo(stanza: stanza),
            hint: "has 'stanza-create' been run for stanza '\(stanza)' on \(name)?"
        ) { (bytes) throws(BackupError) in try ArchiveInfo(parsing: bytes.span.bytes) }
    }

    package func loadBackupInfo(stanza: String) async throws(BackupError) -> BackupInfo {
        try await loadEither(
            RepositoryPaths.backupInfo(stanza: stanza),
            hint: "has 'stanza-create' been run for stanza '\(stanza)' on \(name)?"
        ) { (bytes) throws(BackupError) in try BackupInfo(parsing: bytes.span.bytes) }
    }

    /// Of a complete backup: `.fileMissing` when it has no `backup.manifest`, even if it has the copy.
    package func loadManifest(stanza: String, label: String) async throws(BackupError) -> Manifest {
        let path = RepositoryPaths.manifest(stanza: stanza, label: label)
        var failures: [BackupError] = []
        for candidate in [path, RepositoryPaths.copy(of: path)] {
            do throws(BackupError) {
                guard let manifest = try await decodeManifest(candidate) else {
                    throw BackupError(.fileMissing, "\(name): '\(candidate)' is missing")
                }
                return manifest
            } catch {
                failures.append(error)
            }
        }
        throw combined(
            failures, of: path,
            hint: "the backup '\(label)' cannot be used: choose another set, or another repository")
    }

    /// nil when there is none at `path`.
    package func decodeManifest(_ path: String) async throws(BackupError) -> Manifest? {
        do {
            return try await describing { () async throws -> Manifest? in
                let reader: any ObjectReader
                do {
                    reader = try await store.read(path, range: nil)
                } catch let error as StorageError where error.isMissing {
                    return nil
                }
                var decoder = ManifestDecoder()
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
                defer { buffer.deallocate() }
                while true {
                    let count = try await reader.read(into: buffer)
                    if count == 0 { break }
                    try decoder.feed(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count).bytes)
                }
                await reader.close()
                return try decoder.finish()
            }
        } catch {
            throw error.within("\(name): '\(path)'")
        }
    }

    package func saveArchiveInfo(_ info: ArchiveInfo, stanza: String) async throws(BackupError) {
        try await saveBoth(RepositoryPaths.archiveInfo(stanza: stanza), info.serialized())
    }

    package func saveBackupInfo(_ info: BackupInfo, stanza: String) async throws(BackupError) {
        try await saveBoth(RepositoryPaths.backupInfo(stanza: stanza), info.serialized())
    }

    /// First the file, then its copy: at least one is whole at any moment.
    package func saveBoth(_ path: String, _ bytes: [UInt8]) async throws(BackupError) {
        try await writeWhole(path, bytes)
        try await writeWhole(RepositoryPaths.copy(of: path), bytes)
    }

    private func loadEither<Value>(
        _ path: String, hint: String, _ parse: ([UInt8]) throws(BackupError) -> Value
    ) async throws(BackupError) -> Value {
        var failures: [BackupError] = []
        for candidate in [path, RepositoryPaths.copy(of: path)] {
            do throws(BackupError) {
                guard let bytes = try await readWhole(candidate) else {
                    throw BackupError(.fileMissing, "\(name): '\(candidate)' is missing")
                }
                do throws(BackupError) {
                    return try parse(bytes)
                } catch {
                    throw error.within("\(name): '\(candidate)'")
                }
            } catch {
                failures.append(error)
            }
        }
        throw combined(failures, of: path, hint: hint)
    }

    /// The error that says most: of two kinds the one that is not "missing".
    private func combined(_ failures: [BackupError], of path: String, hint: String) -> BackupError {
        let telling = failures.first { $0.code != .fileMissing }
        let code = telling?.code ?? .fileMissing
        let reasons = failures.map(\.message).joined(separator: "; ")
        let damaged = "both are damaged or unreadable: bring one of them back, or use another repository or backup set"
        return BackupError(
            code, "unable to load '\(path)' or its copy: \(reasons)",
            hint: telling.map { $0.hint ?? damaged } ?? hint)
    }
}
