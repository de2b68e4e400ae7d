import BackupEngine
import BackupModel
import Glibc
import HTTP
import ObjectStorage
import RepositoryStorage
import Telemetry

/// What the drivers of all object stores of one run share.
struct ObjectStoreContext: Sendable {
    let counters = RequestCounters()
    let environment = ProgramPath.environment()
    /// Tells the user what does not stop the work.
    let warn: @Sendable (String) -> Void

    /// For the last line of the log; nil when nothing went over the network.
    var summary: String? {
        let totals = counters.totals
        guard totals.requests > 0 else { return nil }
        return "\(totals.requests) requests, \(totals.retries) retries, \(SizeText.bytes(UInt64(totals.sent))) sent, "
            + "\(SizeText.bytes(UInt64(totals.received))) received"
    }

    static func now() -> Int64 { Int64(time(nil)) }
}

/// Makes the drivers of object stores by the options `repoN-storage-…` and those of each kind.
struct ObjectStoreComposition {
    let configuration: Configuration
    /// The `N` of `repoN-…`.
    let key: Int
    let context: ObjectStoreContext

    /// A connection, with certificates, time limits and proxies as configured.
    func transport() throws(BackupError) -> NetworkTransport {
        var options = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { options.timeout = timeout }
        options.caFile = configuration.string(.repoStorageCaFile, key)
        options.caPath = configuration.string(.repoStorageCaPath, key)
        options.verifiesPeer = configuration.bool(.repoStorageVerifyTls, key)
        options.ciphers = configuration.string(.tlsCipher12)
        options.proxies = ProxyRules(context.environment)
        return try NetworkTransport(options)
    }

    var retry: RequestRetry {
        RequestRetry(limit: configuration.duration(.ioTimeout) ?? .seconds(60), counters: context.counters)
    }

    /// `repo-path` without the slashes around it: directory in the bucket.
    var root: String {
        (configuration.string(.repoPath, key) ?? "").split(separator: "/").joined(separator: "/")
    }

    /// 443 is the option's default: only one that was given changes an address that has none.
    var port: Int? { configuration.isSet(.repoStoragePort, key) ? configuration.integer(.repoStoragePort, key) : nil }

    /// As it is, or as it was at `repo-target-time`.
    func store(_ service: any VersionedObjectService) throws(BackupError) -> any RepositoryStore {
        guard let time = configuration.string(.repoTargetTime) else { return BucketStore(service) }
        return PastStore(service, at: try TargetTime.parse(time, of: OptionName.repoTargetTime.rawValue))
    }

    /// Where in the bucket, and how much at once.
    func setCommon(_ options: inout some BucketOptions) {
        options.root = root
        options.repositoryKey = key
        options.tags = configuration.pairs(.repoStorageTag, key)
        if let size = configuration.size(.repoStorageUploadChunkSize, key) { options.partSize = Int(size) }
        if let uploads = configuration.integer(.repoStorageUploadConcurrency, key) { options.partsInFlight = uploads }
        if let downloads = configuration.integer(.repoStorageDownloadConcurrency, key) {
            options.readsInFlight = downloads
        }
    }

    func s3() throws(BackupError) -> any RepositoryStore {
        let transport = try transport()
        let options = try s3Options()
        return try store(
            S3Service(
                options, transport, try s3Credentials(transport), retry, now: ObjectStoreContext.now, warn: context.warn
            ))
    }

    private func s3Options() throws(BackupError) -> S3Options {
        var options = S3Options(bucket: try required(.repoS3Bucket))
        setCommon(&options)
        if let endpoint = configuration.string(.repoS3Endpoint, key) {
            options.endpoint = try S3Endpoint(endpoint, port: port)
        }
        if let host = configuration.string(.repoStorageHost, key) {
            options.connectTo = try S3Endpoint(host, port: port ?? options.endpoint?.origin.port).origin
        }
        options.region = configuration.string(.repoS3Region, key) ?? AWSCredentialFetcher.region(context.environment)
        options.style = configuration.string(.repoS3UriStyle, key) == "path" ? .path : .host
        options.service = configuration.string(.repoS3Service, key) ?? "s3"
        options.encryption = try s3Encryption()
        options.storageClass = configuration.string(.repoS3StorageClass, key)
        options.requesterPays = configuration.bool(.repoS3RequesterPays, key)
        options.journalDirectory = configuration.string(.lockPath)
        return options
    }

