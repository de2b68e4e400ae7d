import Foundation
import TestSupport
import Testing

extension OursFirst {
    @Suite(.timeLimit(.minutes(30))) struct RoundTrip {
        @Test(
            "pgBackRest verifies, restores, continues and expires what we wrote",
            arguments: Combination.rows(Combination(major: 17, compress: "zst")))
        func roundTrip(_ row: Combination) async throws {
            let bundles = row.bundles ? ["repo1-bundle": "y"] : [:]
            try await withPair(row.major, options: ["compress-type": row.compress], theirOptions: bundles) { pair in
                let (cluster, ours, theirs) = (pair.cluster, pair.ours, pair.theirs)
                try await ours.run("stanza-create")
                try await ours.archive(from: cluster)
                try await cluster.pgbench(scale: 1)
                let full = try await pair.backup(ours)
                try await cluster.pgbench(transactions: 20)
                let segment = try await pair.archive()

                try await theirs.run("check")
                let info = try await theirs.run("info").stdout
                #expect(info.contains("status: ok") && info.contains("full backup: \(full)"), "\(info)")
                try await pair.requireSameLabels()
                try await pair.verify()

                let fetched = pair.scratch.subpath(segment)
                try await theirs.get(segment, to: fetched)
                #expect(try content(fetched) == content("\(cluster.dataDirectory)/pg_wal/\(segment)"))
                #expect(try await cluster.waldump(fetched).stdout.contains("rmgr: "))
                try await pair.requireRestorable(theirs, to: "full")

                // On top of ours: what did not change stays in our backup.
                try await cluster.pgbench(transactions: 20)
                let incr = try await pair.backup(theirs, "incr")
                #expect(incr.hasPrefix("\(full)_") && incr.hasSuffix("I"))
                let listed = try await pair.info(theirs)["backup"] as? [[String: Any]]
                #expect(listed?.last?["reference"] as? [String] == [full])
                try await pair.verify()
                try await pair.requireRestorable(theirs, to: "incr")
                #expect(try await pair.requireSameLabels() == [full, incr])

                // It expires ours, and what is left is whole.
                let second = try await pair.backup(ours)
                try await theirs.run("expire", ["--repo1-retention-full=1"])
                #expect(try await pair.requireSameLabels() == [second])
                try await pair.verify()
                try await theirs.run("check")
                if Combination.runsAll { try await pair.requireRestorable(theirs, to: "second") }
                #expect(try await cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
            }
        }
    }
}
