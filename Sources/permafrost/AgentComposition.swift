import BackupModel
import BackupEngine
import HTTP
import Logging
import RepositoryHost

extension Configuration {
    /// The agent that a `pgN-host` names.
    func agent(_ key: Int) throws(BackupError) -> AgentAddress {
        func required(_ option: OptionName) throws(BackupError) -> String {
            guard let value = string(option, key) else {
                let name = OptionTable.definition(option)?.displayName(key) ?? option.rawValue
                throw BackupError(.optionRequired, "\(command.rawValue) command requires option: \(name)")
            }
            return value
        }
        var options = TransportOptions()
        if let timeout = duration(.ioTimeout) { options.timeout = timeout }
        options.caFile = string(.pgHostCaFile, key)
        options.caPath = string(.pgHostCaPath, key)
        options.certificateFile = try required(.pgHostCertFile)
        options.keyFile = try required(.pgHostKeyFile)
        options.minimumTLS = .v13
        return AgentAddress(
            try NetworkTransport(options),
            HTTPOrigin(host: try required(.pgHost), port: integer(.pgHostPort, key) ?? 8433))
    }

    /// The servers of the stanza that are beside agents; nil where all are on this host.
    func agentServers(_ logger: Logger) throws(BackupError) -> AgentServers? {
        guard !remotePostgresKeys.isEmpty, string(.stanza) != nil else { return nil }
        return AgentServers(
            stanza: try requiredStanza(), silence: duration(.ioTimeout) ?? .seconds(60),
            find: { key throws(BackupError) in try agent(key) }, notice: { logger.warning("\($0)") })
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
