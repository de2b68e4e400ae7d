import Foundation
import TestSupport
import Testing

/// Repositories that we write and pgBackRest goes on with. One test at a time: each has servers, and the machine few
/// cores.
@Suite(
    .serialized, .keepsScratchOnFailure,
    .requires(.permafrost, .postgres(15), .pgBackRest("2.45"), .pgBackRest("2.55")))
enum OursFirst {}

/// Repositories that pgBackRest writes and we go on with; run beside those of `OursFirst`, one at a time too.
@Suite(
    .serialized, .keepsScratchOnFailure,
    .requires(.permafrost, .postgres(15), .pgBackRest("2.45"), .pgBackRest("2.55")))
enum TheirsFirst {}

/// What the two do to each other in one repository; run beside the others, one at a time too.
@Suite(
    .serialized, .keepsScratchOnFailure,
    .requires(.permafrost, .postgres(15), .pgBackRest("2.45"), .pgBackRest("2.55")))
enum SideBySide {}

/// A version of PostgreSQL and a way to compress.
struct Combination: Sendable, CustomTestStringConvertible {
    var major: Int
    var compress: String
    /// Whether pgBackRest puts small files into bundles.
    var bundles = false

    var testDescription: String { "PostgreSQL \(major), \(compress)\(bundles ? ", bundles" : "")" }

    /// Whether every combination is to be run, and not only a few.
    static let runsAll = TestRequirement.runsAll

    /// Of pgBackRest; the newer one alone without `PERMAFROST_ALL=1`.
    static let versions = runsAll ? PgBackRest.versions : ["2.55"]

    /// All with `PERMAFROST_ALL=1`, otherwise this one; without those that cannot run here.
    static func rows(_ one: Combination) -> [Combination] {
        (runsAll ? all : [one]).filter { TestRequirement.required([.postgres($0.major)]) }
    }

    /// One on each version with `PERMAFROST_ALL=1`, otherwise only this one.
    static func eachMajor(_ one: Combination) -> [Combination] {
        let majors = runsAll ? [15, 17, 18] : [one.major]
        return majors.map { Combination(major: $0, compress: one.compress, bundles: one.bundles) }
            .filter { TestRequirement.required([.postgres($0.major)]) }
    }

    private static let all = [15, 17, 18].flatMap { major in
        ["none", "gz", "lz4", "zst", "bz2"].enumerated().map { index, compress in
            Combination(major: major, compress: compress, bundles: (major + index) % 2 == 0)
        }
    }
}

/// A server, one stanza of it, and both programs on that stanza's repository.
struct Pair: Sendable {
    let cluster: PostgresCluster
    let layout: RepositoryLayout
    /// Called as `pgbackrest`, since pgBackRest backs up no server whose `archive_command` lacks that word.
    let ours: Permafrost
    let theirs: PgBackRest

    var scratch: ScratchDirectory { cluster.scratch }
    var backupDirectory: String { "\(layout.repositoryPaths[0])/backup/\(layout.stanza)" }
    var archiveDirectory: String {
        "\(layout.repositoryPaths[0])/archive/\(layout.stanza)/\(cluster.installation.major)-1"
    }

    // MARK: Backups

    /// Makes a backup with one of the two and gives its label, after that program itself has listed it.
    @discardableResult
    func backup(_ tool: some BackupTool, _ type: String = "full", _ options: [String] = []) async throws -> String {
        let before = try await labels(tool)
        try await tool.run("backup", ["--type=\(type)"] + options)
        let new = try await labels(tool).filter { !before.contains($0) }
        return try #require(new.count == 1 ? new.first : nil, "one new backup was to be listed, but there are \(new)")
    }

    /// What a program says about the stanza.
    func info(_ tool: some BackupTool) async throws -> [String: Any] {
        let output = try await tool.run("info", ["--output=json", "--log-level-console=off"]).output
        let stanzas = try #require(JSONSerialization.jsonObject(with: Data(output)) as? [[String: Any]])
        return try #require(stanzas.count == 1 ? stanzas[0] : nil)
    }

    /// The backups that a program lists, in its order.
    func labels(_ tool: some BackupTool) async throws -> [String] {
        (try await info(tool)["backup"] as? [[String: Any]] ?? []).compactMap { $0["label"] as? String }
    }

    /// Both list the same, and the directories of backups are those: nothing is left of any other.
    @discardableResult
    func requireSameLabels() async throws -> [String] {
        let labels = try await labels(theirs)
        #expect(try await self.labels(ours) == labels)
        let directories = try FileManager.default.contentsOfDirectory(atPath: backupDirectory)
        #expect(directories.filter { $0.first == "2" }.sorted() == labels)
        return labels
    }

    /// pgBackRest finds every file of every backup, and every WAL segment, good.
    func verify(_ comment: Comment? = nil) async throws {
        let labels = try await labels(theirs)
        let verified = try await theirs.run(
            "verify", ["--output=text", "--verbose", "--log-level-console=warn"])
        // It ends with 0 whatever it finds.
        #expect(verified.stdout.contains("status: ok"), comment ?? "\(verified)")
        for label in labels {
            #expect(verified.stdout.contains("backup: \(label), status: valid"), comment ?? "\(verified)")
        }
        let bad = verified.log.split(separator: "\n").filter {
            $0.firstMatch(of: /(missing|invalid|other): [1-9]|ERROR|WARN/) != nil
        }
        #expect(bad == [], comment ?? "\(verified)")
    }

