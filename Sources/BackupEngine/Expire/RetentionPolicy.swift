package import BackupModel

/// What retention keeps, from the options of one repository.
package struct RetentionPolicy: Sendable, Equatable {
    package enum FullType: String, Sendable { case count, time }
    package var fullType: FullType
    /// Backups, or days; nil: all are kept.
    package var full: Int?
    /// Differential backups, with the full ones counted among them; nil: all are kept.
    package var diff: Int?
    package var archiveType: BackupType
    /// Backups of `archiveType` whose WAL is kept without a gap; nil: by ``defaultArchive``.
    package var archive: Int?
    /// Whether only the oldest full backup is to go, whatever the options say (`--oldest`).
    package var isOldest = false

    package init(fullType: FullType, full: Int?, diff: Int? = nil, archiveType: BackupType, archive: Int?) {
        self.fullType = fullType
        self.full = full
        self.diff = diff
        self.archiveType = archiveType
        self.archive = archive
    }

    init(_ configuration: Configuration, repository key: Int) {
        self.init(
            fullType: FullType(rawValue: configuration.string(.repoRetentionFullType, key) ?? "") ?? .count,
            full: configuration.integer(.repoRetentionFull, key), diff: configuration.integer(.repoRetentionDiff, key),
            archiveType: BackupType(rawValue: configuration.string(.repoRetentionArchiveType, key) ?? "") ?? .full,
            archive: configuration.integer(.repoRetentionArchive, key))
    }

    /// What `archive` is when it is not set and nothing is known of the backups: with days it is known only once a
    /// backup is old enough, and incremental backups have no retention of their own.
    package var defaultArchive: Int? {
        if let archive { return archive }
        return switch archiveType {
        case .full: fullType == .count ? full : nil
        case .diff: diff
        case .incr: nil
        }
    }

    /// What the options leave open and the user may not expect.
    func warnings(repository key: Int) -> [String] {
        let name = "repo\(key)-retention"
        switch (archiveType, archive, diff) {
        case (.diff, nil, nil):
            return [
                "\(name)-archive-type=diff, but neither \(name)-archive nor \(name)-diff is set: WAL is not expired"
            ]
        case (.incr, nil, _):
            return ["\(name)-archive-type=incr, but \(name)-archive is not set: WAL is not expired"]
        case (.diff, _?, nil):
            return ["\(name)-archive-type=diff, but \(name)-diff is not set: differential backups are not expired"]
        default: return []
        }
    }

    /// The same for a run with `--oldest`: one full backup less than there are, with its WAL. nil when no full backup
    /// can be spared.
    /// - Parameter count: the full backups that are not held.
    func expiringOldest(of count: Int) -> RetentionPolicy? {
        guard count > 1 else { return nil }
        var policy = RetentionPolicy(
            fullType: .count, full: count - 1, diff: diff, archiveType: .full, archive: count - 1)
        policy.isOldest = true
        return policy
    }
}
