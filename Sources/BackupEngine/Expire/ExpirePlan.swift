package import BackupModel
package import RepositoryFormats

/// What retention keeps, from the options of one repository.
package struct RetentionPolicy: Sendable, Equatable {
    package enum FullType: String, Sendable { case count, time }
    package var fullType: FullType
    /// Backups, or days; nil: all are kept.
    package var full: Int?
    /// Differential backups, with the full ones counted among them; nil: all are kept.
    package var diff: Int?
    package var archiveType: BackupType
    /// Backups of `archiveType` whose WAL is kept without a gap; nil: as many as are kept.
    package var archive: Int?

    package init(fullType: FullType, full: Int?, diff: Int? = nil, archiveType: BackupType, archive: Int?) {
        self.fullType = fullType
        self.full = full
        self.diff = diff
        self.archiveType = archiveType
        self.archive = archive
    }
}

/// Which backups go. Pure; section C.7 of the reference.
package struct ExpirePlan: Sendable, Equatable {
    /// Labels that go, ascending, and why.
    package var expired: [Expired] = []
    /// How many backups of the retention's type keep all of their WAL; nil: WAL is not expired.
    package var archiveRetention: Int?

    package struct Expired: Sendable, Equatable {
        package var label: String
        package var reason: String
    }

    /// - Parameter now: seconds since 1970, for retention by time.
    package static func byRetention(_ info: BackupInfo, _ policy: RetentionPolicy, now: Int64) -> ExpirePlan {
        var plan = ExpirePlan()
        let fulls = info.backups.filter { $0.type == .full }
        plan.archiveRetention = defaultArchiveRetention(policy)
        switch (policy.fullType, policy.full) {
        case (_, nil): break
        case (.count, let count?):
            for full in fulls.dropLast(count) { plan.expire(full.label, in: info, "full backup retention of \(count)") }
        case (.time, let days?):
            // The newest full that ended before the window opens is the base of the window's first day.
            let limit = now - Int64(days) * 86400
            if let base = fulls.lastIndex(where: { $0.timestampStop < limit }) {
                for full in fulls[..<base] {
                    plan.expire(full.label, in: info, "full backup time-based retention of \(days) days")
                }
                if policy.archive == nil, policy.archiveType == .full { plan.archiveRetention = fulls.count - base }
            }
        }
        if let count = policy.diff { plan.expireDifferentials(info, count) }
        return plan
    }

    /// What is known without looking at backups. By time, it is known only once a backup is old enough.
    private static func defaultArchiveRetention(_ policy: RetentionPolicy) -> Int? {
        if let archive = policy.archive { return archive }
        return switch policy.archiveType {
        case .full: policy.fullType == .count ? policy.full : nil
        case .diff: policy.diff
        case .incr: nil
        }
    }

    /// Full backups count as differential ones, but only differential ones go.
    private mutating func expireDifferentials(_ info: BackupInfo, _ count: Int) {
        let gone = Set(expired.map(\.label))
        let counted = info.backups.filter { $0.type != .incr && !gone.contains($0.label) }
        for backup in counted.dropLast(count) where backup.type == .diff {
            expire(backup.label, in: info, "differential backup retention of \(count)")
        }
    }

    /// One set by name, with what rests on it. WAL goes by `policy`, but not by its days: they have expired nothing now.
    /// - Throws: `.backupSetInvalid` for an unknown label, and for the newest full backup unless an older one of the
    ///   same database stays.
    package static func bySet(
        _ label: String, _ info: BackupInfo, _ policy: RetentionPolicy
    ) throws(BackupError) -> ExpirePlan {
        guard info.backups.contains(where: { $0.label == label }) else {
            throw BackupError(
                .backupSetInvalid, "backup '\(label)' is not in the repository",
                hint: "'info' lists the backups")
        }
        let fulls = info.backups.filter { $0.type == .full }
        if let newest = fulls.last, newest.label == label {
            let previous = fulls.dropLast().last
            if previous == nil || previous?.databaseID != newest.databaseID {
                throw BackupError(
                    .backupSetInvalid,
                    "full backup '\(label)' cannot be expired before another one of its database has been made",
                    hint: "make another full backup first")
            }
        }
        var plan = ExpirePlan()
        plan.archiveRetention = defaultArchiveRetention(policy)
        plan.expire(label, in: info, "set was requested")
        return plan
    }

    private mutating func expire(_ label: String, in info: BackupInfo, _ reason: String) {
        for dependent in info.withDependents(label) where !expired.contains(where: { $0.label == dependent }) {
            expired.append(Expired(label: dependent, reason: dependent == label ? reason : "rests on \(label)"))
        }
    }
}
