import Foundation
import Glibc
import TestSupport

/// A server under the script that starts Patroni in the operator's pods, with a stand-in for Patroni that does no more
/// than start PostgreSQL and end with it.
struct SupervisedServer: Sendable {
    let site: Site
    private let supervisor: RunningProcess

    var cluster: PostgresCluster { site.cluster }
    var data: String { cluster.dataDirectory }
    /// As long as it is there, the stand-in starts nothing.
    private var brake: String { site.scratch.subpath("brake") }

    /// The names beside the data directory that are left, without the directory's own.
    func leftovers() throws -> [String] {
        let name = URL(filePath: data).lastPathComponent
        let parent = URL(filePath: data).deletingLastPathComponent().path
        return try FileManager.default.contentsOfDirectory(atPath: parent)
            .filter { $0.hasPrefix(name + ".") }.map { String($0.dropFirst(name.count + 1)) }.sorted()
    }

    /// Restores in place, up to the end or a time limit.
    @discardableResult
    func restore(_ options: [String], expecting status: Int32? = 0) async throws -> ProcessResult {
        try await site.tool.run("restore", ["--in-place"] + options, expecting: status)
    }

    func answers() async -> Bool { (try? await cluster.value("SELECT 1")) == "1" }

    func waitUntilUp() async throws {
        try await waitFor("the server") { await answers() }
        try await cluster.waitForRecoveryEnd()
    }

    func setBrake(_ isOn: Bool) throws {
        if isOn { try site.scratch.write("", to: "brake") } else { try FileManager.default.removeItem(atPath: brake) }
    }

    /// When the postmaster was started, and which rows there are.
    func started() async throws -> String { try await cluster.value("SELECT pg_postmaster_start_time()") }

    func rows() async throws -> [String] {
        try await cluster.query("SELECT name FROM mark ORDER BY name").map { $0[0] }
    }

    func insert(_ names: String...) async throws {
        for name in names { try await cluster.query("INSERT INTO mark VALUES ('\(name)')") }
    }

    init(_ site: Site) throws {
        self.site = site
        let cluster = site.cluster
        let scratch = site.scratch
        let brake = scratch.subpath("brake")
        let directory = try scratch.makeDirectory("bin")
        let patroni = try scratch.write(
            """
            #!/bin/bash
            server=
            trap 'ends=1; [ -z "$server" ] || kill -INT "$server"' TERM
            while [ -e \(brake) ]; do sleep 0.1; [ -z "$ends" ] || exit 0; done
            postgres -D "$PGDATA" -k \(cluster.socketDirectory) -p \(cluster.port) -c listen_addresses=127.0.0.1 \
                >> \(cluster.logFile) 2>&1 &
            server=$!
            [ -z "$ends" ] || kill -INT "$server"
            while wait "$server"; kill -0 "$server" 2> /dev/null; do :; done

            """, to: "bin/patroni")
        chmod(patroni, 0o700)
        let path = "\(directory):\(cluster.installation.binDirectory):/usr/bin:/bin"
        let supervisor = try ProcessRunner.start(
            "sh", ["-c", try Self.startScript()], environment: ["PGDATA": cluster.dataDirectory, "PATH": path],
            asUser: ProcessRunner.serverUser, directory: scratch.path, timeout: .seconds(900))
        self.supervisor = supervisor
        scratch.atEnd {
            try? FileManager.default.removeItem(atPath: "\(cluster.dataDirectory).hold")
            supervisor.signal(SIGTERM)
            _ = try? await supervisor.wait()
        }
    }
}

extension SupervisedServer {
    /// The one of the operator's pods, as it is in the operator's source: to link the operator is not for these tests.
    fileprivate static func startScript() throws -> String {
        let path = "../../../Sources/BackupOperator/Objects/PatroniConfiguration.swift"
        let source = try String(
            contentsOf: URL(filePath: #filePath).appending(path: path).standardizedFileURL, encoding: .utf8)
        let mark = "    static let start = \"\"\"\n"
        guard let start = source.range(of: mark), let end = source[start.upperBound...].range(of: "\n        \"\"\"\n")
        else { throw TestSupportError("the script is not where it was") }
        return source[start.upperBound..<end.lowerBound].split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.dropFirst(8) }.joined(separator: "\n")
            .replacing("\\(directory)", with: "/etc/patroni").replacing("\\(restoreCommand)", with: "false")
            .replacing("\\\\", with: "\\")
    }
}

/// A supervised server with a stanza, which archives, and a table `mark` with the row `first` in its backup.
/// - Parameter prepare: makes the directory that the cluster is to lie in.
func withSupervisedServer(
    _ major: Int, name: String = "data", options: [String: String] = [:], settings: [String: String] = [:],
    prepare: (ScratchDirectory) async throws -> Void = { _ in }, _ body: (SupervisedServer) async throws -> Void
) async throws {
    try await withScratch { scratch in
        try await prepare(scratch)
        let cluster = try await PostgresCluster.create(
            PostgresInstallation.find(major), in: scratch, name: name, options: ClusterOptions(settings: settings))
        let fast = ["compress-type": "lz4", "archive-timeout": "20"].merging(options) { $1 }
        let layout = try RepositoryLayout(for: cluster, options: fast)
        let site = try Site(cluster: cluster, layout: layout, tool: Permafrost(layout: layout))
        let server = try SupervisedServer(site)
        do {
            try await server.waitUntilUp()
            try await site.tool.run("stanza-create")
            try await site.tool.archive(from: cluster)
            try await cluster.query("CREATE TABLE mark (name text); INSERT INTO mark VALUES ('first')")
            try await site.backup()
            // A target time must be past the second in which the backup ended.
            try await Task.sleep(for: .milliseconds(1100))
            try await body(server)
        } catch {
            FileHandle.standardError.write(Data("PostgreSQL \(major) said last:\n\(cluster.logTail())\n".utf8))
            throw error
        }
    }
}
