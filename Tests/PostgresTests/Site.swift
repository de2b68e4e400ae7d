import Foundation
import Glibc
import TestSupport
import Testing

/// Tests of backup and WAL archiving. One at a time: each has servers, and the machine few cores.
@Suite(.serialized, .keepsScratchOnFailure, .requires(.permafrost, .postgres(15), .pgBackRest("2.55")))
enum BackingUp {}

/// Tests of restore and of what must survive; run beside those of `BackingUp`, one at a time too.
@Suite(.serialized, .keepsScratchOnFailure, .requires(.permafrost, .postgres(15), .pgBackRest("2.55")))
enum Restoring {}

/// Which versions of PostgreSQL a test runs on.
enum Majors {
    private static let all = [15, 17, 18].filter { TestRequirement.required([.postgres($0)]) }

    /// Whether every row of every table is to be run, and not only one.
    static let runsAll = TestRequirement.runsAll

    /// All with `PERMAFROST_ALL=1`, otherwise one, by the caller's `turn`, so that each version has its share.
    static func rows(_ turn: Int) -> [Int] { runsAll || all.isEmpty ? all : [all[turn % all.count]] }

    /// Each row of a table on one version; with `PERMAFROST_ALL=1` on all.
    static func each<Row: Sendable>(_ table: [Row]) -> [(Int, Row)] {
        table.enumerated().flatMap { index, row in rows(index).map { ($0, row) } }
    }
}

/// A cluster whose WAL our program archives, its stanza, and the directories that were restored from it.
struct Site: Sendable {
    let cluster: PostgresCluster
    let layout: RepositoryLayout
    let tool: Permafrost

    var scratch: ScratchDirectory { cluster.scratch }
    var repository: String { layout.repositoryPaths[0] }
    var backupDirectory: String { "\(repository)/backup/\(layout.stanza)" }

    // MARK: Backups

    /// Makes a full backup and gives its label, after it was found complete.
    @discardableResult
    func backup(
        _ options: [String] = [], of repository: String? = nil, afterKill: Bool = false
    ) async throws -> String {
        let before = Set(try labels(repository: repository))
        try await tool.run("backup", ["--type=full"] + options)
        let new = try labels(repository: repository).filter { !before.contains($0) }
        // One killed between its manifest and its place in backup.info is complete, and listed by the next run.
        let isExpected = new.count == 1 || (afterKill && new.count == 2)
        return try #require(isExpected ? new.last : nil, "one new backup was to be listed, but there are \(new)")
    }

    /// The labels in `backup.info`, in order.
    func labels(repository: String? = nil) throws -> [String] {
        try InfoText("\(repository ?? self.repository)/backup/\(layout.stanza)/backup.info").section("backup:current")
            .map(\.key)
    }

    func manifest(_ label: String) throws -> InfoText { try InfoText("\(backupDirectory)/\(label)/backup.manifest") }

    // MARK: The archive

    /// All WAL segments in the archive, `repo1` unless another is given; object names without directory. What is being
    /// written, or was when its process died, has a name that no reader takes for a segment's.
    func archived(in repository: String? = nil) throws -> [String] {
        let root = "\(repository ?? self.repository)/archive/\(layout.stanza)"
        return files(under: root).map { String($0.split(separator: "/").last ?? "") }
            .filter { $0.hasPrefix("0000") && !$0.hasSuffix(".history") && !$0.hasSuffix(".pgbackrest.tmp") }.sorted()
    }

    /// Writes `rows` more rows into `t`, which it makes at first, and archives them.
    func write(_ rows: Int, archive: Bool = true) async throws {
        try await cluster.query(
            """
            CREATE TABLE IF NOT EXISTS t (i int, at timestamptz DEFAULT clock_timestamp());
            INSERT INTO t (i) SELECT generate_series(1, \(rows))
            """)
        if archive { try await self.archive() }
    }

    /// Ends the WAL segment and waits until it is in the archive.
    func archive() async throws { try await cluster.waitForArchived(cluster.switchWAL()) }

    // MARK: Restores

    /// The configuration for a restore into another directory, `name` in the scratch directory.
    func elsewhere(_ name: String) throws -> RepositoryLayout {
        try layout.changed(name: name, stanzaOptions: ["pg1-path": scratch.makeDirectory(name)])
    }

    /// Restores into a directory of its own, not started yet.
    func restore(
        to name: String, _ options: [String] = [], startSettings: [String: String] = ["archive_mode": "off"]
    ) async throws -> PostgresCluster {
        try await tool.with(elsewhere(name)).run("restore", options)
        return try cluster.restored(at: scratch.subpath(name), startSettings: startSettings)
    }

    /// Restores, starts, waits for the end of recovery.
    func restoreAndPromote(to name: String, _ options: [String] = []) async throws -> PostgresCluster {
        let restored = try await restore(to: name, options)
        try await restored.start()
        try await restored.waitForRecoveryEnd()
        return restored
    }

    /// That the newest backup, recovered to the end of the archive, is what the cluster holds now: the same dump, sound
    /// pages and indexes.
    func requireRestorable(_ name: String, _ options: [String] = []) async throws {
        let expected = try await cluster.dump()
        try await archive()
        let restored = try await restoreAndPromote(to: name, options)
        #expect(try await restored.dump() == expected)
        try await restored.amcheck()
        try await restored.stop()
        #expect(try await restored.checksumsOK())
    }

    // MARK: The referee

    /// pgBackRest on the same repository.
    var referee: PgBackRest { get throws { try PgBackRest(version: "2.55", layout: layout) } }

