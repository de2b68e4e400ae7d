/// How a zone goes on after the last change of its file: the form of TZ in POSIX, as `CET-1CEST,M3.5.0,M10.5.0/3`.
struct TimeZoneRule: Sendable, Equatable {
    /// Seconds to add to UTC.
    private var standard: Int
    private var summer: (offset: Int, begin: Change, end: Change)?

    /// In civil time before the change.
    private struct Change: Equatable {
        enum Day: Equatable {
            /// 1 to 365; 29 February has no number.
            case number(Int)
            /// 0 to 365.
            case numberFromZero(Int)
            /// Month, week (5 is the last), weekday.
            case weekday(Int, Int, Int)
        }

        var day: Day
        var seconds: Int
    }

    static func == (one: TimeZoneRule, other: TimeZoneRule) -> Bool {
        one.standard == other.standard && one.summer?.offset == other.summer?.offset
            && one.summer?.begin == other.summer?.begin && one.summer?.end == other.summer?.end
    }

    init?(_ text: String) {
        var rest = text[...]
        guard Self.skipName(&rest), let standard = Self.clock(&rest) else { return nil }
        self.standard = -standard
        guard !rest.isEmpty else { return }
        guard Self.skipName(&rest) else { return nil }
        var offset = self.standard + 3600
        if rest.first != "," {
            guard let given = Self.clock(&rest) else { return nil }
            offset = -given
        }
        guard let begin = Self.change(&rest), let end = Self.change(&rest), rest.isEmpty else { return nil }
        summer = (offset, begin, end)
    }

    func offset(at time: Int64) -> Int {
        guard let summer else { return standard }
        let year = CivilTime(time + Int64(standard)).year
        let begin = Self.time(of: summer.begin, year) - Int64(standard)
        let end = Self.time(of: summer.end, year) - Int64(summer.offset)
        let isSummer = begin < end ? time >= begin && time < end : time >= begin || time < end
        return isSummer ? summer.offset : standard
    }

    private static func time(of change: Change, _ year: Int) -> Int64 {
        let newYear = CivilTime.seconds(year: year, month: 1, day: 1)
        let isLeapYear = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let day: Int64
        switch change.day {
        case .number(let number):
            day = newYear + Int64(number - 1 + (isLeapYear && number >= 60 ? 1 : 0)) * 86_400
        case .numberFromZero(let number): day = newYear + Int64(number) * 86_400
        case .weekday(let month, let week, let weekday):
            let first = CivilTime.seconds(year: year, month: month, day: 1)
            let next =
                month == 12
                ? CivilTime.seconds(year: year + 1, month: 1, day: 1)
                : CivilTime.seconds(year: year, month: month + 1, day: 1)
            var found = first + Int64((weekday - CivilTime(first).weekday + 7) % 7 + (week - 1) * 7) * 86_400
            while found >= next { found -= 7 * 86_400 }
            day = found
        }
        return day + Int64(change.seconds)
    }

    private static func skipName(_ rest: inout Substring) -> Bool {
        if rest.first == "<" {
            guard let end = rest.firstIndex(of: ">") else { return false }
            rest = rest[rest.index(after: end)...]
            return true
        }
        let name = rest.prefix { $0.isLetter }
        rest = rest[name.endIndex...]
        return !name.isEmpty
    }

    /// `[+-]h[h][h][:mm[:ss]]`, in seconds.
    private static func clock(_ rest: inout Substring) -> Int? {
        var sign = 1
        if rest.first == "-" { sign = -1 }
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        guard let hours = number(&rest), hours <= 167 else { return nil }
        var seconds = hours * 3600
        for unit in [60, 1] where rest.first == ":" {
            rest = rest.dropFirst()
            guard let value = number(&rest), value < 60 else { return nil }
            seconds += value * unit
        }
        return sign * seconds
    }

    private static func number(_ rest: inout Substring) -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        guard digits.count <= 3, let number = Int(digits) else { return nil }
        rest = rest[digits.endIndex...]
        return number
    }

    /// `,M3.5.0[/2]`, `,J60`, `,59`.
    private static func change(_ rest: inout Substring) -> Change? {
        guard rest.first == "," else { return nil }
        rest = rest.dropFirst()
        let day: Change.Day
        switch rest.first {
        case "M":
            rest = rest.dropFirst()
            guard let month = number(&rest), (1...12).contains(month), rest.first == "." else { return nil }
            rest = rest.dropFirst()
            guard let week = number(&rest), (1...5).contains(week), rest.first == "." else { return nil }
            rest = rest.dropFirst()
            guard let weekday = number(&rest), (0...6).contains(weekday) else { return nil }
            day = .weekday(month, week, weekday)
        case "J":
            rest = rest.dropFirst()
            guard let number = number(&rest), (1...365).contains(number) else { return nil }
            day = .number(number)
        default:
            guard let number = number(&rest), (0...365).contains(number) else { return nil }
            day = .numberFromZero(number)
        }
        var seconds = 7200
        if rest.first == "/" {
            rest = rest.dropFirst()
            guard let given = clock(&rest) else { return nil }
            seconds = given
        }
        return Change(day: day, seconds: seconds)
    }
}
