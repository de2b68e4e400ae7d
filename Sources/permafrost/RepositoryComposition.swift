import BackupEngine
import BackupModel
import RepositoryStorage

/// Chooses the driver of each configured repository, and what lies around it.
enum RepositoryComposition {
    /// Those of ``Configuration/coveredRepositoryKeys``.
    static func repositories(
        _ configuration: Configuration, _ objectStores: ObjectStoreContext
    ) throws(BackupError) -> [Repository] {
        // They are about this host, and their options name no repository.
        if [.agent, .kubernetesOperator, .server, .start, .stop].contains(configuration.command) { return [] }
        let network = configuration.size(.rateLimitNetwork).map { RateLimit(bytesPerSecond: $0) }
        var repositories: [Repository] = []
        let keys = configuration.coveredRepositoryKeys
        for key in keys {
            do throws(BackupError) {
                repositories.append(try repository(configuration, key, objectStores, network))
            } catch {
                // One does not keep the others from it.
                guard keys.count > 1 else { throw error }
                let place = place(configuration, key)
                repositories.append(Repository(key: key, store: UnusableStore(error: error, location: place)))
            }
        }
        return repositories
    }

    /// - Parameter network: shared by all.
    static func repository(
        _ configuration: Configuration, _ key: Int, _ objectStores: ObjectStoreContext, _ network: RateLimit? = nil
    ) throws(BackupError) -> Repository {
        Repository(
            key: key, store: wrapped(try driver(configuration, key, objectStores), configuration, key, network),
            cipherPass: try cipherPass(configuration, key))
    }

    /// Where it is, for people.
    static func place(_ configuration: Configuration, _ key: Int) -> String {
        func text(_ option: OptionName) -> String? { configuration.string(option, key).map { "'\($0)'" } }
        if let host = text(.repoHost) { return "host \(host)" }
        switch configuration.string(.repoType, key) ?? "posix" {
        case "s3":
            let endpoint = (text(.repoStorageHost) ?? text(.repoS3Endpoint)).map { " at \($0)" } ?? ""
            return "bucket \(text(.repoS3Bucket) ?? "")\(endpoint)"
        case "gcs": return "bucket \(text(.repoGcsBucket) ?? "")"
        case "azure": return "container \(text(.repoAzureContainer) ?? "") of account \(text(.repoAzureAccount) ?? "")"
        default: return "directory \(text(.repoPath) ?? "")"
        }
    }

    private static func cipherPass(_ configuration: Configuration, _ key: Int) throws(BackupError) -> Secret<String>? {
        guard let type = configuration.string(.repoCipherType, key), type != "none" else { return nil }
        guard let pass = configuration.secret(.repoCipherPass, key), !pass.revealed.isEmpty else {
            throw BackupError(
                .optionRequired, "repo\(key)-cipher-type=\(type) requires option: repo\(key)-cipher-pass",
                hint: "set it in the configuration file or in PERMAFROST_REPO\(key)_CIPHER_PASS")
        }
        return pass
    }

    private static func driver(
        _ configuration: Configuration, _ key: Int, _ objectStores: ObjectStoreContext
    ) throws(BackupError) -> any RepositoryStore {
        let composition = ObjectStoreComposition(configuration: configuration, key: key, context: objectStores)
        let type = configuration.string(.repoType, key) ?? "posix"
        if let host = HostAddress.repository(configuration, key) { return try composition.host(host) }
        switch type {
        case "posix", "cifs":
            guard let path = configuration.string(.repoPath, key) else {
                throw BackupError(.optionRequired, "repo\(key)-path is required")
            }
            return PosixStore(root: path, neutralUmask: configuration.bool(.neutralUmask))
        case "s3": return try composition.s3()
        case "gcs": return try composition.gcs()
        case "azure": return try composition.azure()
        default:
            throw BackupError(
                .featureNotSupported,
                "repo\(key)-type=\(type) is known but not supported by this version of Permafrost")
        }
    }

    /// A call passes, from outside: the check of a dry run, retries, the limit of bytes, the limit of calls. So nobody
    /// holds a slot of the last while waiting for a retry or for bytes.
    private static func wrapped(
        _ driver: any RepositoryStore, _ configuration: Configuration, _ key: Int, _ network: RateLimit?
    ) -> any RepositoryStore {
        var store = driver
        let uploads = configuration.integer(.repoStorageUploadConcurrency, key)
        let downloads = configuration.integer(.repoStorageDownloadConcurrency, key)
        if uploads != nil || downloads != nil {
            store = ConcurrencyLimitedStore(store, uploads: uploads, downloads: downloads)
        }
        if let network { store = ThrottledStore(store, network) }
        store = RetryingStore(store, policy: retryPolicy(configuration, key))
        return configuration.bool(.dryRun) ? ReadOnlyStore(store) : store
    }

    /// By `job-retry`, for the commands that have it.
    private static func retryPolicy(_ configuration: Configuration, _ key: Int) -> RetryPolicy {
        guard let retries = configuration.integer(.jobRetry) else {
            // The drivers of object stores repeat requests themselves, for as long as io-timeout says.
            let isLocal =
                ["posix", "cifs"].contains(configuration.string(.repoType, key) ?? "posix")
                && configuration.string(.repoHost, key) == nil
            return isLocal ? RetryPolicy() : RetryPolicy(attempts: 1)
        }
        return .jobs(retries: retries, interval: configuration.duration(.jobRetryInterval) ?? .seconds(15))
    }
}
