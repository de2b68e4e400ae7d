@testable import BackupEngine
import BackupModel
import RepositoryFormats
import Testing

@Suite struct ExpirePlanTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var title: String
        var backups: String
        var policy: RetentionPolicy
        var now = 40
        var expired: String
        var archive: Int?
        var testDescription: String { title }
    }

    static func count(_ full: Int?, diff: Int? = nil, type: BackupType = .full, archive: Int? = nil) -> RetentionPolicy
    {
        RetentionPolicy(fullType: .count, full: full, diff: diff, archiveType: type, archive: archive)
    }
    static func days(_ full: Int?, type: BackupType = .full, archive: Int? = nil) -> RetentionPolicy {
        RetentionPolicy(fullType: .time, full: full, archiveType: type, archive: archive)
    }
    static let three = "1F 1F_2D 1F_3I 4F 4F_5I 7F"

    static let cases = [
        Case(title: "without retention all stays", backups: three, policy: count(nil), expired: "", archive: nil),
        Case(title: "as many fulls as may be kept stay", backups: three, policy: count(3), expired: "", archive: 3),
        Case(title: "fewer fulls than may be kept stay", backups: three, policy: count(9), expired: "", archive: 9),
        Case(
            title: "the oldest full goes with all that rests on it", backups: three, policy: count(2),
            expired: "1F 1F_2D 1F_3I", archive: 2),
        Case(
            title: "only the newest full stays", backups: three, policy: count(1),
            expired: "1F 1F_2D 1F_3I 4F 4F_5I", archive: 1),
        Case(
            title: "archive retention of its own wins", backups: three, policy: count(3, archive: 1), expired: "",
            archive: 1),
        Case(title: "no backups, nothing goes", backups: "", policy: count(1), expired: "", archive: 1),
        Case(
            title: "by time the newest full before the window is kept with its set", backups: three, policy: days(4),
            now: 9, expired: "1F 1F_2D 1F_3I", archive: 2),
        Case(
            title: "by time all is in the window: nothing goes and WAL is not expired", backups: three,
            policy: days(30),
            now: 9, expired: "", archive: nil),
        Case(
            title: "by time the oldest full alone is out of the window: nothing goes, WAL of all fulls is kept",
            backups: three, policy: days(6), now: 9, expired: "", archive: 3),
        Case(
            title: "by time all are old: the newest stays", backups: three, policy: days(1), now: 40,
            expired: "1F 1F_2D 1F_3I 4F 4F_5I", archive: 1),
        Case(
            title: "by time with an archive retention of its own, even if no backup is old", backups: three,
            policy: days(30, archive: 2), now: 9, expired: "", archive: 2),
        Case(
            title: "by time with another archive type WAL is not expired", backups: three, policy: days(1, type: .diff),
            now: 40, expired: "1F 1F_2D 1F_3I 4F 4F_5I", archive: nil),
        Case(title: "by time without days", backups: three, policy: days(nil), expired: "", archive: nil),
        Case(
            title: "archive by diff without a diff retention is not expired", backups: three,
            policy: count(2, type: .diff), expired: "1F 1F_2D 1F_3I", archive: nil),
        Case(
            title: "archive by diff takes the diff retention", backups: three, policy: count(nil, diff: 9, type: .diff),
            expired: "", archive: 9),
        Case(
            title: "archive by incr is never guessed", backups: three, policy: count(2, type: .incr),
            expired: "1F 1F_2D 1F_3I", archive: nil),
        Case(
            title: "archive by incr as given", backups: three, policy: count(nil, type: .incr, archive: 4), expired: "",
            archive: 4),
        Case(
            title: "fulls count as differentials but never go as such", backups: "1F 1F_2D 1F_3D 4F",
            policy: count(nil, diff: 2), expired: "1F_2D", archive: nil),
        Case(
            title: "a differential goes with its incrementals", backups: "1F 1F_2D 1F_3I 1F_4I 1F_5D 1F_6I",
            policy: count(nil, diff: 1), expired: "1F_2D 1F_3I 1F_4I", archive: nil),
        Case(
            title: "an incremental on the full stays when differentials go", backups: "1F 1F_2I 1F_3D 1F_4D",
            policy: count(nil, diff: 1), expired: "1F_3D", archive: nil),
        Case(
            title: "differentials of an expired full do not count", backups: "1F 1F_2D 3F 3F_4D 3F_5D",
            policy: count(1, diff: 2), expired: "1F 1F_2D", archive: 1),
    ]

    @Test("Retention expires", arguments: cases)
    func retention(_ test: Case) throws {
        let info = try BackupSeries.info(test.backups.split(separator: " ").map(String.init))
        let plan = ExpirePlan.byRetention(info, test.policy, now: BackupSeries.time(test.now, hours: 2))
        #expect(plan.expired.map(\.label) == test.expired.split(separator: " ").map { BackupSeries.label(String($0)) })
        #expect(plan.archiveRetention == test.archive)
    }

    @Test("The day of a backup's end decides, to the second")
    func boundary() throws {
        let info = try BackupSeries.info(["1F", "2F"])
        let end = BackupSeries.time(2, hours: 1)
        #expect(ExpirePlan.byRetention(info, Self.days(5), now: end + 5 * 86400).expired.isEmpty)
        #expect(
            ExpirePlan.byRetention(info, Self.days(5), now: end + 5 * 86400 + 1).expired.map(\.label) == [
                BackupSeries.label("1F")
            ])
    }

    @Test("A set goes with what rests on it, in any place")
    func requestedSet() throws {
        let info = try BackupSeries.info(["1F", "1F_2D", "1F_3I", "1F_4I", "5F"])
        func expired(_ short: String) throws -> [String] {
            try ExpirePlan.bySet(BackupSeries.label(short), info, Self.count(9)).expired.map(\.label)
        }
        #expect(try expired("1F") == ["1F", "1F_2D", "1F_3I", "1F_4I"].map(BackupSeries.label))
        #expect(try expired("1F_2D") == ["1F_2D", "1F_3I", "1F_4I"].map(BackupSeries.label))
        #expect(try expired("1F_4I") == ["1F_4I"].map(BackupSeries.label))
        #expect(try expired("5F") == ["5F"].map(BackupSeries.label))
    }

    @Test("After a requested set, days expire no WAL, and counts do")
    func requestedSetAndArchive() throws {
        let info = try BackupSeries.info(["1F", "2F", "3F"])
        func retention(_ policy: RetentionPolicy) throws -> Int? {
            try ExpirePlan.bySet(BackupSeries.label("1F"), info, policy).archiveRetention
        }
        #expect(try retention(Self.days(1)) == nil)
        #expect(try retention(Self.days(1, archive: 2)) == 2)
        #expect(try retention(Self.count(2)) == 2)
    }

    @Test("The newest full stays until another of its database is there")
    func newestFull() async throws {
        let only = try BackupSeries.info(["1F", "1F_2D"])
        let upgraded = try BackupSeries.info(
            BackupSeries.manifests(["1F"]) + BackupSeries.manifests(["2F"], database: 2), databases: 2)
        for (info, short) in [(only, "1F"), (upgraded, "2F"), (only, "9F")] {
            let code = errorCode { _ = try ExpirePlan.bySet(BackupSeries.label(short), info, Self.count(1)) }
            #expect(code == .backupSetInvalid, "\(short)")
        }
        #expect(try ExpirePlan.bySet(BackupSeries.label("1F"), upgraded, Self.count(1)).expired.count == 1)
        #expect(try ExpirePlan.bySet(BackupSeries.label("1F_2D"), only, Self.count(1)).expired.count == 1)
    }

    struct HoldCase: CustomTestStringConvertible, Sendable {
        var title: String
        var backups: String
        var held: String
        var policy: RetentionPolicy
        var now = 40
        var expired: String
        /// Kept against a rule.
        var heldBack: String
        var archive: Int?
        var testDescription: String { title }
    }

    static let holdCases = [
        HoldCase(
            title: "a held full does not count, and stays", backups: "1F 2F 3F 4F", held: "1F", policy: count(2),
            expired: "2F", heldBack: "1F", archive: 2),
        HoldCase(
            title: "a held full among the newest makes room for an older one", backups: "1F 2F 3F 4F", held: "4F",
            policy: count(2), expired: "1F", heldBack: "", archive: 2),
        HoldCase(
            title: "with as many as are kept besides it nothing goes", backups: "1F 2F 3F", held: "1F",
            policy: count(2), expired: "", heldBack: "1F", archive: 2),
        HoldCase(
            title: "what rests on a held full goes when it would have gone", backups: "1F 1F_2D 1F_3I 4F 5F",
            held: "1F", policy: count(1), expired: "1F_2D 1F_3I 4F", heldBack: "1F", archive: 1),
        HoldCase(
            title: "a held incremental keeps its whole chain and nothing else",
            backups: "1F 1F_2I 1F_3D 1F_4I 1F_5I 1F_6I 7F", held: "1F_5I", policy: count(1), expired: "1F_2I 1F_6I",
            heldBack: "1F 1F_3D 1F_4I 1F_5I", archive: 1),
        HoldCase(
            title: "a held differential does not count among those", backups: "1F 1F_2D 1F_3D 1F_4D 1F_5D",
            held: "1F_3D", policy: count(nil, diff: 2), expired: "1F_2D", heldBack: "1F_3D", archive: nil),
        HoldCase(
            title: "what rests on a held differential goes when it would have gone",
            backups: "1F 1F_2D 1F_3I 1F_4D 1F_5D", held: "1F_2D", policy: count(nil, diff: 2), expired: "1F_3I",
            heldBack: "1F_2D", archive: nil),
        HoldCase(
            title: "by time a held full is no base", backups: "1F 3F 5F 9F", held: "3F", policy: days(5), now: 9,
            expired: "", heldBack: "", archive: 3),
        HoldCase(
            title: "by time a held full from before the base stays", backups: "1F 3F 5F 9F", held: "1F",
            policy: days(2), now: 9, expired: "3F", heldBack: "1F", archive: 2),
        HoldCase(
            title: "all held, all stay", backups: "1F 2F 3F", held: "1F 2F 3F", policy: count(1), expired: "",
            heldBack: "", archive: 1),
    ]

    static func held(_ shorts: String, _ held: String) throws -> BackupInfo {
        var info = try BackupSeries.info(shorts.split(separator: " ").map(String.init))
        let labels = held.split(separator: " ").map { BackupSeries.label(String($0)) }
        for index in info.backups.indices where labels.contains(info.backups[index].label) {
            info.backups[index].annotations[Hold.key] = "audit"
        }
        return info
    }

    @Test("A hold", arguments: holdCases)
    func hold(_ test: HoldCase) throws {
        let info = try Self.held(test.backups, test.held)
        let plan = ExpirePlan.byRetention(info, test.policy, now: BackupSeries.time(test.now, hours: 2))
        func labels(_ shorts: String) -> [String] {
            shorts.split(separator: " ").map { BackupSeries.label(String($0)) }
        }
        #expect(plan.expired.map(\.label) == labels(test.expired))
        #expect(plan.heldBack.map(\.label) == labels(test.heldBack))
        #expect(plan.holds.keys.sorted() == labels(test.held))
        #expect(plan.archiveRetention == test.archive)
    }

    @Test("A held set cannot be requested, nor one that a held one rests on; an empty reason is no hold")
    func requestedHeldSet() throws {
        let info = try Self.held("1F 1F_2D 1F_3I 1F_4I 5F", "1F_3I")
        for short in ["1F", "1F_2D", "1F_3I"] {
            do throws(BackupError) {
                _ = try ExpirePlan.bySet(BackupSeries.label(short), info, Self.count(9))
                Issue.record("\(short) was planned")
            } catch {
                #expect(error.code == .backupSetInvalid)
                #expect(error.message.contains("held: audit"))
                #expect(error.hint?.contains("--set=\(BackupSeries.label("1F_3I")) --annotation=hold=") == true)
            }
        }
        #expect(try ExpirePlan.bySet(BackupSeries.label("1F_4I"), info, Self.count(9)).expired.count == 1)
        var released = info
        released.backups[2].annotations[Hold.key] = ""
        #expect(try ExpirePlan.bySet(BackupSeries.label("1F"), released, Self.count(9)).expired.count == 4)
    }

    @Test("By force a held set goes, and the last one; never what another hold needs")
    func forcedSet() throws {
        var info = try Self.held("1F 1F_2D 1F_3I 5F 5F_6I", "1F_3I 5F")
        func expired(_ short: String) throws -> [String] {
            try ExpirePlan.bySet(BackupSeries.label(short), info, Self.count(9), isForced: true).expired.map(\.label)
        }
        #expect(try expired("1F_3I") == [BackupSeries.label("1F_3I")])
        // The newest full, held, with what rests on it.
        #expect(try expired("5F") == ["5F", "5F_6I"].map(BackupSeries.label))
        for short in ["1F", "1F_2D", "9F"] {
            #expect(errorCode { _ = try expired(short) } == .backupSetInvalid, "\(short)")
        }
        info = try Self.held("1F", "1F")
        #expect(try expired("1F") == [BackupSeries.label("1F")])
    }

    @Test("The oldest that is not held goes, with its WAL, by whatever type of retention")
    func oldest() throws {
        let info = try Self.held("1F 2F 2F_3D 4F 5F", "1F")
        for policy in [Self.count(9), Self.days(300), Self.count(nil, type: .incr)] {
            let oldest = try #require(policy.expiringOldest(of: 3))
            let plan = ExpirePlan.byRetention(info, oldest, now: BackupSeries.time(9))
            #expect(plan.expired.map(\.label) == ["2F", "2F_3D"].map(BackupSeries.label))
            #expect(plan.expired[0].rule == .oldest)
            #expect(plan.archiveRetention == 2)
            #expect(plan.archiveType == .full)
        }
        #expect(Self.count(9).expiringOldest(of: 1) == nil)
    }

    @Test("Warnings tell which WAL is kept for want of an option")
    func warnings() {
        let cases: [(RetentionPolicy, String?)] = [
            (Self.count(2), nil), (Self.count(nil), nil), (Self.days(2), nil),
            (Self.count(2, type: .diff), "neither repo3-retention-archive nor repo3-retention-diff is set"),
            (Self.count(2, diff: 1, type: .diff), nil), (Self.count(2, type: .incr), "repo3-retention-archive is not"),
            (Self.count(2, type: .incr, archive: 1), nil),
            (Self.count(2, type: .diff, archive: 1), "differential backups are not expired"),
        ]
        for (policy, expected) in cases {
            let warnings = policy.warnings(repository: 3)
            #expect(warnings.count == (expected == nil ? 0 : 1))
            if let expected { #expect(warnings.first?.contains(expected) == true) }
        }
    }
}

