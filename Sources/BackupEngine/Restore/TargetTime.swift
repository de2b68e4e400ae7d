package import BackupModel
import Glibc

/// Times as users write them for `--target` and `--repo-target-time` and read them in messages.
package enum TargetTime {
    /// Seconds since 1970 of `YYYY-MM-DD HH:MM:SS[.f][±HH[[:]MM]]`; fractions are cut off. Without an offset it is
    /// local time. Throws `.format`.
    package static func parse(_ text: String) throws(BackupError) -> Int64 {
        try parse(text, orSay: "automatic backup set selection cannot be performed with provided time '\(text)'")
    }

    /// Microseconds since 1970 of the same; what is less than one counts as one.
    package static func microseconds(_ text: String) throws(BackupError) -> Int64 {
        let seconds = try parse(text)
        let rest = text.utf8.dropFirst("2026-01-01 12:00:00".utf8.count)
        guard rest.first == UInt8(ascii: ".") || rest.first == UInt8(ascii: ",") else { return seconds * 1_000_000 }
        let digits = rest.dropFirst().prefix { (0x30...0x39).contains($0) }
        var fraction: Int64 = 0
        for place in 0..<6 { fraction = fraction * 10 + Int64(digits.dropFirst(place).first.map { $0 - 0x30 } ?? 0) }
        return seconds * 1_000_000 + fraction + (digits.dropFirst(6).contains { $0 != 0x30 } ? 1 : 0)
    }

    /// The same for an option of this name.
    package static func parse(_ text: String, of option: String) throws(BackupError) -> Int64 {
        try parse(text, orSay: "'\(text)' is not valid for '\(option)' option")
    }

    /// The same moment for a server whose own time zone may be another than this host's: one without a zone gets ours.
    package static func withZone(_ text: String) throws(BackupError) -> String {
        let seconds = try parse(text)
        if text.dropFirst("2026-01-01 ".count).contains(where: { "+-Z".contains($0) }) { return text }
        return text + describe(seconds).dropFirst("2026-01-01 12:00:00".count)
    }

    private static func parse(_ text: String, orSay message: String) throws(BackupError) -> Int64 {
        var bytes = Array(text.utf8)[...]
        guard let seconds = parse(&bytes), bytes.isEmpty else {
            throw BackupError(
                .format, message,
                hint: "time format must be YYYY-MM-DD HH:MM:SS with optional fraction and optional timezone"
                    + " (+/- HH or HHMM or HH:MM); if timezone is omitted, local time is assumed (for UTC use +00)")
        }
        return seconds
    }

    private static func parse(_ text: inout ArraySlice<UInt8>) -> Int64? {
        guard let year = digits(4, &text), literal("-", &text), let month = digits(2, &text), literal("-", &text),
            let day = digits(2, &text), literal(" ", &text) || literal("T", &text), let hour = digits(2, &text),
            literal(":", &text), let minute = digits(2, &text), literal(":", &text), let second = digits(2, &text),
            (1...12).contains(month), day >= 1, day <= daysIn(month: month, year: year), hour <= 23, minute <= 59,
            second <= 60, year >= 1970
        else { return nil }
        if literal(".", &text) || literal(",", &text) {
            let digitCount = text.prefix { (0x30...0x39).contains($0) }.count
            guard digitCount > 0 else { return nil }
            text.removeFirst(digitCount)
        }
        if literal("Z", &text) { return utc(year, month, day, hour, minute, second) }
        let isWest = text.first == UInt8(ascii: "-")
        guard literal("+", &text) || literal("-", &text) else {
            var parts = tm()
            parts.tm_year = Int32(year - 1900)
            parts.tm_mon = Int32(month - 1)
            parts.tm_mday = Int32(day)
            parts.tm_hour = Int32(hour)
            parts.tm_min = Int32(minute)
            parts.tm_sec = Int32(second)
            parts.tm_isdst = -1
            let seconds = mktime(&parts)
            return seconds == -1 ? nil : Int64(seconds)
        }
        guard let offsetHours = digits(2, &text), offsetHours <= 15 else { return nil }
        var offsetMinutes = 0
        if !text.isEmpty {
            _ = literal(":", &text)
            guard let minutes = digits(2, &text), minutes <= 59 else { return nil }
            offsetMinutes = minutes
        }
        let offset = Int64(offsetHours * 3600 + offsetMinutes * 60)
        return utc(year, month, day, hour, minute, second) + (isWest ? offset : -offset)
    }

    /// `2026-11-21 03:40:00+00`, local time.
    package static func describe(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return "\(seconds)" }
        let minutes = parts.tm_gmtoff / 60
        let zone = two(abs(minutes) / 60) + (minutes % 60 == 0 ? "" : ":" + two(abs(minutes) % 60))
        return "\(Int(parts.tm_year) + 1900)-\(two(Int(parts.tm_mon) + 1))-\(two(Int(parts.tm_mday)))"
            + " \(two(Int(parts.tm_hour))):\(two(Int(parts.tm_min))):\(two(Int(parts.tm_sec)))"
            + (minutes < 0 ? "-" : "+") + zone
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    private static func literal(_ character: Unicode.Scalar, _ text: inout ArraySlice<UInt8>) -> Bool {
        guard text.first == UInt8(ascii: character) else { return false }
        text.removeFirst()
        return true
    }

    private static func digits(_ count: Int, _ text: inout ArraySlice<UInt8>) -> Int? {
        guard text.count >= count else { return nil }
        var number = 0
        for byte in text.prefix(count) {
            guard (0x30...0x39).contains(byte) else { return nil }
            number = number * 10 + Int(byte - 0x30)
        }
        text.removeFirst(count)
        return number
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func daysIn(month: Int, year: Int) -> Int {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func utc(_ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int) -> Int64 {
        var days = 0
        for earlier in 1970..<max(1970, year) { days += isLeap(earlier) ? 366 : 365 }
        for earlier in 1..<month { days += daysIn(month: earlier, year: year) }
        days += day - 1
        return Int64(days) * 86400 + Int64(hour * 3600 + minute * 60 + second)
    }
}
