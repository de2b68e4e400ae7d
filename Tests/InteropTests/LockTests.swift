import Foundation
import Glibc
import TestSupport
import Testing

extension SideBySide {
    /// Both on one host: each heeds the other's locks, and clears away what a killed one left.
    @Suite(.timeLimit(.minutes(10))) struct Locks {
        /// Slow enough that a backup lasts seconds.
        private static let slow = ["compress-type": "bz2", "compress-level": "9"]

        @Test("neither backs up or expires while the other backs up", arguments: Combination.versions)
        func refused(version: String) async throws {
            try await withPair(15, version: version, options: Self.slow) { pair in
                try await pair.ours.run("stanza-create")
                try await pair.ours.archive(from: pair.cluster)
                try await pair.cluster.pgbench(scale: 1)
                let pairs: [(any BackupTool, any BackupTool)] = [(pair.ours, pair.theirs), (pair.theirs, pair.ours)]
                for (holder, other) in pairs {
                    let running = try await startBackup(holder, pair)
                    for (command, options) in [("backup", ["--type=full"]), ("expire", [])] {
                        let refused = try await other.run(command, options, expecting: 50)
                        #expect(refused.log.contains("lock"), "\(refused)")
                    }
                    // WAL goes its way meanwhile.
                    try await other.archive(from: pair.cluster)
                    try await pair.archive()
                    try await running.wait().expecting(0)
                }
                #expect(try await pair.requireSameLabels().count == 2)
                try await pair.verify()
            }
        }

        @Test("the next backup of either clears away what a killed one left", arguments: Combination.versions)
        func killed(version: String) async throws {
            try await withPair(15, version: version, options: Self.slow) { pair in
                try await pair.ours.run("stanza-create")
                try await pair.ours.archive(from: pair.cluster)
                let pairs: [(any BackupTool, any BackupTool)] = [(pair.ours, pair.theirs), (pair.theirs, pair.ours)]
                for (index, (victim, other)) in pairs.enumerated() {
                    let running = try await startBackup(victim, pair)
                    running.signal(SIGKILL)
                    #expect(try await running.wait().status == 128 + SIGKILL)
                    #expect(try directories(pair).count == index + 1)
                    let next = try await other.run("backup", ["--type=full"])
                    // Neither goes on with files that the other began.
                    #expect(
                        !next.log.contains("resumable backup \(try directories(pair)[index]) of same type"), "\(next)")
                    #expect(try await pair.requireSameLabels().count == index + 1)
                    try await pair.verify()
                }
                try await pair.requireRestorable(pair.theirs, to: "restored")
            }
        }

        /// Starts a full backup and waits until it copies files.
        private func startBackup(_ tool: some BackupTool, _ pair: Pair) async throws -> RunningProcess {
            let before = try directories(pair)
            let running = try tool.start("backup", ["--type=full"])
            try await waitFor("files to be copied", every: .milliseconds(5)) {
                try directories(pair).contains {
                    !before.contains($0)
                        && FileManager.default.fileExists(atPath: "\(pair.backupDirectory)/\($0)/pg_data/base")
                }
            }
            return running
        }

        private func directories(_ pair: Pair) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: pair.backupDirectory).filter { $0.first == "2" }
                .sorted()
        }
    }
}
