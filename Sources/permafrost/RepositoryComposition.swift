import BackupEngine
import BackupModel
import RepositoryStorage

/// Chooses the driver of each configured repository.
enum RepositoryComposition {
    static func repositories(_ configuration: Configuration) throws(BackupError) -> [Repository] {
        // They are about this host, and their options name no repository.
        if configuration.command == .start || configuration.command == .stop { return [] }
        var repositories: [Repository] = []
        for key in configuration.repositoryKeys {
            let type = configuration.string(.repoType, key) ?? "posix"
            guard type == "posix" || type == "cifs" else {
                throw BackupError(
                    .featureNotSupported,
                    "repo\(key)-type=\(type) is known but not supported by this version of Permafrost")
            }
            guard let path = configuration.string(.repoPath, key) else {
                throw BackupError(.optionRequired, "repo\(key)-path is required")
            }
            let store: any RepositoryStore = PosixStore(
                root: path, neutralUmask: configuration.bool(.neutralUmask))
            repositories.append(
                Repository(key: key, store: configuration.bool(.dryRun) ? ReadOnlyStore(store) : store))
        }
        return repositories
    }
}
