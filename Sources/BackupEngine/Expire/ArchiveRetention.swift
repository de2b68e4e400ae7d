import BackupModel
import RepositoryFormats

/// Which WAL of one archive id a retention keeps. Pure; steps 5 and 6 of section C.7 of the reference.
struct ArchiveRetention: Equatable {
    /// First and last segment names; nil as last: without end.
    struct Range: Equatable {
        var start: String
        var stop: String?
    }

    enum Decision: Equatable {
        /// Nothing of this archive id may go.
        case keepAll
        /// No kept backup needs it, and it is not where WAL is written now.
        case removeAll
        /// What lies outside of all ranges goes. From `backup` on all WAL is kept; nil: there is no backup, and only
        /// the request decides.
        case keep([Range], from: String?)
    }

    /// What is left after backups were expired, ascending.
    var backups: [BackupInfoEntry]
    /// Of those, the ones that do not count: kept by nothing but a hold.
    var uncounted: Set<String> = []
    /// Of those, the ones that keep all WAL from their start on.
    var held: Set<String> = []
    var type: BackupType
    /// How many of the newest backups of `type` keep all their WAL.
    var count: Int
    /// WAL from this segment on stays, and older WAL goes even if there are fewer than `count` backups.
    var expireBefore: String?

    func decide(databaseID: Int, isCurrent: Bool) -> Decision {
        let counted = backups.filter { isCounted($0.type) && !uncounted.contains($0.label) }
        guard count > 0, expireBefore != nil || counted.count >= count else { return .keepAll }
        let ofDatabase = backups.filter { $0.databaseID == databaseID }
        guard !ofDatabase.isEmpty else {
            guard isCurrent else { return .removeAll }
            return expireBefore.map { .keep([Range(start: $0, stop: nil)], from: nil) } ?? .keepAll
        }
        let retained = counted.suffix(count).filter { $0.databaseID == databaseID }
        guard let retention = retained.first ?? counted.last(where: { $0.databaseID == databaseID }) ?? ofDatabase.last,
            let start = retention.archiveStart
        else { return .keepAll }
        var ranges: [Range] = []
        for backup in ofDatabase where backup.label != retention.label {
            // A backup without a stop is one whose WAL nobody can tell: keep from its start on.
            guard let first = backup.archiveStart else { continue }
            // A newer backup lies in the open range, unless it is of an older timeline: then from its start on, too.
            let isOlder = backup.label < retention.label
            let isBounded = isOlder && !held.contains(backup.label)
            if isOlder || first < start {
                ranges.append(Range(start: first, stop: isBounded ? backup.archiveStop : nil))
            }
        }
        ranges.append(Range(start: start, stop: nil))
        if let expireBefore, expireBefore < start { ranges.append(Range(start: expireBefore, stop: start)) }
        return .keep(ranges, from: retention.label)
    }

    /// Differentials count with the fulls, incrementals with all.
    private func isCounted(_ backup: BackupType) -> Bool {
        switch type {
        case .full: backup == .full
        case .diff: backup != .incr
        case .incr: true
        }
    }
}

extension [ArchiveRetention.Range] {
    /// Whether a 16-character directory holds nothing that is kept.
    func exclude(directory: String) -> Bool {
        !contains { range in
            directory >= range.start.prefix(16) && (range.stop.map { directory <= $0.prefix(16) } ?? true)
        }
    }

    /// Whether a directory holds nothing but what is kept.
    func includeAll(of directory: String) -> Bool {
        contains { range in
            directory > range.start.prefix(16) && (range.stop.map { directory < $0.prefix(16) } ?? true)
        }
    }

    /// Whether a file, by the first 24 characters of its name, is in no range.
    func exclude(file: String) -> Bool {
        let segment = file.prefix(24)
        return !contains { range in segment >= range.start && (range.stop.map { segment <= $0 } ?? true) }
    }
}
