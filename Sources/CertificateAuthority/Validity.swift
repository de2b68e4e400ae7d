import Glibc

/// From when to when a certificate is valid, both included. Seconds since 1970.
package struct Validity: Equatable, Sendable {
    package var notBefore: Int64
    package var notAfter: Int64

    package init(notBefore: Int64, notAfter: Int64) {
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// Begins a little before `now`, for hosts whose clocks are behind.
    package init(from now: Int64, days: Int) {
        self.init(notBefore: now - Self.clockDifference, notAfter: now + Int64(days) * 86_400)
    }

    /// The same length of life, from now on.
    package func renewed(at now: Int64) -> Validity {
        let start = now - Self.clockDifference
        return Validity(notBefore: start, notAfter: start + length)
    }

    /// The same, but over with `other` at the latest.
    package func within(_ other: Validity) -> Validity {
        Validity(notBefore: notBefore, notAfter: min(notAfter, other.notAfter))
    }

    package var length: Int64 { notAfter - notBefore }

    package func isOver(at now: Int64) -> Bool { now > notAfter }

    /// When less than a third of its life is left.
    package func isDue(at now: Int64) -> Bool { now > dueTime }

    /// The last second at which a third of its life is left.
    package var dueTime: Int64 { notAfter - length / 3 }

    /// Less than a tenth is left: what an authority says when it is time to renew it and to take it to every host.
    package func isEnding(at now: Int64) -> Bool { now > notAfter - length / 10 }

    static let clockDifference: Int64 = 300

    /// `2026-11-21 18:09:38 UTC`.
    package static func text(_ seconds: Int64) -> String {
        var fields = tm()
        var time = time_t(seconds)
        guard gmtime_r(&time, &fields) != nil else { return "second \(seconds)" }
        let size = 64
        var text = [CChar](repeating: 0, count: size)
        let count = strftime(&text, size, "%Y-%m-%d %H:%M:%S UTC", &fields)
        return String(decoding: text.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