    /// That pgBackRest reads the repository, finds every file in it good, and lists the same backups.
    func refereeAgrees() async throws {
        let info = try await JSON.array(referee.run("info", ["--output=json", "--log-level-console=off"]).output)
        let listed = (info.first?["backup"] as? [[String: Any]] ?? []).compactMap { $0["label"] as? String }
        #expect(try listed == labels())
        let verify = try await referee.run("verify", ["--verbose", "--output=text", "--log-level-console=error"])
        #expect(!verify.stdout.contains("error"), "\(verify)")
        #expect(!verify.stdout.contains("status: invalid"), "\(verify)")
    }

    /// `info` of pgBackRest on one backup.
    func refereeInfo(_ label: String) async throws -> [String: Any] {
        let text = try await referee.run("info", ["--output=json", "--log-level-console=off", "--set=\(label)"]).output
        let backups = try JSON.array(text).first?["backup"] as? [[String: Any]]
        return try #require(backups?.first { $0["label"] as? String == label })
    }

    /// Nothing of a command is left: no lock files, no lock object, no half-written object. The last may be left of
    /// killed ones.
    func expectNoTraces(_ comment: Comment? = nil, afterKill: Bool = false) {
        let locks = files(under: layout.lockPath).filter { $0.hasSuffix(".lock") }
        #expect(locks == [], comment)
        let objects = files(under: repository)
            .filter { $0.hasSuffix(".lock") || (!afterKill && $0.hasSuffix(".pgbackrest.tmp")) }
        #expect(objects == [], comment)
    }
}

extension ProcessResult {
    /// All that it said.
    var log: String { stdout + stderr }
}

/// Makes a cluster with a stanza, archiving through our program, and gives it to `body`.
///
/// - Parameter options: for section `[global]` of the configuration; they win over the fixture's.
func withSite(
    _ major: Int, repositories: Int = 1, options: [String: String] = [:], cluster: ClusterOptions = ClusterOptions(),
    prepare: (PostgresCluster) async throws -> Void = { _ in }, _ body: (Site) async throws -> Void
) async throws {
    try await withCluster(major, options: cluster) { cluster in
        try await prepare(cluster)
        let fast = ["compress-type": "lz4", "archive-timeout": "20"].merging(options) { $1 }
        let layout = try RepositoryLayout(for: cluster, repositories: repositories, options: fast)
        let site = try Site(cluster: cluster, layout: layout, tool: Permafrost(layout: layout))
        try await site.tool.run("stanza-create")
        try await site.tool.archive(from: cluster)
        try await body(site)
    }
}

/// An info file or manifest as its sections and lines, read for tests: no check of its checksum.
struct InfoText {
    private var sections: [String: [(key: String, value: String)]] = [:]
    let text: String

    init(_ path: String) throws {
        text = try String(contentsOfFile: path, encoding: .utf8)
        var name = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("[") {
                name = String(line.dropFirst().dropLast())
            } else if let equals = line.firstIndex(of: "=") {
                sections[name, default: []].append(
                    (String(line[..<equals]), String(line[line.index(after: equals)...])))
            }
        }
    }

    func section(_ name: String) -> [(key: String, value: String)] { sections[name] ?? [] }

    /// A value, which is JSON, as its text.
    func value(_ section: String, _ key: String) -> String? { sections[section]?.first { $0.key == key }?.value }

    /// Names of the manifest's files.
    var files: [String] { section("target:file").map(\.key) }

    /// A file's facts.
    func file(_ name: String) throws -> [String: Any] {
        try JSON.object(Array(#require(value("target:file", name), "no file '\(name)'").utf8))
    }
}

enum JSON {
    static func object(_ bytes: [UInt8]) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    static func array(_ bytes: [UInt8]) throws -> [[String: Any]] {
        try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? [[String: Any]])
    }
}

/// Paths of all files below a directory, relative to it, sorted; links are not followed.
func files(under directory: String) -> [String] {
    let found = FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String } ?? []
    return found.filter { (try? status("\(directory)/\($0)"))?.kind == S_IFREG }.sorted()
}

/// What lstat says, as far as tests ask.
struct FileFacts {
    var mode: mode_t
    var kind: mode_t
    var user: uid_t
    var group: gid_t
    var modified: Int
    var size: Int
}

func status(_ path: String) throws -> FileFacts {
    var facts = stat()
    guard lstat(path, &facts) == 0 else {
        throw TestSupportError("could not look at '\(path)': \(String(cString: strerror(errno)))")
    }
    return FileFacts(
        mode: facts.st_mode & 0o7777, kind: facts.st_mode & S_IFMT, user: facts.st_uid, group: facts.st_gid,
        modified: facts.st_mtim.tv_sec, size: Int(facts.st_size))
}

func exists(_ path: String) -> Bool { (try? status(path)) != nil }

/// The bytes of a file.
func content(_ path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path))) }

/// Writes bytes into an existing file at an offset, leaving the rest alone.
func overwrite(_ path: String, at offset: UInt64, _ bytes: [UInt8]) throws {
    let handle = try #require(FileHandle(forUpdatingAtPath: path))
    try handle.seek(toOffset: offset)
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
}

/// Runs a program as the server user, which owns all that the tests touch.
@discardableResult
func asServerUser(_ program: String, _ arguments: [String]) async throws -> ProcessResult {
    try await ProcessRunner.run(program, arguments, asUser: ProcessRunner.serverUser).expecting(0)
}
