import BackupEngine
import BackupModel
import Logging
import RepositoryHost

/// The agent for a command among those that `pgN-host` names: the only one, or that whose server is what the command needs.
struct AgentSelection {
    /// The `N` of `pgN-host`.
    let key: Int
    let isStandby: Bool

    static func choose(
        _ command: Command, _ use: BackupServers.StandbyUse, _ configuration: Configuration, _ logger: Logger
    ) async throws -> AgentSelection {
        let keys = configuration.remotePostgresKeys
        guard keys.count > 1, let servers = try configuration.agentServers(logger) else {
            return AgentSelection(key: keys.first ?? 1, isStandby: false)
        }
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
        let choice = try AgentChoice(command, use, answers)
        for warning in choice.warnings { logger.warning("\(warning)") }
        return AgentSelection(key: choice.key, isStandby: choice.isStandby)
    }
}
