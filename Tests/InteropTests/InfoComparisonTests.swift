import Foundation
import RepositoryFormats
import TestSupport
import Testing

extension SideBySide {
    /// `info` of both programs on the same repositories, byte for byte, apart from what is newer than pgBackRest 2.55.
    @Suite(.timeLimit(.minutes(10))) struct InfoComparison {
        @Test("info says the same", arguments: Combination.eachMajor(Combination(major: 15, compress: "lz4")))
        func same(_ row: Combination) async throws {
            let blocks = row.major > 15 ? ["repo1-bundle": "y", "repo1-block": "y"] : [:]
            let steps = BackupSeries.Step.list("F D I F I")
            try await withSeries(row.major, version: "2.55", steps, options: blocks) { series in
                let sets = series.labels.map { "--set=\($0)" } + ["--set=20200101-000000F"]
                let types = ["full", "diff", "incr"].map { "--type=\($0)" }
                let pair = series.pair
                try await compare(pair.layout, [""] + sets + types + ["--repo=1"], pair)

                // A second repository in each of its states.
                try await state("expired", series) { path in
                    let expired = try pair.layout.changed(name: "expiring", options: ["repo1-path": path])
                    try await pair.theirs.with(expired).run("expire", ["--repo1-retention-full=1"])
                }
                try await state("no-path", series) { try await asServerUser("rm", ["-rf", "\($0)/backup/main"]) }
                try await state("no-data", series) { path in
                    for name in ["backup.info", "backup.info.copy"] {
                        try await asServerUser("rm", ["\(path)/backup/main/\(name)"])
                    }
                }
                try await state("no-backup", series) { path in
                    try changeBackupInfo("\(path)/backup/main") { $0.backups = [] }
                }
                try await state("no-wal", series) { path in
                    try await asServerUser("rm", ["-r", "\(path)/archive/main/\(row.major)-1"])
                }
                try await state("one-file", series) { path in
                    try await asServerUser("rm", ["\(path)/backup/main/backup.info"])
                }
            }
        }

        @Test("info says the same after an upgrade", .enabled(if: Combination.runsAll))
        func upgraded() async throws {
            try await withSeries(17, version: "2.55", BackupSeries.Step.list("F I")) { series in
                let old = series.pair.scratch.subpath("old")
                try await asServerUser("cp", ["-a", series.pair.layout.repositoryPaths[0], old])
                // pgBackRest of the same scratch goes on in a stanza of another cluster.
                let cluster = try await PostgresCluster.create(
                    series.pair.cluster.installation, in: series.pair.scratch, name: "data-2",
                    options: ClusterOptions(walSegmentSize: 1))
                let layout = try series.pair.layout.changed(
                    name: "second", stanzaOptions: ["pg1-path": cluster.dataDirectory])
                try await series.pair.theirs.with(layout).run("stanza-upgrade", ["--no-online"])
                let both = try series.pair.layout.changed(name: "both", options: ["repo2-path": old])
                try await compare(both, ["", "--repo=1", "--repo=2", "--set=\(series.labels[1])"], series.pair)
                try await series.pair.theirs.with(layout).run("backup", ["--no-online", "--type=full", "--repo=1"])
                try await compare(both, ["", "--repo=1", "--type=full"], series.pair)
            }
        }

        private func state(
            _ name: String, _ series: BackupSeries, _ change: (String) async throws -> Void
        ) async throws {
            let path = series.pair.scratch.subpath("second-\(name)")
            try await asServerUser("cp", ["-a", series.pair.layout.repositoryPaths[0], path])
            try await change(path)
            let both = try series.pair.layout.changed(
                name: "both-\(name)", options: ["repo2-path": path, "repo2-retention-full": "9999999"])
            let options = ["", "--repo=2", "--set=\(series.labels[1])", "--type=incr"]
            try await compare(both, Combination.runsAll ? options : Array(options.prefix(3)), series.pair)
        }

        private func compare(_ layout: RepositoryLayout, _ options: [String], _ pair: Pair) async throws {
            for option in options {
                for output in ["json", "text"] {
                    if output == "text", option.contains("set=20200101") { continue }
                    let arguments =
                        (option.isEmpty ? [] : [option]) + ["--output=\(output)", "--log-level-console=off"]
                    let ours = try await pair.ours.with(layout).run("info", arguments)
                    let theirs = try await pair.theirs.with(layout).run("info", arguments)
                    #expect(
                        normalized(ours.stdout) == normalized(theirs.stdout),
                        "\(arguments) with \(layout.configFile)")
                }
            }
        }

        /// 2.59 tells of restores too, and rounds sizes in text otherwise than 2.55, whose bytes JSON has. We end JSON
        /// with a newline.
        private func normalized(_ text: String) -> String {
            text.replacing(#","restore":{"held":false}"#, with: "")
                .replacing(/: [0-9.]+(KB|MB|GB)/) { ": \($0.output.1)" }.trimmingCharacters(in: .newlines)
        }
    }
}
