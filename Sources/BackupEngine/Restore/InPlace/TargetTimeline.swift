import BackupModel
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Along which timeline a target is recovered that lies before servers were promoted.
///
/// At the end of recovery PostgreSQL writes down that the new timeline branched off the one that was aimed at, even when it
/// stopped before that one began: `1 0/9000000`, `2 0/5000000`. A standby of that past cannot tell from such a history where
/// it has to go back to, and neither can pg_rewind. So what lies before a switch point is aimed at by the timeline that it lies on.
struct TargetTimeline: Sendable {
    private let repository: Repository
    private let stanza: String
    private let archiveID: String
    private let segmentSize: UInt64
    /// Where the backup became consistent; nil for an offline one.
    private let start: (timeline: UInt32, position: LSN)?

    /// Segments that are looked at for a transaction before a switch point.
    private static let limit = 32
    /// Bytes: a segment that is larger is not looked at.
    private static let sizeLimit = 64 << 20

    init(_ repository: Repository, _ manifest: Manifest, stanza: String, segmentSize: UInt64) {
        self.repository = repository
        self.stanza = stanza
        self.segmentSize = segmentSize
        archiveID = RepositoryPaths.archiveID(version: manifest.database.version, historyID: manifest.database.id)
        start = RestoreTimeline.end(archiveStart: manifest.archiveStart, lsnStop: manifest.lsnStop)
    }

    /// - Returns: nil when it may be the latest: also for targets of which only recovery finds out where they lie.
    func find(_ options: RestoreOptions, version: PostgresVersion) async throws(BackupError) -> UInt32? {
        guard let start, [.time, .lsn].contains(options.type), let target = options.target,
            try RestoreTimeline(options, version: version) == .latest
        else { return nil }
        let names = try await repository.listAll("\(RepositoryPaths.archive(stanza: stanza))/\(archiveID)").map(\.name)
        guard let newest = RestoreTimeline.newest(among: names), newest > start.timeline,
            let history = try await repository.loadTimelineHistory(newest, stanza: stanza, archiveID: archiveID)
        else { return nil }
        for step in Self.parts(history.switches[...]) where step.timeline >= start.timeline {
            guard step.end > start.position else { continue }
            if try await lies(options.type, target, before: step.end, on: step.timeline) { return step.timeline }
        }
        return nil
    }

    /// The timeline on which a recovery stopped, when that is not the one that the history of the new one names.
    static func stopped(_ history: TimelineHistory) -> UInt32? {
        guard let end = history.switches.last?.end else { return nil }
        return parts(history.switches.dropLast()).first { end <= $0.end }?.timeline
    }

    /// Up to where each timeline is a part of the newest: of such a history what comes before all later switch points.
    private static func parts(_ switches: ArraySlice<TimelineHistory.Switch>) -> [TimelineHistory.Switch] {
        var end = LSN(rawValue: .max)
        return switches.reversed().map { step in
            end = min(end, step.end)
            return TimelineHistory.Switch(timeline: step.timeline, end: end)
        }.reversed()
    }

    private func lies(
        _ type: RestoreType, _ target: String, before end: LSN, on timeline: UInt32
    ) async throws(BackupError) -> Bool {
        if type == .lsn {
            guard let position = LSN(target), position < end else { return false }
            let segment = WALSegment(timeline: timeline, containing: position, segmentSize: segmentSize)
            return try await !repository.archivedSegments(segment, archiveID: archiveID, stanza: stanza).isEmpty
        }
        let time = try TargetTime.microseconds(target)
        guard let latest = try await latestEnd(before: end, on: timeline) else { return false }
        return latest > time
    }

    /// When the last transaction before a place on a timeline ended, as far as the timeline's own WAL is in the archive.
    private func latestEnd(before end: LSN, on timeline: UInt32) async throws(BackupError) -> Int64? {
        let last = LSN(rawValue: max(1, end.rawValue) - 1)
        var next: WALSegment? = WALSegment(timeline: timeline, containing: last, segmentSize: segmentSize)
        for turn in 0..<Self.limit {
            guard let segment = next, let start,
                segment.start(segmentSize: segmentSize).rawValue &+ segmentSize > start.position.rawValue
            else { return nil }
            if let bytes = try await content(segment) {
                if let latest = try TransactionEnds.latest(in: segment, bytes, before: end) { return latest }
            } else if turn > 0 {
                return nil
            }
            // The one in which the next one branched off need not be there under this timeline.
            next = segment.previous(segmentSize: segmentSize)
        }
        return nil
    }

    private func content(_ segment: WALSegment) async throws(BackupError) -> [UInt8]? {
        guard segmentSize <= Self.sizeLimit,
            let object = try await repository.archivedSegments(segment, archiveID: archiveID, stanza: stanza).first
        else { return nil }
        let pass = repository.cipherPass == nil ? nil : try await repository.loadArchiveInfo(stanza: stanza).cipherPass
        return try await repository.readWhole(
            RepositoryPaths.archiveFile(stanza: stanza, archiveID: archiveID, name: object.name),
            as: StoredForm(compress: object.compress, cipherPass: pass), limit: Self.sizeLimit)
    }
}

extension TransactionEnds {
    /// Of the records of a whole segment that begin before a place.
    fileprivate static func latest(
        in segment: WALSegment, _ bytes: [UInt8], before end: LSN
    ) throws(BackupError) -> Int64? {
        var ends = try TransactionEnds(segment, start: bytes.span.bytes, before: end)
        _ = ends.read(bytes.span.bytes)
        return ends.latest
    }
}