    private func s3Encryption() throws(BackupError) -> S3Options.Encryption {
        let management = configuration.string(.repoS3KmsKeyId, key)
        let customer = configuration.secret(.repoS3SseCustomerKey, key)
        if let customer {
            guard Base64.decode(customer.revealed)?.count == 32 else {
                throw BackupError(
                    .optionInvalidValue, "repo\(key)-s3-sse-customer-key is not base64 of 32 bytes",
                    hint: "make one with: openssl rand -base64 32")
            }
            guard management == nil else {
                throw BackupError(
                    .optionInvalid, "repo\(key)-s3-kms-key-id and repo\(key)-s3-sse-customer-key cannot both be set")
            }
            return .customer(customer)
        }
        if let management { return .keyManagement(management) }
        return configuration.string(.repoS3Sse, key) == "s3" ? .service : .none
    }

    private func s3Credentials(_ transport: NetworkTransport) throws(BackupError) -> any AWSCredentialSource {
        let fetcher = AWSCredentialFetcher(
            CountingTransport(transport, context.counters), retry, environment: context.environment,
            now: ObjectStoreContext.now)
        let role = configuration.string(.repoS3Role, key)
        let stsHost = configuration.isSet(.repoS3StsHost, key) ? configuration.string(.repoS3StsHost, key) : nil
        switch configuration.string(.repoS3KeyType, key) {
        case "auto":
            if let role, role.hasPrefix("arn:") {
                return renewed { try await fetcher.chain(role: AWSCredentialFetcher.Role(role)) }
            }
            if let role { return renewed { try await fetcher.instance(role: role) } }
            return renewed { try await fetcher.chain() }
        case "web-id":
            let roleName = try variable("AWS_ROLE_ARN")
            let file = try variable("AWS_WEB_IDENTITY_TOKEN_FILE")
            return renewed {
                try await fetcher.webIdentity(
                    AWSCredentialFetcher.Role(roleName), tokenFile: file, service: stsHost)
            }
        case "pod-id":
            return renewed { try await fetcher.container() }
        case "process":
            let command = configuration.list(.repoS3ProcessCmd, key)
            return renewed { try await fetcher.process(command) }
        default:
            return GivenAWSCredentials(
                AWSCredentials(
                    accessKey: try requiredSecret(.repoS3Key).revealed,
                    secretKey: try requiredSecret(.repoS3KeySecret),
                    sessionToken: configuration.secret(.repoS3Token, key)))
        }
    }

    private func renewed(
        _ fetch: @escaping @Sendable () async throws -> AWSCredentialFetcher.Entry
    ) -> RenewedAWSCredentials {
        RenewedAWSCredentials(now: ObjectStoreContext.now, fetch)
    }

    private func variable(_ name: String) throws(BackupError) -> String {
        guard let value = context.environment[name], !value.isEmpty else {
            throw BackupError(
                .optionInvalid, "repo\(key)-s3-key-type=web-id needs the environment variable \(name)",
                hint: "it is set in pods whose service account is bound to a role")
        }
        return value
    }

    func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option, key), !value.isEmpty else { throw missing(option) }
        return value
    }

    func requiredSecret(_ option: OptionName) throws(BackupError) -> Secret<String> {
        guard let value = configuration.secret(option, key), !value.revealed.isEmpty else { throw missing(option) }
        return value
    }

    private func missing(_ option: OptionName) -> BackupError {
        let name = option.rawValue.replacingPrefix("repo-", by: "repo\(key)-")
        return BackupError(.optionRequired, "\(configuration.command.rawValue) command requires option: \(name)")
    }
}

extension String {
    fileprivate func replacingPrefix(_ prefix: String, by other: String) -> String {
        hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
    }
}
