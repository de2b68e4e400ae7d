package import BackupModel
package import RepositoryFormats

/// Which backups of a repository go, and why. Pure; section C.7 of the reference.
///
/// Held backups are not counted: what goes is what would go if they did not exist. Then they, and what they rest on,
/// are kept after all.
package struct ExpirePlan: Sendable, Equatable {
    /// What takes a backup.
    package enum Rule: Sendable, Equatable {
        /// It is the `rank`th newest full backup, and `kept` are kept.
        case fullCount(rank: Int, kept: Int)
        /// It is older than `base`, the newest full backup from before the `days` that are kept.
        case fullTime(days: Int, base: String)
        /// It is the `rank`th newest of full and differential backups, and `kept` are kept.
        case diffCount(rank: Int, kept: Int)
        case set
        case oldest
    }

    package struct Expired: Sendable, Equatable {
        package var label: String
        package var type: BackupType
        package var rule: Rule
        /// The backup that the rule takes, when this one goes because it rests on that.
        package var dependsOn: String?
        /// Bytes in the repository.
        package var size: UInt64
    }

    /// What a rule would take, and a hold keeps.
    package struct HeldBack: Sendable, Equatable {
        package var label: String
        package var rule: Rule
        /// The held backup that needs it; itself when it is held.
        package var keeper: String
    }

    /// By label.
    package var expired: [Expired] = []
    /// By label.
    package var heldBack: [HeldBack] = []
    /// Reasons of all that is held, by label.
    package var holds: [String: String] = [:]
    /// How many backups of the retention's type keep all of their WAL; nil: WAL is not expired.
    package var archiveRetention: Int?
    package var archiveType: BackupType

    /// Kept by nothing but a hold.
    package var uncounted: Set<String> { Set(holds.keys).union(heldBack.map(\.label)) }

    /// - Parameter now: seconds since 1970, for retention by time.
    package static func byRetention(_ info: BackupInfo, _ policy: RetentionPolicy, now: Int64) -> ExpirePlan {
        var planning = ExpirePlanning(info, policy)
        planning.expireFull(now: now)
        planning.expireDifferential()
        return planning.finish()
    }

    /// One set by name, with what rests on it. WAL goes by `policy`, but not by its days: they have expired nothing now.
    /// - Parameter isForced: its own hold does not count, and it may be the last full backup.
    /// - Throws: `.backupSetInvalid` for an unknown label, for one that is held or that a held one rests on, and for
    ///   the newest full backup unless an older one of the same database stays.
    package static func bySet(
        _ label: String, _ info: BackupInfo, _ policy: RetentionPolicy, isForced: Bool = false
    ) throws(BackupError) -> ExpirePlan {
        guard let index = info.backups.firstIndex(where: { $0.label == label }) else {
            throw BackupError(
                .backupSetInvalid, "backup '\(label)' is not in the repository", hint: "'info' lists the backups")
        }
        let fulls = info.backups.filter { $0.type == .full }
        if !isForced, let newest = fulls.last, newest.label == label {
            let previous = fulls.dropLast().last
            if previous == nil || previous?.databaseID != newest.databaseID {
                throw BackupError(
                    .backupSetInvalid,
                    "full backup '\(label)' cannot be expired before another one of its database has been made",
                    hint: "make another full backup first, or let it go with --force")
            }
        }
        var info = info
        if isForced { info.backups[index].annotations[Hold.key] = nil }
        var planning = ExpirePlanning(info, policy)
        if let held = info.withDependents(label).first(where: planning.holds.isHeld) {
            throw BackupError(
                .backupSetInvalid,
                "backup '\(label)' cannot be expired: \(held == label ? "it" : "'\(held)', which rests on it,") is held: \(planning.holds.reasons[held] ?? "")",
                hint: "release it with 'annotate --set=\(held) --annotation=\(Hold.key)='")
        }
        planning.take(label, .set)
        return planning.finish()
    }
}

/// An ``ExpirePlan`` in the making.
private struct ExpirePlanning {
    private let info: BackupInfo
    private let policy: RetentionPolicy
    let holds: Holds
    private var plan: ExpirePlan
    private var taken: Set<String> = []

    init(_ info: BackupInfo, _ policy: RetentionPolicy) {
        self.info = info
        self.policy = policy
        holds = Holds(info)
        plan = ExpirePlan(archiveType: policy.archiveType)
        plan.holds = holds.reasons
        plan.archiveRetention = policy.defaultArchive
    }

    mutating func expireFull(now: Int64) {
        guard let kept = policy.full else { return }
        let fulls = info.backups.filter { $0.type == .full }
        let counted = fulls.filter { !holds.isHeld($0.label) }
        switch policy.fullType {
        case .count:
            // With just as many as are kept, held ones from before them are beyond the retention already.
            guard counted.count >= kept else { return }
            let oldest = counted[counted.count - kept].label
            for full in fulls where full.label < oldest {
                let rank = 1 + counted.count { $0.label > full.label }
                take(full.label, policy.isOldest ? .oldest : .fullCount(rank: rank, kept: kept))
            }
        case .time:
            // The newest full that ended before the window opens is the base of the window's first day.
            let limit = now - Int64(kept) * 86400
            guard let base = counted.lastIndex(where: { $0.timestampStop < limit }) else { return }
            for full in fulls where full.label < counted[base].label {
                take(full.label, .fullTime(days: kept, base: counted[base].label))
            }
            if policy.archive == nil, policy.archiveType == .full { plan.archiveRetention = counted.count - base }
        }
    }

    /// Full backups count as differential ones, but only differential ones go.
    mutating func expireDifferential() {
        guard let kept = policy.diff else { return }
        let candidates = info.backups.filter { $0.type != .incr && !taken.contains($0.label) }
        let counted = candidates.filter { !holds.isHeld($0.label) }
        guard counted.count >= kept else { return }
        let oldest = counted[counted.count - kept].label
        for backup in candidates where backup.type == .diff && backup.label < oldest {
            take(backup.label, .diffCount(rank: 1 + counted.count { $0.label > backup.label }, kept: kept))
        }
    }

    /// A backup with all that rests on it, except what is held and what that rests on.
    mutating func take(_ label: String, _ rule: ExpirePlan.Rule) {
        let labels = Set(info.withDependents(label)).subtracting(taken)
        for backup in info.backups where labels.contains(backup.label) {
            taken.insert(backup.label)
            if let keeper = holds.keepers[backup.label] {
                plan.heldBack.append(ExpirePlan.HeldBack(label: backup.label, rule: rule, keeper: keeper))
            } else {
                plan.expired.append(
                    ExpirePlan.Expired(
                        label: backup.label, type: backup.type, rule: rule,
                        dependsOn: backup.label == label ? nil : label, size: backup.repoSizeDelta))
            }
        }
    }

    func finish() -> ExpirePlan {
        var plan = plan
        plan.expired.sort { $0.label < $1.label }
        plan.heldBack.sort { $0.label < $1.label }
        return plan
    }
}
