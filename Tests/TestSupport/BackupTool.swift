/// A program that backs PostgreSQL up by pgBackRest's command line: pgBackRest itself, or ours.
package protocol BackupTool: Sendable, CustomStringConvertible {
    /// The program's path; the server user can execute it.
    var executable: String { get }
    /// The repositories that it works on.
    var layout: RepositoryLayout { get }
    /// The same tool on other repositories, or on the same ones under other options.
    func with(_ layout: RepositoryLayout) -> Self
}

extension BackupTool {
    /// Runs a command as the server user and checks its exit code.
    ///
    /// - Parameters:
    ///   - options: such as `--type=incr`; configuration and stanza are given by the fixture.
    ///   - status: the exit code that the test expects; nil takes any.
    @discardableResult
    package func run(
        _ command: String, _ options: [String] = [], environment: [String: String] = [:],
        expecting status: Int32? = 0, timeout: Duration = .seconds(120)
    ) async throws -> ProcessResult {
        let result = try await start(command, options, environment: environment, timeout: timeout).wait()
        return if let status { try result.expecting(status) } else { result }
    }

    /// Starts a command as the server user and gives it back running, for tests that kill it.
    package func start(
        _ command: String, _ options: [String] = [], environment: [String: String] = [:],
        timeout: Duration = .seconds(120)
    ) throws -> RunningProcess {
        try ProcessRunner.start(
            executable, configurationArguments + options + [command], environment: environment,
            asUser: ProcessRunner.serverUser, directory: layout.scratch.path, timeout: timeout)
    }

    /// The `archive_command` that archives with this tool.
    package var archiveCommand: String { line("archive-push %p") }

    /// The `restore_command` that fetches with this tool.
    package var restoreCommand: String { line("archive-get %f \"%p\"") }

    /// Makes the cluster archive with this tool.
    package func archive(from cluster: PostgresCluster) async throws {
        try await cluster.setArchiveCommand(archiveCommand)
    }

    private var configurationArguments: [String] { ["--config=\(layout.configFile)", "--stanza=\(layout.stanza)"] }

    private func line(_ command: String) -> String {
        ([executable] + configurationArguments + [command]).joined(separator: " ")
    }
}
