import Foundation
import TestSupport
import Testing

extension SideBySide {
    /// What pgBackRest can write and we cannot read yet is refused by name, before anything is touched.
    @Suite(.timeLimit(.minutes(10))) struct Refusals {
        @Test("block incremental backups", arguments: [17].filter { TestRequirement.required([.postgres($0)]) })
        func blocks(major: Int) async throws {
            let blocks = ["repo1-bundle": "y", "repo1-block": "y"]
            try await withPair(major, version: "2.55", theirOptions: blocks) { pair in
                let (ours, theirs) = (pair.ours, pair.theirs)
                try await theirs.run("stanza-create")
                try await theirs.archive(from: pair.cluster)
                try await pair.cluster.pgbench(scale: 1)
                let full = try await pair.backup(theirs)
                #expect(try await pair.labels(ours) == [full])

                try await requireRestoreRefused(pair, ours, "block incremental")
                // Their configuration asks for what we cannot write.
                let configured = ours.with(theirs.layout)
                let refused = try await configured.run("backup", ["--type=full"], expecting: 67)
                #expect(refused.log.contains("repo1-b"), "\(refused)")

                // Under ours, a whole backup can be made beside it, and is restored.
                let second = try await pair.backup(ours)
                #expect(try await pair.requireSameLabels() == [full, second])
                try await pair.verify()
                try await pair.requireRestorable(ours, to: "restored")
            }
        }

        /// Restore ends with this code, says why, and has made nothing.
        private func requireRestoreRefused(_ pair: Pair, _ ours: Permafrost, _ reason: String, _ code: Int32 = 67)
            async throws
        {
            let target = try pair.scratch.makeDirectory("refused")
            let elsewhere = try ours.layout.changed(name: "refused-conf", stanzaOptions: ["pg1-path": target])
            let refused = try await ours.with(elsewhere).run("restore", expecting: code)
            #expect(refused.log.contains(reason) || refused.log.contains(/decrypt|cipher/), "\(refused)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: target) == [])
        }
    }
}
