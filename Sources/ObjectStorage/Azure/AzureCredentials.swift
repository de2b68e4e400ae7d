import BackupModel
import HTTP
import RepositoryStorage

/// Access tokens from Microsoft, for what runs in its clouds.
extension AccessTokens {
    /// Whom blob storage of all clouds takes tokens from.
    private static let resource = "https://storage.azure.com/"

    /// In the order of Microsoft's own programs: workload identity, App Service, the machine's metadata.
    package func azure() async throws -> Entry {
        if let file = variable("AZURE_FEDERATED_TOKEN_FILE"), let client = variable("AZURE_CLIENT_ID"),
            let tenant = variable("AZURE_TENANT_ID")
        {
            return try await azureWorkload(tokenFile: file, client: client, tenant: tenant)
        }
        if let endpoint = variable("IDENTITY_ENDPOINT"), let header = variable("IDENTITY_HEADER") {
            return try await azureAppService(endpoint, header)
        }
        return try await azureMachine()
    }

    /// By a token that the Kubernetes cluster signed.
    /// - Parameter tokenFile: read each time: it is renewed by others.
    private func azureWorkload(tokenFile: String, client: String, tenant: String) async throws -> Entry {
        var token = try LocalFile.readAll(tokenFile, limit: 1 << 16)
        while let last = token.last, [0x0a, 0x0d, 0x20].contains(last) { token.removeLast() }
        let authority = variable("AZURE_AUTHORITY_HOST") ?? "https://login.microsoftonline.com"
        let base = authority.hasSuffix("/") ? String(authority.dropLast()) : authority
        let address = try ServiceAddress("\(base)/\(PercentEncoding.encode(tenant))/oauth2/v2.0/token")
        var request = HTTPRequest("POST", address.origin, path: address.path)
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        request.body = Array(
            PercentEncoding.query([
                (name: "client_id", value: client), (name: "scope", value: Self.resource + ".default"),
                (name: "client_assertion_type", value: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                (name: "client_assertion", value: String(decoding: token, as: UTF8.self)),
                (name: "grant_type", value: "client_credentials"),
            ]).utf8)
        return try await ask("'\(address.origin.authority)' for workload identity '\(client)'", request)
    }

    /// Container Apps have the same.
    private func azureAppService(_ endpoint: String, _ header: String) async throws -> Entry {
        let address = try ServiceAddress(endpoint)
        var request = HTTPRequest("GET", address.origin, path: address.path)
        request.query = query(version: "2019-08-01")
        request.headers["X-IDENTITY-HEADER"] = header
        return try await ask("'\(address.origin.authority)'", request)
    }

    private func azureMachine() async throws -> Entry {
        let host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST") ?? "http://169.254.169.254"
        let address = try ServiceAddress(host)
        var request = HTTPRequest("GET", address.origin, path: "/metadata/identity/oauth2/token")
        request.query = query(version: "2018-02-01")
        request.headers["Metadata"] = "true"
        do {
            return try await ask("the metadata service '\(address.origin.authority)'", request)
        } catch var failure as ServiceFailure where failure.status == nil || failure.status == 400 {
            failure.hint =
                "repo-azure-key-type=auto works where Azure gives the machine or the pod an identity; of several, "
                + "AZURE_CLIENT_ID chooses one"
            throw failure
        }
    }

    private func query(version: String) -> [(name: String, value: String)] {
        var query = [(name: "api-version", value: version), (name: "resource", value: Self.resource)]
        if let client = variable("AZURE_CLIENT_ID") { query.append((name: "client_id", value: client)) }
        return query
    }
}
