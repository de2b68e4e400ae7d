import Foundation
import Glibc
import TestSupport
import Testing

extension BackingUp {
    /// `permafrost agent` beside a PostgreSQL that archives asynchronously.
    @Suite(.timeLimit(.minutes(10))) struct AgentArchive {
        @Test("WAL is pushed ahead; the agent is killed, started again, stopped", arguments: Majors.rows(1))
        func ahead(major: Int) async throws {
            try await withAgentSite(major, repositories: 2) { site, agent in
                try await site.backup()
                try await agent.start()
                try await site.untilServed(agent)
                // PostgreSQL asks for nothing, and yet it is pushed.
                let segments = try await site.pause(4)
                try await site.waitUntilArchived(segments)
                try await site.archiveAgain()
                try await site.cluster.waitForArchived(segments[3])

                // In the middle of it, again and again.
                for round in 0..<4 {
                    for _ in 0..<3 { try await site.cluster.switchWAL() }
                    try await Task.sleep(for: .milliseconds(40 * round))
                    try await agent.kill()
                    for _ in 0..<2 { try await site.cluster.switchWAL() }
                    if round % 2 == 0 { try await Task.sleep(for: .milliseconds(300)) }
                    try await agent.start()
                }
                let last = try await site.cluster.switchWAL()
                try await site.cluster.waitForArchived(last)
                try await site.waitUntilArchived([last])

                // One that hangs costs time, and nothing else.
                agent.signal(SIGSTOP)
                for _ in 0..<2 { try await site.cluster.switchWAL() }
                try await site.cluster.waitForArchived(site.cluster.switchWAL())
                agent.signal(SIGCONT)

                // Stopped in good order, it takes its socket away.
                try await agent.stop()
                #expect(!exists(agent.socket))
                for _ in 0..<3 { try await site.cluster.switchWAL() }
                try await site.cluster.waitForArchived(site.cluster.switchWAL())
                #expect(try await site.failures() == 0)
                let (first, second) = (try site.archived(), try site.archived(in: site.layout.repositoryPaths[1]))
                #expect(first == second)
                let whole = first.filter { !$0.contains(".backup") }
                #expect(Set(whole.map { $0.prefix(24) }).count == whole.count)
                try await site.requireRestorable("restored")
            }
        }

        @Test("a repository is down and comes back; the stanza is stopped and started", arguments: Majors.rows(2))
        func faults(major: Int) async throws {
            try await withAgentSite(major, repositories: 2, linksWAL: true) { site, agent in
                try await agent.start()
                try await site.untilServed(agent)
                let (up, down) = (site.repository, site.layout.repositoryPaths[1])
                try await asServerUser("mv", ["\(down)/archive", "\(down)/away"])
                let segment = try await site.cluster.switchWAL()
                try await waitFor("a failure") { try await site.failures() > 0 }
                try await waitFor("the other repository") {
                    try site.archived(in: up).contains { $0.hasPrefix(segment) }
                }
                try await waitFor("the agent to say so") {
                    try agent.log.contains("unable to push WAL of stanza 'main'")
                }
                try await asServerUser("mv", ["\(down)/away", "\(down)/archive"])
                // A new segment wakes the archiver.
                let next = try await site.cluster.switchWAL()
                try await site.cluster.waitForArchived(next, timeout: .seconds(70))
                try await site.waitUntilArchived([segment, next])
                try await waitFor("the agent to say so") {
                    try agent.log.contains("WAL of stanza 'main' is pushed again")
                }

                try await site.tool.run("stop")
                let stopped = try await site.pause(2)
                try await Task.sleep(for: .seconds(1))
                #expect(try !site.archived().contains { name in stopped.contains { name.hasPrefix($0) } })
                try await site.tool.run("start")
                agent.hangUp()
                try await site.waitUntilArchived(stopped)
                try await site.archiveAgain()
                try await site.cluster.waitForArchived(stopped[1])
            }
        }

        /// As containers of one pod have it: other devices, other numbers of files and processes, the same content.
        @Test(
            "an agent that sees other files with the same in them", .enabled(if: geteuid() == 0, "namespaces want root")
        )
        func apart() async throws {
            try await withAgentSite(16) { site, agent in
                try await agent.start(apart: true)
                try await site.untilServed(agent)
                #expect(try await site.failures() == 0)
                let there = try await agent.inside("stat", ["-c", "%d:%i", site.tool.executable])
                let here = try await ProcessRunner.run("stat", ["-c", "%d:%i", site.tool.executable]).stdout
                #expect(there != here)

                // Another configuration there than PostgreSQL's calls have: they are not its to make.
                try await agent.kill()
                try await agent.start(apart: true, adding: "\n# another\n")
                try await site.cluster.setArchiveCommand("")
                let segment = try await site.cluster.switchWAL()
                try await Task.sleep(for: .seconds(2))
                #expect(try !site.archived().contains { $0.hasPrefix(segment) })
                try await site.archiveAgain()
                try await site.cluster.waitForArchived(site.cluster.switchWAL())
                #expect(try await site.failures() == 0)
            }
        }

        @Test("options that change, a cluster that is put back")
        func changes() async throws {
            try await withAgentSite(17) { site, agent in
                try await agent.start()
                try await site.untilServed(agent)
                #expect(try site.archived().last?.hasSuffix(".lz4") == true)
                let backup = try await site.backup()

                // A file that has changed counts at once, with a signal or without.
                var text = try String(contentsOfFile: site.layout.configFile, encoding: .utf8)
                text.replace("compress-type=lz4", with: "compress-type=zst")
                try text.write(toFile: site.layout.configFile, atomically: false, encoding: .utf8)
                agent.hangUp()
                try await site.archive()
                #expect(try site.archived().last?.hasSuffix(".zst") == true)
                try await site.untilServed(agent)
                #expect(try site.archived().last?.hasSuffix(".zst") == true)

                // The launcher says nothing in JSON: that is the program's. The agent pushes all the same.
                text.replace("[global]\n", with: "[global]\nlog-format=json\n")
                try text.write(toFile: site.layout.configFile, atomically: false, encoding: .utf8)
                try await site.untilServed(agent)

                try await site.write(10)
                try await site.cluster.stop()
                try await site.tool.run("restore", ["--delta", "--set=\(backup)"])
                try await site.cluster.start()
                try await site.cluster.waitForRecoveryEnd()
                try await site.untilServed(agent)
                try await site.archive()
                #expect(try site.archived().last?.hasPrefix("00000002") == true)
                #expect(try await site.failures() == 0)
                try await site.requireRestorable("restored")
            }
        }
    }
}

