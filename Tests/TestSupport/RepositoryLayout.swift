import Foundation

/// One stanza with its repositories, lock, log and spool directories in a test's scratch directory, and the file that
/// configures it. Both tools take the same value, so that one repository can be driven by either.
package struct RepositoryLayout: Sendable {
    /// The stanza's name.
    package let stanza: String
    /// The repositories' directories; the first is `repo1-path`.
    package let repositoryPaths: [String]
    /// `lock-path`, shared by the tools: each must see the other's locks.
    package let lockPath: String
    /// `log-path`, with `log-level-file=detail`.
    package let logPath: String
    /// `spool-path`.
    package let spoolPath: String
    /// The configuration file.
    package let configFile: String
    /// The scratch directory that all lies in.
    package let scratch: ScratchDirectory

    private let options: [String: String]
    private let stanzaOptions: [String: String]

    /// Makes the directories for a cluster's stanza and writes the configuration.
    ///
    /// - Parameters:
    ///   - repositories: how many, in directories `repo1`, `repo2`… of the cluster's scratch directory.
    ///   - options: for section `[global]`, such as `"compress-type": "zst"` or `"repo1-bundle": "y"`; they win over the
    ///     fixture's own. Several values of one option are separated by a newline.
    package init(
        for cluster: PostgresCluster, stanza: String = "main", repositories: Int = 1, options: [String: String] = [:]
    ) throws {
        let scratch = cluster.scratch
        self.scratch = scratch
        self.stanza = stanza
        repositoryPaths = try (1...repositories).map { try scratch.makeDirectory("repo\($0)") }
        lockPath = try scratch.makeDirectory("lock")
        logPath = try scratch.makeDirectory("log")
        spoolPath = try scratch.makeDirectory("spool")
        // Neither this name nor any other of ours contains "pgbackrest": pgBackRest looks for it in archive_command.
        configFile = scratch.subpath("\(stanza).conf")
        var all = [
            "lock-path": lockPath, "log-path": logPath, "spool-path": spoolPath, "log-level-console": "info",
            "log-level-file": "detail", "start-fast": "y", "archive-timeout": "30",
        ]
        for (index, path) in repositoryPaths.enumerated() {
            all["repo\(index + 1)-path"] = path
            all["repo\(index + 1)-retention-full"] = "99"
        }
        self.options = all.merging(options) { $1 }
        stanzaOptions = [
            "pg1-path": cluster.dataDirectory, "pg1-port": "\(cluster.port)",
            "pg1-socket-path": cluster.socketDirectory, "pg1-user": "postgres",
        ]
        try write()
    }

    /// The same repositories under other options, in a configuration file of its own named `name`: for a restore
    /// elsewhere (`stanzaOptions: ["pg1-path": …]`), or for a host that sees only some of the repositories.
    package func changed(
        name: String, options: [String: String] = [:], stanzaOptions: [String: String] = [:]
    ) throws -> RepositoryLayout {
        let layout = RepositoryLayout(
            self, configFile: scratch.subpath("\(name).conf"), options: self.options.merging(options) { $1 },
            stanzaOptions: self.stanzaOptions.merging(stanzaOptions) { $1 })
        try layout.write()
        return layout
    }

    private init(
        _ other: RepositoryLayout, configFile: String, options: [String: String], stanzaOptions: [String: String]
    ) {
        stanza = other.stanza
        repositoryPaths = other.repositoryPaths
        lockPath = other.lockPath
        logPath = other.logPath
        spoolPath = other.spoolPath
        scratch = other.scratch
        self.configFile = configFile
        self.options = options
        self.stanzaOptions = stanzaOptions
    }

    private func write() throws {
        let text = section("global", options) + "\n" + section(stanza, stanzaOptions)
        try scratch.write(text, to: String(configFile.dropFirst(scratch.path.utf8.count + 1)))
    }

    private func section(_ name: String, _ options: [String: String]) -> String {
        let lines = options.sorted { $0.key < $1.key }.flatMap { key, value in
            value.split(separator: "\n").map { "\(key)=\($0)\n" }
        }
        return "[\(name)]\n" + lines.joined()
    }
}
