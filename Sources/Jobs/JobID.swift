import Glibc

/// The name of a job: sorts by the moment it was made at, and cannot be guessed.
/// `20261121-181000-123-` (UTC, with milliseconds) and 80 random bits in hexadecimal.
package struct JobID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let text: String

    package var description: String { text }

    package static func new() -> JobID {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var fields = tm()
        gmtime_r(&now.tv_sec, &fields)
        let date = padded(fields.tm_year + 1900, 4) + padded(fields.tm_mon + 1, 2) + padded(fields.tm_mday, 2)
        let clock = padded(fields.tm_hour, 2) + padded(fields.tm_min, 2) + padded(fields.tm_sec, 2)
        let random =
            padded(UInt64.random(in: .min ... .max), 16, radix: 16)
            + padded(UInt16.random(in: .min ... .max), 4, radix: 16)
        return JobID(valid: "\(date)-\(clock)-\(padded(now.tv_nsec / 1_000_000, 3))-\(random)")
    }

    /// nil for all that is none: no path can hide in it.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.map(\.count) == [8, 6, 3, 20] else { return nil }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard parts[..<3].allSatisfy({ $0.allSatisfy { digits.contains($0) } }),
            parts[3].allSatisfy({ digits.contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) })
        else { return nil }
        self.text = text
    }

    private init(valid text: String) { self.text = text }

    package static func < (left: JobID, right: JobID) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    private static func padded(_ number: some BinaryInteger, _ width: Int, radix: Int = 10) -> String {
        let digits = String(number, radix: radix)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}
