import BackupModel
import Jobs
import RepositoryFormats

/// What may happen to a name that is written.
enum WriteRule: Equatable {
    /// What is there is replaced.
    case replace
    /// Nothing must be there.
    case create
    /// What is there may grow: all that it said is still to be said.
    case grow
    case refuse
}

/// Who may write and remove what: pure, but for whether a backup is complete.
extension RepositoryPlace.StanzaPlace {
    /// - Parameter isComplete: of ``backup(label:)``: `backup.info` has it, or nobody can tell.
    func rule(for right: AccessVerb, isComplete: Bool) -> WriteRule {
        switch (right, self) {
        case (.read, _): .refuse
        case (.all, _): .replace
        case (_, .directory), (_, .other): .refuse
        case (_, .latest), (_, .lock), (_, .own): .replace
        case (_, .kept): .create
        case (.add, .info): .grow
        case (.add, .backup): isComplete ? .create : .replace
        case (.expire, .info), (.expire, .backup): .replace
        }
    }

    func mayRemove(_ right: AccessVerb, isComplete: Bool) -> Bool {
        switch (right, self) {
        case (.read, _): false
        case (.all, _): true
        case (_, .directory), (_, .other), (_, .info): false
        case (_, .lock), (_, .own): true
        case (.add, .backup): !isComplete
        case (.add, .kept), (.add, .latest): false
        case (.expire, _): true
        }
    }
}

/// Whether an info file still says all that it said.
enum InfoGrowth {
    static func keeps(_ old: BackupInfo, in new: BackupInfo) -> Bool {
        let backups = Dictionary(new.backups.map { ($0.label, $0) }) { first, _ in first }
        return old.cipherPass == new.cipherPass && old.history.allSatisfy(new.history.contains)
            && old.backups.allSatisfy { backups[$0.label] == $0 }
    }

    static func keeps(_ old: ArchiveInfo, in new: ArchiveInfo) -> Bool {
        old.cipherPass == new.cipherPass && old.history.allSatisfy(new.history.contains)
    }
}