/// An agent on a site, which a test starts and ends.
final class Agent: @unchecked Sendable {  // for one task
    let socket: String
    private let site: Site
    private let command: String
    let layout: RepositoryLayout
    let certificates: String
    let port: Int
    private var process: RunningProcess?

    /// - Parameters:
    ///   - command: `agent`, or `server`, which waits for nothing.
    ///   - options: in addition to those of the site.
    init(
        _ site: Site, socket: String, command: String = "agent", options: [String: String] = [:]
    ) async throws {
        self.site = site
        self.command = command
        self.socket = socket
        certificates = site.scratch.subpath("tls")
        for words in [["init", "Test CA"], ["issue", "localhost"], ["issue", "cron"]]
        where !FileManager.default.fileExists(atPath: "\(certificates)/cron.key") {
            try await asServerUser(site.tool.executable, ["tls", "--tls-path=\(certificates)"] + words)
        }
        port = try await Self.freePort()
        layout = try site.layout.changed(
            name: command,
            options: [
                "tls-server-port": "\(port)", "tls-server-ca-file": "\(certificates)/ca.crt",
                "tls-server-cert-file": "\(certificates)/localhost.crt",
                "tls-server-key-file": "\(certificates)/localhost.key", "tls-server-auth": "cron=main",
            ].merging(options) { $1 })
    }

    private static func freePort() async throws -> Int {
        for _ in 0..<50 {
            let port = Int.random(in: 20_000..<32_000)
            let probe = try await ProcessRunner.run("bash", ["-c", "exec 3<>/dev/tcp/127.0.0.1/\(port)"])
            if probe.status != 0 { return port }
        }
        throw TestSupportError("no free port was found")
    }

    /// What it has logged.
    var log: String {
        get throws { try String(contentsOfFile: "\(layout.logPath)/all-agent.log", encoding: .utf8) }
    }

