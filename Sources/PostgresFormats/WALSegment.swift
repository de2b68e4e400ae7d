/// The name of a WAL segment: 24 hex digits.
///
/// Segment sizes are in bytes, a power of two from 1 MiB to 1 GiB. A name can be read from anywhere, so arithmetic on
/// one that no server would write (a `number` beyond its log) wraps and never traps.
package struct WALSegment: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var timeline: UInt32
    package var log: UInt32
    package var number: UInt32

    package init(timeline: UInt32, log: UInt32, number: UInt32) {
        self.timeline = timeline
        self.log = log
        self.number = number
    }

    /// From exactly 24 upper-case hex digits.
    package init?(_ name: some StringProtocol) {
        self.init(utf8: name.utf8)
    }

    init?(utf8 name: some Collection<UInt8>) {
        guard name.count == 24,
            let timeline = Hexadecimal.value(name.prefix(8)),
            let log = Hexadecimal.value(name.dropFirst(8).prefix(8)),
            let number = Hexadecimal.value(name.dropFirst(16))
        else { return nil }
        self.init(timeline: timeline, log: log, number: number)
    }

    /// The segment that holds `position`.
    package init(timeline: UInt32, containing position: LSN, segmentSize: UInt64) {
        self.init(
            timeline: timeline,
            log: UInt32(truncatingIfNeeded: position.rawValue >> 32),
            number: UInt32(truncatingIfNeeded: (position.rawValue & 0xFFFF_FFFF) / segmentSize))
    }

    package var description: String { Hexadecimal.fixedWidth(timeline, log, number) }

    /// The first 16 digits: the directory in the archive.
    package var directory: String { Hexadecimal.fixedWidth(timeline, log) }

    package func start(segmentSize: UInt64) -> LSN {
        LSN(rawValue: UInt64(log) << 32 &+ UInt64(number) &* segmentSize)
    }

    /// On the same timeline. Since PostgreSQL 9.3 a log holds 4 GiB in full, so no number is skipped.
    package func next(segmentSize: UInt64) -> WALSegment {
        if UInt64(number) + 1 < Self.segmentsPerLog(segmentSize: segmentSize) {
            return WALSegment(timeline: timeline, log: log, number: number + 1)
        }
        return WALSegment(timeline: timeline, log: log &+ 1, number: 0)
    }

    /// nil before the first segment of all.
    package func previous(segmentSize: UInt64) -> WALSegment? {
        if number > 0 { return WALSegment(timeline: timeline, log: log, number: number - 1) }
        if log == 0 { return nil }
        let last = UInt32(truncatingIfNeeded: Self.segmentsPerLog(segmentSize: segmentSize) - 1)
        return WALSegment(timeline: timeline, log: log - 1, number: last)
    }

    package static func < (left: WALSegment, right: WALSegment) -> Bool {
        (left.timeline, left.log, left.number) < (right.timeline, right.log, right.number)
    }

    /// Whether PostgreSQL could use this segment size, in bytes.
    package static func isSegmentSize(_ size: UInt64) -> Bool {
        size >= 1 << 20 && size <= 1 << 30 && size & (size - 1) == 0
    }

    private static func segmentsPerLog(segmentSize: UInt64) -> UInt64 {
        precondition(isSegmentSize(segmentSize), "a WAL segment size of \(segmentSize) bytes")
        return (1 << 32) / segmentSize
    }
}
