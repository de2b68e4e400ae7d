import BackupEngine
import BackupModel
import Glibc
import HTTP
import Jobs
import Logging
import RepositoryHost
import Telemetry

/// A command for a PostgreSQL that `pgN-host` says is elsewhere: a job of the agent there, followed to its end.
struct DelegatedRun {
    private let configuration: Configuration
    private let logger: Logger
    /// The `N`s of `pgN-host`: all servers of the stanza.
    private let keys: [Int]

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
        keys = configuration.remotePostgresKeys
    }

    func run() async throws -> Int32 {
        let (key, isStandby) = try await choose()
        let agent = try configuration.agent(key)
        let origin = agent.origin
        var options = JobClient.Options()
        options.notice = { [logger] in logger.warning("\($0)") }
        let client = JobClient(agent.transport, origin, options)
        let request = try JobRequest(
            delegating: configuration, key: "\(configuration.string(.execId) ?? "")-\(UInt64.random(in: 0 ... .max))",
            // Where it is set in a file of this host, the agent does not know of it.
            adding: isStandby && configuration.command == .backup ? [.backupStandby] : [])
        let result = try await client.run(
            request, cancelsWithTask: true,
            JobClient.Watcher(
                line: { [logger] line in logger.log(level: Self.level(line.level), "\(line.message)") },
                output: { bytes throws(BackupError) in print(String(decoding: bytes, as: UTF8.self), terminator: "") })
        ) { [logger] id in
            logger.notice("job \(id) on \(origin.authority)")
        }
        // Its own words were passed on already; this is for programs.
        print(result.text())
        return result.exitCode
    }

    /// The agent for the command: the only one, or that whose server is what the command needs.
    private func choose() async throws -> (key: Int, isStandby: Bool) {
        guard keys.count > 1, let servers = try configuration.agentServers(logger) else { return (keys[0], false) }
        let answers = try await withThrowingTaskGroup(of: AgentChoice.Answer.self) { group in
            for key in keys {
                let host = configuration.string(.pgHost, key) ?? ""
                group.addTask {
                    let result: Result<RemoteServerStatus, BackupError>
                    do throws(BackupError) {
                        result = .success(try await servers.status(key))
                    } catch {
                        result = .failure(error)
                    }
                    return AgentChoice.Answer(key: key, host: host, result: result)
                }
            }
            var answers: [AgentChoice.Answer] = []
            while let answer = try await group.next() { answers.append(answer) }
            return answers.sorted { $0.key < $1.key }
        }
        try Task.checkCancellation()
        let choice = try AgentChoice(configuration.command, BackupServers.StandbyUse(configuration), answers)
        for warning in choice.warnings { logger.warning("\(warning)") }
        return (choice.key, choice.isStandby)
    }

    /// What a job logs as `info` is logged so here.
    private static func level(_ level: LogLevel?) -> Logger.Level {
        switch level {
        case .error: .error
        case .warn: .warning
        case .detail: .info
        case .debug: .debug
        case .trace: .trace
        default: .notice
        }
    }
}
