import Foundation
import TestSupport
import Testing

/// Repositories with holes, and restores that cannot be: said before anything is destroyed where that is possible.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct RestoreFaultTests {
    @Test func restoreFaults() async throws {
        try await Site.with { site in
            let target = try site.scratch.makeDirectory("target")
            try await wrongTargets(site, target)
            try await wrongPlaces(site)
            #expect(try FileManager.default.contentsOfDirectory(atPath: target).isEmpty)
            try await damagedFiles(site, target)
        }
    }

    private func wrongTargets(_ site: Site, _ target: String) async throws {
        func restore(_ options: String...) async throws -> ProcessResult {
            try await site.run("restore", options + ["--pg1-path=\(target)"])
        }
        try await restore("--type=time", "--target=2020-01-01 00:00:00+00").failed(
            75, "'2020-01-01 00:00:00+00'", "the oldest (repo1: \(site.label))", hint: "later target")
        try await restore("--type=lsn", "--target=0/1").failed(
            75, "'0/1'", "the oldest (repo1: \(site.label))", hint: "later target")
        for time in ["yesterday", "2020-01-01", "2020-13-01 00:00:00"] {
            try await restore("--type=time", "--target=\(time)").failed(29, "'\(time)'", hint: "YYYY-MM-DD HH:MM:SS")
        }
        try await restore("--type=lsn", "--target=here").failed(32, "'here' is not an LSN")
        for set in ["20200101-000000F", "nonsense"] {
            try await restore("--set=\(set)").failed(
                75, "backup set \(set) is not valid", hint: "info")
        }
        try await restore("--target-timeline=9").failed(
            55, "'00000009.history'", hint: "--target-timeline")
        try await restore("--tablespace-map=none=/tmp/x").failed(
            76, "invalid tablespace 'none'", hint: "no tablespaces")
        try await restore("--link-map=none=/tmp/x").failed(78, "invalid link 'none'")
    }

    private func wrongPlaces(_ site: Site) async throws {
        let running = try await site.run("restore", "--delta")
        running.failed(
            38, "PostgreSQL is running", hint: "'postmaster.pid' in '\(site.cluster.dataDirectory)'")
        try await site.run("restore", "--pg1-path=/nonexistent/a/b").failed(
            73, "'/nonexistent/a/b'", hint: "create the directory")
        let full = try site.scratch.makeDirectory("full")
        try site.scratch.write("mine", to: "full/file")
        try await site.run("restore", "--pg1-path=\(full)").failed(
            40, "'\(full)' because it contains files", hint: "--delta")
        // With no sign of PostgreSQL in it, not even --delta --force may clear a directory.
        try await site.run("restore", "--pg1-path=\(full)", "--delta", "--force").failed(
            40, "'\(full)' because it contains files")
        #expect(try String(contentsOfFile: "\(full)/file", encoding: .utf8) == "mine")
        try await site.shell("chmod 555 \(full) && rm -f \(full)/file || true")
        try await site.run("restore", "--pg1-path=\(full)").failed(
            53, "'\(full)' without rwx permissions", hint: "permissions")
        try await site.shell("chmod 755 \(full)")
        try await site.run("restore", "--pg1-path=\(full)/file").failed(73, "'\(full)/file'")
    }

    /// A delta restore fetches just the file whose object is damaged. It runs into every damage, and into none after.
    private func damagedFiles(_ site: Site, _ target: String) async throws {
        var labels: [String: String] = [:]
        for type in ["none", "gz", "lz4", "zst", "bz2"] {
            let result = try await site.run("backup", "--type=full", "--compress-type=\(type)")
            labels[type] = String(try #require(result.stdout.firstMatch(of: #/new backup label = (\S+)/#)?.1))
        }
        try await site.run("restore", "--pg1-path=\(target)", "--set=\(labels["gz"] ?? "")").succeeded()
        let name = try await site.cluster.value("SELECT pg_relation_filepath('kept')")

        for (type, label) in labels.sorted(by: { $0.key < $1.key }) {
            func restore() async throws -> ProcessResult {
                try await site.shell("rm -f \(target)/\(name) && touch \(target)/PG_VERSION")
                return try await site.run("restore", "--delta", "--pg1-path=\(target)", "--set=\(label)")
            }
            let stored = "backup/main/\(label)/pg_data/\(name)" + (type == "none" ? "" : ".\(type)")
            let file = "\(site.repository)/\(stored)"
            let whole = try [UInt8](Data(contentsOf: URL(filePath: file)))
            let changes: [(inout [UInt8]) -> Void] = [flipByte, cutInHalf, { $0 = [] }]
            for change in changes {
                try damage(file, change)
                let result = try await restore()
                #expect([26, 29].contains(result.status), "\(type): \(result)")
                result.failed(result.status, "repo1", "'\(stored)'", hint: "another")
                // Without pg_control nobody starts half a cluster.
                #expect(!FileManager.default.fileExists(atPath: "\(target)/global/pg_control"))
            }
            try await site.shell("mv \(file) \(file).away")
            try await restore().failed(55, "repo1", "'\(stored)'", hint: "another")
            try await site.shell("mv \(file).away \(file)")
            try damage(file) { $0 = whole }
            try await restore().succeeded()
            #expect(FileManager.default.fileExists(atPath: "\(target)/global/pg_control"))
        }
    }
}
