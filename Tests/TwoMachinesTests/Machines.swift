import Glibc
import TestSupport

/// A cluster here, a repository host for it elsewhere, and our program here with its repository there.
func withMachines(
    size: String = "1g", host: [String: String] = [:], options: [String: String] = [:],
    _ body: (PostgresCluster, RepositoryMachine, Permafrost) async throws -> Void
) async throws {
    try await withCluster(17) { cluster in
        let machine = try await RepositoryMachine(for: cluster, size: size, options: host)
        let layout = try RepositoryLayout(for: cluster, options: machine.clientOptions().merging(options) { $1 })
        try cluster.scratch.removeDirectory(layout.repositoryPaths[0])
        try await body(cluster, machine, try Permafrost(layout: layout, alias: true))
    }
}

extension RepositoryMachine {
    /// An agent on the database host, for the client `cron`; waits until it serves. Its certificate must have been issued.
    func agent(_ tool: Permafrost, _ options: [String: String] = [:]) async throws -> RunningProcess {
        let here = try tool.layout.changed(name: "agent", options: agentOptions().merging(options) { $1 })
        let agent = try ProcessRunner.start(
            tool.executable, ["--config=\(here.configFile)", "agent"], asUser: ProcessRunner.serverUser,
            timeout: .seconds(900))
        scratch.atEnd {
            agent.signal(SIGKILL)
            _ = try? await agent.wait()
        }
        try await waitFor("the agent") {
            let probe = "exec 3<>/dev/tcp/\(self.databaseAddress)/8433"
            return try await ProcessRunner.run("bash", ["-c", probe]).status == 0
        }
        return agent
    }
}

extension Permafrost {
    /// Of all backups that `info` knows.
    func labels() async throws -> [String] {
        let output = try await run("info", ["--output=json", "--log-level-console=off"]).stdout
        return output.matches(of: /"label":"([0-9FDI_-]+)"/).map { String($0.output.1) }
    }
}
