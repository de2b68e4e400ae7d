import Foundation
import Glibc
import TestSupport
import Testing

/// Minutes of work through a repository host and an agent: nothing grows, and all that was archived is there.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)), .requires(.permafrost, .postgres(17)))
struct SoakTests {
    /// With `PERMAFROST_ALL=1`, otherwise a few turns.
    private static let time = Duration.seconds(TestRequirement.runsAll ? 300 : 25)

    @Test("backups as jobs, WAL all the while, expiry: memory, files and threads of both servers stay as they are")
    func soak() async throws {
        let options = ["compress-type": "lz4", "repo1-bundle": "y", "archive-async": "y", "repo1-retention-full": "2"]
        try await withMachines(host: ["repo1-retention-full": "2"], options: options) { cluster, machine, tool in
            let server = try await machine.serve()
            try await machine.tls("issue", machine.databaseAddress)
            try await machine.tls("issue", "cron")
            let agent = try await machine.agent(tool)
            let control = try machine.writeControl(pgPath: cluster.dataDirectory)
            func job(_ words: String...) async throws {
                try await machine.there(tool.executable, ["--config=\(control)", "--stanza=main", "job"] + words)
                    .expecting(0)
            }
            try await job("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            try await job("backup", "--type=full")
            let start = try (ProcessFacts(server), ProcessFacts(agent))
            var most = (server: 0, agent: 0)
            let end = ContinuousClock.now + Self.time
            var turn = 0
            while ContinuousClock.now < end {
                turn += 1
                async let load: Void = cluster.pgbench(transactions: 300)
                try await job("backup", turn % 5 == 0 ? "--type=full" : "--type=incr")
                try await load
                for _ in 0..<3 { _ = try await cluster.switchWAL() }
                most.server = max(most.server, try ProcessFacts(server).memory)
                most.agent = max(most.agent, try ProcessFacts(agent).memory)
            }
            try await cluster.waitForArchived(try await cluster.switchWAL())
            try await tool.run("verify")
            #expect(try await tool.labels().count { $0.hasSuffix("F") } <= 2)
            let now = try (ProcessFacts(server), ProcessFacts(agent))
            // Connections are kept for a while after the last request.
            #expect(now.0.files <= start.0.files + 64 && now.1.files <= start.1.files + 16, "\(start) \(now)")
            #expect(now.0.threads <= start.0.threads + 8 && now.1.threads <= start.1.threads + 8, "\(start) \(now)")
            #expect(most.server < 160 << 20 && most.agent < 160 << 20, "\(most)")
            print("soak: \(turn) backups, server \(most.server >> 20) MiB, agent \(most.agent >> 20) MiB")
            agent.signal(SIGTERM)
            server.signal(SIGTERM)
            try await agent.wait().expecting(0)
            try await server.wait().expecting(0)
        }
    }
}

/// What a process has now.
private struct ProcessFacts {
    /// Bytes that are in memory.
    var memory = 0
    var threads = 0
    var files = 0

    init(_ process: RunningProcess) throws {
        let path = "/proc/\(process.processID)"
        for line in try String(contentsOfFile: "\(path)/status", encoding: .utf8).split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.first == "VmRSS:" { memory = (Int(words[1]) ?? 0) << 10 }
            if words.first == "Threads:" { threads = Int(words[1]) ?? 0 }
        }
        files = try FileManager.default.contentsOfDirectory(atPath: "\(path)/fd").count
    }
}
