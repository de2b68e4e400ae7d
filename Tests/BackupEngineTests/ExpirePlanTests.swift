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
}

@Suite struct ArchiveRetentionTests {
    typealias Range = ArchiveRetention.Range

    static func decide(
        _ backups: [Manifest], _ type: BackupType, _ count: Int, database: Int = 1, current: Bool = true
    ) throws -> ArchiveRetention.Decision {
        ArchiveRetention.decide(
            backups: try BackupSeries.info(backups, databases: 2).backups, type: type, count: count,
            databaseID: database,
            isCurrent: current)
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
            #expect(ArchiveRetention.isOutside(file: segment + "-abc.gz", ranges) == fileIsOutside, "\(segment)")
            #expect(
                ArchiveRetention.isOutside(directory: String(segment.prefix(16)), ranges) == directoryIsOutside,
                "\(segment)")
        }
    }
}
