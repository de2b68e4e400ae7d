import TestSupport
import Testing

extension OursFirst {
    /// Each removes backups of the other and leaves a repository that the other finds good.
    @Suite(.timeLimit(.minutes(10))) struct Expire {
        @Test(
            "we expire backups of pgBackRest",
            arguments: Combination.eachMajor(Combination(major: 17, compress: "lz4", bundles: true)))
        func expiresTheirs(_ row: Combination) async throws {
            let bundles = row.bundles ? ["repo1-bundle": "y"] : [:]
            try await withPair(row.major, options: ["compress-type": row.compress], theirOptions: bundles) { pair in
                let (ours, theirs) = (pair.ours, pair.theirs)
                try await theirs.run("stanza-create")
                try await theirs.archive(from: pair.cluster)
                var labels: [String] = []
                for type in ["full", "diff", "incr", "full", "diff", "incr"] {
                    try await pair.cluster.query("INSERT INTO note SELECT 0, 'more'")
                    labels.append(try await pair.backup(theirs, type))
                }
                // A full backup goes with all that stands on it.
                try await ours.run("expire", ["--repo1-retention-full=1"])
                #expect(try await pair.requireSameLabels() == Array(labels[3...]))
                try await requireNoOldSegments(pair)
                try await pair.verify()
                try await theirs.run("check")
                try await ours.run("check")

                // So does a differential one.
                try await ours.run("expire", ["--set=\(labels[4])"])
                #expect(try await pair.requireSameLabels() == [labels[3]])
                try await pair.verify()
                let next = try await pair.backup(theirs, "incr")
                #expect(next.hasPrefix("\(labels[3])_"))
                try await pair.requireRestorable(theirs, to: "restored")
            }
        }

        @Test(
            "pgBackRest expires backups of ours, and we what it made on top of them",
            arguments: Combination.eachMajor(Combination(major: 15, compress: "zst")))
        func expiresOurs(_ row: Combination) async throws {
            try await withPair(row.major, options: ["compress-type": row.compress]) { pair in
                let (ours, theirs) = (pair.ours, pair.theirs)
                try await ours.run("stanza-create")
                try await ours.archive(from: pair.cluster)
                var labels: [String] = []
                for _ in 0..<2 {
                    labels.append(try await pair.backup(ours))
                    try await pair.cluster.query("INSERT INTO note SELECT 0, 'more'")
                    labels.append(try await pair.backup(theirs, "incr"))
                }
                labels.append(try await pair.backup(ours))
                try await theirs.run("expire", ["--repo1-retention-full=2"])
                #expect(try await pair.requireSameLabels() == Array(labels[2...]))
                try await requireNoOldSegments(pair)
                try await ours.run("expire", ["--repo1-retention-full=1"])
                #expect(try await pair.requireSameLabels() == [labels[4]])
                try await requireNoOldSegments(pair)
                try await pair.verify()
                try await theirs.run("check")
                try await ours.run("check")
                try await pair.requireRestorable(ours, to: "restored")
            }
        }

        /// WAL from before the oldest backup is gone, all since then is there.
        private func requireNoOldSegments(_ pair: Pair) async throws {
            let oldest = try #require((try await pair.info(pair.theirs)["backup"] as? [[String: Any]])?.first)
            let start = try #require((oldest["archive"] as? [String: Any])?["start"] as? String)
            #expect(pair.archivedSegments.first == start)
        }
    }
}
