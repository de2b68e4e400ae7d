/// A schedule of five fields, as cron has it: minute, hour, day of the month, month, day of the week; with names, ranges,
/// steps, lists and the names that begin with `@`.
package struct CronSchedule: Sendable, Equatable {
    /// One bit for each value.
    private(set) var minutes: UInt64
    private(set) var hours: UInt64
    private(set) var days: UInt64
    private(set) var months: UInt64
    private(set) var weekdays: UInt64
    /// A field that begins with `*` does not count when the other of the two is given (crontab(5)).
    private(set) var isAnyDay: Bool
    private(set) var isAnyWeekday: Bool

    package struct Fault: Error, Sendable, Equatable {
        package var message: String
    }

    private static let macros = [
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
    ]
    private static let monthNames = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    private static let weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    package init(_ text: String) throws(Fault) {
        var text = text.lowercased()
        if text.hasPrefix("@") {
            guard let expanded = Self.macros[text] else {
                let known = Self.macros.keys.sorted().joined(separator: ", ")
                throw Fault(message: "'\(text)' is no schedule: known are \(known)")
            }
            text = expanded
        }
        let fields = text.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
        guard fields.count == 5 else {
            throw Fault(
                message:
                    "'\(text)' has \(fields.count) fields, and a schedule has five: minute, hour, day, month, weekday")
        }
        minutes = try Self.bits(fields[0], "minute", 0...59)
        hours = try Self.bits(fields[1], "hour", 0...23)
        days = try Self.bits(fields[2], "day of the month", 1...31)
        months = try Self.bits(fields[3], "month", 1...12, Self.monthNames, firstName: 1)
        var weekdays = try Self.bits(fields[4], "day of the week", 0...7, Self.weekdayNames, firstName: 0)
        // Sunday is 0 and 7.
        if weekdays & 1 << 7 != 0 { weekdays = (weekdays | 1) & ~(1 << 7) }
        self.weekdays = weekdays
        isAnyDay = fields[2].hasPrefix("*") || fields[2] == "?"
        isAnyWeekday = fields[4].hasPrefix("*") || fields[4] == "?"
        guard canHappen else { throw Fault(message: "'\(text)' never comes: no such month has such a day") }
    }

    private var canHappen: Bool {
        if !isAnyWeekday || isAnyDay { return true }
        let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...12).contains { month in
            months & 1 << UInt64(month) != 0 && (1...lengths[month - 1]).contains { days & 1 << UInt64($0) != 0 }
        }
    }

    /// Whether it comes in every hour of a day: then it goes on through hours that a change of clocks repeats.
    var isHourly: Bool { hours == (1 << 24) - 1 }

    func matchesDay(_ time: CivilTime) -> Bool {
        guard months & 1 << UInt64(time.month) != 0 else { return false }
        let isDay = days & 1 << UInt64(time.day) != 0
        let isWeekday = weekdays & 1 << UInt64(time.weekday) != 0
        // Both given: either will do.
        return isAnyDay || isAnyWeekday ? isDay && isWeekday : isDay || isWeekday
    }

    func matchesHour(_ time: CivilTime) -> Bool { hours & 1 << UInt64(time.hour) != 0 }
    func matchesMinute(_ time: CivilTime) -> Bool { minutes & 1 << UInt64(time.minute) != 0 }

    func matches(_ time: CivilTime) -> Bool { matchesDay(time) && matchesHour(time) && matchesMinute(time) }

    private static func bits(
        _ text: String, _ field: String, _ range: ClosedRange<Int>, _ names: [String] = [], firstName: Int = 0
    ) throws(Fault) -> UInt64 {
        var bits: UInt64 = 0
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard pieces.count <= 2, let base = pieces.first, !base.isEmpty else {
                throw Fault(message: "'\(part)' is no \(field)")
            }
            var step = 1
            if pieces.count == 2 {
                guard let number = plain(pieces[1]), number > 0, number <= range.upperBound else {
                    throw Fault(
                        message: "'\(part)' is no \(field): the step after '/' must be 1 to \(range.upperBound)")
                }
                step = number
            }
            var first = range.lowerBound
            var last = range.upperBound
            if base != "*" && base != "?" {
                let ends = base.split(separator: "-", omittingEmptySubsequences: false)
                guard ends.count <= 2, let begin = ends.first, let end = ends.last else {
                    throw Fault(message: "'\(part)' is no \(field)")
                }
                first = try value(begin, field, range, names, firstName)
                last = try value(end, field, range, names, firstName)
                // With a step alone the range goes to its end.
                if ends.count == 1, pieces.count == 2 { last = range.upperBound }
                guard first <= last else {
                    throw Fault(message: "'\(part)' is no \(field): it ends before it begins")
                }
            } else if range.upperBound == 7 {
                last = 6
            }
            for number in stride(from: first, through: last, by: step) { bits |= 1 << UInt64(number) }
        }
        return bits
    }

    private static func value(
        _ text: Substring, _ field: String, _ range: ClosedRange<Int>, _ names: [String], _ firstName: Int
    ) throws(Fault) -> Int {
        if let place = names.firstIndex(of: String(text)) { return place + firstName }
        guard let number = plain(text), range.contains(number) else {
            throw Fault(message: "'\(text)' is no \(field): it must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Digits alone.
    private static func plain(_ text: Substring) -> Int? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return Int(text)
    }
}
