extension OptionDefinition {
    /// How a backup is restored, and the server for other hosts.
    static let restoreAndServer: [OptionDefinition] = [
        OptionDefinition(
            .archiveMode, .enumeration, .global, [.restore], default: "preserve", allowed: ["preserve", "off"],
            summary: "keep archive_mode or turn it off in the restored cluster"),
        OptionDefinition(
            .dbExclude, .list, .global, [.restore], example: "scratch",
            summary: "restore all databases but this one"),
        OptionDefinition(
            .dbInclude, .list, .global, [.restore], example: "orders",
            summary: "restore this database only, with the system ones"),
        OptionDefinition(
            .linkAll, .bool, .global, [.restore], default: "n",
            summary: "restore symbolic links as links"),
        OptionDefinition(
            .linkMap, .hash, .global, [.restore], example: "pg_wal=/ssd/pg_wal",
            summary: "put what a link points to elsewhere"),
        OptionDefinition(
            .tablespaceMap, .hash, .global, [.restore], example: "ts1=/ssd/ts1",
            summary: "put a tablespace elsewhere, by name or OID"),
        OptionDefinition(
            .tablespaceMapAll, .string, .global, [.restore], example: "/ssd/tablespaces",
            summary: "put all tablespaces under this directory"),
        OptionDefinition(
            .recoveryOption, .hash, .global, [.restore],
            dependency: Dependency(.type, in: ["default", "immediate", "lsn", "name", "time", "standby", "xid"]),
            example: "primary_conninfo=host=db1",
            summary: "a setting for the recovery configuration"),
        OptionDefinition(
            .tlsServerCaFile, .path, .global, .serving, required: true,
            example: "/etc/permafrost/ca.crt",
            summary: "certificates that clients must be signed by"),
        OptionDefinition(
            .tlsServerCertFile, .path, .global, .serving, required: true,
            example: "/etc/permafrost/server.crt",
            summary: "certificate of the server"),
        OptionDefinition(
            .tlsServerKeyFile, .path, .global, .serving, required: true,
            example: "/etc/permafrost/server.key",
            summary: "private key of the server"),
        OptionDefinition(
            .tlsServerAuth, .hash, .global, .serving, required: true, example: "client1=main",
            summary: "the stanzas that a client, by its certificate's name, may use"),
        OptionDefinition(
            .tlsServerAllow, .hash, .global, .serving, example: "client1=add",
            summary: "what a client may do: read, add, expire or all"),
        OptionDefinition(
            .tlsServerAddress, .string, .global, CommandSet.serving.union(.serverPing), default: "localhost",
            example: "*",
            summary: "address that the server listens on"),
        OptionDefinition(
            .tlsServerPort, .integer, .global, CommandSet.serving.union(.serverPing), default: "8432",
            ranges: [OptionRange("1", "65535")], example: "8432",
            overrides: [OptionOverride([.agent], default: "8433")],
            summary: "port that the server listens on"),
        OptionDefinition(
            .monitorAddress, .string, .global, CommandSet.serving.union(.kubernetesOperator), default: "localhost",
            example: "*", overrides: [OptionOverride([.kubernetesOperator], default: "*")],
            summary: "address of /healthz, /readyz and /metrics"),
        OptionDefinition(
            .monitorPort, .integer, .global, CommandSet.serving.union(.kubernetesOperator),
            ranges: [OptionRange("1", "65535")], example: "9187",
            overrides: [OptionOverride([.kubernetesOperator], default: "8080")],
            summary: "port of /healthz, /readyz and /metrics, by HTTP without TLS"),
        OptionDefinition(
            .monitorInterval, .time, .global, .serving, default: "5m", ranges: [OptionRange("1s", "1d")],
            example: "1m",
            summary: "how old what /metrics tells of repositories may be"),
        OptionDefinition(
            .monitorLabel, .hash, .global, .serving, example: "cluster=orders",
            summary: "a label that all metrics have"),
        OptionDefinition(
            .operatorNamespace, .string, .global, [.kubernetesOperator], default: "permafrost-system",
            example: "databases",
            summary: "namespace in which operators agree who works"),
        OptionDefinition(
            .watchNamespaces, .string, .global, [.kubernetesOperator], example: "demo,shop",
            summary: "namespaces to look after, with commas between them; all by default"),
        OptionDefinition(
            .trustedCaFile, .path, .global, [.kubernetesOperator], example: "/etc/permafrost/ca.crt",
            summary: "certificates that stores must be signed by, if not those of the images"),
        OptionDefinition(
            .imagePrefix, .string, .global, [.kubernetesOperator], example: "registry.example.com/",
            summary: "registry of the images, with a slash at its end"),
        OptionDefinition(
            .imageTag, .string, .global, [.kubernetesOperator], example: "1.0.0",
            summary: "tag of the images; by default the version of this program"),
    ]
}
