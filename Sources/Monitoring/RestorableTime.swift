package import BackupEngine
import PostgresAccess
package import PostgresFormats

/// Up to which moment can be restored for certain: recovery to a time ends at a commit that is later, and fails where none
/// comes. So it is a moment before a commit that is in the archive, whose time is in WAL, or the server has told.
package struct RestorableTime: Sendable {
    /// Of one run of a server.
    private struct Run: Sendable, Equatable {
        var system: UInt64
        var timeline: UInt32
        var started: Int64
    }

    private var run: Run?
    /// The last one that was read.
    private var segment: WALSegment?
    /// Whose WAL is not archived yet, the oldest first.
    private var waiting: [LastCommit] = []
    /// Microseconds since 1970; nil when nothing is known.
    package private(set) var time: Int64?

    /// Looks that are kept while nothing is archived.
    private static let limit = 64

    package init() {}

    /// - Parameter latest: when, in microseconds since 1970, the latest transaction of those in a segment ended; nil when that
    ///   cannot be said.
    package mutating func note(_ status: ServerStatus, latest: (WALSegment) -> Int64?) {
        let run = Run(system: status.systemIdentifier, timeline: status.timeline, started: status.started)
        if self.run != run { self = RestorableTime() }
        self.run = run
        guard let archiving = status.archiving else { return }
        if let last = archiving.lastCommit, waiting.last?.time != last.time {
            if waiting.count >= Self.limit { waiting.removeLast() }
            waiting.append(last)
        }
        // Not histories of timelines, nor labels of backups, which come before their segments.
        guard let archived = archiving.counts.lastArchived.flatMap({ WALSegment($0.name) }) else { return }
        while let first = waiting.first, let place = WALSegment(first.segment), place.timeline == archived.timeline,
            place <= archived
        {
            time = max(time ?? 0, first.time - 1)
            waiting.removeFirst()
        }
        // What another timeline has after it parted is not restored with this one.
        guard archived != segment, archived.timeline == status.timeline else { return }
        segment = archived
        if let end = latest(archived) { time = max(time ?? 0, end - 1) }
    }
}
