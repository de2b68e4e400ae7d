extension OptionDefinition {
    /// Repositories on Azure, Google Cloud Storage and S3.
    static let repositoryCloud: [OptionDefinition] = [
        OptionDefinition(
            .repoAzureAccount, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["azure"]), flags: [.secure],
            summary: "name of the Azure storage account"),
        OptionDefinition(
            .repoAzureContainer, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["azure"]), example: "backups",
            summary: "Azure container"),
        OptionDefinition(
            .repoAzureEndpoint, .string, .global, .work, group: .repo, default: "blob.core.windows.net",
            dependency: Dependency(.repoType, in: ["azure"]), flags: [.secure],
            summary: "Azure endpoint; governments and China have their own"),
        OptionDefinition(
            .repoAzureKey, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoAzureKeyType, in: ["shared", "sas"]), flags: [.secure],
            summary: "key of the Azure account, or a shared access signature"),
        OptionDefinition(
            .repoAzureKeyType, .enumeration, .global, .work, group: .repo, default: "shared",
            allowed: ["shared", "sas", "auto"], dependency: Dependency(.repoType, in: ["azure"]),
            summary: "shared key, shared access signature, or identity of the machine or pod"),
        OptionDefinition(
            .repoAzureUriStyle, .enumeration, .global, .work, group: .repo, default: "host",
            allowed: ["host", "path"], dependency: Dependency(.repoType, in: ["azure"]),
            summary: "whether the account is part of the host name or of the path"),
        OptionDefinition(
            .repoGcsBucket, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoGcsKeyType), example: "backups",
            summary: "Google Cloud Storage bucket"),
        OptionDefinition(
            .repoGcsEndpoint, .string, .global, .work, group: .repo, default: "storage.googleapis.com",
            dependency: Dependency(.repoGcsKeyType), example: "storage.googleapis.com",
            summary: "Google Cloud Storage endpoint"),
        OptionDefinition(
            .repoGcsKeyType, .enumeration, .global, .work, group: .repo, default: "service",
            allowed: ["service", "token", "auto"], dependency: Dependency(.repoType, in: ["gcs"]),
            summary: "service key file, access token, or identity of the machine or pod"),
        OptionDefinition(
            .repoGcsKey, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoGcsKeyType, in: ["service", "token"]), flags: [.secure],
            summary: "file of the service key, or the token"),
        OptionDefinition(
            .repoGcsUserProject, .string, .global, .work, group: .repo, example: "billing-project",
            summary: "project that pays for the requests"),
        OptionDefinition(
            .repoS3Bucket, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoType, in: ["s3"]), deprecated: ["repo-s3-bucket"],
            example: "backups",
            summary: "S3 bucket"),
        OptionDefinition(
            .repoS3Endpoint, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["s3"]), deprecated: ["repo-s3-endpoint"],
            example: "s3.eu-central-1.amazonaws.com",
            summary: "S3 endpoint, host or URL; by default that of AWS in the region"),
        OptionDefinition(
            .repoS3KeyType, .enumeration, .global, .work, group: .repo, default: "shared",
            allowed: ["shared", "auto", "web-id", "pod-id", "process"],
            dependency: Dependency(.repoType, in: ["s3"]),
            summary: "where the S3 keys come from"),
        OptionDefinition(
            .repoS3Key, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoS3KeyType, in: ["shared"]), deprecated: ["repo-s3-key"], flags: [.secure],
            summary: "S3 access key"),
        OptionDefinition(
            .repoS3KeySecret, .string, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoS3KeyType, in: ["shared"]), deprecated: ["repo-s3-key-secret"],
            flags: [.secure],
            summary: "S3 secret key"),
        OptionDefinition(
            .repoS3KmsKeyId, .string, .global, .work, group: .repo, dependency: Dependency(.repoType, in: ["s3"]),
            example: "bceb4f13-6939-4be3-910d-df54dee817b7",
            summary: "KMS key that S3 encrypts with"),
        OptionDefinition(
            .repoS3SseCustomerKey, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["s3"]), flags: [.secure],
            summary: "key of ours that S3 encrypts with"),
        OptionDefinition(
            .repoS3Region, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["s3"]), deprecated: ["repo-s3-region"],
            example: "eu-central-1",
            summary: "S3 region; that of the environment, or the bucket's, by default"),
        OptionDefinition(
            .repoS3Role, .string, .global, .work, group: .repo, dependency: Dependency(.repoS3KeyType, in: ["auto"]),
            example: "backup-role",
            summary: "role of the instance whose keys are fetched, or ARN of one to assume"),
        OptionDefinition(
            .repoS3ProcessCmd, .list, .global, .work, group: .repo, required: true,
            dependency: Dependency(.repoS3KeyType, in: ["process"]),
            example: "/usr/bin/credentials",
            summary: "program that prints S3 keys"),
        OptionDefinition(
            .repoS3Token, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoS3KeyType, in: ["shared"]), flags: [.secure],
            summary: "S3 session token"),
        OptionDefinition(
            .repoS3RequesterPays, .bool, .global, .work, group: .repo, default: "n",
            dependency: Dependency(.repoType, in: ["s3"]),
            summary: "pay for requests to a bucket of somebody else"),
        OptionDefinition(
            .repoS3Service, .string, .global, .work, group: .repo, default: "s3",
            dependency: Dependency(.repoType, in: ["s3"]),
            example: "s3",
            summary: "service name that requests are signed for"),
        OptionDefinition(
            .repoS3StsHost, .string, .global, .work, group: .repo, default: "sts.amazonaws.com",
            dependency: Dependency(.repoS3KeyType, in: ["web-id"]),
            example: "sts.eu-central-1.amazonaws.com",
            summary: "host that exchanges a web identity for S3 keys"),
        OptionDefinition(
            .repoS3Sse, .enumeration, .global, .work, group: .repo, default: "none", allowed: ["none", "s3"],
            dependency: Dependency(.repoType, in: ["s3"]),
            summary: "whether S3 is asked to encrypt objects with a key of its own"),
        OptionDefinition(
            .repoS3StorageClass, .string, .global, .work, group: .repo, dependency: Dependency(.repoType, in: ["s3"]),
            example: "STANDARD_IA",
            summary: "storage class of objects that are written"),
        OptionDefinition(
            .repoS3UriStyle, .enumeration, .global, .work, group: .repo, default: "host", allowed: ["host", "path"],
            dependency: Dependency(.repoType, in: ["s3"]),
            summary: "whether the bucket is part of the host name or of the path"),
    ]
}
