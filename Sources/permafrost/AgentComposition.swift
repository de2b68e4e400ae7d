import BackupModel
import BackupEngine
import HTTP
import Logging
import RepositoryHost

extension Configuration {
    /// The servers of the stanza that are beside agents; nil where all are on this host.
    func agentServers(_ logger: Logger) throws(BackupError) -> AgentServers? {
        guard !remotePostgresKeys.isEmpty, string(.stanza) != nil else { return nil }
        return AgentServers(
            stanza: try requiredStanza(), silence: duration(.ioTimeout) ?? .seconds(60),
            find: { key throws(BackupError) in
                guard let address = HostAddress.agent(self, key) else {
                    throw BackupError(.optionRequired, "pg\(key)-host names no agent")
                }
                return AgentAddress(try address.transport(), address.origin)
            }, notice: { logger.warning("\($0)") })
    }
}

/// Finds the server of a stanza by what the agent's configuration says now.
struct LocalServers: ServerConnector {
    let load: @Sendable (_ stanza: String) throws(BackupError) -> Configuration

    func connect(_ stanza: String) async throws(BackupError) -> any ClusterServer {
        if let server = try BackupServer.connectAny(try load(stanza), command: .agent).server { return server }
        throw BackupError(
            .optionRequired, "the agent has no server of stanza '\(stanza)': every pgN-host names another host",
            hint: "on the agent's host, let a pgN-path without pgN-host name its data directory")
    }
}
