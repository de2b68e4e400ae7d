package import BackupModel
package import RepositoryFormats
import RepositoryStorage
package import StreamFilters

/// Info files and manifests: each is kept twice, read from the first copy that is whole.
extension Repository {
    package func loadArchiveInfo(stanza: String) async throws(BackupError) -> ArchiveInfo {
        try await loadEither(
            RepositoryPaths.archiveInfo(stanza: stanza),
            hint: "has 'stanza-create' been run for stanza '\(stanza)' on \(name)?"
        ) { (bytes) throws(BackupError) in
            let info = try ArchiveInfo(parsing: bytes.span.bytes)
            try requirePassBeneath(info.cipherPass, isEncrypted: cipherPass != nil)
            return info
        }
    }

    package func loadBackupInfo(stanza: String) async throws(BackupError) -> BackupInfo {
        try await loadEither(
            RepositoryPaths.backupInfo(stanza: stanza),
            hint: "has 'stanza-create' been run for stanza '\(stanza)' on \(name)?"
        ) { (bytes) throws(BackupError) in
            let info = try BackupInfo(parsing: bytes.span.bytes)
            try requirePassBeneath(info.cipherPass, isEncrypted: cipherPass != nil)
            return info
        }
    }

    /// One copy of the file alone, wherever it lies; nil when it is not there.
    package func archiveInfo(at path: String) async throws(BackupError) -> ArchiveInfo? {
        guard let bytes = try await readInfo(path) else { return nil }
        return try ArchiveInfo(parsing: bytes.span.bytes)
    }

    /// The same.
    package func backupInfo(at path: String) async throws(BackupError) -> BackupInfo? {
        guard let bytes = try await readInfo(path) else { return nil }
        return try BackupInfo(parsing: bytes.span.bytes)
    }

    /// Of a complete backup: `.fileMissing` when it has no `backup.manifest`, even if it has the copy.
    /// - Parameter cipherPass: of ``BackupInfo``.
    package func loadManifest(
        stanza: String, label: String, cipherPass: Secret<String>?
    ) async throws(BackupError) -> Manifest {
        let path = RepositoryPaths.manifest(stanza: stanza, label: label)
        var failures: [BackupError] = []
        for candidate in [path, RepositoryPaths.copy(of: path)] {
            do throws(BackupError) {
                guard
                    let manifest = try await decodeManifest(
                        candidate, as: StoredForm(compress: .none, cipherPass: cipherPass))
                else {
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
    package func decodeManifest(_ path: String, as form: StoredForm) async throws(BackupError) -> Manifest? {
        do {
            return try await describing { () async throws -> Manifest? in
                let reader: any ObjectReader
                do {
                    reader = try await store.read(path, range: nil)
                } catch let error as StorageError where error.isMissing {
                    return nil
                }
                var decoder = ManifestDecoder()
                do {
                    _ = try await ObjectContentReader().read(reader, form.decoder()) { try decoder.feed($0.bytes) }
                } catch {
                    await reader.close()
                    throw error
                }
                await reader.close()
                let manifest = try decoder.finish()
                try requirePassBeneath(manifest.cipherPass, isEncrypted: form.cipherPass != nil)
                return manifest
            }
        } catch {
            throw error.within("\(name): '\(path)'")
        }
    }

    package func saveArchiveInfo(_ info: ArchiveInfo, stanza: String) async throws(BackupError) {
        try await saveBoth(RepositoryPaths.archiveInfo(stanza: stanza), info.serialized())
    }

    /// Only while the lock, where one was taken, is still held.
    package func saveBackupInfo(_ info: BackupInfo, stanza: String) async throws(BackupError) {
        try await CommandLocks.confirm(self)
        try await saveBoth(RepositoryPaths.backupInfo(stanza: stanza), info.serialized())
    }

    /// Of the info files: encrypted with the repository's pass.
    private var infoForm: StoredForm { StoredForm(compress: .none, cipherPass: cipherPass) }

    /// First the file, then its copy: at least one is whole at any moment. Encrypted once, so that they are the same.
    private func saveBoth(_ path: String, _ bytes: [UInt8]) async throws(BackupError) {
        let stored = try infoForm.encode(bytes)
        try await writeWhole(path, stored)
        try await writeWhole(RepositoryPaths.copy(of: path), stored)
    }

    private func loadEither<Value>(
        _ path: String, hint: String, _ parse: ([UInt8]) throws(BackupError) -> Value
    ) async throws(BackupError) -> Value {
        var failures: [BackupError] = []
        for candidate in [path, RepositoryPaths.copy(of: path)] {
            do throws(BackupError) {
                guard let bytes = try await readInfo(candidate) else {
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

    /// One wrong passphrase in 256 gives something: it does not begin like an info file.
    private func readInfo(_ path: String) async throws(BackupError) -> [UInt8]? {
        do throws(BackupError) {
            let bytes = try await readWhole(path, as: infoForm)
            guard let bytes, cipherPass != nil, !bytes.starts(with: "[backrest]\n".utf8) else { return bytes }
            throw BackupError(.crypto, "unable to decrypt: the data is damaged or the passphrase is wrong")
        } catch {
            guard error.code == .crypto else { throw error }
            let wrongPass = "is \(name)-cipher-pass the passphrase that the repository was made with?"
            throw BackupError(.crypto, "\(name): '\(path)': \(error.message)", hint: error.hint ?? wrongPass)
        }
    }

    /// Either all of a repository is encrypted or nothing: nothing may be added to it in the clear.
    private func requirePassBeneath(_ pass: Secret<String>?, isEncrypted: Bool) throws(BackupError) {
        guard (pass != nil) != isEncrypted else { return }
        throw BackupError(
            .crypto,
            isEncrypted
                ? "the file is encrypted, but holds no passphrase for what belongs to it"
                : "the file is not encrypted, but holds a passphrase for what belongs to it",
            hint: "the file was replaced by hand: bring back the one that belongs here")
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