@Suite struct ArchiveRetentionTests {
    typealias Range = ArchiveRetention.Range

    enum Outcome: Equatable {
        case keepAll, removeAll
        case keep([Range])
    }

    static func decide(
        _ backups: [Manifest], _ type: BackupType, _ count: Int, database: Int = 1, current: Bool = true,
        before: String? = nil, uncounted: Set<String> = [], held: Set<String> = []
    ) throws -> Outcome {
        let retention = ArchiveRetention(
            backups: try BackupSeries.info(backups, databases: 2).backups, uncounted: uncounted, held: held,
            type: type, count: count, expireBefore: before)
        return switch retention.decide(databaseID: database, isCurrent: current) {
        case .keepAll: .keepAll
        case .removeAll: .removeAll
        case .keep(let ranges, _): .keep(ranges)
        }
    }
    static func open(_ day: Int, timeline: Int = 1) -> Range {
        Range(start: BackupSeries.segment(day, timeline: timeline), stop: nil)
    }
    static func closed(_ day: Int, timeline: Int = 1) -> Range {
        let segment = BackupSeries.segment(day, timeline: timeline)
        return Range(start: segment, stop: segment)
    }

    @Test("The newest backups of the type keep all WAL, older ones what makes them consistent")
    func byType() throws {
        let backups = try BackupSeries.manifests(["1F", "1F_2D", "1F_3I", "4F", "4F_5D", "4F_6I"])
        let older = [1, 2, 3, 4, 5].map { Self.closed($0) }
        #expect(try Self.decide(backups, .full, 1) == .keep(older.prefix(3) + [Self.open(4)]))
        #expect(try Self.decide(backups, .full, 2) == .keep([Self.open(1)]))
        #expect(try Self.decide(backups, .diff, 1) == .keep(older.prefix(4) + [Self.open(5)]))
        #expect(try Self.decide(backups, .diff, 3) == .keep(older.prefix(1) + [Self.open(2)]))
        #expect(try Self.decide(backups, .incr, 1) == .keep(older + [Self.open(6)]))
        #expect(try Self.decide(backups, .incr, 4) == .keep(older.prefix(2) + [Self.open(3)]))
    }

