import Foundation
import TestSupport
import Testing

extension TheirsFirst {
    /// Repositories that pgBackRest wrote: what is sound is found sound, and both find the same damage.
    @Suite(.timeLimit(.minutes(20))) struct Verifying {
        struct Row: Sendable, CustomTestStringConvertible {
            var major: Int
            var options: [String: String]
            var testDescription: String { "PostgreSQL \(major), \(options.sorted { $0.key < $1.key })" }
        }

        private static let rows = [
            Row(major: 15, options: ["compress-type": "none"]),
            Row(
                major: 17,
                options: ["compress-type": "zst", "repo1-bundle": "y", "repo1-block": "y"]),
            Row(
                major: 15,
                options: [
                    "compress-type": "gz", "repo1-bundle": "y", "repo1-block": "y",
                    "repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "not-so-secret",
                ]),
        ]

        @Test(
            arguments: (Combination.runsAll ? rows : [rows[2]]).filter {
                TestRequirement.required([.postgres($0.major)])
            })
        func bothFindTheSame(_ row: Row) async throws {
            try await withPair(row.major, version: "2.55", theirOptions: row.options) { pair in
                let (cluster, theirs) = (pair.cluster, pair.theirs)
                let ours = pair.ours.with(theirs.layout)
                try await theirs.run("stanza-create")
                try await theirs.archive(from: cluster)
                try await cluster.pgbench(scale: 1)
                let full = try await pair.backup(theirs, "full", ["--archive-copy"])
                try await cluster.pgbench(transactions: 20)
                let diff = try await pair.backup(theirs, "diff")
                try await cluster.pgbench(transactions: 20)
                let incr = try await pair.backup(theirs, "incr")
                try await pair.archive()

                try await requireSameOutput(ours, theirs, labels: [full, diff, incr])
                let sound = try await requireSameCounts(ours, theirs, status: 0)
                #expect(sound.contains("status: ok") && sound.contains("recovery possible on timeline 1"), "\(sound)")
                try await ours.run("verify", ["--set=\(incr)", "--verbose", "--output=text"])

                // One after the other: each is put back.
                let repository = pair.layout.repositoryPaths[0]
                let objects = FileManager.default.enumerator(atPath: repository)?.compactMap { $0 as? String } ?? []
                func object(_ what: String, _ test: (String) -> Bool) throws -> String {
                    try #require(objects.sorted().first { test($0) }, "no \(what) in \(objects)")
                }
                var damaged = [
                    try object("segment") { $0.contains("/0000000100000000/") && $0.contains("-") },
                    try object("manifest") { $0.hasSuffix("\(full)/backup.manifest") },
                    try object("copy") { $0.hasSuffix("\(diff)/backup.manifest.copy") },
                ]
                if row.options["repo1-bundle"] == nil {
                    damaged.append(try object("file") { $0.hasSuffix("\(full)/pg_data/base/1/1259") })
                } else {
                    damaged.append(try object("bundle") { $0.hasSuffix("\(full)/bundle/1") })
                    damaged.append(try object("blocks") { $0.contains("\(full)/") && $0.hasSuffix(".pgbi") })
                }
                for path in damaged {
                    let file = "\(repository)/\(path)"
                    let good = try content(file)
                    var bad = good
                    bad[bad.count / 2] ^= 0x20
                    try overwrite(file, bad)
                    let name = path.split(separator: "/").suffix(3).joined(separator: "/")
                    // pgBackRest tries what it cannot decompress three times, with pauses.
                    let theirFinding = try await theirs.run(
                        "verify", ["--output=text", "--job-retry=0", "--log-level-console=detail"],
                        timeout: .seconds(120))
                    let short = String(path.split(separator: "/").suffix(2).joined(separator: "/"))
                    // A copy that differs is no matter to it while the file itself is good.
                    if !path.hasSuffix(".copy") {
                        #expect(theirFinding.log.contains(short), "pgBackRest on \(path): \(theirFinding)")
                    }
                    let ourFinding = try await ours.run("verify", ["--output=text"], expecting: 26)
                    #expect(ourFinding.stdout.contains(name), "\(path): \(ourFinding)")
                    #expect(!ourFinding.log.contains("not-so-secret"))
                    try overwrite(file, good)
                }
                try await ours.run("verify")
            }
        }
    }
}

