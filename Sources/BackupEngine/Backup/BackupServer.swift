package import BackupModel
import Logging
package import PostgresAccess
package import PostgresFormats

/// The server that is backed up, checked against its data directory and the configuration. Blocking.
package struct BackupServer {
    package let server: PostgresServer
    package let control: PostgresControl
    package let dataDirectory: String

    /// The primary, or a standby when no primary is configured.
    package static func connect(_ context: EngineContext, command: Command) throws(BackupError) -> BackupServer {
        let servers = try BackupServers.connect(context, command: command)
        if let server = servers.primary ?? servers.standbys.first { return server }
        return try servers.requirePrimary()
    }

    /// Connects and proves that the server runs on the configured data directory.
    package static func connect(
        _ context: EngineContext, key: Int, command: Command
    ) throws(BackupError) -> BackupServer {
        let configuration = context.configuration
        guard let dataDirectory = configuration.string(.pgPath, key) else {
            throw BackupError(
                .optionRequired, "pg\(key)-path is required", hint: "name the data directory of the cluster")
        }
        let control = try ClusterDirectory.control(dataDirectory)
        try control.requireSupported(in: dataDirectory)
        let server = try PostgresServer(
            PostgresAddress(
                socketPath: configuration.string(.pgSocketPath, key),
                port: configuration.integer(.pgPort, key) ?? 5432,
                database: configuration.string(.pgDatabase, key) ?? "postgres",
                user: configuration.string(.pgUser, key)),
            applicationName: "permafrost [\(command.rawValue)]",
            timeout: configuration.duration(.dbTimeout) ?? .seconds(1800),
            connectTimeout: configuration.duration(.ioTimeout))
        let facts = server.facts
        guard facts.version == control.version, facts.dataDirectory == dataDirectory else {
            throw BackupError(
                .databaseMismatch,
                "the server on port \(configuration.integer(.pgPort, key) ?? 5432) is PostgreSQL \(facts.version) on '\(facts.dataDirectory)', but pg\(key)-path is '\(dataDirectory)' of PostgreSQL \(control.version)",
                hint: "do pg\(key)-path and pg\(key)-port belong to the same cluster?")
        }
        return BackupServer(server: server, control: control, dataDirectory: dataDirectory)
    }

    /// Throws unless the server archives its WAL by us (or by pgBackRest, which may share the repository).
    package func requireArchiving(_ configuration: Configuration) throws(BackupError) {
        let facts = server.facts
        if facts.archiveMode == "off" {
            throw BackupError(
                .archiveDisabled, "archive_mode is off: without WAL no backup could be made consistent",
                hint: "set archive_mode=on and restart PostgreSQL, or use --no-archive-check and keep the WAL otherwise"
            )
        }
        if facts.archiveMode == "always", configuration.bool(.archiveModeCheck) {
            throw BackupError(
                .featureNotSupported, "archive_mode is 'always', so that primary and standby both archive the same WAL",
                hint: "set archive_mode=on, or --no-archive-mode-check if they archive to different repositories")
        }
        let command = facts.archiveCommand
        guard command.contains("permafrost") || command.contains("pgbackrest") else {
            let stanza = try configuration.requiredStanza()
            throw BackupError(
                .archiveCommandInvalid, "archive_command '\(command)' calls neither permafrost nor pgbackrest",
                hint: "set archive_command = 'permafrost --stanza=\(stanza) archive-push %p'")
        }
    }
}
