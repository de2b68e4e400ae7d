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

extension Permafrost {
    /// Of all backups that `info` knows.
    func labels() async throws -> [String] {
        let output = try await run("info", ["--output=json", "--log-level-console=off"]).stdout
        return output.matches(of: /"label":"([0-9FDI_-]+)"/).map { String($0.output.1) }
    }
}
