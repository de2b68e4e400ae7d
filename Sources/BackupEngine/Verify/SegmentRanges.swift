package import PostgresFormats

/// WAL segments of one archive that follow each other, ends included.
package struct SegmentRange: Sendable, Equatable, CustomStringConvertible {
    package var first: WALSegment
    package var last: WALSegment
    /// When the first and the last of them were stored, in seconds since 1970; 0 where it is not known.
    package var firstModified: Int64
    package var lastModified: Int64

    package var timeline: UInt32 { first.timeline }
    package var description: String { first == last ? "\(first)" : "\(first) to \(last)" }
    package func contains(_ segment: WALSegment) -> Bool {
        segment.timeline == timeline && segment >= first && segment <= last
    }

    package init(first: WALSegment, last: WALSegment, firstModified: Int64 = 0, lastModified: Int64 = 0) {
        self.first = first
        self.last = last
        self.firstModified = firstModified
        self.lastModified = lastModified
    }
}

/// The segments of an archive as few ranges, however many there are.
package struct SegmentRanges: Sendable, Equatable {
    /// Ascending.
    package private(set) var ranges: [SegmentRange] = []
    package let segmentSize: UInt64

    /// - Parameter segmentSize: bytes.
    package init(segmentSize: UInt64) { self.segmentSize = segmentSize }

    /// Segments must come in ascending order.
    package mutating func append(_ segment: WALSegment, modified: Int64 = 0) {
        if let last = ranges.last?.last {
            if segment <= last { return }
            if last.next(segmentSize: segmentSize) == segment {
                ranges[ranges.count - 1].last = segment
                ranges[ranges.count - 1].lastModified = modified
                return
            }
        }
        ranges.append(
            SegmentRange(first: segment, last: segment, firstModified: modified, lastModified: modified))
    }

    /// Without some segments, as if they were not there.
    package func removing(_ segments: Set<WALSegment>) -> SegmentRanges {
        guard !segments.isEmpty else { return self }
        var rest = SegmentRanges(segmentSize: segmentSize)
        for range in ranges {
            var first = range.first
            for gone in segments.filter({ range.contains($0) }).sorted() {
                if let last = gone.previous(segmentSize: segmentSize), last >= first, last.timeline == first.timeline {
                    rest.ranges.append(SegmentRange(first: first, last: last, firstModified: range.firstModified))
                }
                first = gone.next(segmentSize: segmentSize)
            }
            if first <= range.last {
                rest.ranges.append(
                    SegmentRange(
                        first: first, last: range.last, firstModified: range.firstModified,
                        lastModified: range.lastModified))
            }
        }
        return rest
    }

    package func range(holding segment: WALSegment) -> SegmentRange? { ranges.first { $0.contains(segment) } }

    /// What lies between two ranges of one timeline, with the range that follows it.
    package var gaps: [(gap: SegmentRange, next: SegmentRange)] {
        zip(ranges, ranges.dropFirst()).compactMap { before, next in
            guard before.timeline == next.timeline, let last = next.first.previous(segmentSize: segmentSize) else {
                return nil
            }
            return (SegmentRange(first: before.last.next(segmentSize: segmentSize), last: last), next)
        }
    }

    /// Gaps behind `newest`, where the newest backup begins: no retention makes them. Those before may have been.
    /// - Parameter now: seconds since 1970.
    package func lost(since newest: WALSegment, now: Int64) -> [SegmentRange] {
        gaps.filter { gap, next in
            (gap.last.log, gap.last.number) > (newest.log, newest.number)
                && now - next.firstModified > Self.patience
        }.map(\.gap)
    }

    /// Seconds in which a segment may arrive behind its successor, as with asynchronous archiving.
    private static let patience: Int64 = 60

    /// What is not there of the segments from `start` to `stop`, which are of one timeline.
    package func missing(from start: WALSegment, to stop: WALSegment) -> [SegmentRange] {
        var missing: [SegmentRange] = []
        var segment = start
        while segment <= stop {
            if let range = range(holding: segment) {
                segment = range.last.next(segmentSize: segmentSize)
                continue
            }
            let next = ranges.lazy.map(\.first).filter { $0.timeline == segment.timeline && $0 > segment }.min()
            let end = next.flatMap { $0.previous(segmentSize: segmentSize) }.map { min($0, stop) } ?? stop
            missing.append(SegmentRange(first: segment, last: end))
            segment = end.next(segmentSize: segmentSize)
        }
        return missing
    }
}