    // MARK: The archive

    /// Ends the WAL segment, waits until it is in the archive, and gives its name.
    @discardableResult
    func archive() async throws -> String {
        let segment = try await cluster.switchWAL()
        try await cluster.waitForArchived(segment)
        return segment
    }

    /// The names of all WAL segments in the archive.
    var archivedSegments: [String] {
        let found = FileManager.default.enumerator(atPath: archiveDirectory)?.compactMap { $0 as? String } ?? []
        return found.compactMap { $0.split(separator: "/").last }
            .filter { $0.firstMatch(of: /^[0-9A-F]{24}-[0-9a-f]{40}/) != nil }.map { String($0.prefix(24)) }.sorted()
    }

    // MARK: Restores

    /// Restores into the directory `name` of the scratch directory, tablespaces beside it, not started yet.
    func restore(
        _ tool: some BackupTool, to name: String, _ options: [String] = []
    ) async throws -> PostgresCluster {
        let elsewhere = try tool.layout.changed(
            name: "\(name)-conf", stanzaOptions: ["pg1-path": scratch.makeDirectory(name)])
        let spaces = try scratch.makeDirectory("\(name)-spaces")
        try await tool.with(elsewhere).run("restore", ["--tablespace-map-all=\(spaces)"] + options)
        return try cluster.restored(at: scratch.subpath(name))
    }

    /// Restores the newest backup with one of the two, recovers to the end of the archive, and finds there what the
    /// server holds now: the same dump, sound indexes and pages.
    func requireRestorable(_ tool: some BackupTool, to name: String) async throws {
        let expected = try await dump(cluster)
        try await archive()
        try await requireHolds(restore(tool, to: name), expected)
    }

    /// Starts what was restored and finds `expected` in it, sound.
    func requireHolds(_ restored: PostgresCluster, _ expected: String) async throws {
        try await restored.start()
        try await restored.waitForRecoveryEnd()
        let held = try await dump(restored)
        #expect(held == expected, "\(firstDifference(held, expected))")
        try await restored.amcheck()
        try await restored.stop()
        #expect(try await restored.checksumsOK())
    }

    /// A dump without the places of tablespaces, which a restore changes.
    func dump(_ cluster: PostgresCluster) async throws -> String {
        try await cluster.dump().replacing(/CREATE TABLESPACE (.*) LOCATION .*/) { "CREATE TABLESPACE \($0.output.1)" }
    }
}

extension BackupTool {
    /// `archive-push` of one file.
    @discardableResult
    func push(_ path: String, expecting code: Int32 = 0) async throws -> ProcessResult {
        try await run("archive-push", parameters: [path]).expecting(code)
    }

    /// `archive-get` of one file.
    @discardableResult
    func get(_ name: String, to path: String, expecting code: Int32 = 0) async throws -> ProcessResult {
        try await run("archive-get", parameters: [name, path]).expecting(code)
    }

    private func run(_ command: String, parameters: [String]) async throws -> ProcessResult {
        try await ProcessRunner.run(
            executable, ["--config=\(layout.configFile)", "--stanza=\(layout.stanza)", command] + parameters,
            asUser: ProcessRunner.serverUser, directory: layout.scratch.path)
    }
}

extension ProcessResult {
    /// All that it said.
    var log: String { stdout + stderr }
}

/// Makes a cluster with a tablespace and some data, and both programs on a repository that holds nothing yet.
///
/// - Parameters:
///   - version: pgBackRest's; nil is the one for this version of PostgreSQL.
///   - theirOptions: for section `[global]` of pgBackRest's configuration only.
func withPair(
    _ major: Int, version: String? = nil, options: [String: String] = [:], theirOptions: [String: String] = [:],
    _ body: (Pair) async throws -> Void
) async throws {
    try await withCluster(major) { cluster in
        try await cluster.createTablespace("aside")
        try await cluster.query(
            """
            CREATE TABLE note TABLESPACE aside AS SELECT i, md5(i::text) AS t FROM generate_series(1, 5000) AS i;
            CREATE UNLOGGED TABLE passing AS SELECT 1 AS i;
            """)
        // The content of such a table does not come back.
        try await cluster.query("TRUNCATE passing")
        let layout = try RepositoryLayout(for: cluster, options: ["compress-type": "lz4"].merging(options) { $1 })
        let theirLayout =
            theirOptions.isEmpty ? layout : try layout.changed(name: "their", options: theirOptions)
        let pair = try Pair(
            cluster: cluster, layout: layout, ours: Permafrost(layout: layout, alias: true),
            theirs: PgBackRest(version: version ?? PgBackRest.versionForPostgres(major), layout: theirLayout))
        try await body(pair)
    }
}

/// The bytes of a file.
func content(_ path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path))) }

/// Runs a program as the server user, which owns all that the tests touch.
@discardableResult
func asServerUser(_ program: String, _ arguments: [String]) async throws -> ProcessResult {
    try await ProcessRunner.run(program, arguments, asUser: ProcessRunner.serverUser).expecting(0)
}

private func firstDifference(_ left: String, _ right: String) -> String {
    let pairs = zip(left.split(separator: "\n"), right.split(separator: "\n"))
    guard let (found, expected) = pairs.first(where: { $0 != $1 }) else { return "one is longer" }
    return "'\(found)' instead of '\(expected)'"
}
