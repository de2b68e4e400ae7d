import Foundation
import TestSupport
import Testing

/// One cluster with one repository that holds a full backup: many cases break copies of them.
struct Site {
    let cluster: PostgresCluster
    let layout: RepositoryLayout
    let tool: Permafrost
    /// Of the backup that must stay.
    let label: String

    var scratch: ScratchDirectory { cluster.scratch }
    var repository: String { layout.repositoryPaths[0] }
    var stanza: String { layout.stanza }

    /// Makes a site, gives it to `body`, and when that is done proves that the backup is there and restores.
    static func with(
        options: [String: String] = [:], _ body: (Site) async throws -> Void
    ) async throws {
        try await withCluster(15) { cluster in
            // A cipher's passphrase without the cipher is of no use, and a secret all the same.
            let given = options.merging(["repo1-cipher-pass": Secrets.passphrase]) { $1 }
            let layout = try RepositoryLayout(for: cluster, options: given)
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.query("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
            try await tool.run("backup", ["--type=full"])
            let site = Site(cluster: cluster, layout: layout, tool: tool, label: try await labels(tool).last ?? "")
            try await body(site)
            try await site.hasLostNothing()
        }
    }

    /// Runs a command, with secrets around it; any exit code.
    func run(
        _ command: String, _ options: String..., environment: [String: String] = [:]
    ) async throws -> ProcessResult {
        try await run(command, options, environment: environment)
    }

    func run(_ command: String, _ options: [String], environment: [String: String] = [:]) async throws -> ProcessResult
    {
        try await tool.run(
            command, options, environment: Secrets.environment.merging(environment) { $1 }, expecting: nil)
    }

    /// A copy of a directory of the scratch directory, as a new one in it.
    func copy(_ directory: String, as name: String) async throws -> String {
        let target = scratch.subpath(name)
        try await shell("rm -rf \(target) && cp -a \(directory) \(target)")
        return target
    }

    /// Runs a line of shell as the server user.
    @discardableResult
    func shell(_ line: String, expecting status: Int32 = 0) async throws -> ProcessResult {
        try await ProcessRunner.run("bash", ["-c", line], asUser: ProcessRunner.serverUser).expecting(status)
    }

    private func hasLostNothing() async throws {
        #expect(try await Self.labels(tool).contains(label))
        let target = try scratch.makeDirectory("proof")
        try await tool.run("restore", ["--pg1-path=\(target)", "--type=immediate", "--target-action=promote"])
        let restored = try cluster.restored(at: target)
        try await restored.start()
        try await restored.waitForRecoveryEnd()
        #expect(try await restored.value("SELECT count(*) FROM kept") == "1000")
        try await shell("! grep -rl sekret \(layout.logPath) \(target)")
    }

    private static func labels(_ tool: Permafrost) async throws -> [String] {
        let info = try await tool.run("info")
        return info.stdout.matches(of: #/backup: ([0-9]{8}-[0-9]{6}F)/#).map { String($0.1) }
    }
}

/// Every file under `directory` with its content; without our own locks, which come and go.
func contents(of directory: String) throws -> [String: Data] {
    var all: [String: Data] = [:]
    for case let path as String in FileManager.default.enumerator(atPath: directory) ?? .init()
    where !path.hasPrefix("permafrost") {
        let full = "\(directory)/\(path)"
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: full, isDirectory: &isDirectory), !isDirectory.boolValue else {
            continue
        }
        all[path] = try Data(contentsOf: URL(filePath: full))
    }
    return all
}

/// Changes the bytes of a file, in place: owner and mode stay.
func damage(_ path: String, _ change: (inout [UInt8]) -> Void) throws {
    let url = URL(filePath: path)
    var bytes = try [UInt8](Data(contentsOf: url))
    change(&bytes)
    let file = try FileHandle(forWritingTo: url)
    defer { try? file.close() }
    try file.truncate(atOffset: 0)
    try file.write(contentsOf: Data(bytes))
}

func flipByte(_ bytes: inout [UInt8]) { bytes[bytes.count / 2] ^= 0x20 }
func cutInHalf(_ bytes: inout [UInt8]) { bytes.removeLast(bytes.count - bytes.count / 2) }
