import BackupModel
import PostgresFormats
import RepositoryFormats

/// What was asked of `expire` besides the retention.
struct ExpireRequest: Equatable {
    /// The one backup to expire, whatever the retention.
    var set: String?
    /// Whether the set goes although it is held, or the last of its database.
    var isForced = false
    var isOldest = false
    /// Name of a WAL segment.
    var archiveExpireBefore: String?

    /// Throws `.optionInvalidValue` for what is no label or no segment, `.optionInvalid` for options that exclude each
    /// other.
    init(_ configuration: Configuration) throws(BackupError) {
        // After a backup only the retention counts.
        guard configuration.command == .expire else { return }
        set = configuration.string(.set)
        isForced = configuration.bool(.force)
        isOldest = configuration.bool(.oldest)
        archiveExpireBefore = configuration.string(.archiveExpireBefore)
        if let set {
            guard !isOldest else {
                throw BackupError(
                    .optionInvalid, "options 'oldest' and 'set' cannot be used together",
                    hint: "leave one of the two out")
            }
            guard BackupLabel(set) != nil else {
                throw BackupError(
                    .optionInvalidValue, "'\(set)' is not a valid backup label", hint: "'info' lists the backups")
            }
        }
        if let archiveExpireBefore, WALSegment(archiveExpireBefore) == nil {
            throw BackupError(
                .optionInvalidValue,
                "'\(archiveExpireBefore)' is not a valid WAL segment name for option 'archive-expire-before'",
                hint: "it has 24 digits, such as 000000010000000000000010")
        }
    }
}
