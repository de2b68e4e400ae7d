import BackupModel
import Logging
package import RepositoryFormats

/// A hold keeps a backup, what it rests on, and the WAL that makes it consistent, and does not count for retention,
/// until it is released. It is an annotation, so that it survives pgBackRest's writing of `backup.info`; pgBackRest's
/// expire does not heed it.
package enum Hold {
    /// The annotation's key; its value is the reason. An empty value releases the backup.
    package static let key = "hold"

    /// To be called when `annotations` are put on a backup.
    package static func warn(
        _ annotations: [(key: String, value: String)], of backup: String, _ context: EngineContext
    ) {
        guard annotations.contains(where: { $0.key == key && !$0.value.isEmpty }) else { return }
        context.logger.warning(
            "\(backup) is held: Permafrost's expire keeps it until it is released, but pgBackRest does not know holds and its expire would remove it\nHINT: release it with 'annotate --set=LABEL --annotation=\(key)='"
        )
    }
}

extension BackupInfoEntry {
    /// Why it is held; nil when it is not.
    package var hold: String? { annotations[Hold.key].flatMap { $0.isEmpty ? nil : $0 } }
}

/// The holds of one repository. Pure.
struct Holds: Equatable {
    /// Reasons, by label.
    let reasons: [String: String]
    /// Held labels, and all that they rest on, each with a held label that needs it.
    let keepers: [String: String]

    init(_ info: BackupInfo) {
        let backups = Dictionary(info.backups.map { ($0.label, $0) }) { first, _ in first }
        var reasons: [String: String] = [:]
        var keepers: [String: String] = [:]
        for backup in info.backups {
            guard let reason = backup.hold else { continue }
            reasons[backup.label] = reason
            // Its own keeper, whoever else needs it.
            keepers[backup.label] = backup.label
            var rest = backup.restsOn
            while let label = rest.popLast() {
                guard keepers[label] == nil else { continue }
                keepers[label] = backup.label
                rest += backups[label]?.restsOn ?? []
            }
        }
        self.reasons = reasons
        self.keepers = keepers
    }

    func isHeld(_ label: String) -> Bool { reasons[label] != nil }
}

extension BackupInfoEntry {
    fileprivate var restsOn: [String] { (prior.map { [$0] } ?? []) + references }
}
