import Foundation
import RepositoryFormats
import TestSupport
import Testing

extension SideBySide {
    /// Equal repositories, expired by us and by pgBackRest under the same options, must be equal again: the same
    /// backups, the same WAL, the same history.
    @Suite(.timeLimit(.minutes(30))) struct Retention {
        struct Case: Sendable {
            var options: String
            /// Days since each backup ended, the oldest first.
            var days: [Int] = []
            var damage = Damage.none
            /// Whether it is in the ordinary run too.
            var isCommon = false
        }

        enum Damage: Sendable { case none, missingManifest, unlisted, leftover }

        static let cases = [
            Case(options: "full=1", isCommon: true), Case(options: "full=2"), Case(options: "full=3"),
            Case(options: "full=2 archive=1", isCommon: true), Case(options: "full=9 archive=1"),
            Case(options: "full=9 archive=2"), Case(options: "full=9 archive=9"),
            Case(options: "diff=1"), Case(options: "diff=2"), Case(options: "diff=3"),
            Case(options: "full=2 diff=2"), Case(options: "full=1 diff=1 archive=1 archive-type=incr"),
            Case(options: "archive-type=diff"), Case(options: "diff=2 archive-type=diff", isCommon: true),
            Case(options: "archive=1 archive-type=diff"), Case(options: "archive=2 archive-type=diff"),
            Case(options: "archive=4 archive-type=diff"), Case(options: "full=1 archive=9 archive-type=diff"),
            Case(options: "archive-type=incr"), Case(options: "archive=1 archive-type=incr"),
            Case(options: "archive=3 archive-type=incr"), Case(options: "full=2 archive=5 archive-type=incr"),
            Case(options: "full=5 full-type=time", days: [30, 20, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0]),
            Case(
                options: "full=5 full-type=time", days: [30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19],
                isCommon: true),
            Case(options: "full=50 full-type=time", days: [30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19]),
            Case(
                options: "full=5 full-type=time archive=1",
                days: [30, 20, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0]),
            Case(
                options: "full=5 full-type=time diff=1 archive-type=diff",
                days: [30, 20, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0]),
            Case(options: "full=2 history=0"), Case(options: "full=2 history=1"),
            Case(options: "full=1 history=9999"),
            Case(options: "full=2", damage: .missingManifest, isCommon: true),
            Case(options: "full=9 archive=1 archive-type=incr", damage: .missingManifest),
            Case(options: "full=2", damage: .unlisted), Case(options: "full=9", damage: .unlisted),
            Case(options: "full=9 history=0", damage: .leftover, isCommon: true),
        ]

        @Test(
            "the same backups and the same WAL remain",
            arguments: Combination.runsAll ? [(15, "2.45"), (17, "2.55")] : [(15, "2.55")])
        func sameRemains(major: Int, version: String) async throws {
            guard TestRequirement.required([.postgres(major)]) else { return }
            let steps = Combination.runsAll ? "F D I I F D I ^ D I F D I" : "F D I ^ F I D I F"
            let bundle = version == "2.55" && major != 15 ? ["repo1-bundle": "y"] : [:]
            try await withSeries(major, version: version, BackupSeries.Step.list(steps), options: bundle) { series in
                try await addHistory(series)
                let cases = Self.cases.filter { $0.isCommon || Combination.runsAll }
                var removals = 0
                for (index, test) in cases.enumerated() {
                    if try await check("case\(index)", test, series) { removals += 1 }
                }
                // A table under which nothing goes would prove nothing.
                #expect(removals * 3 > cases.count * 2, "\(removals) of \(cases.count)")
                let sets = Combination.runsAll ? series.labels : [series.labels[1], series.labels[3]] + ["last"]
                for (index, set) in sets.enumerated() {
                    let label = set == "last" ? series.labels[series.labels.count - 1] : set
                    try await checkSet("set\(index)", label, series)
                }
            }
        }

        @Test("after an upgrade the same remains, too", .enabled(if: Combination.runsAll))
        func upgraded() async throws {
            try await withSeries(17, version: "2.55", BackupSeries.Step.list("F D F I U F I D F I")) { series in
                for full in 1...4 {
                    for other in ["", " archive=1", " archive=2 archive-type=incr", " archive=2 archive-type=diff"] {
                        let test = Case(options: "full=\(full)\(other)")
                        try await check("case\(full)\(other.count)", test, series)
                    }
                }
                for (index, label) in series.labels.enumerated() {
                    try await checkSet("set\(index)", label, series)
                }
            }
        }

        /// Whether anything was removed.
        @discardableResult
        private func check(_ name: String, _ test: Case, _ series: BackupSeries) async throws -> Bool {
            let (ours, theirs) = try await series.copies(name)
            for directory in [ours.backupDirectory, theirs.backupDirectory] {
                try await damage(directory, test, series)
            }
            let options = test.options.split(separator: " ").map { "--repo1-retention-\($0)" }
            return try await compare(ours, theirs, options, "\(test)")
        }

        private func checkSet(_ name: String, _ label: String, _ series: BackupSeries) async throws {
            let (ours, theirs) = try await series.copies(name)
            let options = ["--repo1-retention-full=9", "--repo1-retention-archive=1", "--set=\(label)"]
            try await compare(ours, theirs, options, "set \(label)")
        }

        @discardableResult
        private func compare(
            _ ours: BackupSeries.Copy<Permafrost>, _ theirs: BackupSeries.Copy<PgBackRest>, _ options: [String],
            _ comment: Comment
        ) async throws -> Bool {
            let before = try ours.contents()
            let dry = try await ours.tool.run("expire", options + ["--dry-run"], expecting: nil)
            #expect(try ours.contents() == before, comment)
            let we = try await ours.tool.run("expire", options, expecting: nil)
            let they = try await theirs.tool.run("expire", options, expecting: nil)
            #expect((we.status == 0) == (they.status == 0), "\(comment)\n\(we)\n\(they)")
            #expect(dry.status == we.status, comment)
            let (left, expected) = (try ours.contents(), try theirs.contents())
            #expect(
                left == expected,
                "\(comment): only ours: \(left.subtracting(expected).sorted()), only theirs: \(expected.subtracting(left).sorted())"
            )
            // One program says the same of both.
            let listed = try await theirs.tool.run("info", ["--output=json", "--log-level-console=off"]).output
            let ofOurs = theirs.tool.with(ours.tool.layout)
            #expect(
                try await ofOurs.run("info", ["--output=json", "--log-level-console=off"]).output == listed, comment)
            // Neither finds anything more to expire.
            guard we.status == 0, !options.contains(where: { $0.hasPrefix("--set") }) else { return left != before }
            try await ours.tool.run("expire", options)
            #expect(try ours.contents() == left, comment)
            try await ofOurs.run("expire", options)
            #expect(try ours.contents() == left, comment)
            return left != before
        }

        /// Manifests of backups that are long gone.
        private func addHistory(_ series: BackupSeries) async throws {
            let history = "\(series.pair.backupDirectory)/backup.history"
            let year = try #require(
                FileManager.default.contentsOfDirectory(atPath: history).filter { $0.first == "2" }.max())
            for label in ["20190101-000000F", "20191231-000000F_20200101-000000D", "\(year)0101-000000F"] {
                let directory = "\(history)/\(label.prefix(4))"
                try await asServerUser("mkdir", ["-p", directory])
                try await asServerUser("touch", ["\(directory)/\(label).manifest.gz"])
            }
        }

        private func damage(_ directory: String, _ test: Case, _ series: BackupSeries) async throws {
            let labels = series.labels
            switch test.damage {
            case .none: break
            case .missingManifest:
                try await asServerUser("rm", ["\(directory)/\(labels[1])/backup.manifest"])
            case .unlisted:
                try changeBackupInfo(directory) { $0.backups.removeLast(2) }
            case .leftover:
                for label in ["20190101-000000F", "\(labels[0])_20190102-000000D"] {
                    try await asServerUser("mkdir", ["-p", "\(directory)/\(label)/pg_data"])
                    try await asServerUser("touch", ["\(directory)/\(label)/pg_data/PG_VERSION"])
                }
            }
            guard !test.days.isEmpty else { return }
            let now = Int64(Date.now.timeIntervalSince1970)
            try changeBackupInfo(directory) { info in
                for (index, days) in zip(info.backups.indices, test.days) {
                    info.backups[index].timestampStart = now - Int64(days) * 86400 - 60
                    info.backups[index].timestampStop = now - Int64(days) * 86400 - 30
                }
            }
        }

        @Test("pgBackRest keeps the notes that we set, and we those that it sets")
        func annotations() async throws {
            try await withSeries(15, version: "2.55", BackupSeries.Step.list("F D")) { series in
                let (ours, theirs) = (series.pair.ours, series.pair.theirs)
                let set = "--set=\(series.labels[1])"
                let said = try await ours.run(
                    "annotate", [set, "--annotation=hold=audit=2026", "--annotation=number="])
                #expect(said.log.contains("pgBackRest does not know holds"))
                try await theirs.run("annotate", [set, "--annotation=who=\"me\""])
                func notes(_ tool: some BackupTool) async throws -> [String: String] {
                    let backups = try #require(try await series.pair.info(tool)["backup"] as? [[String: Any]])
                    return backups.last?["annotation"] as? [String: String] ?? [:]
                }
                #expect(try await notes(ours) == ["hold": "audit=2026", "who": "\"me\""])
                #expect(try await notes(theirs) == notes(ours))
                // We heed it, and what it rests on; then pgBackRest does not.
                let refused = try await ours.run("expire", ["--set=\(series.labels[1])"], expecting: 75)
                #expect(refused.log.contains("--annotation=hold="))
                try await ours.run("expire", ["--repo1-retention-diff=1"])
                #expect(try await series.pair.requireSameLabels() == series.labels)
                let next = try await series.pair.backup(theirs, "diff")
                try await theirs.run("expire", ["--repo1-retention-diff=1"])
                #expect(try await series.pair.requireSameLabels() == [series.labels[0], next])
                // A hold from the start is known from the start.
                let made = try await ours.run(
                    "backup", ["--type=full", "--annotation=hold=quarter", "--repo1-retention-full=9"])
                #expect(made.log.contains("pgBackRest does not know holds"))
                #expect(try await notes(theirs)["hold"] == "quarter")
                let held = try await ours.run("expire", ["--repo1-retention-full=1", "--dry-run"])
                #expect(held.stdout.contains("held: quarter"), "\(held)")
                #expect(held.stdout.contains("0 backups expire"), "\(held)")
            }
        }
    }
}
