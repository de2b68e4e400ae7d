import Foundation
import RepositoryFormats
import TestSupport
import Testing

/// Backups that pgBackRest made, of which each case of a table gets copies of its own: what both programs do to equal
/// repositories must be equal.
struct BackupSeries: Sendable {
    let pair: Pair
    /// In the order in which they were made.
    let labels: [String]

    enum Step: Sendable {
        case backup(String)
        /// The server ends its timeline and goes on with the next.
        case promote
        /// Another cluster takes the first one's place.
        case upgrade

        /// `F D I`, `^` for a promotion, `U` for an upgrade.
        static func list(_ text: String) -> [Step] {
            text.split(separator: " ").map { word in
                switch word {
                case "^": .promote
                case "U": .upgrade
                case "D": .backup("diff")
                case "I": .backup("incr")
                default: .backup("full")
                }
            }
        }
    }

    /// A copy of the repository and one of the programs on it.
    struct Copy<Tool: BackupTool>: Sendable {
        let path: String
        let tool: Tool

        var backupDirectory: String { "\(path)/backup/main" }

        /// All that lies in it, apart from what we keep beside the format; links with where they lead.
        func contents() throws -> Set<String> {
            let files = FileManager.default
            let found = files.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
            return Set(
                found.filter { !$0.hasPrefix("permafrost") }.map { name in
                    let target = try? files.destinationOfSymbolicLink(atPath: "\(path)/\(name)")
                    return target.map { "\(name) -> \($0)" } ?? name
                })
        }
    }

    func copies(_ name: String) async throws -> (ours: Copy<Permafrost>, theirs: Copy<PgBackRest>) {
        (try await copy("\(name)-ours", pair.ours), try await copy("\(name)-theirs", pair.theirs))
    }

    private func copy<Tool: BackupTool>(_ name: String, _ tool: Tool) async throws -> Copy<Tool> {
        let path = pair.scratch.subpath(name)
        try await asServerUser("cp", ["-a", pair.layout.repositoryPaths[0], path])
        let options = ["repo1-path": path, "repo1-retention-full": "9999999"]
        return Copy(path: path, tool: tool.with(try pair.layout.changed(name: "\(name)-conf", options: options)))
    }
}

/// Changes `backup.info` of a repository, and its copy.
func changeBackupInfo(_ backupDirectory: String, _ change: (inout BackupInfo) -> Void) throws {
    let bytes = try content("\(backupDirectory)/backup.info")
    var info = try BackupInfo(parsing: bytes.span.bytes)
    change(&info)
    for name in ["backup.info", "backup.info.copy"] {
        // In place, so that it stays the server user's.
        let file = try #require(FileHandle(forWritingAtPath: "\(backupDirectory)/\(name)"))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: Data(info.serialized()))
        try file.close()
    }
}

/// Makes the backups of `steps` with pgBackRest, WAL between them, segments of 1 MiB.
func withSeries(
    _ major: Int, version: String, _ steps: [BackupSeries.Step], options: [String: String] = [:],
    _ body: (BackupSeries) async throws -> Void
) async throws {
    try await withCluster(major, options: ClusterOptions(walSegmentSize: 1)) { cluster in
        try await cluster.query("CREATE TABLE note AS SELECT i FROM generate_series(1, 1000) AS i")
        var options = options.merging(["compress-type": "lz4", "expire-auto": "n"]) { first, _ in first }
        options["repo1-retention-full"] = "9999999"
        let layout = try RepositoryLayout(for: cluster, options: options)
        var pair = try Pair(
            cluster: cluster, layout: layout, ours: Permafrost(layout: layout, alias: true),
            theirs: PgBackRest(version: version, layout: layout))
        try await pair.theirs.run("stanza-create")
        try await pair.theirs.archive(from: cluster)
        var labels: [String] = []
        for step in steps {
            switch step {
            case .backup(let type):
                try await pair.cluster.query("INSERT INTO note SELECT i FROM generate_series(1, 1000) AS i")
                try await pair.archive()
                labels.append(
                    try await pair.backup(pair.theirs, type, ["--annotation=number=\(labels.count)"]))
                try await pair.archive()
            case .promote:
                try await pair.cluster.stop()
                try await asServerUser("touch", ["\(cluster.dataDirectory)/standby.signal"])
                try await pair.cluster.start()
                try await pair.cluster.promote()
                try await pair.archive()
            case .upgrade:
                pair = try await upgraded(pair)
            }
        }
        try await body(BackupSeries(pair: pair, labels: labels))
    }
}

/// A new cluster in the stanza of the old one.
private func upgraded(_ pair: Pair) async throws -> Pair {
    let cluster = try await PostgresCluster.create(
        pair.cluster.installation, in: pair.scratch, name: "data-2", options: ClusterOptions(walSegmentSize: 1))
    try await pair.cluster.stop()
    try await cluster.start()
    try await cluster.query("CREATE TABLE note AS SELECT i FROM generate_series(1, 1000) AS i")
    let layout = try pair.layout.changed(
        name: "upgraded",
        stanzaOptions: [
            "pg1-path": cluster.dataDirectory, "pg1-port": "\(cluster.port)",
            "pg1-socket-path": cluster.socketDirectory,
        ])
    let new = Pair(
        cluster: cluster, layout: layout, ours: pair.ours.with(layout), theirs: pair.theirs.with(layout))
    try await new.theirs.run("stanza-upgrade")
    try await new.theirs.archive(from: cluster)
    return new
}
