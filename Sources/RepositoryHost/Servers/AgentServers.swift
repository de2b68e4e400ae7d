package import BackupEngine
package import BackupModel
import HTTP

/// The servers of a stanza that run beside agents.
package struct AgentServers: RemoteServers {
    private let stanza: String
    private let find: @Sendable (Int) throws(BackupError) -> AgentAddress
    private let wait: Duration
    private let notice: @Sendable (String) -> Void

    /// Less than an agent's sessions live.
    private static let patience = Duration.seconds(240)

    /// - Parameters:
    ///   - silence: that a transport bears; answers come sooner.
    ///   - find: the agent of a `pgN-host` by the `N`.
    ///   - notice: is told why nothing comes for a while.
    package init(
        stanza: String, silence: Duration, find: @escaping @Sendable (Int) throws(BackupError) -> AgentAddress,
        notice: @escaping @Sendable (String) -> Void
    ) {
        self.stanza = stanza
        self.find = find
        self.notice = notice
        wait = min(silence / 2, ServerWire.longestWait)
    }

    package func status(_ key: Int) async throws(BackupError) -> RemoteServerStatus {
        let calls = AgentCalls(agent: try find(key), patience: .zero, notice: notice)
        let (_, json) = try await calls.json(calls.request("GET", [stanza]))
        guard let status = RemoteServerStatus(json, host: calls.agent.origin.host) else {
            throw calls.strange("what is no state of a server")
        }
        return status
    }

    package func open(_ key: Int) async throws(BackupError) -> any ClusterServer {
        try await AgentSession.open(
            AgentCalls(agent: try find(key), patience: Self.patience, notice: notice), stanza: stanza, wait: wait)
    }
}
