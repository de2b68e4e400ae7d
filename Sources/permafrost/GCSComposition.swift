import BackupModel
import ObjectStorage
import RepositoryStorage

/// Repositories on Google Cloud Storage, by the options `repoN-gcs-…`.
extension ObjectStoreComposition {
    func gcs() throws(BackupError) -> any RepositoryStore {
        var options = GCSOptions(bucket: try required(.repoGcsBucket))
        options.root = root
        options.repositoryKey = key
        if let endpoint = configuration.string(.repoGcsEndpoint, key) {
            options.endpoint = try S3Endpoint(endpoint, port: nil).origin
        }
        options.userProject = configuration.string(.repoGcsUserProject, key)
        options.tags = configuration.pairs(.repoStorageTag, key)
        if let size = configuration.size(.repoStorageUploadChunkSize, key) { options.partSize = Int(size) }
        if let uploads = configuration.integer(.repoStorageUploadConcurrency, key) { options.partsInFlight = uploads }
        if let downloads = configuration.integer(.repoStorageDownloadConcurrency, key) {
            options.readsInFlight = downloads
        }
        let transport = try transport()
        return try store(
            GCSService(options, transport, try gcsAuthorizer(transport), retry, now: ObjectStoreContext.now))
    }

    private func gcsAuthorizer(_ transport: NetworkTransport) throws(BackupError) -> BearerAuthorizer {
        let tokens = accessTokens(transport)
        switch configuration.string(.repoGcsKeyType, key) {
        case "token": return BearerAuthorizer(token: try requiredSecret(.repoGcsKey))
        case "auto": return BearerAuthorizer(now: ObjectStoreContext.now) { try await tokens.googleMetadata() }
        default:
            let file = try requiredSecret(.repoGcsKey).revealed
            let account = try ServiceAccountKey(try LocalFile.readAll(file, limit: 1 << 20), file: file)
            return BearerAuthorizer(now: ObjectStoreContext.now) { try await tokens.google(account) }
        }
    }

    func accessTokens(_ transport: NetworkTransport) -> AccessTokens {
        AccessTokens(transport, retry, environment: context.environment, now: ObjectStoreContext.now)
    }
}