private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    defer { try? file.close() }
    try file.truncate(atOffset: 0)
    try file.write(contentsOf: Data(bytes))
}

/// As many files, and as many of them good, in each backup; our text.
private func requireSameCounts(_ ours: Permafrost, _ theirs: PgBackRest, status: Int32) async throws -> String {
    let options = ["--output=text", "--verbose", "--log-level-console=warn"]
    let theirText = try await theirs.run("verify", options).stdout
    let ourText = try await ours.run("verify", options, expecting: status).stdout
    let lines = theirText.split(separator: "\n").filter { $0.contains("total") }
    #expect(lines.count >= 4)
    for line in lines { #expect(ourText.contains(line), "'\(line)' is not in \(ourText)") }
    return ourText
}

/// What shows a repository prints the same bytes.
private func requireSameOutput(_ ours: Permafrost, _ theirs: PgBackRest, labels: [String]) async throws {
    let full = labels[0]
    var calls: [(String, [String], [String])] = [
        ("repo-ls", [], []), ("repo-ls", ["--recurse", "--output=json"], []),
        ("repo-ls", ["--recurse", "--sort=desc"], ["backup/main"]),
        ("repo-ls", ["--filter=info|PG_V", "--recurse", "--output=json"], ["backup"]),
        ("repo-ls", ["--output=json"], ["backup/main/backup.info"]), ("repo-ls", ["--output=json"], ["none"]),
        ("repo-get", [], ["backup/main/backup.info"]), ("repo-get", ["--raw"], ["archive/main/archive.info.copy"]),
        ("repo-get", [], ["backup/main/\(full)/backup.manifest"]),
        ("repo-get", [], ["backup/main/backup.history/\(full.prefix(4))/\(full).manifest.gz"]),
        ("repo-get", ["--raw"], ["backup/main/\(full)/backup.manifest"]),
        ("repo-get", ["--ignore-missing"], ["backup/main/\(full)/none"]),
    ]
    for label in labels {
        calls.append(("manifest", ["--set=\(label)", "--output=json"], []))
        // pgBackRest knows what a backup holds itself as "latest" only.
        let reference = label == full ? "latest" : full
        calls.append(("manifest", ["--set=\(label)", "--reference=\(reference)", "--output=json"], []))
        for file in ["pg_data/global/pg_control", "pg_data/pg_hba.conf"] {
            calls.append(("manifest", ["--set=\(label)", "--filter=\(file)", "--output=json"], []))
        }
    }
    // One of each kind that is stored in blocks, with its spread.
    let manifest = try await run(theirs, "manifest", ["--set=\(labels[2])", "--output=json"], []).stdout
    for file in manifest.split(separator: "{\"name\":\"").dropFirst().filter({ $0.contains(",\"block\":{") }).suffix(3)
    {
        calls.append(
            ("manifest", ["--set=\(labels[2])", "--filter=\(file.prefix { $0 != "\"" })", "--output=json"], []))
    }
    for (command, options, parameters) in calls {
        let theirResult = try await run(theirs, command, options, parameters)
        let ourResult = try await run(ours, command, options, parameters)
        #expect(ourResult.status == theirResult.status, "\(command) \(options) \(parameters): \(ourResult)")
        #expect(
            ourResult.output.elementsEqual(theirResult.output),
            "\(command) \(options) \(parameters): \(ourResult.stdout.prefix(500)) instead of \(theirResult.stdout.prefix(500))"
        )
    }
}

private func run(
    _ tool: some BackupTool, _ command: String, _ options: [String], _ parameters: [String]
) async throws -> ProcessResult {
    let stanza = command == "manifest" ? ["--stanza=\(tool.layout.stanza)"] : []
    return try await ProcessRunner.run(
        tool.executable, ["--config=\(tool.layout.configFile)"] + stanza + options + [command] + parameters,
        asUser: ProcessRunner.serverUser, directory: tool.layout.scratch.path)
}