    /// - Parameters:
    ///   - apart: in namespaces of its own, in which program and configuration of PostgreSQL's calls are copies.
    ///   - text: what the copy of the configuration has in addition.
    func start(apart: Bool = false, adding text: String = "") async throws {
        let words = ["--config=\(layout.configFile)", command]
        let process =
            apart
            ? try startApart(words, text)
            : try ProcessRunner.start(
                site.tool.executable, words, asUser: ProcessRunner.serverUser, timeout: .seconds(600))
        self.process = process
        site.scratch.atEnd {
            process.signal(SIGKILL)
            _ = try? await process.wait()
        }
        let probe =
            command == "agent"
            ? "import socket; socket.socket(socket.AF_UNIX).connect('\(socket)')"
            : "import socket; socket.create_connection(('localhost', \(port)))"
        try await waitFor("the \(command)") { try await ProcessRunner.run("python3", ["-c", probe]).status == 0 }
    }

    private func startApart(_ words: [String], _ text: String) throws -> RunningProcess {
        let programs = try PermafrostPrograms.locate().directory
        let copies = site.scratch.subpath("apart")
        let script = """
            set -e
            rm -rf "$1" && mkdir "$1"
            cp -a "$2" "$1/programs" && cp "$3" "$1/conf" && printf "$4" >> "$1/conf" && chmod a+rX "$1" "$1/conf"
            mount --bind "$1/programs" "$2" && mount --bind "$1/conf" "$3" && mount -t proc proc /proc
            shift 4
            exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
            """
        return try ProcessRunner.start(
            "unshare",
            [
                "--mount", "--pid", "--fork", "--kill-child", "--", "bash", "-c", script, "bash", copies, programs,
                site.layout.configFile, text, site.tool.executable,
            ] + words, timeout: .seconds(600))
    }

    /// Runs a program where the agent is.
    func inside(_ program: String, _ words: [String]) async throws -> String {
        let process = try #require(process?.processID)
        let children = try String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
        let child = try #require(children.split(separator: " ").first)
        return try await ProcessRunner.run(
            "nsenter", ["--target", String(child), "--mount", "--", program] + words
        ).expecting(0).stdout
    }

    func kill() async throws {
        process?.signal(SIGKILL)
        _ = try await process?.wait()
    }

    func stop() async throws {
        process?.signal(SIGTERM)
        _ = try await process?.wait().expecting(0)
    }

    func hangUp() { signal(SIGHUP) }

    func signal(_ number: Int32) { process?.signal(number) }
}

/// - Parameter linksWAL: whether `pg_wal` is a link to elsewhere.
func withAgentSite(
    _ major: Int, repositories: Int = 1, linksWAL: Bool = false, _ body: (Site, Agent) async throws -> Void
) async throws {
    // The path of a socket is short.
    let directory = "/tmp/pf-run-\(UUID().uuidString.prefix(8))"
    defer { for path in [directory, "\(directory)-wal"] { try? FileManager.default.removeItem(atPath: path) } }
    let options = BackingUp.AsyncArchive.options.merging(["agent-socket": "\(directory)/agent.sock"]) { $1 }
    var cluster = ClusterOptions()
    if linksWAL { cluster.initdbArguments = ["--waldir=\(directory)-wal"] }
    try await withSite(major, repositories: repositories, options: options, cluster: cluster) { site in
        try await body(site, Agent(site, socket: "\(directory)/agent.sock"))
    }
}

extension Site {
    /// Archives until PostgreSQL's own call has left what the agent needs: files younger than two seconds are not taken for
    /// settled. Then nothing but the agent pushes what is ready.
    fileprivate func untilServed(_ agent: Agent) async throws {
        try await waitFor("the agent to push ahead") {
            try await self.cluster.setArchiveCommand("")
            let segment = try await self.cluster.switchWAL()
            try await Task.sleep(for: .milliseconds(600))
            let isAhead = try self.archived().contains { $0.hasPrefix(segment) }
            try await self.archiveAgain()
            try await self.cluster.waitForArchived(segment)
            return isAhead
        }
    }

    func archiveAgain() async throws { try await tool.archive(from: cluster) }

    fileprivate func waitUntilArchived(_ segments: [String]) async throws {
        for repository in layout.repositoryPaths {
            try await waitFor("\(segments) in '\(repository)'") {
                let names = try self.archived(in: repository)
                return segments.allSatisfy { segment in names.contains { $0.hasPrefix(segment) } }
            }
        }
    }

    fileprivate func failures() async throws -> Int {
        try await Int(cluster.value("SELECT failed_count FROM pg_stat_archiver")) ?? -1
    }
}
