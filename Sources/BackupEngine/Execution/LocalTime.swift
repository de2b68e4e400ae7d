import Glibc

/// Times for people and labels, in the time zone of the process.
package enum LocalTime {
    /// `YYYYMMDD-HHMMSS`
    package static func labelComponents(_ seconds: Int64) -> String {
        let time = broken(seconds)
        return digits(time.tm_year + 1900, 4) + digits(time.tm_mon + 1, 2) + digits(time.tm_mday, 2) + "-"
            + digits(time.tm_hour, 2) + digits(time.tm_min, 2) + digits(time.tm_sec, 2)
    }

    /// `YYYY-MM-DD HH:MM:SS+ZZ`, with minutes of the zone only where it has some.
    package static func text(_ seconds: Int64) -> String {
        let time = broken(seconds)
        let offset = Int32(time.tm_gmtoff / 60)
        let minutes = abs(offset) % 60
        return digits(time.tm_year + 1900, 4) + "-" + digits(time.tm_mon + 1, 2) + "-" + digits(time.tm_mday, 2) + " "
            + digits(time.tm_hour, 2) + ":" + digits(time.tm_min, 2) + ":" + digits(time.tm_sec, 2)
            + (offset < 0 ? "-" : "+") + digits(abs(offset) / 60, 2) + (minutes == 0 ? "" : ":" + digits(minutes, 2))
    }

    private static func broken(_ seconds: Int64) -> tm {
        var result = tm()
        var time = time_t(seconds)
        localtime_r(&time, &result)
        return result
    }

    private static func digits(_ value: Int32, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
