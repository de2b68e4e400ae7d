import BackupModel
import Logging
import PostgresAccess

/// The server whose data directory is replaced, as it answers at its usual socket.
struct PresentServer: Sendable {
    enum Answer: Sendable, Equatable {
        case primary
        case standby
        /// Why it does not answer.
        case none(String)
    }

    let address: PostgresAddress
    private static let connectLimit = Duration.seconds(5)
    private static let interval = Duration.milliseconds(500)

    init(_ configuration: Configuration) {
        let key = configuration.postgresKeys.first ?? 1
        address = PostgresAddress(
            socketPath: configuration.string(.pgSocketPath, key), port: configuration.integer(.pgPort, key) ?? 5432,
            database: configuration.string(.pgDatabase, key) ?? "postgres", user: configuration.string(.pgUser, key))
    }

    /// - Parameter systemIdentifier: of the cluster that is meant.
    func look(_ systemIdentifier: UInt64) throws(BackupError) -> Answer {
        do throws(BackupError) {
            let connection = try PostgresConnection(
                address, applicationName: "permafrost [restore]", timeout: Self.connectLimit)
            defer { connection.close() }
            let rows = try connection.query(
                "select pg_catalog.pg_is_in_recovery(), system_identifier from pg_catalog.pg_control_system()")
            guard let row = rows.first, row.count == 2 else { return .none("it gave no answer") }
            guard row[1] == "\(systemIdentifier)" else {
                return .none("what answers at its socket is the cluster with system identifier \(row[1] ?? "?")")
            }
            return row[0] == "t" ? .standby : .primary
        } catch {
            if error.code == .terminated { throw error }
            return .none(error.message)
        }
    }

    /// Returns when the server takes writes; the last answer when it does not in time.
    func waitUntilWritable(_ systemIdentifier: UInt64, _ limit: Duration) async throws -> Answer {
        let deadline = ContinuousClock.now + limit
        while true {
            let answer = try look(systemIdentifier)
            if answer == .primary || ContinuousClock.now >= deadline { return answer }
            try await Task.sleep(for: Self.interval)
        }
    }
}
