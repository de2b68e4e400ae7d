import Foundation
import Glibc
import TestSupport
import Testing

extension BackingUp {
    /// `archive-async`: PostgreSQL's commands answer from the spool, which a background process fills.
    @Suite(.timeLimit(.minutes(10))) struct AsyncArchive {
        static let options = ["archive-async": "y", "process-max": "2", "archive-timeout": "20"]

        @Test("WAL goes out and comes back, over a timeline", arguments: Majors.rows(1))
        func there(major: Int) async throws {
            try await withSite(major, options: Self.options) { site in
                try await site.write(10)
                try await site.backup()
                for _ in 0..<12 { try await site.cluster.switchWAL() }
                try await site.write(20)
                try await site.requireRestorable("restored")
                #expect(exists("\(site.layout.logPath)/main-archive-push-async.log"))
                #expect(exists("\(site.layout.logPath)/main-archive-get-async.log"))
                try await site.refereeAgrees()
            }
        }

        @Test("what is ready goes at once, the launcher answers for it")
        func batch() async throws {
            try await withSite(17, options: Self.options) { site in
                let spool = Spool(site)
                let segments = try await site.pause(6)
                try await site.tool.push("pg_wal/\(segments[0])")
                try await spool.waitFor(segments.map { "\($0).ok" })
                #expect(try site.archived().map { String($0.prefix(24)) }.suffix(6) == segments.suffix(6))
                // Only what is older than two seconds is taken for settled.
                try await Task.sleep(for: .seconds(2))
                try await site.tool.push("pg_wal/\(segments[1])")
                #expect(exists("\(site.layout.spoolPath)/archive/main/archive-push.shortcut"))
                let told = try await site.tool.push("pg_wal/\(segments[2])").stdout.split(separator: "\n")
                #expect(told.count == 3)
                #expect(told.first?.contains("archive-push command begin") == true)
                #expect(told.dropFirst().first?.contains("'\(segments[2])' to the archive asynchronously") == true)
                // A file that was not pushed under that name is no business of the spool.
                try await site.tool.push("pg_wal/0000000100000000000000F0", expecting: 55)
                try await site.tool.run("stop")
                try await site.tool.push("pg_wal/\(segments[3])", expecting: 62)
                try await site.tool.run("start")
                // A warning is shown; so is what another program's spool file says.
                try await spool.put("\(segments[4]).ok", "0\nsomething odd")
                #expect(try await site.tool.push("pg_wal/\(segments[4])").log.contains("something odd"))
            }
        }

        @Test("an error is tried again, a dead process is replaced, a useless spool is done without")
        func faults() async throws {
            try await withSite(17, options: Self.options) { site in
                let spool = Spool(site)
                let segments = try await site.pause(4)
                try await spool.put("\(segments[0]).error", "41\nof yesterday")
                try await spool.put("global.error", "103\nof yesterday")
                try await spool.put("000000010000000000000099.ok", "")
                try await site.tool.push("pg_wal/\(segments[0])")
                try await spool.waitFor(["\(segments[0]).ok"])
                #expect(!exists(spool.path("global.error")))
                #expect(!exists(spool.path("000000010000000000000099.ok")))

                // The spool cannot be written: WAL goes on all the same.
                try await asServerUser("chmod", ["-R", "a-w", site.layout.spoolPath])
                let last = try await site.cluster.switchWAL()
                let result = try await site.tool.push("pg_wal/\(last)")
                #expect(result.log.contains("is pushed synchronously"), "\(result)")
                #expect(try site.archived().contains { $0.hasPrefix(last) })
                try await asServerUser("chmod", ["-R", "u+w", site.layout.spoolPath])

                // Two at once want the same.
                let next = try await site.cluster.switchWAL()
                async let first = site.tool.push("pg_wal/\(next)")
                async let second = site.tool.push("pg_wal/\(next)")
                _ = try await (first, second)

                // The repository is away, and comes back.
                let broken = try await site.cluster.switchWAL()
                try await asServerUser("chmod", ["a-w", "\(site.repository)/archive/main/17-1/\(broken.prefix(16))"])
                let failed = try await site.tool.push("pg_wal/\(broken)", expecting: nil)
                #expect(failed.status > 1 && failed.log.contains("repo1"), "\(failed)")
                try await asServerUser("chmod", ["u+w", "\(site.repository)/archive/main/17-1/\(broken.prefix(16))"])
                try await site.tool.push("pg_wal/\(broken)")
            }
        }

        @Test("killed in the middle, again and again")
        func killed() async throws {
            try await withSite(17, options: Self.options) { site in
                let segments = try await site.pause(10)
                for round in 0..<6 {
                    let running = try site.tool.startCommand("archive-push", ["pg_wal/\(segments[round])"])
                    try await Task.sleep(for: .milliseconds(20 + 25 * round))
                    for lock in files(under: site.layout.lockPath) {
                        let text = (try? content("\(site.layout.lockPath)/\(lock)")) ?? []
                        let body = String(decoding: text, as: UTF8.self)
                        if let found = body.firstMatch(of: #/"pid":([0-9]+)/#), let process = Int32(found.1) {
                            kill(process, SIGKILL)
                        }
                    }
                    _ = try await running.wait()
                }
                for segment in segments { try await site.tool.push("pg_wal/\(segment)") }
                let names = try site.archived().map { $0.prefix(24) }
                #expect(Set(names).isSuperset(of: segments.map { $0[...] }))
                #expect(Set(names).count == names.count)
                try await site.refereeAgrees()
            }
        }

        @Test("one of two repositories is down: the other has everything at once")
        func ahead() async throws {
            try await withSite(17, repositories: 2, options: Self.options) { site in
                let spool = Spool(site)
                let (up, down) = (site.repository, site.layout.repositoryPaths[1])
                try await asServerUser("mv", ["\(down)/archive", "\(down)/away"])
                let segments = try await site.pause(5)
                let result = try await site.tool.push("pg_wal/\(segments[0])", expecting: nil)
                #expect(result.status > 1 && result.log.contains("repo2"), "\(result)")
                try await waitFor("the other repository") {
                    let names = try site.archived(in: up).map { String($0.prefix(24)) }
                    return Set(names).isSuperset(of: segments)
                }
                #expect(try spool.names().allSatisfy { !$0.hasSuffix(".ok") })
                try await asServerUser("mv", ["\(down)/away", "\(down)/archive"])
                for segment in segments { try await site.tool.push("pg_wal/\(segment)") }
                #expect(try site.archived(in: up) == site.archived(in: down))

                // Over the limit the one that is down is given up, and it is said.
                try await asServerUser("mv", ["\(down)/archive", "\(down)/away"])
                let more = try await site.pause(4)
                for segment in more {
                    let told = try await site.tool.push("pg_wal/\(segment)", ["--archive-push-queue-max=17MiB"])
                    #expect(told.log.contains("dropped WAL file '\(segment)' for repo2"), "\(told)")
                }
                let names = try site.archived(in: up).map { String($0.prefix(24)) }
                #expect(Set(names).isSuperset(of: more))
            }
        }

        @Test("over the limit WAL is dropped, loudly", arguments: [true, false])
        func dropped(isAsync: Bool) async throws {
            try await withSite(17, options: isAsync ? Self.options : [:]) { site in
                let segments = try await site.pause(4)
                let before = try site.archived()
                for segment in segments {
                    let result = try await site.tool.push("pg_wal/\(segment)", ["--archive-push-queue-max=32MiB"])
                    #expect(result.log.contains("dropped WAL file '\(segment)'"), "\(result)")
                    #expect(result.log.contains("HINT: there is a gap"), "\(result)")
                }
                #expect(try site.archived() == before)
                let log = isAsync ? "main-archive-push-async.log" : "main-archive-push.log"
                let text = String(decoding: try content("\(site.layout.logPath)/\(log)"), as: UTF8.self)
                #expect(text.contains("ERROR: [") || text.contains("ERROR: dropped WAL file"), "\(text)")
            }
        }

        @Test("segments are fetched ahead, up to the gap")
        func fetched() async throws {
            let options = Self.options.merging(["archive-get-queue-max": "64MiB"]) { $1 }
            try await withSite(17, options: options) { site in
                let segments = try await site.pause(7)
                for segment in segments { try await site.tool.push("pg_wal/\(segment)") }
                let spool = Spool(site, "in")
                let got = site.scratch.subpath("got")
                func get(_ name: String, expecting code: Int32 = 0) async throws {
                    try await site.tool.get(name, to: got, expecting: code)
                    guard code == 0 else { return }
                    #expect(try content(got) == content("\(site.cluster.dataDirectory)/pg_wal/\(name)"))
                    try FileManager.default.removeItem(atPath: got)
                }
                try await get(segments[0])
                try await spool.waitFor(Array(segments[1...3]))
                try await get(segments[1])
                try await get(segments[2])
                // One was left: more are fetched, to the end of the archive.
                try await spool.waitFor(Array(segments[3...6]))
                for segment in segments[3...] { try await get(segment) }
                let absent = "0000000100000000000000F0"
                try await get(absent, expecting: 1)
                #expect(exists(spool.path("\(absent).ok")))
                try await get(absent, expecting: 1)
                // Back, to another timeline, and what was said of yesterday.
                try await spool.put("\(segments[2]).error", "41\nof yesterday")
                try await spool.put("\(segments[2]).ok", "")
                try await get(segments[2])
                try await get("00000002\(segments[2].dropFirst(8))", expecting: 1)
                try await get("00000002.history", expecting: 1)
                try await get(segments[0])

                // Damaged ahead of where recovery is: that is told when it is asked for.
                let object = try #require(site.archived().first { $0.hasPrefix(segments[5]) })
                let path = "\(site.repository)/archive/main/17-1/\(object.prefix(16))/\(object)"
                try await asServerUser("rm", ["-r", site.layout.spoolPath + "/archive"])
                let whole = try content(path)
                try Data([1, 2, 3]).write(to: URL(filePath: path))
                for segment in segments[..<5] { try await get(segment) }
                let failed = try await site.tool.get(segments[5], to: got, expecting: nil)
                #expect(failed.status > 1 && failed.log.contains("damaged"), "\(failed)")
                try Data(whole).write(to: URL(filePath: path))
                try await get(segments[5])
                // Without a spool recovery goes on.
                try await asServerUser("chmod", ["-R", "a-w", site.layout.spoolPath])
                try await get(segments[6])
                try await asServerUser("chmod", ["-R", "u+w", site.layout.spoolPath])
                // To another file system.
                try await get(segments[0])
                try await spool.waitFor([segments[1]])
                let other = "/dev/shm/permafrost-\(UUID().uuidString)"
                defer { try? FileManager.default.removeItem(atPath: other) }
                try await site.tool.get(segments[1], to: other)
                #expect(try content(other) == content("\(site.cluster.dataDirectory)/pg_wal/\(segments[1])"))
                #expect(!exists(spool.path(segments[1])))
            }
        }
    }
}

/// The spool directory of a site.
private struct Spool {
    let directory: String

    init(_ site: Site, _ direction: String = "out") {
        directory = "\(site.layout.spoolPath)/archive/main/\(direction)"
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory).sorted() }

    func waitFor(_ names: [String]) async throws {
        try await TestSupport.waitFor("\(names) in '\(directory)'", timeout: .seconds(60)) {
            names.allSatisfy { exists(path($0)) }
        }
    }

    func put(_ name: String, _ text: String) async throws {
        try await asServerUser("mkdir", ["-p", directory])
        try await asServerUser("bash", ["-c", "printf '%s' \"$0\" > \"$1\"", text, path(name)])
    }
}

extension Site {
    /// Makes segments that wait: PostgreSQL does not archive from here on, the test does it in its place.
    func pause(_ count: Int) async throws -> [String] {
        try await cluster.setArchiveCommand("")
        var segments: [String] = []
        for _ in 0..<count { segments.append(try await cluster.switchWAL()) }
        return segments
    }
}
