extension OptionDefinition {
    /// Repositories that another host serves, and what all object stores share.
    static let repositoryHost: [OptionDefinition] = [
        OptionDefinition(
            .repoLocal, .bool, .global, CommandSet.work.union(.job), group: .repo, default: "n", flags: [.internalUse],
            support: .accepted,
            summary: "treat the repository as one on this host"),
        OptionDefinition(
            .repoHost, .string, .global, CommandSet.work.union(.job), group: .repo,
            dependency: Dependency(.repoLocal, in: ["n"]),
            deprecated: ["backup-host"], example: "backup.example.com",
            summary: "host that serves the repository"),
        OptionDefinition(
            .repoHostType, .enumeration, .global, CommandSet.work.union(.job), group: .repo, default: "ssh",
            allowed: ["ssh", "tls"],
            dependency: Dependency(.repoHost), unsupportedValues: ["ssh"],
            summary: "how to reach the repository host"),
        OptionDefinition(
            .repoHostCertFile, .string, .global, CommandSet.work.union(.job), group: .repo, required: true,
            dependency: Dependency(.repoHostType, in: ["tls"]),
            example: "/etc/permafrost/client.crt",
            summary: "client certificate for the repository host"),
        OptionDefinition(
            .repoHostKeyFile, .string, .global, CommandSet.work.union(.job), group: .repo, required: true,
            dependency: Dependency(.repoHostType, in: ["tls"]),
            example: "/etc/permafrost/client.key",
            summary: "private key for the repository host"),
        OptionDefinition(
            .repoHostCaFile, .string, .global, CommandSet.work.union(.job), group: .repo,
            dependency: Dependency(.repoHostType, in: ["tls"]), example: "/etc/permafrost/ca.crt",
            summary: "certificates that the repository host must be signed by"),
        OptionDefinition(
            .repoHostCaPath, .string, .global, CommandSet.work.union(.job), group: .repo,
            dependency: Dependency(.repoHostType, in: ["tls"]), example: "/etc/ssl/certs",
            summary: "directory of certificates that the repository host must be signed by"),
        OptionDefinition(
            .repoHostCmd, .string, .global, .work, group: .repo, default: .programPath,
            dependency: Dependency(.repoHostType, in: ["ssh"]), deprecated: ["backup-cmd"], support: .never,
            example: "/usr/bin/permafrost",
            summary: "the program's path on the repository host"),
        OptionDefinition(
            .repoHostConfig, .string, .global, .work, group: .repo, default: "/etc/pgbackrest/pgbackrest.conf",
            dependency: Dependency(.repoHost), deprecated: ["backup-config"], support: .accepted,
            example: "/etc/permafrost/permafrost.conf",
            summary: "configuration file on the repository host"),
        OptionDefinition(
            .repoHostConfigIncludePath, .path, .global, .work, group: .repo, default: "/etc/pgbackrest/conf.d",
            dependency: Dependency(.repoHost), support: .accepted, example: "/etc/permafrost/conf.d",
            summary: "directory of more configuration files on the repository host"),
        OptionDefinition(
            .repoHostConfigPath, .path, .global, .work, group: .repo, default: "/etc/pgbackrest",
            dependency: Dependency(.repoHost), support: .accepted, example: "/etc/permafrost",
            summary: "directory of the configuration on the repository host"),
        OptionDefinition(
            .repoHostPort, .integer, .global, CommandSet.work.union(.job), group: .repo,
            default: .byDependency([OptionDefault.Case("tls", "8432")]), ranges: [OptionRange("0", "65535")],
            dependency: Dependency(.repoHostType, in: ["ssh", "tls"]), deprecated: ["backup-ssh-port"], example: "8432",
            summary: "port of the repository host's server"),
        OptionDefinition(
            .repoHostUser, .string, .global, .work, group: .repo, default: "pgbackrest",
            dependency: Dependency(.repoHostType, in: ["ssh"]), deprecated: ["backup-user"], support: .never,
            example: "pgbackrest",
            summary: "user to log in as on the repository host"),
        OptionDefinition(
            .repoStorageVerifyTls, .bool, .global, .work, group: .repo, default: "y",
            dependency: Dependency(.repoType, in: ["azure", "gcs", "s3"]),
            deprecated: ["repo-s3-verify-ssl", "repo?-azure-verify-tls", "repo?-s3-verify-ssl", "repo?-s3-verify-tls"],
            summary: "check the certificate of the object store"),
        OptionDefinition(
            .repoStorageCaFile, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["azure", "gcs", "s3"]),
            deprecated: ["repo-s3-ca-file", "repo?-azure-ca-file", "repo?-s3-ca-file"],
            example: "/etc/ssl/ca.crt",
            summary: "certificates that the object store must be signed by"),
        OptionDefinition(
            .repoStorageCaPath, .path, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["azure", "gcs", "s3"]),
            deprecated: ["repo-s3-ca-path", "repo?-azure-ca-path", "repo?-s3-ca-path"],
            example: "/etc/ssl/certs",
            summary: "directory of certificates that the object store must be signed by"),
        OptionDefinition(
            .repoStorageHost, .string, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["azure", "s3"]),
            deprecated: ["repo-s3-host", "repo?-azure-host", "repo?-s3-host"],
            example: "127.0.0.1",
            summary: "host to connect to instead of the endpoint"),
        OptionDefinition(
            .repoStoragePort, .integer, .global, .work, group: .repo, default: "443",
            ranges: [OptionRange("1", "65535")], dependency: Dependency(.repoType, in: ["azure", "s3"]),
            deprecated: ["repo?-azure-port", "repo?-s3-port"],
            example: "9000",
            summary: "port of the object store"),
        OptionDefinition(
            .repoStorageTag, .hash, .global, .work, group: .repo,
            dependency: Dependency(.repoType, in: ["azure", "gcs", "s3"]),
            example: "project=db",
            summary: "a tag for objects that are written"),
        OptionDefinition(
            .repoStorageUploadChunkSize, .size, .global, .work, group: .repo,
            default: .byDependency([
                OptionDefault.Case("azure", "4MiB"), OptionDefault.Case("gcs", "4MiB"),
                OptionDefault.Case("s3", "5MiB"),
            ]),
            ranges: [
                OptionRange("4MiB", "1GiB", when: "azure"), OptionRange("4MiB", "1GiB", when: "gcs"),
                OptionRange("5MiB", "1GiB", when: "s3"),
            ],
            dependency: Dependency(.repoType, in: ["azure", "gcs", "s3"]),
            example: "16MiB",
            summary: "size of one part of an upload"),
    ]
}
