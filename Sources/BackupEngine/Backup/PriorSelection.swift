import BackupModel
import RepositoryFormats

/// Which backup a new one rests on (section C.1 of the reference).
enum PriorSelection {
    /// The newest of the current database; for `diff` the newest full. nil: a full backup must be made.
    static func prior(for type: BackupType, in info: BackupInfo) -> BackupInfoEntry? {
        switch type {
        case .full: nil
        case .diff: info.backups.last { $0.databaseID == info.currentID && $0.type == .full }
        case .incr: info.backups.last { $0.databaseID == info.currentID }
        }
    }
}
