import Foundation
import Testing

@testable import BackupOperator

@Suite struct ScheduleTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var schedule: String
        var zone = "UTC"
        var after: String
        var next: [String]
        var testDescription: String { "\(schedule) \(zone) \(after)" }
    }

    static func seconds(_ text: String) -> Int64 {
        Int64(ISO8601DateFormatter().date(from: text)?.timeIntervalSince1970 ?? -1)
    }

    @Test(
        "times of schedules",
        arguments: [
            Case(
                schedule: "*/5 * * * *", after: "2026-11-22T10:02:30Z",
                next: ["2026-11-22T10:05:00Z", "2026-11-22T10:10:00Z"]),
            Case(schedule: "*/5 * * * *", after: "2026-11-22T10:05:00Z", next: ["2026-11-22T10:10:00Z"]),
            Case(schedule: "@daily", after: "2026-12-31T00:00:00Z", next: ["2027-01-01T00:00:00Z"]),
            Case(schedule: "@hourly", after: "2026-12-31T23:59:59Z", next: ["2027-01-01T00:00:00Z"]),
            Case(schedule: "0 3 * * sun", after: "2026-11-22T03:00:00Z", next: ["2026-11-29T03:00:00Z"]),
            Case(schedule: "0 3 * * 7", after: "2026-11-16T03:00:00Z", next: ["2026-11-22T03:00:00Z"]),
            Case(
                schedule: "30 2 29 feb *", after: "2026-01-01T00:00:00Z",
                next: ["2028-02-29T02:30:00Z", "2032-02-29T02:30:00Z"]),
            // Day and weekday: either will do.
            Case(
                schedule: "0 0 13 * 5", after: "2026-11-12T12:00:00Z",
                next: ["2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"]),
            Case(
                schedule: "15,45 8-10/2 1 JAN,jul *", after: "2026-06-30T00:00:00Z",
                next: ["2026-07-01T08:15:00Z", "2026-07-01T08:45:00Z", "2026-07-01T10:15:00Z"]),
            Case(
                schedule: "0 4 * * mon-fri", zone: "America/New_York", after: "2026-11-20T12:00:00Z",
                next: ["2026-11-23T09:00:00Z"]),
            // Clocks go forward at 01:00 UTC on 28 March 2027 in Berlin: 02:30 does not exist.
            Case(
                schedule: "30 2 * * *", zone: "Europe/Berlin", after: "2027-03-27T12:00:00Z",
                next: ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]),
            // And back at 01:00 UTC on 25 October 2026: 02:30 comes twice, and the backup once.
            Case(
                schedule: "30 2 * * *", zone: "Europe/Berlin", after: "2026-10-24T12:00:00Z",
                next: ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
            Case(
                schedule: "*/30 * * * *", zone: "Europe/Berlin", after: "2026-10-25T00:00:00Z",
                next: ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]),
            Case(
                schedule: "0 0 * * *", zone: "Asia/Kolkata", after: "2026-11-22T00:00:00Z",
                next: ["2026-11-22T18:30:00Z"]),
            Case(
                schedule: "0 12 1 1 *", zone: "Australia/Lord_Howe", after: "2050-06-01T00:00:00Z",
                next: ["2051-01-01T01:00:00Z"]),
        ])
    func times(_ test: Case) throws {
        let cron = try CronSchedule(test.schedule)
        let zone = try TimeZone.named(test.zone)
        var time = Self.seconds(test.after)
        for wanted in test.next {
            let next = try #require(cron.next(after: time, in: zone))
            #expect(next == Self.seconds(wanted), "\(Date(timeIntervalSince1970: Double(next)))")
            time = next
        }
    }

    @Test(
        "what is no schedule",
        arguments: [
            ("", "0 fields"), ("* * * *", "4 fields"), ("* * * * * *", "6 fields"), ("60 * * * *", "0 to 59"),
            ("* 24 * * *", "0 to 23"), ("* * 0 * *", "1 to 31"), ("* * * 13 *", "1 to 12"), ("* * * * 8", "0 to 7"),
            ("5-1 * * * *", "ends before it begins"), ("*/0 * * * *", "step"), ("*/ * * * *", "step"),
            ("1, * * * *", "no minute"), ("a * * * *", "0 to 59"), ("-1 * * * *", "no minute"),
            ("1-2-3 * * * *", "no minute"),
            ("@never", "no schedule"), ("0 0 30 2 *", "never comes"), ("0 0 31 4,6,9,11 *", "never comes"),
            ("99999999999999999999 * * * *", "0 to 59"), ("+5 * * * *", "0 to 59"), ("* * * foo *", "1 to 12"),
        ])
    func faults(_ text: String, _ said: String) {
        #expect { try CronSchedule(text) } throws: { error in
            (error as? CronSchedule.Fault)?.message.contains(said) ?? false
        }
    }

    @Test(
        "zones are those of the system",
        arguments: [
            "Europe/Berlin", "America/Sao_Paulo", "Asia/Tehran", "Africa/Casablanca", "Australia/Lord_Howe",
            "America/St_Johns", "Pacific/Apia", "Europe/Dublin",
        ])
    func zones(_ name: String) throws {
        let zone = try TimeZone.named(name)
        guard let other = Foundation.TimeZone(identifier: name) else {
            Issue.record("Foundation does not know \(name)")
            return
        }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let time = Int64.random(in: 0...2_145_916_800, using: &generator)
            let wanted = other.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time)))
            #expect(zone.offset(at: time) == wanted, "\(time)")
        }
    }

    @Test("what is no zone", arguments: ["Mars/Base", "../etc/passwd", "Europe/", "/etc/localtime", "a b"])
    func noZones(_ name: String) {
        #expect(throws: (any Error).self) { try TimeZone.named(name) }
    }

    @Test("damaged files of zones are refused, not trapped on")
    func damagedZones() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/Europe/Berlin")))
        for length in stride(from: 0, to: bytes.count, by: 7) { _ = TimeZone(name: "x", Array(bytes.prefix(length))) }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<3 {
                damaged[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            _ = TimeZone(name: "x", damaged)?.offset(
                at: .random(in: -10_000_000_000...10_000_000_000, using: &generator))
        }
    }

    // MARK: Plans

    private static let full = ScheduleKey(1, .full)

    private func repository(_ schedule: String, key: Int = 1, zone: String? = nil) throws -> WantedRepository {
        var repository = WantedRepository(
            key: key, name: "s\(key)", location: RepositoryLocation(options: [:]), retention: 2)
        repository.schedules = [
            WantedSchedule(type: .full, text: schedule, cron: try CronSchedule(schedule), timeZone: zone)
        ]
        repository.beginsWithBackup = true
        return repository
    }

    private func plan(
        _ schedule: String, known: ScheduleState?, made: Int64? = nil, isBusy: Bool = false, isFilled: Bool = true,
        now: Int64
    ) throws -> SchedulePlan {
        var past = SchedulePlan.Past()
        if let made { past.made[Self.full] = made }
        if isBusy { past.busy = [Self.full] }
        if isFilled { past.filled = [1] }
        return try SchedulePlan(
            [repository(schedule)], zones: { _ in .utc }, known: known.map { [Self.full: $0] } ?? [:], past: past,
            now: now)
    }

    @Test("a schedule that is new: the first backup at once, and then when it is due")
    func first() throws {
        let start = Self.seconds("2026-11-22T10:02:30Z")
        let new = try plan("*/5 * * * *", known: nil, isFilled: false, now: start)
        #expect(new.due == [SchedulePlan.Due(key: Self.full, time: start, wasMissed: false, isFirst: true)])
        #expect(new.next == Self.seconds("2026-11-22T10:05:00Z"))
        let again = try plan("*/5 * * * *", known: new.states[Self.full], isFilled: false, now: start + 10)
        #expect(again.due.isEmpty)
        let filled = try plan("*/5 * * * *", known: nil, now: start)
        #expect(filled.due.isEmpty)
        let due = try plan("*/5 * * * *", known: new.states[Self.full], now: start + 150)
        #expect(due.due.map(\.time) == [Self.seconds("2026-11-22T10:05:00Z")])
        #expect(due.due.first?.wasMissed == false)
    }

    @Test("what was missed is made good once, with the last of its times")
    func missed() throws {
        let since = Self.seconds("2026-11-20T00:00:00Z")
        let now = Self.seconds("2026-11-22T10:02:30Z")
        let plan = try plan("0 * * * *", known: ScheduleState(text: "0 * * * *", since: since, last: since), now: now)
        #expect(
            plan.due == [
                SchedulePlan.Due(
                    key: Self.full, time: Self.seconds("2026-11-22T10:00:00Z"), wasMissed: true, isFirst: false)
            ])
        let after = try self.plan("0 * * * *", known: plan.states[Self.full], now: now + 1)
        #expect(after.due.isEmpty)
        // A backup that says when it was made for counts, though nobody could write it down elsewhere.
        let made = try self.plan(
            "0 * * * *", known: ScheduleState(text: "0 * * * *", since: since), made: now - 150, now: now)
        #expect(made.due.isEmpty)
    }

    @Test("a time in the future, of a clock that was wrong, ends no schedule")
    func future() throws {
        let now = Self.seconds("2026-11-22T10:02:30Z")
        let far = now + 40 * 86_400
        let known = ScheduleState(text: "0 * * * *", since: far, last: far)
        let first = try plan("0 * * * *", known: known, made: far, now: now)
        let state = try #require(first.states[Self.full])
        let next = try plan("0 * * * *", known: state, made: far, now: now + 3600)
        #expect(next.due.map(\.time) == [Self.seconds("2026-11-22T11:00:00Z")])
    }

    @Test("one that runs holds the next up; another schedule begins anew")
    func busy() throws {
        let now = Self.seconds("2026-11-22T10:00:01Z")
        let state = ScheduleState(text: "*/5 * * * *", since: now - 4000, last: now - 301)
        #expect(try plan("*/5 * * * *", known: state, isBusy: true, now: now).due.isEmpty)
        #expect(try plan("*/5 * * * *", known: state, now: now).due.count == 1)
        let changed = try plan("*/7 * * * *", known: state, now: now)
        #expect(changed.due.isEmpty && changed.states[Self.full]?.since == now)
    }
}
