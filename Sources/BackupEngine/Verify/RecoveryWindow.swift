package import PostgresFormats
package import RepositoryFormats

/// The moments of one timeline that can be recovered to: from the end of a backup to the end of the WAL that follows it.
package struct RecoveryWindow: Sendable, Equatable {
    package var archiveID: String
    package var timeline: UInt32
    /// The backup that it begins with.
    package var label: String
    /// Where that backup is consistent, and when it was: seconds since 1970.
    package var start: LSN
    package var startTime: Int64
    /// The end of the last segment.
    package var end: LSN
    package var lastSegment: WALSegment
}

/// What of a backup decides which WAL it needs.
package struct RecoveryStart: Sendable, Equatable {
    package var label: String
    package var start: WALSegment
    package var stop: WALSegment
    package var lsnStop: LSN
    package var stopTime: Int64

    /// nil for offline backups and entries without a usable range.
    package init?(_ entry: BackupInfoEntry) {
        guard entry.optionOnline, let start = entry.archiveStart.flatMap({ WALSegment($0) }),
            let stop = entry.archiveStop.flatMap({ WALSegment($0) }), start.timeline == stop.timeline, start <= stop
        else { return nil }
        label = entry.label
        self.start = start
        self.stop = stop
        lsnStop = entry.lsnStop.flatMap { LSN($0) } ?? LSN(rawValue: 0)
        stopTime = entry.timestampStop
    }
}

extension RecoveryWindow {
    /// The windows of an archive, by timeline; for each timeline the earliest start for each end.
    ///
    /// A backup of an earlier timeline serves a later one when all WAL up to the switch, and from it on, is there.
    package static func windows(
        archiveID: String, segments: SegmentRanges, histories: [UInt32: TimelineHistory], starts: [RecoveryStart]
    ) -> [RecoveryWindow] {
        var windows: [RecoveryWindow] = []
        for timeline in Set(segments.ranges.map(\.timeline)).sorted() {
            var ends: Set<WALSegment> = []
            for start in starts.sorted(by: { $0.label < $1.label }) {
                guard let last = lastSegment(from: start, on: timeline, segments, histories[timeline]),
                    ends.insert(last).inserted
                else { continue }
                windows.append(
                    RecoveryWindow(
                        archiveID: archiveID, timeline: timeline, label: start.label, start: start.lsnStop,
                        startTime: start.stopTime,
                        end: LSN(
                            rawValue: last.start(segmentSize: segments.segmentSize).rawValue &+ segments.segmentSize),
                        lastSegment: last))
            }
        }
        return windows
    }

    /// The last segment of `timeline` that recovery from a backup reaches; nil when it does not get there.
    private static func lastSegment(
        from start: RecoveryStart, on timeline: UInt32, _ segments: SegmentRanges, _ history: TimelineHistory?
    ) -> WALSegment? {
        let size = segments.segmentSize
        guard segments.missing(from: start.start, to: start.stop).isEmpty else { return nil }
        var segment = start.stop
        if start.start.timeline != timeline {
            guard let steps = history?.switches,
                let first = steps.firstIndex(where: { $0.timeline == start.start.timeline }),
                start.lsnStop <= steps[first].end
            else { return nil }
            for (index, step) in steps.enumerated().dropFirst(first) {
                // The segment of the switch is on the new timeline, which begins with a copy of it.
                let switching = WALSegment(timeline: step.timeline, containing: step.end, segmentSize: size)
                if let last = switching.previous(segmentSize: size), last >= segment,
                    !segments.missing(from: segment, to: last).isEmpty
                {
                    return nil
                }
                let next = index + 1 < steps.count ? steps[index + 1].timeline : timeline
                segment = WALSegment(timeline: next, log: switching.log, number: switching.number)
            }
        }
        return segments.range(holding: segment)?.last
    }
}
