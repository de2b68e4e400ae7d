package import BackupModel
import Glibc
import Logging
package import PostgresAccess
package import PostgresFormats

/// A server on this host, checked against its data directory and the configuration. Blocking.
package struct BackupServer {
    package let server: PostgresServer
    package let control: PostgresControl
    package let dataDirectory: String

    /// The primary, or a standby when there is no primary on this host.
    package static func connect(_ context: EngineContext, command: Command) throws(BackupError) -> BackupServer {
        let (server, failures) = try connectAny(context.configuration, command: command)
        for failure in failures { failure.warn(context.logger) }
        if let server { return server }
        throw BackupError(
            .hostInvalid, "\(command.rawValue) command must be run on the PostgreSQL host",
            hint: "every pgN-host of the stanza names another host")
    }

    /// One that was asked and did not answer as it should.
    package struct Failure {
        package var key: Int
        package var error: BackupError

        func warn(_ logger: Logger) {
            logger.warning("unable to check pg\(key): [\(error.code.rawValue)] \(error.message)")
        }
    }

    /// The primary, or a standby when there is no primary on this host; nil when it has no server of the stanza.
    package static func connectAny(
        _ configuration: Configuration, command: Command
    ) throws(BackupError) -> (server: BackupServer?, failures: [Failure]) {
        let (found, failures) = try connectAll(configuration, command: command)
        return (found.first { !$0.facts.isInRecovery } ?? found.first, failures)
    }

    /// Asks every configured server of this host.
    /// - Throws: the failure of the first when none answers, `.databaseConnect` when two are primaries.
    package static func connectAll(
        _ configuration: Configuration, command: Command
    ) throws(BackupError) -> (found: [BackupServer], failures: [Failure]) {
        var found: [BackupServer] = []
        var failures: [Failure] = []
        for key in configuration.localPostgresKeys {
            do throws(BackupError) {
                found.append(try connect(configuration, key: key, command: command))
            } catch {
                failures.append(Failure(key: key, error: error))
            }
        }
        if found.isEmpty, let first = failures.first { throw first.error }
        try BackupServers.requireOnePrimary(found.filter { !$0.facts.isInRecovery }.map(\.place))
        return (found, failures)
    }

    /// Connects and proves that the server runs on the configured data directory.
    private static func connect(
        _ configuration: Configuration, key: Int, command: Command
    ) throws(BackupError) -> BackupServer {
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
}

extension BackupServer: ClusterServer {
    package var facts: ServerFacts { server.facts }
    package var place: String { dataDirectory }
    package var files: (any RemoteFiles)? { nil }
    package var clockOffset: Duration { .zero }

    package func isInRecovery() throws(BackupError) -> Bool { try server.isInRecovery() }
    package func currentWALSegment() throws(BackupError) -> WALSegment { try server.currentWALSegment() }
    package func switchWAL() throws(BackupError) -> WALSegment { try server.switchWAL() }
    package func startBackup(label: String, fast: Bool) throws(BackupError) -> BackupStart {
        try server.startBackup(label: label, fast: fast)
    }
    package func stopBackup() throws(BackupError) -> BackupStop { try server.stopBackup() }
    package func databases() throws(BackupError) -> [DatabaseFact] { try server.databases() }
    package func tablespaces() throws(BackupError) -> [TablespaceFact] { try server.tablespaces() }
    package func readControl() throws(BackupError) -> PostgresControl { try ClusterDirectory.control(dataDirectory) }

    package func scan(tablespaces: [UInt32: String], excludes: [String]) throws(BackupError) -> ClusterListing {
        let start = Int64(FileClock.now())
        let found = try DataDirectoryScan(
            dataDirectory: dataDirectory, version: control.version, catalogVersion: control.catalogVersion,
            isOnline: true, tablespaceNames: tablespaces, excludes: excludes
        ).run()
        return ClusterListing(found: found, start: start, end: Int64(time(nil)))
    }

    package func close() { server.connection.close() }
}
