import BackupModel
import HTTP
import ObjectStorage
import RepositoryStorage

/// Repositories on Azure Blob Storage, by the options `repoN-azure-…`.
extension ObjectStoreComposition {
    func azure() throws(BackupError) -> any RepositoryStore {
        var options = AzureOptions(
            account: try requiredSecret(.repoAzureAccount).revealed, container: try required(.repoAzureContainer))
        setCommon(&options)
        if let endpoint = configuration.secret(.repoAzureEndpoint, key) {
            options.endpoint = try S3Endpoint(endpoint.revealed, port: port).origin
        }
        if let host = configuration.string(.repoStorageHost, key) {
            options.connectTo = try S3Endpoint(host, port: port ?? options.endpoint.port).origin
        }
        options.style = configuration.string(.repoAzureUriStyle, key) == "path" ? .path : .host
        let transport = try transport()
        return try store(
            AzureService(
                options, transport, try azureAuthorizer(transport, options.account), retry, now: ObjectStoreContext.now)
        )
    }

    private func azureAuthorizer(
        _ transport: NetworkTransport, _ account: String
    ) throws(BackupError) -> any RequestAuthorizer {
        switch configuration.string(.repoAzureKeyType, key) {
        case "sas": return try SharedAccessSignature(try requiredSecret(.repoAzureKey))
        case "auto":
            let tokens = accessTokens(transport)
            return BearerAuthorizer(now: ObjectStoreContext.now) { try await tokens.azure() }
        default: return try SharedKeySignature(account: account, key: try requiredSecret(.repoAzureKey))
        }
    }
}
