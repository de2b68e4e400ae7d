import BackupModel
import ObjectStorage
import RepositoryStorage

extension ObjectStoreComposition {
    /// The driver of a volume on another host, `repoN-host`.
    func host(_ address: HostAddress) throws(BackupError) -> any RepositoryStore {
        var options = HostOptions(origin: address.origin, repositoryKey: key)
        if let uploads = configuration.integer(.repoStorageUploadConcurrency, key) { options.partsInFlight = uploads }
        if let downloads = configuration.integer(.repoStorageDownloadConcurrency, key) {
            options.readsInFlight = downloads
        }
        return HostStore(options, try address.transport(), retry, now: ObjectStoreContext.now)
    }
}
