import Foundation
import Glibc
import TestSupport
import Testing

extension BackingUp {
    /// `archive-push` and `archive-get`, called as PostgreSQL calls them.
    @Suite(.timeLimit(.minutes(10))) struct WALArchive {
        @Test("same again, other content, other cluster, cut short, other names", arguments: Majors.rows(0))
        func push(major: Int) async throws {
            try await withSite(major) { site in
                let (cluster, tool) = (site.cluster, site.tool)
                try await site.write(10)
                let segment = try #require(site.archived().last).prefix(24)
                let wal = "\(cluster.dataDirectory)/pg_wal"
                let copy = site.scratch.subpath(String(segment))
                try await asServerUser("cp", ["\(wal)/\(segment)", copy])
                let before = try site.archived()

                // The same again, by absolute path, by the path that PostgreSQL gives, and from elsewhere.
                for path in ["\(wal)/\(segment)", "pg_wal/\(segment)", copy] {
                    let result = try await tool.push(path)
                    #expect(result.log.contains("already"), "\(result)")
                }
                #expect(try site.archived() == before)

                // Other content under the same name.
                try overwrite(copy, at: 16 << 20 - 1, [0x55])
                try await tool.push(copy, expecting: 45)
                // One of another cluster: its system identifier is at byte 24 of the first page.
                try overwrite(copy, at: 24, [1, 2, 3, 4])
                try await tool.push(copy, expecting: 44)
                // Cut short.
                try await asServerUser("cp", ["\(wal)/\(segment)", copy])
                try await asServerUser("truncate", ["-s", "1M", copy])
                try await tool.push(copy, expecting: 28)
                try await asServerUser("truncate", ["-s", "0", copy])
                #expect(try await tool.push(copy, expecting: nil).status != 0)
                // Names that are none.
                try await tool.push("\(wal)/\(segment.dropLast())", expecting: 96)
                try await tool.push("\(wal)/00000009\(segment.dropFirst(8))", expecting: 55)
                #expect(try site.archived() == before)

                // A partial segment stands beside the whole one.
                let partial = site.scratch.subpath("\(segment).partial")
                try await asServerUser("cp", ["\(wal)/\(segment)", partial])
                try await tool.push(partial)
                #expect(try site.archived().count == before.count + 1)
                #expect(try site.archived().contains { $0.hasPrefix("\(segment).partial-") && $0.hasSuffix(".lz4") })
                // Files that are stored as they are.
                for name in ["00000002.history", "\(segment).00000028.backup"] {
                    let file = try site.scratch.write("text of \(name)\n", to: name)
                    try await tool.push(file)
                    try await tool.push(file)
                    let got = site.scratch.subpath("got")
                    try await tool.get(name, to: got)
                    #expect(try content(got) == content(file))
                }
                let root = "\(site.repository)/archive/main/\(major)-1"
                #expect(exists("\(root)/00000002.history"))
                #expect(exists("\(root)/\(segment.prefix(16))/\(segment).00000028.backup"))
                site.expectNoTraces()
            }
        }

        @Test("found, not found, damaged", arguments: Majors.rows(1))
        func get(major: Int) async throws {
            try await withSite(major) { site in
                let tool = site.tool
                try await site.write(10)
                try await site.write(10)
                let objects = try site.archived()
                let segment = String(try #require(objects.last).prefix(24))
                let wal = "\(site.cluster.dataDirectory)/pg_wal"
                let got = site.scratch.subpath("got")
                try await tool.get(segment, to: got)
                #expect(try content(got) == content("\(wal)/\(segment)"))
                #expect(try status(got).mode == 0o600)
                // PostgreSQL's own path, relative to the data directory.
                try await tool.get(segment, to: "pg_wal/RECOVERYXLOG")
                #expect(try content("\(wal)/RECOVERYXLOG") == content(got))
                try FileManager.default.removeItem(atPath: got)

                for name in ["0000000100000000000000F0", "00000009.history", "\(segment).partial"] {
                    try await tool.get(name, to: got, expecting: 1)
                }
                try await tool.get("nonsense", to: got, expecting: 96)

                let object = "\(site.repository)/archive/main/\(major)-1/\(segment.prefix(16))/\(objects.last ?? "")"
                let good = try content(object)
                for (name, bytes) in [
                    ("cut short", Array(good.dropLast(good.count / 2))), ("empty", []),
                    (
                        "a flipped bit",
                        good.enumerated().map { $0.offset == good.count / 2 ? $0.element ^ 0x10 : $0.element }
                    ),
                    ("something after its end", good + [0]), ("noise", good.map { $0 &+ 1 }),
                ] {
                    try Data(bytes).write(to: URL(filePath: object))
                    let result = try await tool.get(segment, to: got, expecting: nil)
                    #expect(result.status > 1 && result.status < 126, "\(name): \(result)")
                    #expect(result.log.contains(segment), "\(name): \(result)")
                    let left = try FileManager.default.contentsOfDirectory(atPath: site.scratch.path)
                    #expect(!left.contains { $0.hasPrefix("got") }, "\(name)")
                }
            }
        }

        @Test("segment sizes", arguments: Majors.each([1, 64]))
        func segmentSizes(major: Int, size: Int) async throws {
            let options = ClusterOptions(walSegmentSize: size, settings: ["max_wal_size": "640MB"])
            try await withSite(major, cluster: options) { site in
                try await site.write(10)
                try await site.backup()
                if size == 1 { try await site.cluster.pgbench(scale: 1) }
                try await site.write(10)
                let segments = try site.archived().filter { !$0.contains(".") || $0.hasSuffix(".lz4") }
                #expect(segments.count >= (size == 1 ? 10 : 2))
                let got = site.scratch.subpath("got")
                try await site.tool.get(String(#require(segments.first).prefix(24)), to: got)
                #expect(try status(got).size == size << 20)
                try await site.requireRestorable("restored")
                try await site.refereeAgrees()
            }
        }
    }

    /// A stanza in two repositories.
    @Suite(.timeLimit(.minutes(10))) struct TwoRepositories {
        @Test("one is down", arguments: Majors.rows(2))
        func oneIsDown(major: Int) async throws {
            try await withSite(major, repositories: 2) { site in
                let (cluster, tool) = (site.cluster, site.tool)
                let (first, second) = (site.repository, site.layout.repositoryPaths[1])
                try await site.write(10)
                let both = try site.archived()
                #expect(!both.isEmpty)
                #expect(try site.archived(in: second) == both)

                // PostgreSQL must not archive meanwhile: the test does it in its place.
                try await cluster.setArchiveCommand("")
                let segment = try await cluster.switchWAL()
                for (down, up, key) in [(first, second, 1), (second, first, 2)] {
                    try await asServerUser("chmod", ["-R", "a-w", "\(down)/archive/main/\(major)-1"])
                    let name = key == 1 ? segment : try await cluster.switchWAL()
                    let result = try await tool.push("pg_wal/\(name)", expecting: nil)
                    #expect(result.status > 1 && result.status < 126, "\(result)")
                    #expect(result.log.contains("repo\(key)") || result.log.contains(down), "\(result)")
                    #expect(try site.archived(in: up).contains { $0.hasPrefix(name) })
                    #expect(try !site.archived(in: down).contains { $0.hasPrefix(name) })
                    // The other one serves it.
                    let got = site.scratch.subpath("got-\(key)")
                    try await tool.get(name, to: got)
                    #expect(try content(got) == content("\(cluster.dataDirectory)/pg_wal/\(name)"))

                    try await asServerUser("chmod", ["-R", "u+w", "\(down)/archive/main/\(major)-1"])
                    try await tool.push("pg_wal/\(name)")
                    #expect(try site.archived() == site.archived(in: second))
                }

                // Damaged in one, good in the other.
                let object = try #require(site.archived().first { $0.hasPrefix(segment) })
                let path = "\(first)/archive/main/\(major)-1/\(segment.prefix(16))/\(object)"
                try Data([1, 2, 3]).write(to: URL(filePath: path))
                let got = site.scratch.subpath("got")
                try await tool.get(segment, to: got)
                #expect(try content(got) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                // Gone altogether: that is no "not found".
                try FileManager.default.moveItem(atPath: "\(first)/archive", toPath: "\(first)/away")
                try await tool.get(segment, to: got)
                let result = try await tool.get("0000000100000000000000F0", to: got, expecting: nil)
                #expect(result.status > 1, "\(result)")
            }
        }

        @Test("restores come from the second when the first has no backups")
        func restoreFromSecond() async throws {
            try await withSite(15, repositories: 2) { site in
                try await site.write(50)
                try await site.backup(["--repo=2"], of: site.layout.repositoryPaths[1])
                try await site.archive()
                let restored = try await site.restoreAndPromote(to: "restored")
                #expect(try await restored.value("SELECT count(*) FROM t") == "50")
            }
        }
    }
}

extension Permafrost {
    /// `archive-push` of one file.
    @discardableResult
    func push(_ path: String, _ options: [String] = [], expecting code: Int32? = 0) async throws -> ProcessResult {
        try await startWithParameters("archive-push", [path], options, expecting: code)
    }

    /// `archive-get` of one file.
    @discardableResult
    func get(
        _ name: String, to path: String, _ options: [String] = [], expecting code: Int32? = 0
    ) async throws -> ProcessResult {
        try await startWithParameters("archive-get", [name, path], options, expecting: code)
    }

    private func startWithParameters(
        _ command: String, _ parameters: [String], _ options: [String], expecting code: Int32?
    ) async throws -> ProcessResult {
        let result = try await startCommand(command, parameters, options).wait()
        return if let code { try result.expecting(code) } else { result }
    }

    /// Starts a command that takes parameters.
    func startCommand(_ command: String, _ parameters: [String], _ options: [String] = []) throws -> RunningProcess {
        try ProcessRunner.start(
            executable,
            ["--config=\(layout.configFile)", "--stanza=\(layout.stanza)"] + options + [command] + parameters,
            asUser: ProcessRunner.serverUser, directory: layout.scratch.path)
    }
}
