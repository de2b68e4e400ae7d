import Foundation
import TestSupport
import Testing

extension TheirsFirst {
    @Suite(.timeLimit(.minutes(30))) struct RoundTrip {
        @Test(
            "we list, fetch, restore and continue what pgBackRest wrote",
            arguments: Combination.rows(Combination(major: 15, compress: "gz")))
        func roundTrip(_ row: Combination) async throws {
            let bundles = row.bundles ? ["repo1-bundle": "y"] : [:]
            try await withPair(row.major, options: ["compress-type": row.compress], theirOptions: bundles) { pair in
                let (cluster, ours, theirs) = (pair.cluster, pair.ours, pair.theirs)
                try await theirs.run("stanza-create")
                try await theirs.archive(from: cluster)
                try await cluster.pgbench(scale: 1)
                let full = try await pair.backup(theirs)
                try await cluster.pgbench(transactions: 20)
                try await cluster.query("CREATE TABLE later TABLESPACE aside AS SELECT 1 AS i; CREATE TABLE empty ()")
                let diff = try await pair.backup(theirs, "diff")
                try await cluster.pgbench(transactions: 20)
                try await cluster.query("DROP TABLE later; DELETE FROM note WHERE i % 2 = 0")
                let incr = try await pair.backup(theirs, "incr")
                try await cluster.pgbench(transactions: 5)
                let expected = try await pair.dump(cluster)
                try await pair.archive()

                try await ours.run("check")
                let text = try await ours.run("info").stdout
                for line in ["status: ok", "full backup: \(full)", "diff backup: \(diff)", "incr backup: \(incr)"] {
                    #expect(text.contains(line), "\(text)")
                }
                try await requireSameInfo(pair)
                try await requireSameSegments(pair)

                for (name, label) in [("full", full), ("diff", diff), ("incr", incr)] {
                    _ = try await pair.restore(theirs, to: "their-\(name)", ["--set=\(label)"])
                    let mine = try await pair.restore(ours, to: "our-\(name)", ["--set=\(label)"])
                    // Those of 2.45 still have the checkpoint of the time when the file was copied.
                    let exempt = theirs.version == "2.45" ? ["global/pg_control"] : []
                    for suffix in ["", "-spaces"] {
                        try requireSameDirectory(
                            pair.scratch.subpath("our-\(name)\(suffix)"),
                            pair.scratch.subpath("their-\(name)\(suffix)"), exempt: exempt)
                    }
                    if label == incr || (Combination.runsAll && label == diff) {
                        try await pair.requireHolds(mine, expected)
                    }
                }

                // We go on, and they go on from there.
                let second = try await pair.backup(ours)
                #expect(try await pair.requireSameLabels() == [full, diff, incr, second])
                try await requireSameInfo(pair)
                try await pair.verify()
                let third = try await pair.backup(theirs, "incr")
                #expect(third.hasPrefix("\(second)_"))
                try await pair.requireRestorable(ours, to: "third")
                #expect(try await cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
            }
        }
    }
}

/// All that pgBackRest's `info` says, ours says too; it may say more.
private func requireSameInfo(_ pair: Pair) async throws {
    let (mine, theirs) = try await (pair.info(pair.ours), pair.info(pair.theirs))
    #expect(differences(mine, theirs, at: "") == [])
}

private func differences(_ mine: Any?, _ theirs: Any, at place: String) -> [String] {
    switch (mine, theirs) {
    case (let mine as [String: Any], let theirs as [String: Any]):
        theirs.sorted { $0.key < $1.key }.flatMap { differences(mine[$0.key], $0.value, at: "\(place).\($0.key)") }
    case (let mine as [Any], let theirs as [Any]) where mine.count == theirs.count:
        zip(mine, theirs).enumerated().flatMap { differences($1.0, $1.1, at: "\(place)[\($0)]") }
    case (let mine as NSObject, let theirs as NSObject) where mine == theirs: []
    default: ["\(place): \(mine.map { "\($0)" } ?? "nothing") instead of \(theirs)"]
    }
}

/// Each segment in the archive comes out the same through either program.
private func requireSameSegments(_ pair: Pair) async throws {
    let segments = pair.archivedSegments
    #expect(segments.count >= 3)
    let (mine, theirs) = (pair.scratch.subpath("segment-ours"), pair.scratch.subpath("segment-theirs"))
    for segment in segments {
        try await pair.ours.get(segment, to: mine)
        try await pair.theirs.get(segment, to: theirs)
        #expect(try content(mine) == content(theirs), "\(segment)")
    }
}

/// Two restored directories have the same entries, with the same modes, times and content; apart from links to
/// tablespaces, which go each to its own directory, and from `restore_command`.
func requireSameDirectory(_ mine: String, _ theirs: String, exempt: [String]) throws {
    let (left, right) = try (entries(mine), entries(theirs))
    #expect(left.keys.sorted() == right.keys.sorted())
    let others = try left.filter { path, facts in
        guard let other = right[path] else { return true }
        if facts != other { return true }
        guard facts.type == .typeRegular, !exempt.contains(path) else { return false }
        let (a, b) = ("\(mine)/\(path)", "\(theirs)/\(path)")
        if path == "postgresql.auto.conf" { return try settings(a) != settings(b) }
        return !FileManager.default.contentsEqual(atPath: a, andPath: b)
    }
    #expect(others.keys.sorted() == [], "in \(mine) and \(theirs)")
}

private struct EntryFacts: Equatable {
    var type: FileAttributeType
    var mode: Int
    var owner: String
    /// Seconds since 1970; 0 for what a restore itself makes or changes.
    var modified: Int
}

private func entries(_ directory: String) throws -> [String: EntryFacts] {
    let paths = try FileManager.default.subpathsOfDirectory(atPath: directory)
    return try Dictionary(
        uniqueKeysWithValues: paths.map { path in
            let facts = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(path)")
            let type = try #require(facts[.type] as? FileAttributeType)
            let isCopied = type == .typeRegular && !["postgresql.auto.conf", "recovery.signal"].contains(path)
            let modified = try #require(facts[.modificationDate] as? Date)
            return try (
                path,
                EntryFacts(
                    type: type, mode: #require(facts[.posixPermissions] as? Int),
                    owner: #require(facts[.ownerAccountName] as? String),
                    modified: isCopied ? Int(modified.timeIntervalSince1970) : 0)
            )
        })
}

/// The lines of a configuration file that set something, apart from the command that differs by program.
private func settings(_ path: String) throws -> [String] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
        .filter { !$0.hasPrefix("#") && !$0.hasPrefix("restore_command") }
}
