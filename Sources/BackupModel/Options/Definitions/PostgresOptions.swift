extension OptionDefinition {
    /// Where PostgreSQL is and how to connect to it.
    static let postgres: [OptionDefinition] = [
        OptionDefinition(
            .pg, .integer, .commandLine, [.backup, .job, .manifest], ranges: [OptionRange("1", "256")],
            flags: [.internalUse], example: "2",
            summary: "work on this PostgreSQL server"),
        OptionDefinition(
            .pgPath, .path, .stanza, .postgres, group: .pg, required: true, deprecated: ["db-path", "db?-path"],
            example: "/var/lib/postgresql/17/main",
            overrides: [
                OptionOverride([.archivePush, .manifest], required: false),
                OptionOverride([.check], dependency: Dependency(.stanza)),
            ],
            summary: "the data directory of PostgreSQL"),
        OptionDefinition(
            .pgLocal, .bool, .stanza, CommandSet.postgres.union(.job), group: .pg, default: "n", flags: [.internalUse],
            support: .accepted,
            overrides: [
                OptionOverride([.archiveGet, .archivePush, .restore], isInternal: true)
            ],
            summary: "treat the server as one on this host"),
        OptionDefinition(
            .pgHost, .string, .stanza, CommandSet.postgres.union(.job), group: .pg,
            dependency: Dependency(.pgLocal, in: ["n"]),
            deprecated: ["db-host", "db?-host"], example: "db1.example.com",
            overrides: [
                OptionOverride([.archiveGet, .archivePush, .restore], isInternal: true)
            ],
            summary: "host on which PostgreSQL runs"),
        OptionDefinition(
            .pgHostType, .enumeration, .global, CommandSet.postgresHost.union(.job), group: .pg, default: "ssh",
            allowed: ["ssh", "tls"],
            dependency: Dependency(.pgHost), unsupportedValues: ["ssh"],
            summary: "how to reach the PostgreSQL host"),
        OptionDefinition(
            .pgHostCertFile, .string, .global, CommandSet.postgresHost.union(.job), group: .pg, required: true,
            dependency: Dependency(.pgHostType, in: ["tls"]),
            example: "/etc/permafrost/client.crt",
            summary: "client certificate for the PostgreSQL host"),
        OptionDefinition(
            .pgHostKeyFile, .string, .global, CommandSet.postgresHost.union(.job), group: .pg, required: true,
            dependency: Dependency(.pgHostType, in: ["tls"]),
            example: "/etc/permafrost/client.key",
            summary: "private key for the PostgreSQL host"),
        OptionDefinition(
            .pgHostCaFile, .string, .global, CommandSet.postgresHost.union(.job), group: .pg,
            dependency: Dependency(.pgHostType, in: ["tls"]), example: "/etc/permafrost/ca.crt",
            summary: "certificates that the PostgreSQL host must be signed by"),
        OptionDefinition(
            .pgHostCaPath, .string, .global, CommandSet.postgresHost.union(.job), group: .pg,
            dependency: Dependency(.pgHostType, in: ["tls"]), example: "/etc/ssl/certs",
            summary: "directory of certificates that the PostgreSQL host must be signed by"),
        OptionDefinition(
            .pgHostCmd, .string, .stanza, .postgresHost, group: .pg, default: .programPath,
            dependency: Dependency(.pgHostType, in: ["ssh"]), deprecated: ["db-cmd", "db?-cmd"], support: .never,
            example: "/usr/bin/permafrost",
            summary: "the program's path on the PostgreSQL host"),
        OptionDefinition(
            .pgHostConfig, .path, .stanza, .postgresHost, group: .pg, default: "/etc/pgbackrest/pgbackrest.conf",
            dependency: Dependency(.pgHost), deprecated: ["db-config", "db?-config"], support: .accepted,
            example: "/etc/permafrost/permafrost.conf",
            summary: "configuration file on the PostgreSQL host"),
        OptionDefinition(
            .pgHostConfigIncludePath, .path, .stanza, .postgresHost, group: .pg, default: "/etc/pgbackrest/conf.d",
            dependency: Dependency(.pgHost), support: .accepted, example: "/etc/permafrost/conf.d",
            summary: "directory of more configuration files on the PostgreSQL host"),
        OptionDefinition(
            .pgHostConfigPath, .path, .stanza, .postgresHost, group: .pg, default: "/etc/pgbackrest",
            dependency: Dependency(.pgHost), support: .accepted, example: "/etc/permafrost",
            summary: "directory of the configuration on the PostgreSQL host"),
        OptionDefinition(
            .pgHostPort, .integer, .stanza, CommandSet.postgresHost.union(.job), group: .pg,
            default: .byDependency([OptionDefault.Case("tls", "8433")]), ranges: [OptionRange("0", "65535")],
            dependency: Dependency(.pgHostType, in: ["ssh", "tls"]), deprecated: ["db-ssh-port", "db?-ssh-port"],
            example: "8433",
            summary: "port of the PostgreSQL host's server"),
        OptionDefinition(
            .pgHostUser, .string, .stanza, .postgresHost, group: .pg, default: "postgres",
            dependency: Dependency(.pgHostType, in: ["ssh"]), deprecated: ["db-user", "db?-user"], support: .never,
            example: "postgres",
            summary: "user to log in as on the PostgreSQL host"),
        OptionDefinition(
            .pgDatabase, .string, .stanza, CommandSet.database.union(.restore), group: .pg, default: "postgres",
            dependency: Dependency(.pgPath), example: "postgres",
            summary: "database to connect to"),
        OptionDefinition(
            .dbTimeout, .time, .global, .database, default: "30m", ranges: [OptionRange("100ms", "7d")],
            example: "10m",
            summary: "how long a query may take"),
        OptionDefinition(
            .pgPort, .integer, .stanza, CommandSet.database.union(.restore), group: .pg, default: "5432",
            ranges: [OptionRange("0", "65535")],
            dependency: Dependency(.pgPath), deprecated: ["db-port", "db?-port"], example: "5433",
            summary: "port of PostgreSQL"),
        OptionDefinition(
            .pgSocketPath, .string, .stanza, CommandSet.database.union(.restore), group: .pg,
            dependency: Dependency(.pgPath),
            deprecated: ["db-socket-path", "db?-socket-path"], example: "/var/run/postgresql",
            summary: "directory of PostgreSQL's Unix socket"),
        OptionDefinition(
            .pgUser, .string, .stanza, CommandSet.database.union(.restore), group: .pg,
            dependency: Dependency(.pgPath), example: "backup",
            summary: "database user to connect as"),
        OptionDefinition(
            .pgVersionForce, .string, .stanza, .versioned, example: "17",
            summary: "take this as the version of PostgreSQL, whatever its files say"),
    ]
}
