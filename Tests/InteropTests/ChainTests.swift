import Foundation
import TestSupport
import Testing

/// Chains of backups that the two programs write in turns. One test at a time: each has servers.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(30)),
    .requires(.permafrost, .postgres(15), .pgBackRest("2.45"), .pgBackRest("2.55")))
struct Chains {
    struct Row: Sendable, CustomTestStringConvertible {
        var major: Int
        var options: [String: String]
        /// Who makes the full backup.
        var weBegin = true
        var testDescription: String {
            "PostgreSQL \(major), \(weBegin ? "ours" : "theirs") first, "
                + options.sorted { $0.key < $1.key }.filter { !$0.key.hasSuffix("-pass") }.map {
                    "\($0.key)=\($0.value)"
                }.joined(separator: " ")
        }
    }

    static let bundle = ["repo1-bundle": "y", "repo1-bundle-size": "1MiB", "process-max": "2"]
    static let block = bundle.merging(["repo1-block": "y"]) { $1 }
    static let cipher = ["repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "correct horse battery staple"]
    static let rows = (Combination.runsAll ? allRows : [allRows[7]])
        .filter { TestRequirement.required([.postgres($0.major)]) }

    private static let allRows = [
        Row(major: 15, options: ["compress-type": "gz"]),
        Row(major: 15, options: ["compress-type": "none"], weBegin: false),
        Row(major: 15, options: bundle.merging(["compress-type": "zst"]) { $1 }),
        Row(major: 17, options: bundle.merging(["compress-type": "lz4"]) { $1 }, weBegin: false),
        Row(major: 17, options: block.merging(["compress-type": "zst"]) { $1 }),
        Row(
            major: 17, options: block.merging(["compress-type": "gz", "repo1-bundle-limit": "64KiB"]) { $1 },
            weBegin: false),
        Row(major: 15, options: bundle.merging(cipher) { $1 }.merging(["compress-type": "gz"]) { $1 }),
        Row(major: 17, options: block.merging(cipher) { $1 }.merging(["compress-type": "zst"]) { $1 }),
        Row(
            major: 18, options: block.merging(cipher) { $1 }.merging(["compress-type": "none"]) { $1 }, weBegin: false),
    ]

    @Test("each backup of the chain is what the server held, whoever made it and whoever restores it", arguments: rows)
    func turns(_ row: Row) async throws {
        try await withPair(row.major, options: row.options) { pair in
            let (cluster, ours, theirs) = (pair.cluster, pair.ours, pair.theirs)
            try await ours.run("stanza-create")
            try await ours.archive(from: cluster)
            try await cluster.pgbench(scale: 2)
            var dumps: [(label: String, dump: String)] = []
            for (round, type) in ["full", "diff", "incr", "incr", "diff", "incr", "incr"].enumerated() {
                try await change(cluster, round)
                let isOurs = (round % 2 == 0) == row.weBegin
                let label =
                    isOurs
                    ? try await pair.backup(ours, type) : try await pair.backup(theirs, type)
                dumps.append((label, try await pair.dump(cluster)))
            }
            let labels = dumps.map(\.label)
            #expect(try await pair.requireSameLabels() == labels)
            #expect(labels.map { $0.last } == ["F", "D", "I", "I", "D", "I", "I"])
            try await pair.verify()
            try await pair.archive()
            for (index, (label, dump)) in dumps.enumerated() where Combination.runsAll || index % 3 == 0 {
                let immediate = ["--set=\(label)", "--type=immediate", "--target-action=promote"]
                let restored = try await pair.restore(theirs, to: "theirs-\(index)", immediate)
                let mine = try await pair.restore(ours, to: "ours-\(index)", immediate)
                let exempt = theirs.version == "2.45" ? ["global/pg_control"] : []
                for suffix in ["", "-spaces"] {
                    try requireSameDirectory(
                        pair.scratch.subpath("ours-\(index)\(suffix)"),
                        pair.scratch.subpath("theirs-\(index)\(suffix)"), exempt: exempt)
                }
                try await pair.requireHolds(index % 2 == 0 ? restored : mine, dump)
                for name in ["theirs-\(index)", "ours-\(index)"] {
                    for suffix in ["", "-spaces"] {
                        try FileManager.default.removeItem(atPath: pair.scratch.subpath(name + suffix))
                    }
                }
            }
            #expect(try await cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
        }
    }

    /// Tables written, cut, dropped, made, vacuumed, moved.
    private func change(_ cluster: PostgresCluster, _ round: Int) async throws {
        try await cluster.pgbench(transactions: 30)
        try await cluster.query(
            """
            CREATE TABLE t\(round) AS SELECT i, repeat('x\(round)', 50) AS t FROM generate_series(1, 2000) AS i;
            CREATE TABLE empty\(round) (i int);
            INSERT INTO note SELECT i, 'round \(round)' FROM generate_series(1, 100) AS i;
            CREATE TABLE moved\(round) TABLESPACE aside AS SELECT * FROM t\(round);
            """)
        if round > 0 { try await cluster.query("TRUNCATE t\(round - 1); DROP TABLE moved\(round - 1)") }
        if round == 3 { try await cluster.query("VACUUM FULL pgbench_accounts") }
        if round == 4 { try await cluster.query("UPDATE pgbench_accounts SET abalance = 7 WHERE aid % 9000 = 0") }
        try await cluster.query("CHECKPOINT")
    }

    @Test("one pass fills two repositories, each of which pgBackRest goes on with")
    func twoRepositories() async throws {
        try await withCluster(17) { cluster in
            let layout = try RepositoryLayout(
                for: cluster, repositories: 2,
                options: ["compress-type": "zst", "repo2-bundle": "y", "repo2-block": "y", "process-max": "2"])
            let ours = try Permafrost(layout: layout, alias: true)
            let theirs = try PgBackRest(version: "2.55", layout: layout)
            try await ours.run("stanza-create")
            try await ours.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            try await ours.run("backup", ["--type=full", "--repo=all"])
            try await cluster.pgbench(transactions: 50)
            try await theirs.run("backup", ["--type=incr", "--repo=2"])
            try await cluster.pgbench(transactions: 50)
            try await ours.run("backup", ["--type=incr", "--repo=1", "--repo=2"])
            let dump = try await cluster.dump()
            try await cluster.waitForArchived(try await cluster.switchWAL())
            for key in [1, 2] {
                let labels = try FileManager.default.contentsOfDirectory(
                    atPath: "\(layout.repositoryPaths[key - 1])/backup/main"
                ).filter { $0.first == "2" }.sorted()
                #expect(labels.count == key + 1 && labels[1].hasPrefix(labels[0]))
                let verified = try await theirs.run("verify", ["--repo=\(key)", "--output=text", "--verbose"])
                #expect(verified.stdout.contains("status: ok"), "\(verified)")
                let name = "restored-\(key)"
                let elsewhere = try layout.changed(
                    name: name, stanzaOptions: ["pg1-path": cluster.scratch.makeDirectory(name)])
                try await theirs.with(elsewhere).run("restore", ["--repo=\(key)"])
                let restored = try cluster.restored(at: cluster.scratch.subpath(name))
                try await restored.start()
                try await restored.waitForRecoveryEnd()
                #expect(try await restored.dump() == dump)
                try await restored.stop()
            }
        }
    }
}
