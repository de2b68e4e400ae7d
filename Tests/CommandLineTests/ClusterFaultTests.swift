import Foundation
import TestSupport
import Testing

/// What can be wrong with the cluster: its directory, its server, its version. Modelled on what PostgreSQL's tests of
/// damage do: break one thing, see the message, see that nothing was lost.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct ClusterFaultTests {
    @Test func clusterFaults() async throws {
        try await Site.with { site in
            let before = try contents(of: "\(site.repository)/backup")
            try await wrongDirectory(site)
            try await anotherCluster(site)
            try await wrongControlFiles(site)
            try await wrongServer(site)
            try await wrongArchiving(site)
            try await unreadableFile(site)
            // What a backup that failed late has begun is no backup, and all that was there is as it was.
            let after = try contents(of: "\(site.repository)/backup").filter { before.keys.contains($0.key) }
            #expect(after == before)

            try await site.tool.run("check")
            let result = try await site.run("backup", "--type=full")
            result.succeeded()
        }
    }

    private func wrongDirectory(_ site: Site) async throws {
        let empty = try site.scratch.makeDirectory("empty")
        let segment = "pg_wal/000000010000000000000001"
        for command in [["backup"], ["stanza-create"], ["stanza-create", "--no-online"], ["archive-push", segment]] {
            let options = Array(command.dropFirst().filter { $0.hasPrefix("--") })
            let parameters = command.dropFirst().filter { !$0.hasPrefix("--") }
            let missing = try await site.tool.run(
                command[0],
                options
                    + ["--type=full", "--pg1-path=/nonexistent/data"].filter { option in
                        command[0] == "backup" || !option.hasPrefix("--type")
                    }, parameters: parameters)
            missing.failed(
                73, "data directory '/nonexistent/data' does not exist", hint: "is pg1-path right")
            let foreign = try await site.tool.run(
                command[0], options + ["--pg1-path=\(empty)"], parameters: parameters)
            foreign.failed(
                55, "'\(empty)' is not a PostgreSQL data directory", "no global/pg_control", hint: "pg1-path")
        }
        try await site.run("check", "--pg1-path=/nonexistent/data").failed(73, "'/nonexistent/data'")
        let offline = try await site.run("backup", "--type=full", "--no-online")
        offline.failed(
            38, "postmaster.pid is in '\(site.cluster.dataDirectory)'", hint: "stop PostgreSQL")
    }

    private func anotherCluster(_ site: Site) async throws {
        let other = try await PostgresCluster.create(.find(15), in: site.scratch, name: "other")
        let directory = "--pg1-path=\(other.dataDirectory)"
        let mine = try await site.cluster.pgControlData()["Database system identifier"] ?? "?"
        let theirs = try await other.pgControlData()["Database system identifier"] ?? "?"

        let backup = try await site.run("backup", "--type=full", "--no-online", directory)
        backup.failed(51, "system id \(theirs)", "system id \(mine)", "stanza 'main'", hint: "stanza")
        let create = try await site.run("stanza-create", "--no-online", directory)
        create.failed(28, "repo1", "stanza 'main'", mine, theirs, hint: "another stanza name")
        let push = try await site.tool.run(
            "archive-push", [directory], parameters: ["pg_wal/000000010000000000000001"])
        push.failed(44, "system id \(theirs)", "system id \(mine)", hint: "is this the right stanza?")
        let get = try await site.tool.run(
            "archive-get", [directory], parameters: ["000000010000000000000001", site.scratch.subpath("got")])
        get.failed(44, "stanza 'main' has no archive", theirs, hint: "is this the right stanza?")
        let restore = try await site.run("restore", "--delta", directory)
        restore.failed(
            58, "'\(other.dataDirectory)' holds the cluster", theirs, mine, hint: "--force")
        // The server runs on one directory, the option names the other.
        let online = try await site.run("backup", "--type=full", directory)
        online.failed(58, other.dataDirectory, site.cluster.dataDirectory, hint: "pg1-path")
        #expect(try await other.pgControlData()["Database system identifier"] == theirs)
    }

    private func wrongControlFiles(_ site: Site) async throws {
        let directory = try site.scratch.makeDirectory("fake")
        try site.scratch.makeDirectory("fake/global")
        let file = try site.scratch.write("", to: "fake/global/pg_control")
        let real = try [UInt8](Data(contentsOf: URL(filePath: "\(site.cluster.dataDirectory)/global/pg_control")))

        func expect(_ bytes: [UInt8], _ code: Int32, _ says: String, hint: String) async throws {
            try damage(file) { $0 = bytes }
            for command in ["stanza-create", "backup"] {
                let result = try await site.run(command, "--no-online", "--pg1-path=\(directory)")
                result.failed(code, says, directory, hint: hint)
            }
        }
        for (name, control, catalog, crc) in [("9.6", 960, 201_608_131, 256), ("12", 1201, 201_909_212, 288)] {
            let bytes = real.withControl(UInt32(control), catalog: UInt32(catalog), crcAt: crc)
            try await expect(bytes, 46, "PostgreSQL \(name), ", hint: "13 to 18")
        }
        let newer = real.withControl(1902, catalog: 202_605_131, crcAt: 304, more: [224: 8192, 240: 16 << 20, 264: 1])
        try await expect(newer, 46, "PostgreSQL 19, ", hint: "13 to 18")
        let unknown = real.withControl(9999, catalog: 209_901_011, crcAt: 288)
        try await expect(unknown, 46, "control version 9999, catalog version 209901011", hint: "version")
        var flipped = real
        flipped[60] ^= 1
        try await expect(flipped, 26, "checksum", hint: "corrupt")
        try await expect(Array(real.prefix(100)), 29, "100 bytes", hint: "truncated")
        try await expect([], 29, "0 bytes", hint: "truncated")
    }

    private func wrongServer(_ site: Site) async throws {
        let down = try await site.run("backup", "--type=full", "--pg1-port=1")
        down.failed(
            56, "port 1 of socket path '\(site.cluster.socketDirectory)'", hint: "is the server running")
        let nobody = try await site.run("check", "--pg1-user=nobody")
        nobody.failed(56, "role \"nobody\" does not exist", hint: "pg-user")
        let noDatabase = try await site.run("check", "--pg1-database=none")
        noDatabase.failed(56, "database \"none\" does not exist")

        try await site.cluster.query("CREATE ROLE limited LOGIN PASSWORD 'other'")
        let limited = try await site.run("backup", "--type=full", "--pg1-user=limited")
        limited.failed(57, "limited", hint: "superuser")
        let check = try await site.run("check", "--pg1-user=limited")
        check.failed(57, "limited", hint: "superuser")

        let rules = "\(site.cluster.dataDirectory)/pg_hba.conf"
        try damage(rules) { $0 = Array("local all limited scram-sha-256\n".utf8) + $0 }
        try await site.cluster.reload()
        let wrong = try await site.run("check", "--pg1-user=limited")
        wrong.failed(
            56, "password authentication failed for user \"limited\"", hint: "password")
        let none = try await site.tool.run("check", ["--pg1-user=limited"], expecting: nil)
        none.failed(56, "no password supplied", hint: "password")
    }

    private func wrongArchiving(_ site: Site) async throws {
        try await site.cluster.setArchiveCommand("true")
        for command in ["backup", "check"] {
            let result = try await site.run(command)
            result.failed(68, "archive_command", "'true'", hint: "archive-push")
        }
        try await site.cluster.setArchiveCommand("false # permafrost archive-push pgbackrest")
        for command in ["backup", "check"] {
            let result = try await site.run(command, "--archive-timeout=1")
            result.failed(82, "repo1", "did not reach the archive within 1 s", hint: "archive_command")
        }
        try await site.tool.archive(from: site.cluster)
    }

    private func unreadableFile(_ site: Site) async throws {
        let file = "\(site.cluster.dataDirectory)/unreadable"
        try await site.shell("touch \(file) && chmod 000 \(file)")
        let result = try await site.run("backup", "--type=full")
        result.failed(41, "'\(file)'", "Permission denied")
        try await site.shell("rm -f \(file)")
    }
}

