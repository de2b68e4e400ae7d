import BackupModel
import RepositoryFormats
import RepositoryStorage

/// A path in a repository as users give it, and the pass of what lies there.
enum RepositoryObjectPath {
    /// Relative to the repository, without slashes at the ends; `""` is the repository itself.
    /// - Throws: `.parameterInvalid` for an absolute path elsewhere.
    static func relative(
        _ parameter: String, _ repository: Repository, _ configuration: Configuration
    ) throws(BackupError) -> String {
        var path = parameter[...]
        if path.first == "/" {
            let root = configuration.string(.repoPath, repository.key) ?? ""
            let base = root == "/" ? "/" : root + "/"
            guard path == root || path.hasPrefix(base) else {
                throw BackupError(
                    .parameterInvalid, "absolute path '\(parameter)' is not in base path '\(root)'",
                    hint: "give the path relative to the repository, such as 'backup/main'")
            }
            path = path == root ? "" : path.dropFirst(base.count)
        }
        while path.last == "/" { path = path.dropLast() }
        while path.first == "/" { path = path.dropFirst() }
        if path == "." { path = "" }
        return String(path)
    }

    /// What a file is encrypted with (section B.10 of the reference); nil when the repository is not encrypted.
    /// - Throws: `.optionInvalidValue` when the path is not of the stanza that was given.
    static func cipherPass(
        _ path: String, _ repository: Repository, _ configuration: Configuration
    ) async throws(BackupError) -> Secret<String>? {
        guard let pass = repository.cipherPass else { return nil }
        let parts = path.split(separator: "/").map(String.init)
        guard parts.count > 2, parts[0] == "archive" || parts[0] == "backup" else {
            // What verify keeps there.
            if parts.first == "permafrost" { return pass }
            throw BackupError(
                .optionInvalidValue, "unable to determine cipher passphrase for '\(path)'",
                hint:
                    "encrypted files lie below 'archive/STANZA' and 'backup/STANZA'; --raw takes a file as it is stored"
            )
        }
        let stanza = parts[1]
        if let given = configuration.string(.stanza), given != stanza {
            throw BackupError(
                .optionInvalidValue, "stanza name '\(given)' given in option doesn't match the given path",
                hint: "leave --stanza out")
        }
        let name = path
        func isFile(_ ending: String) -> Bool { name.hasSuffix(ending) || name.hasSuffix(ending + ".copy") }
        if parts[0] == "archive" {
            return isFile("archive.info") ? pass : try await repository.loadArchiveInfo(stanza: stanza).cipherPass
        }
        if isFile("backup.info") { return pass }
        let backupPass = try await repository.loadBackupInfo(stanza: stanza).cipherPass
        if parts[2] == "backup.history" || isFile("backup.manifest") { return backupPass }
        return try await repository.loadManifest(stanza: stanza, label: parts[2], cipherPass: backupPass).cipherPass
    }
}
