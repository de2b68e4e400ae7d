package import BackupModel
import PostgresFormats
package import RepositoryFormats

/// Which backup of a repository a restore starts from (section C.8.2 of the reference).
package enum BackupSetSelection: Sendable, Equatable {
    case named(String)
    /// The newest, which must be of the stanza's present database.
    case latest
    /// The newest that stopped before this second since 1970.
    case stoppedBefore(Int64)
    /// The newest of the present database whose last LSN is not past this one.
    case stoppedAt(LSNLimit)

    /// An LSN as text and as number.
    package struct LSNLimit: Sendable, Equatable {
        package var text: String
        package var value: UInt64
    }

    /// Throws `.format` for a time that does not parse, `.optionInvalidValue` for an LSN that does not.
    package init(_ options: RestoreOptions) throws(BackupError) {
        if let set = options.set {
            self = .named(set)
            return
        }
        switch (options.type, options.target) {
        case (.time, .some(let target)):
            self = .stoppedBefore(try TargetTime.parse(target))
        case (.lsn, .some(let target)):
            guard let lsn = LSN(target) else {
                throw BackupError(.optionInvalidValue, "target '\(target)' is not an LSN, which looks like 16/B374D848")
            }
            self = .stoppedAt(LSNLimit(text: target, value: lsn.rawValue))
        default:
            self = .latest
        }
    }

    /// The backup to restore, nil when this repository has none that fits.
    /// - Parameter isReachable: whether the asked timeline descends from the backup; asked only of backups that fit
    ///   otherwise and were not named.
    /// Throws `.backupSetInvalid` when the newest is of another database than the stanza's present one.
    package func choose(
        from info: BackupInfo, isReachable: (BackupInfoEntry) -> Bool = { _ in true }
    ) throws(BackupError) -> BackupInfoEntry? {
        switch self {
        case .named(let label):
            return info.backups.first { $0.label == label }
        case .latest:
            guard let newest = info.backups.last else { return nil }
            guard newest.databaseID == info.currentID else {
                throw BackupError(
                    .backupSetInvalid,
                    "the newest backup set \(newest.label) is of database \(newest.databaseID) of the stanza, but the"
                        + " present one is \(info.currentID)",
                    hint: "name the set with --set=\(newest.label) if it is the one to restore")
            }
            return info.backups.last { $0.databaseID == info.currentID && isReachable($0) }
        case .stoppedBefore(let time):
            return info.backups.last { $0.timestampStop < time && isReachable($0) }
        case .stoppedAt(let limit):
            return info.backups.last { entry in
                guard entry.databaseID == info.currentID, let text = entry.lsnStop, let stop = LSN(text) else {
                    return false
                }
                return stop.rawValue <= limit.value && isReachable(entry)
            }
        }
    }

    /// Why no repository had a backup that fits. `oldest` is the oldest backup of all.
    package func failure(oldest: (repository: Int, entry: BackupInfoEntry)?) -> BackupError {
        guard let oldest else {
            return BackupError(
                .backupSetInvalid, "no backup set found to restore",
                hint: "has the backup command been run for this stanza?")
        }
        let found = "repo\(oldest.repository): \(oldest.entry.label)"
        switch self {
        case .named(let label):
            return BackupError(
                .backupSetInvalid, "backup set \(label) is not valid",
                hint: "run the info command for the sets there are")
        case .latest:
            return BackupError(.backupSetInvalid, "no backup set found that the target timeline descends from")
        case .stoppedBefore(let time):
            return BackupError(
                .backupSetInvalid,
                "unable to find backup set with stop time less than '\(TargetTime.describe(time))': the oldest"
                    + " (\(found)) stopped at '\(TargetTime.describe(oldest.entry.timestampStop))'",
                hint: "choose a later target")
        case .stoppedAt(let limit):
            return BackupError(
                .backupSetInvalid,
                "unable to find backup set with lsn less than or equal to '\(limit.text)': the oldest (\(found))"
                    + " stopped at '\(oldest.entry.lsnStop ?? "no lsn (offline)")'",
                hint: "choose a later target")
        }
    }
}
