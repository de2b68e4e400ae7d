import Glibc

/// Points in time as services write them; all UTC. Times are seconds since 1970.
package enum ServiceTime {
    /// `20150830T123600Z`, of which the first eight characters are the date.
    package static func compact(_ time: Int64) -> String {
        let fields = fields(time)
        return padded(fields.year, 4) + padded(fields.month, 2) + padded(fields.day, 2) + "T"
            + padded(fields.hour, 2) + padded(fields.minute, 2) + padded(fields.second, 2) + "Z"
    }

    /// `Sun, 30 Aug 2015 12:36:00 GMT`, as in HTTP headers.
    package static func http(_ time: Int64) -> String {
        let fields = fields(time)
        return
            "\(days[fields.weekday]), \(padded(fields.day, 2)) \(months[fields.month - 1]) \(padded(fields.year, 4)) "
            + "\(padded(fields.hour, 2)):\(padded(fields.minute, 2)):\(padded(fields.second, 2)) GMT"
    }

    /// `2015-08-30T12:36:00Z`.
    package static func rfc3339(_ time: Int64) -> String { seconds(time) + "Z" }

    /// `2015-08-30T12:36:00.000001Z`, of microseconds since 1970.
    package static func rfc3339(microseconds: Int64) -> String {
        let (time, rest) = (microseconds / 1_000_000, microseconds % 1_000_000)
        return "\(seconds(time)).\(padded(Int(rest), 6))Z"
    }

    private static func seconds(_ time: Int64) -> String {
        let fields = fields(time)
        return "\(padded(fields.year, 4))-\(padded(fields.month, 2))-\(padded(fields.day, 2))T"
            + "\(padded(fields.hour, 2)):\(padded(fields.minute, 2)):\(padded(fields.second, 2))"
    }

    /// Of `2015-08-30T12:36:00.000Z`, `…+00:00` and `2015-08-30T12:36:00Z`; nil for anything else.
    package static func parseISO8601(_ text: String) -> Int64? { parsePrecise(text)?.seconds }

    /// The same in microseconds since 1970; what is finer is cut off.
    package static func parseMicroseconds(_ text: String) -> Int64? {
        parsePrecise(text).map { $0.seconds * 1_000_000 + $0.microseconds }
    }

    private static func parsePrecise(_ text: String) -> (seconds: Int64, microseconds: Int64)? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[10] == UInt8(ascii: "T") || bytes[10] == UInt8(ascii: " "), bytes[13] == UInt8(ascii: ":"),
            bytes[16] == UInt8(ascii: ":"), let year = number(bytes[0..<4]), let month = number(bytes[5..<7]),
            let day = number(bytes[8..<10]), let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]),
            let second = number(bytes[17..<19])
        else { return nil }
        var zone = bytes[19...]
        var microseconds: Int64 = 0
        if zone.first == UInt8(ascii: ".") {
            let digits = zone.dropFirst().prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            for place in 0..<6 {
                let digit = place < digits.count ? digits[digits.startIndex + place] - UInt8(ascii: "0") : 0
                microseconds = microseconds * 10 + Int64(digit)
            }
            zone = zone[digits.endIndex...]
        }
        guard let time = time(year, month, day, hour, minute, second) else { return nil }
        switch zone.first {
        case UInt8(ascii: "Z") where zone.count == 1: return (time, microseconds)
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            let digits = zone.dropFirst().filter { $0 != UInt8(ascii: ":") }
            guard digits.count == 4, let value = number(digits[...]) else { return nil }
            let offset = Int64(value / 100 * 3600 + value % 100 * 60)
            return (zone.first == UInt8(ascii: "+") ? time - offset : time + offset, microseconds)
        default: return nil
        }
    }

    /// Of the form of ``http(_:)``; nil for anything else.
    package static func parseHTTP(_ text: String) -> Int64? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let day = number(Array(words[1].utf8)[...]),
            let month = months.firstIndex(of: String(words[2])), let year = number(Array(words[3].utf8)[...])
        else { return nil }
        let clock = words[4].split(separator: ":").map { number(Array($0.utf8)[...]) }
        guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2] else { return nil }
        return time(year, month + 1, day, hour, minute, second)
    }

    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func fields(
        _ time: Int64
    ) -> (year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, weekday: Int) {
        var seconds = time_t(time)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        return (
            Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday), Int(parts.tm_hour),
            Int(parts.tm_min), Int(parts.tm_sec), Int(parts.tm_wday)
        )
    }

    private static func time(
        _ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int
    ) -> Int64? {
        guard (1970...9999).contains(year), (1...12).contains(month), (1...31).contains(day), (0...23).contains(hour),
            (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        var parts = tm()
        parts.tm_year = Int32(year - 1900)
        parts.tm_mon = Int32(month - 1)
        parts.tm_mday = Int32(day)
        parts.tm_hour = Int32(hour)
        parts.tm_min = Int32(minute)
        parts.tm_sec = Int32(second)
        return Int64(timegm(&parts))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.count <= 4 else { return nil }
        var result = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            result = result * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return result
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
