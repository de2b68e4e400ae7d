import BackupModel
import RepositoryFormats

/// Which WAL of one archive id a retention keeps. Pure; step 5 of section C.7 of the reference.
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
        /// What lies outside of all ranges goes.
        case keep([Range])
    }

    /// - Parameters:
    ///   - backups: what is left after backups were expired, ascending.
    ///   - count: how many of the newest backups of `type` keep all their WAL.
    static func decide(
        backups: [BackupInfoEntry], type: BackupType, count: Int, databaseID: Int, isCurrent: Bool
    ) -> Decision {
        let counted = backups.filter { isCounted($0.type, by: type) }
        guard count > 0, counted.count >= count else { return .keepAll }
        let ofDatabase = backups.filter { $0.databaseID == databaseID }
        guard !ofDatabase.isEmpty else { return isCurrent ? .keepAll : .removeAll }
        let retained = counted.suffix(count).filter { $0.databaseID == databaseID }
        guard let retention = retained.first ?? counted.last(where: { $0.databaseID == databaseID }) ?? ofDatabase.last,
            let start = retention.archiveStart
        else { return .keepAll }
        var ranges: [Range] = []
        for backup in ofDatabase where backup.label < retention.label {
            // A backup without a stop is one whose WAL nobody can tell: keep from its start on.
            guard let first = backup.archiveStart else { continue }
            ranges.append(Range(start: first, stop: backup.archiveStop))
        }
        ranges.append(Range(start: start, stop: nil))
        return .keep(ranges)
    }

    /// Differentials count with the fulls, incrementals with all.
    private static func isCounted(_ type: BackupType, by retention: BackupType) -> Bool {
        switch retention {
        case .full: type == .full
        case .diff: type != .incr
        case .incr: true
        }
    }

    /// Whether a 16-character directory holds nothing that is kept.
    static func isOutside(directory: String, _ ranges: [Range]) -> Bool {
        !ranges.contains { range in
            directory >= String(range.start.prefix(16))
                && (range.stop.map { directory <= String($0.prefix(16)) } ?? true)
        }
    }

    /// Whether a file, by the first 24 characters of its name, is in no range.
    static func isOutside(file: String, _ ranges: [Range]) -> Bool {
        let segment = String(file.prefix(24))
        return !ranges.contains { range in segment >= range.start && (range.stop.map { segment <= $0 } ?? true) }
    }
}
