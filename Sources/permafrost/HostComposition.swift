import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage

extension ObjectStoreComposition {
    /// The driver of a volume on another host, `repoN-host`.
    func host(_ name: String) throws(BackupError) -> any RepositoryStore {
        var options = HostOptions(
            origin: HTTPOrigin(host: name, port: configuration.integer(.repoHostPort, key) ?? 8432), repositoryKey: key)
        if let uploads = configuration.integer(.repoStorageUploadConcurrency, key) { options.partsInFlight = uploads }
        if let downloads = configuration.integer(.repoStorageDownloadConcurrency, key) {
            options.readsInFlight = downloads
        }
        var transport = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { transport.timeout = timeout }
        transport.caFile = configuration.string(.repoHostCaFile, key)
        transport.caPath = configuration.string(.repoHostCaPath, key)
        transport.certificateFile = try required(.repoHostCertFile)
        transport.keyFile = try required(.repoHostKeyFile)
        transport.minimumTLS = .v13
        return HostStore(options, try NetworkTransport(transport), retry, now: ObjectStoreContext.now)
    }
}
