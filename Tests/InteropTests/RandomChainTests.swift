import Foundation
import TestSupport
import Testing

/// A chain of backups that both programs write by turns, as the dice fall.
///
/// All that is random comes from one seed, which is printed: `PERMAFROST_SEED=<seed>` runs that chain again.
struct ChainSeed: Sendable, CustomTestStringConvertible {
    /// Of PostgreSQL.
    var major: Int
    /// Of pgBackRest.
    var version: String
    var seed: UInt64

    var testDescription: String { "PostgreSQL \(major), pgBackRest \(version), PERMAFROST_SEED=\(seed)" }

    /// One chain, or ten with `PERMAFROST_ALL=1`; with `PERMAFROST_SEED` only that one, on either version.
    static let all: [ChainSeed] = {
        let given = ProcessInfo.processInfo.environment["PERMAFROST_SEED"].flatMap(UInt64.init)
        let count = given == nil && Combination.runsAll ? 5 : 1
        return (0..<count).flatMap { _ in
            (Combination.runsAll || given != nil ? [(15, "2.45"), (17, "2.55")] : [(17, "2.55")]).map {
                major, version in
                ChainSeed(major: major, version: version, seed: given ?? UInt64.random(in: 1..<1_000_000))
            }
        }.filter { TestRequirement.required([.postgres($0.major)]) }
    }()
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// True once in `n` times.
    mutating func oneIn(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &self) == 0 }
    mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int.random(in: 0..<choices.count, using: &self)]
    }
}

@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(30)),
    .requires(.permafrost, .postgres(15), .postgres(17), .pgBackRest("2.45"), .pgBackRest("2.55")))
struct RandomChainTests {
    @Test(arguments: ChainSeed.all)
    func everyBackupRestores(_ seed: ChainSeed) async throws {
        print("random chain: \(seed.testDescription)")
        var dice = Dice(seed: seed.seed)
        let options = settings(seed.version, &dice)
        print("    \(options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))")
        try await withPair(seed.major, version: seed.version, options: options) { pair in
            var chain = Chain(pair: pair, dice: dice)
            try await chain.start()
            for _ in 0..<(Combination.runsAll ? 9 : 6) { try await chain.step() }
            try await chain.requireAllRestorable()
        }
    }

    /// Fixed for the repository.
    private func settings(_ version: String, _ dice: inout Dice) -> [String: String] {
        var options = ["compress-type": dice.pick(["none", "gz", "lz4", "zst", "bz2"]), "process-max": "2"]
        if dice.oneIn(2) {
            options["repo1-bundle"] = "y"
            if dice.oneIn(2) { options["repo1-bundle-limit"] = dice.pick(["8KiB", "64KiB", "1MiB"]) }
            if version != "2.45", !dice.oneIn(3) { options["repo1-block"] = "y" }
        } else if dice.oneIn(3) {
            options["repo1-hardlink"] = "y"
        }
        if dice.oneIn(3) {
            options["repo1-cipher-type"] = "aes-256-cbc"
            options["repo1-cipher-pass"] = "a pass for \(version)"
        }
        if dice.oneIn(4) { options["delta"] = "y" }
        if dice.oneIn(4) { options["archive-copy"] = "y" }
        return options
    }
}

/// One cluster with its repository, and what each backup must bring back.
private struct Chain {
    let pair: Pair
    var dice: Dice
    private var tables: [String] = []
    private var spaces = ["pg_default", "aside"]
    private var number = 0
    /// Dump at the restore point `after_<n>` that follows a backup.
    private var expected: [(label: String, point: String, dump: String)] = []

    init(pair: Pair, dice: Dice) {
        self.pair = pair
        self.dice = dice
    }

    mutating func start() async throws {
        if dice.oneIn(2) {
            try await pair.ours.run("stanza-create")
        } else {
            try await pair.theirs.run("stanza-create")
        }
        for _ in 0..<3 { try await create() }
    }

    /// The cluster changes, then one of the two backs it up while it goes on changing.
    mutating func step() async throws {
        if dice.oneIn(2) {
            try await pair.ours.archive(from: pair.cluster)
        } else {
            try await pair.theirs.archive(from: pair.cluster)
        }
        for _ in 0..<Int.random(in: 1...4, using: &dice) { try await change() }
        if dice.oneIn(2) { try await pair.cluster.query("CHECKPOINT") }
        let type = expected.isEmpty ? "full" : dice.pick(["full", "diff", "diff", "incr", "incr", "incr"])
        let label = try await backup(type)
        number += 1
        let point = "after_\(number)"
        try await pair.cluster.query("SELECT pg_create_restore_point('\(point)')")
        expected.append((label, point, try await pair.dump(pair.cluster)))
        try await pair.archive()
        if dice.oneIn(5) { try await expire() }
    }

