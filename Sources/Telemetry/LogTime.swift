import Glibc

/// A moment in wall time, for log lines.
package struct LogTime: Sendable {
    /// Since 1970.
    package var seconds: Int64
    /// 0 to 999.
    package var milliseconds: Int64

    package init(seconds: Int64, milliseconds: Int64) {
        self.seconds = seconds
        self.milliseconds = milliseconds
    }

    package static func now() -> LogTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return LogTime(seconds: Int64(time.tv_sec), milliseconds: Int64(time.tv_nsec) / 1_000_000)
    }

    /// `2026-11-21 03:40:00.123`, in the process's time zone.
    var local: String { text(localtime_r, dateEnd: " ", end: "") }

    /// RFC 3339: `2026-11-21T03:40:00.123Z`.
    var universal: String { text(gmtime_r, dateEnd: "T", end: "Z") }

    private typealias Conversion = (UnsafePointer<time_t>?, UnsafeMutablePointer<tm>?) -> UnsafeMutablePointer<tm>?

    private func text(_ convert: Conversion, dateEnd: String, end: String) -> String {
        var fields = tm()
        var time = time_t(seconds)
        guard convert(&time, &fields) != nil else { return "\(seconds)" }
        let date = [(fields.tm_mon + 1), fields.tm_mday].map { padded($0, 2) }
        let clock = [fields.tm_hour, fields.tm_min, fields.tm_sec].map { padded($0, 2) }
        return padded(fields.tm_year + 1900, 4) + "-" + date.joined(separator: "-") + dateEnd
            + clock.joined(separator: ":") + "." + padded(milliseconds, 3) + end
    }
}

/// In decimal, with zeros in front up to `width` digits.
func padded(_ number: some BinaryInteger, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
}
