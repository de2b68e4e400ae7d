import BackupEngine
import BackupModel
import Jobs
import Logging

/// A command for a PostgreSQL that `pgN-host` says is elsewhere: a job of the agent there, followed to its end.
struct DelegatedRun {
    private let configuration: Configuration
    private let logger: Logger

    /// nil when the command is this host's own.
    init?(_ configuration: Configuration, _ logger: Logger) throws(BackupError) {
        guard !configuration.remotePostgresKeys.isEmpty else { return nil }
        switch configuration.command {
        case .backup, .check, .stanzaCreate, .stanzaUpgrade: break
        case .archiveGet, .archivePush, .restore, .stanzaDelete:
            guard let first = configuration.postgresKeys.first, let host = configuration.string(.pgHost, first) else {
                return nil
            }
            throw BackupError(
                .hostInvalid, "\(configuration.command.rawValue) command must be run on the PostgreSQL host",
                hint: "pg\(first)-host says that it is \(host)")
        default: return nil
        }
        guard configuration.localPostgresKeys.isEmpty else { return nil }
        self.configuration = configuration
        self.logger = logger
    }

    func run() async throws -> Int32 {
        let agent = try await AgentSelection.choose(
            configuration.command, BackupServers.StandbyUse(configuration), configuration, logger)
        let request = try JobRequest(
            delegating: configuration, key: JobWatch.newKey(configuration),
            // Where it is set in a file of this host, the agent does not know of it.
            adding: agent.isStandby && configuration.command == .backup ? [.backupStandby] : [])
        guard let address = HostAddress.agent(configuration, agent.key) else { throw Self.noAgent }
        let result = try await JobWatch(logger).run(request, on: address)
        // Its own words were passed on already; this is for programs.
        print(result.text())
        return result.exitCode
    }

    private static let noAgent = BackupError(.optionRequired, "no pgN-host names an agent")
}
