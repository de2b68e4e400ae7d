import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage

/// Repositories on Google Cloud Storage, by the options `repoN-gcs-…`.
extension ObjectStoreComposition {
    func gcs() throws(BackupError) -> any RepositoryStore {
        var options = GCSOptions(bucket: try required(.repoGcsBucket))
        setCommon(&options)
        if let endpoint = configuration.string(.repoGcsEndpoint, key) {
            options.endpoint = try S3Endpoint(endpoint, port: nil).origin
        }
        options.userProject = configuration.string(.repoGcsUserProject, key)
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
