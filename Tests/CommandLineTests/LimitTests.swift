import Foundation
import Glibc
import TestSupport
import Testing

/// What bounds a run: bytes a second, calls in flight, its place among other processes.
@Suite(.keepsScratchOnFailure, .requires(.permafrost, .postgres(15)), .timeLimit(.minutes(10)))
struct LimitTests {
    @Test func backupAndRestoreKeepToTheirRates() async throws {
        try await withCluster(15) { cluster in
            // Stored as they are, so that bytes of the network are those of the disk.
            let layout = try RepositoryLayout(
                for: cluster,
                options: ["compress-type": "none", "process-max": "3", "log-level-console": "warn"])
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            let unbounded = try await seconds { try await tool.run("backup", ["--type=full"]) }
            let size = try await databaseSize(tool)
            let rate = size / 4
            for option in ["rate-limit-disk", "rate-limit-network"] {
                let limited = try await seconds {
                    try await tool.run("backup", ["--type=full", "--\(option)=\(rate)"])
                }
                expect(limited, took: 4, besides: unbounded, option)
            }
            let target = try cluster.scratch.makeDirectory("target")
            let restoring = ["--pg1-path=\(target)", "--type=immediate"]
            let free = try await seconds { try await tool.run("restore", restoring) }
            for option in ["rate-limit-disk", "rate-limit-network"] {
                try await ProcessRunner.run("bash", ["-c", "rm -rf \(target)/*"]).expecting(0)
                let limited = try await seconds { try await tool.run("restore", restoring + ["--\(option)=\(rate)"]) }
                expect(limited, took: 4, besides: free, option)
                let settings = try String(contentsOfFile: "\(target)/postgresql.auto.conf", encoding: .utf8)
                #expect(!settings.contains("rate-limit"), "a limit of this run is none of recovery's")
            }
        }
    }

    @Test func aLimitedBackupGivesWayAndEndsAtOnce() async throws {
        try await withCluster(15) { cluster in
            let layout = try RepositoryLayout(
                for: cluster,
                options: [
                    "repo1-storage-upload-concurrency": "1", "repo1-storage-download-concurrency": "1",
                    "process-max": "4",
                ])
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("backup", ["--type=full"])

            let slow = try tool.start("backup", ["--type=full", "--rate-limit-disk=64KiB", "--priority=7"])
            try await waitFor("threads of nice value 7", timeout: .seconds(30)) {
                let values = niceValues(slow.processID)
                return values.count > 3 && values.allSatisfy { $0 == 7 }
            }
            let stopping = try await seconds {
                slow.signal(SIGTERM)
                _ = try await slow.wait().expecting(63)
            }
            #expect(stopping < 5)
            try await tool.run("check")
        }
    }

    @Test func whatCannotBeIsRefused() async throws {
        try await withCluster(15) { cluster in
            let tool = try Permafrost(layout: try RepositoryLayout(for: cluster))
            func run(_ option: String) async throws -> ProcessResult {
                try await tool.run("backup", ["--type=full", option], expecting: nil)
            }
            try await run("--priority=-5").failed(100, "priority of the process to -5", hint: "only root")
            try await run("--pg-version-force=7").failed(32, "'7' is not allowed for 'pg-version-force'", hint: "17")
            try await run("--rate-limit-disk=1").failed(32, "'1' is out of range", hint: "64KiB", place: .standardError)
            try await run("--repo1-storage-upload-concurrency=0").failed(
                32, "'0' is out of range", hint: "1 to 1024", place: .standardError)
        }
    }

    private func expect(_ time: Double, took: Double, besides other: Double, _ what: String) {
        #expect(time > took * 0.9 && time < took * 1.1 + other + 2, "\(what): \(time) s, and \(other) s without it")
    }

    private func seconds(_ body: () async throws -> Void) async throws -> Double {
        let time = try await ContinuousClock().measure { try await body() }
        return time / .seconds(1)
    }

    private func databaseSize(_ tool: Permafrost) async throws -> Int {
        let text = try await tool.run("info", ["--output=json"]).stdout
        let size = try #require(text.firstMatch(of: #/"size":([0-9]+)/#)?.1)
        return try #require(Int(size))
    }

    /// Of every thread, once the program runs: the 19th field of its `stat`, the 17th after the name in parentheses.
    private func niceValues(_ process: Int32) -> [Int] {
        guard (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) == "permafrost\n" else {
            return []
        }
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
        return tasks.compactMap { task in
            let text = try? String(contentsOfFile: "/proc/\(process)/task/\(task)/stat", encoding: .utf8)
            let fields = text?.split(separator: ")").last?.split(separator: " ") ?? []
            return fields.count > 16 ? Int(fields[16]) : nil
        }
    }
}