    private mutating func backup(_ type: String) async throws -> String {
        let isOurs = dice.oneIn(2)
        let cluster = pair.cluster
        try await cluster.query("CREATE TABLE IF NOT EXISTS busy (i int, t text)")
        let writing = Task {
            var i = 0
            while !Task.isCancelled {
                i += 1
                _ = try? await cluster.query(
                    "INSERT INTO busy SELECT \(i), repeat('b', 500) FROM generate_series(1, 20)")
            }
        }
        defer { writing.cancel() }
        let label = isOurs ? try await pair.backup(pair.ours, type) : try await pair.backup(pair.theirs, type)
        writing.cancel()
        _ = await writing.value
        print("    \(label) by \(isOurs ? "permafrost" : "pgBackRest")")
        return label
    }

    private mutating func expire() async throws {
        let options = ["--repo1-retention-full=2"]
        if dice.oneIn(2) {
            try await pair.ours.run("expire", options)
        } else {
            try await pair.theirs.run("expire", options)
        }
        let left = try await pair.requireSameLabels()
        expected.removeAll { !left.contains($0.label) }
        #expect(expected.map(\.label) == left)
    }

    // MARK: Changes

    private mutating func change() async throws {
        guard let table = tables.randomElement(using: &dice) else { return try await create() }
        let share = dice.pick([2, 10, 100])
        let statement: String
        switch Int.random(in: 0..<12, using: &dice) {
        case 0, 1: return try await create()
        case 2: statement = "TRUNCATE \(table)"
        case 3:
            statement = "DROP TABLE \(table)"
            tables.removeAll { $0 == table }
        case 4: statement = "VACUUM \(table)"
        case 5: statement = "VACUUM FULL \(table)"
        case 6: statement = "DELETE FROM \(table) WHERE i % \(share) = 0"
        case 7:
            let space = "space\(number)_\(spaces.count)"
            try await pair.cluster.createTablespace(space)
            spaces.append(space)
            return try await create()
        case 8: statement = "ALTER TABLE \(table) SET TABLESPACE \(dice.pick(spaces))"
        case 9: statement = "CREATE INDEX ON \(table) (i, t)"
        case 10: statement = "INSERT INTO \(table) SELECT i, md5(i::text) FROM generate_series(1, \(rows())) AS i"
        default: statement = "UPDATE \(table) SET t = md5(t || '\(dice.next())') WHERE i % \(share) = 0"
        }
        try await pair.cluster.query(statement)
    }

    private mutating func create() async throws {
        let table = "t\(number)_\(tables.count)_\(dice.next() % 10000)"
        try await pair.cluster.query(
            """
            CREATE TABLE \(table) TABLESPACE \(dice.pick(spaces)) AS
            SELECT i, md5(i::text) AS t FROM generate_series(1, \(rows())) AS i
            """)
        tables.append(table)
    }

    /// From one page to a few MB.
    private mutating func rows() -> Int { dice.pick([1, 100, 3000, 3000, 20000, 60000]) }

    // MARK: Restores

    mutating func requireAllRestorable() async throws {
        let labels = try await pair.requireSameLabels()
        #expect(labels == expected.map(\.label))
        try await pair.verify()
        try await pair.ours.run("verify")
        for backup in expected {
            let isLast = backup.label == expected.last?.label
            let both = [true, false]
            for isOurs in Combination.runsAll || isLast ? both : [dice.oneIn(2)] {
                // Over what the restore before left, at times.
                let options =
                    ["--set=\(backup.label)", "--type=name", "--target=\(backup.point)", "--target-action=promote"]
                let again = dice.oneIn(2)
                let name = again ? "again" : "restored-\(backup.point)-\(isOurs ? "ours" : "theirs")"
                let delta = again ? ["--delta"] : []
                let restored =
                    isOurs
                    ? try await pair.restore(pair.ours, to: name, options + delta)
                    : try await pair.restore(pair.theirs, to: name, options + delta)
                print(
                    "    restored \(backup.label) by \(isOurs ? "permafrost" : "pgBackRest")\(again ? ", delta" : "")")
                try await pair.requireHolds(restored, backup.dump)
                if !again { try FileManager.default.removeItem(atPath: pair.scratch.subpath(name)) }
            }
        }
        #expect(try await pair.cluster.value("SELECT failed_count FROM pg_stat_archiver") == "0")
    }
}
