/// A time as clocks on walls show it.
struct CivilTime: Sendable, Equatable {
    var year: Int
    /// 1 to 12.
    var month: Int
    /// 1 to 31.
    var day: Int
    var hour: Int
    var minute: Int
    var second: Int
    /// 0 is Sunday.
    var weekday: Int

    /// - Parameter seconds: since 1970, of a clock that is not moved.
    init(_ seconds: Int64) {
        let days = seconds.floored(by: 86_400)
        let rest = Int(seconds - days * 86_400)
        (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60)
        weekday = Int((days % 7 + 11) % 7)
        // Days since 1 March of year 0, in cycles of 400 years; the year begins with March, so leap days end it.
        let shifted = days + 719_468
        let cycle = shifted.floored(by: 146_097)
        let dayOfCycle = shifted - cycle * 146_097
        let yearOfCycle = (dayOfCycle - dayOfCycle / 1460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
        let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
        month = Int(monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9)
        year = Int(yearOfCycle + cycle * 400) + (month <= 2 ? 1 : 0)
    }

    /// Seconds since 1970 of the beginning of a day, by the same clock.
    static func seconds(year: Int, month: Int, day: Int) -> Int64 {
        let year = Int64(month <= 2 ? year - 1 : year)
        let cycle = year.floored(by: 400)
        let yearOfCycle = year - cycle * 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        let dayOfCycle = yearOfCycle * 365 + yearOfCycle / 4 - yearOfCycle / 100 + dayOfYear
        return (cycle * 146_097 + dayOfCycle - 719_468) * 86_400
    }

    var secondOfDay: Int64 { Int64(hour * 3600 + minute * 60 + second) }
}

extension Int64 {
    /// Divided, rounded towards the past.
    func floored(by divisor: Int64) -> Int64 { self / divisor - (self % divisor < 0 ? 1 : 0) }
}
