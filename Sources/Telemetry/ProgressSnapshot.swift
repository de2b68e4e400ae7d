import Logging

/// How far something is, ready to be shown.
package struct ProgressSnapshot: Sendable, Equatable {
    package var done: UInt64
    /// nil while unknown.
    package var total: UInt64?
    /// Bytes per second.
    package var rate: UInt64

    package init(done: UInt64, total: UInt64?, rate: UInt64) {
        self.done = done
        self.total = total
        self.rate = rate
    }

    /// 0 to 100, rounded down, so that 100 means done.
    package var percent: UInt64? {
        total.map { total in
            guard total > 0 else { return 100 }
            return UInt64(Double(min(done, total)) / Double(total) * 100)
        }
    }

    /// nil while the total or the rate is unknown.
    package var secondsLeft: UInt64? {
        guard let total, rate > 0 else { return nil }
        let left = total > done ? total - done : 0
        return left / rate + (left % rate > 0 ? 1 : 0)
    }

    /// `progress: 42% (1.2GB of 2.9GB, 210MB/s, 8s left)`
    package var message: String {
        var parts = [
            SizeText.bytes(done) + (total.map { " of " + SizeText.bytes($0) } ?? ""), "\(SizeText.bytes(rate))/s",
        ]
        if let left = secondsLeft { parts.append(SizeText.duration(seconds: left) + " left") }
        let facts = parts.joined(separator: ", ")
        return percent.map { "progress: \($0)% (\(facts))" } ?? "progress: \(facts)"
    }

    /// At most `width` columns: ` 42% [########............]  1.2GB/2.9GB  210MB/s  8s left`. Without a total there is
    /// no bar, and too narrow a terminal loses the bar first.
    package func line(width: Int) -> String {
        var facts =
            SizeText.bytes(done) + (total.map { "/" + SizeText.bytes($0) } ?? "") + "  \(SizeText.bytes(rate))/s"
        if let left = secondsLeft { facts += "  " + SizeText.duration(seconds: left) + " left" }
        guard let percent else { return String(facts.prefix(max(0, width))) }

        let digits = String(percent)
        let head = String(repeating: " ", count: 3 - digits.utf8.count) + digits + "% "
        let room = min(40, width - head.utf8.count - facts.utf8.count - 4)
        guard room >= 5 else { return String((head + facts).prefix(max(0, width))) }
        let full = Int(percent) * room / 100
        return head + "[" + String(repeating: "#", count: full) + String(repeating: ".", count: room - full) + "]  "
            + facts
    }

    /// For JSON lines.
    var facts: Logger.Metadata {
        var facts: Logger.Metadata = [
            "bytes-done": .stringConvertible(done), "bytes-per-second": .stringConvertible(rate),
        ]
        if let total { facts["bytes-total"] = .stringConvertible(total) }
        if let percent { facts["percent"] = .stringConvertible(percent) }
        if let secondsLeft { facts["seconds-left"] = .stringConvertible(secondsLeft) }
        return facts
    }
}

/// Bytes per second, smoothed over about ten seconds, so that the time left does not jump.
package struct RateMeter: Sendable {
    private var lastTime: Duration
    private var lastDone: UInt64 = 0
    private var smoothed: Double?

    package init(start: Duration) { lastTime = start }

    /// The rate after `done` bytes at `time`, both counted from the same start and never falling.
    package mutating func sample(at time: Duration, done: UInt64) -> UInt64 {
        let elapsed = (time - lastTime) / .seconds(1)
        if elapsed > 0 {
            let current = Double(done - min(done, lastDone)) / elapsed
            smoothed = smoothed.map { $0 + (current - $0) * (elapsed / (elapsed + 10)) } ?? current
            lastTime = time
            lastDone = done
        }
        return UInt64(smoothed ?? 0)
    }
}
