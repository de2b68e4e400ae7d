import Glibc

/// A point in monotonic time at which waiting ends.
struct Deadline {
    private let end: Int64

    init(after duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (length, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        let (sum, late) = Self.now().addingReportingOverflow(length)
        end = overflow || overflowed || late ? .max : sum
    }

    enum Outcome { case ready, expired, cancelled, failed(errno: Int32) }

    /// How soon a cancelled task ends its wait, in milliseconds.
    private static let cancellationInterval: Int64 = 200

    /// Blocks until `descriptor` has one of poll(2)'s `events`, the time has come, or the calling task is cancelled,
    /// unless that is not to count.
    func wait(for events: Int32, on descriptor: Int32, heedsCancellation: Bool = true) -> Outcome {
        var entry = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: events), revents: 0)
        while true {
            if heedsCancellation, Task.isCancelled { return .cancelled }
            // Rounded up: a wait of less than a millisecond must not become a busy loop.
            let left = max(0, end - Self.now())
            let milliseconds = min(left / 1_000_000 + (left % 1_000_000 > 0 ? 1 : 0), Self.cancellationInterval)
            switch poll(&entry, 1, Int32(clamping: milliseconds)) {
            case 0:
                if Self.now() >= end { return .expired }
            case 1...:
                return .ready
            default:
                if errno != EINTR { return .failed(errno: errno) }
            }
        }
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
