package import PostgresFormats

/// Which segments are to be in the spool when PostgreSQL asks for one, and what of it is there.
package struct ArchiveGetQueue: Equatable, Sendable {
    /// To be fetched, in this order.
    package var missing: [WALSegment] = []
    /// Files of the spool that nobody will ask for.
    package var stale: [String] = []

    /// - Parameters:
    ///   - first: the first segment of the queue.
    ///   - spooled: the names in the spool directory.
    package init(from first: WALSegment, spooled: [String], queueSize: UInt64, segmentSize: UInt64) {
        var wanted: [WALSegment] = []
        var next = first
        for _ in 0..<Self.length(queueSize: queueSize, segmentSize: segmentSize) {
            wanted.append(next)
            next = next.next(segmentSize: segmentSize)
        }
        let names = Set(wanted.map(\.description))
        var there: Set<String> = []
        for name in spooled {
            if names.contains(name) { there.insert(name) } else { stale.append(name) }
        }
        missing = wanted.filter { !there.contains($0.description) }
        stale.sort()
    }

    /// Segments in the queue: at least two, else there would be nothing to fetch ahead.
    package static func length(queueSize: UInt64, segmentSize: UInt64) -> Int {
        // 4 PiB of 1 MiB segments would be a list of four thousand millions.
        Int(min(max(queueSize / segmentSize, 2), 65_536))
    }

    /// Whether so many segments are left that more need not be fetched yet.
    package static func isHalfFull(_ count: Int, queueSize: UInt64, segmentSize: UInt64) -> Bool {
        count * 2 >= length(queueSize: queueSize, segmentSize: segmentSize)
    }
}