extension Permafrost {
    /// Runs a command that has parameters, with secrets around it; any exit code.
    func run(_ command: String, _ options: [String], parameters: some Collection<String>) async throws -> ProcessResult
    {
        try await ProcessRunner.run(
            executable,
            ["--config=\(layout.configFile)", "--stanza=\(layout.stanza)"] + options + [command] + parameters,
            environment: Secrets.environment, asUser: ProcessRunner.serverUser)
    }
}

extension [UInt8] {
    /// A pg_control of other versions, its checksum right.
    fileprivate func withControl(
        _ control: UInt32, catalog: UInt32, crcAt place: Int, more: [Int: UInt32] = [:]
    ) -> [UInt8] {
        var bytes = self
        for (offset, value) in more.merging([8: control, 12: catalog], uniquingKeysWith: { $1 }) {
            bytes.store(value, at: offset)
        }
        bytes.store(crc32c(bytes[..<place]), at: place)
        return bytes
    }

    private mutating func store(_ value: UInt32, at offset: Int) {
        for index in 0..<4 { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
    }
}

private func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var sum = UInt32.max
    for byte in bytes {
        sum ^= UInt32(byte)
        for _ in 0..<8 {
            let isOdd = sum & 1 == 1
            sum >>= 1
            if isOdd { sum ^= 0x82F6_3B78 }
        }
    }
    return ~sum
}
