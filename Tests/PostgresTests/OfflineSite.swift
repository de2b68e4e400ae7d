import Foundation
import TestSupport

/// A cluster that is stopped, and one repository.
struct OfflineSite {
    let scratch: ScratchDirectory
    let tool: Permafrost
    let dataDirectory: String
    let configFile: String
    /// As it was before the traced command.
    var before: String { scratch.subpath("before") }
    var repository: String { scratch.subpath("repo") }

    func run(_ command: String, _ options: [String] = [], repository: String? = nil) async throws -> ProcessResult {
        try await ProcessRunner.run(
            tool.executable, arguments(command, options, repository: repository), asUser: ProcessRunner.serverUser,
            directory: scratch.path)
    }

    func arguments(_ command: String, _ options: [String] = [], repository: String? = nil) -> [String] {
        let offline = ["stanza-create", "backup"].contains(command) ? ["--no-online"] : []
        return ["--config=\(configFile)", "--stanza=main", "--repo1-path=\(repository ?? self.repository)"] + offline
            + options + [command]
    }

    /// The labels in `backup.info`, in order.
    func labels() throws -> [String] {
        try InfoText("\(repository)/backup/main/backup.info").section("backup:current").map(\.key)
    }
}

func withOfflineSite(
    options: [String: String] = [:], _ body: (OfflineSite) async throws -> Void
) async throws {
    try await withScratch { scratch in
        let cluster = try await PostgresCluster.create(PostgresInstallation.find(15), in: scratch)
        // Enough of it.
        for directory in ["base/4", "base/5"] {
            try FileManager.default.removeItem(atPath: "\(cluster.dataDirectory)/\(directory)")
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: "\(cluster.dataDirectory)/base/1")
        where file.count > 3 {
            try FileManager.default.removeItem(atPath: "\(cluster.dataDirectory)/base/1/\(file)")
        }
        let layout = try RepositoryLayout(
            for: cluster,
            options: ["compress-type": "lz4", "log-level-file": "off", "process-max": "2"].merging(options) { $1 })
        let site = try OfflineSite(
            scratch: scratch, tool: Permafrost(layout: layout), dataDirectory: cluster.dataDirectory,
            configFile: layout.configFile)
        try await site.run("stanza-create").expecting(0)
        try await body(site)
    }
}