    @Test("Too few backups, and nothing of the WAL goes")
    func tooFew() throws {
        let backups = try BackupSeries.manifests(["1F", "1F_2D"])
        #expect(try Self.decide(backups, .full, 2) == .keepAll)
        #expect(try Self.decide(backups, .diff, 3) == .keepAll)
        #expect(try Self.decide([], .full, 1) == .keepAll)
        #expect(try Self.decide([], .full, 1, current: false) == .keepAll)
        #expect(try Self.decide(backups, .full, 0) == .keepAll)
    }

    @Test("The WAL of an earlier database goes with its last backup")
    func twoDatabases() throws {
        let old = try BackupSeries.manifests(["1F", "2F"])
        let new = try BackupSeries.manifests(["5F", "6F"], database: 2)
        #expect(try Self.decide(new, .full, 1, database: 1, current: false) == .removeAll)
        #expect(try Self.decide(new, .full, 1, database: 1, current: true) == .keepAll)
        // Retention is met by the new database: of the old one the newest backup can still be played forward.
        #expect(
            try Self.decide(old + new, .full, 1, database: 1, current: false) == .keep([Self.closed(1), Self.open(2)]))
        #expect(
            try Self.decide(old + new, .full, 3, database: 1, current: false) == .keep([Self.closed(1), Self.open(2)]))
        #expect(try Self.decide(old + new, .full, 4, database: 1, current: false) == .keep([Self.open(1)]))
        #expect(try Self.decide(old + new, .full, 3, database: 2) == .keep([Self.open(5)]))
    }

    @Test("Backups without WAL protect none, and expire none")
    func offline() throws {
        let first = try BackupSeries.manifests(["1F"])
        let offline = try BackupSeries.manifest("2F", online: false)
        let third = try BackupSeries.manifests(["3F"])
        #expect(try Self.decide(first + [offline], .full, 1) == .keepAll)
        #expect(try Self.decide(first + [offline] + third, .full, 1) == .keep([Self.closed(1), Self.open(3)]))
    }

    @Test("A backup whose last segment is unknown keeps all from its first on")
    func missingStop() throws {
        var first = try BackupSeries.manifest("1F")
        first.archiveStop = nil
        let decision = try Self.decide([first] + BackupSeries.manifests(["3F"]), .full, 1)
        #expect(decision == .keep([Self.open(1), Self.open(3)]))
    }

    @Test("Names are compared with their timeline")
    func outside() throws {
        let ranges = [Self.closed(0x102), Self.closed(0x205, timeline: 2), Self.open(0x301, timeline: 2)]
        let cases: [(Int, Int, Bool, Bool)] = [
            (0x101, 1, true, false), (0x102, 1, false, false), (0x103, 1, true, false), (0x002, 1, true, true),
            (0x205, 1, true, true), (0x205, 2, false, false), (0x204, 2, true, false), (0x301, 2, false, false),
            (0x300, 2, true, false), (0x4FF, 2, false, false), (0x001, 3, false, false), (0xF01, 1, true, true),
        ]
        for (number, timeline, fileIsOutside, directoryIsOutside) in cases {
            let segment = BackupSeries.segment(number, timeline: timeline)
            #expect(ranges.exclude(file: segment + "-abc.gz") == fileIsOutside, "\(segment)")
            #expect(
                ranges.exclude(directory: String(segment.prefix(16))) == directoryIsOutside,
                "\(segment)")
        }
    }

    @Test("Held backups do not count, and keep what makes them consistent")
    func held() throws {
        let backups = try BackupSeries.manifests(["1F", "3F", "5F", "7F"])
        func decide(_ count: Int, held: String...) throws -> Outcome {
            try Self.decide(backups, .full, count, uncounted: Set(held.map(BackupSeries.label)))
        }
        #expect(try decide(2, held: "1F") == .keep([Self.closed(1), Self.closed(3), Self.open(5)]))
        #expect(try decide(2, held: "5F") == .keep([Self.closed(1), Self.open(3)]))
        #expect(try decide(1, held: "7F") == .keep([Self.closed(1), Self.closed(3), Self.open(5)]))
        #expect(try decide(4, held: "3F") == .keepAll)
        // Of a database whose backups are all held, the newest is the one to be played forward.
        let new = try BackupSeries.manifests(["8F"], database: 2)
        let old = Set(["1F", "3F", "5F", "7F"].map(BackupSeries.label))
        #expect(
            try Self.decide(backups + new, .full, 1, current: false, uncounted: old)
                == .keep([Self.closed(1), Self.closed(3), Self.closed(5), Self.open(7)]))
    }

    @Test("With repo-retention-hold-archive held backups keep all WAL from the oldest of them on")
    func heldArchive() throws {
        let backups = try BackupSeries.manifests(["1F", "3F", "5F", "7F"])
        func decide(_ count: Int, held: String...) throws -> Outcome {
            let labels = Set(held.map(BackupSeries.label))
            return try Self.decide(backups, .full, count, uncounted: labels, held: labels)
        }
        func isKept(_ outcome: Outcome, _ day: Int) -> Bool {
            guard case .keep(let ranges) = outcome else { return outcome == .keepAll }
            return !ranges.exclude(file: BackupSeries.segment(day))
        }
        let one = try decide(1, held: "3F")
        #expect(one == .keep([Self.closed(1), Self.open(3), Self.closed(5), Self.open(7)]))
        #expect([1, 3, 4, 5, 6, 7, 8].allSatisfy { isKept(one, $0) } && !isKept(one, 2))
        let two = try decide(1, held: "1F", "5F")
        #expect((1...9).allSatisfy { isKept(two, $0) })
        // One that is newer than what the retention counts is kept in any case.
        let new = try decide(1, held: "7F")
        #expect((5...9).allSatisfy { isKept(new, $0) } && !isKept(new, 4) && !isKept(new, 2))
        #expect(try decide(4, held: "3F") == .keepAll)
    }

    @Test("A newer backup of an older timeline keeps its WAL too")
    func olderTimeline() throws {
        let backups = try [
            BackupSeries.manifest("1F", timeline: 3), BackupSeries.manifest("3F", timeline: 3),
            BackupSeries.manifest("5F", timeline: 1),
        ]
        #expect(
            try Self.decide(backups, .full, 2)
                == .keep([
                    Self.closed(1, timeline: 3), Self.open(5, timeline: 1), Self.open(3, timeline: 3),
                ]))
    }

    @Test("WAL before a segment goes on request, even with too few backups, and none that a backup needs")
    func expireBefore() throws {
        let backups = try BackupSeries.manifests(["1F", "5F"])
        func decide(_ count: Int, _ before: Int, _ backups: [Manifest], current: Bool = true) throws -> Outcome {
            try Self.decide(backups, .full, count, current: current, before: BackupSeries.segment(before))
        }
        let between = Range(start: BackupSeries.segment(3), stop: BackupSeries.segment(5))
        #expect(try decide(1, 3, backups) == .keep([Self.closed(1), Self.open(5), between]))
        // After the start of the retention it has no say.
        #expect(try decide(1, 7, backups) == .keep([Self.closed(1), Self.open(5)]))
        #expect(try decide(9, 9, backups) == .keep([Self.open(1)]))
        #expect(try decide(1, 3, []) == .keep([Self.open(3)]))
        #expect(try decide(1, 3, [], current: false) == .removeAll)
        #expect(try decide(0, 3, backups) == .keepAll)
    }

    @Test("A directory is listed unless all of it goes or stays")
    func boundaries() {
        let ranges = [Self.closed(0x102), Range(start: BackupSeries.segment(0x280), stop: BackupSeries.segment(0x410))]
        let cases: [(Int, Bool, Bool)] = [
            (0x000, true, false), (0x100, false, false), (0x200, false, false), (0x300, false, true),
            (0x400, false, false), (0x500, true, false),
        ]
        for (number, isExcluded, isIncluded) in cases {
            let directory = String(BackupSeries.segment(number).prefix(16))
            #expect(ranges.exclude(directory: directory) == isExcluded, "\(directory)")
            #expect(ranges.includeAll(of: directory) == isIncluded, "\(directory)")
        }
    }
}
