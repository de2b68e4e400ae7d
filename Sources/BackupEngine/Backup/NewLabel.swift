import BackupModel
import RepositoryFormats

/// The label of a new backup: later than those there are, or readers would take it for an older one.
enum NewLabel {
    /// - Parameters:
    ///   - full: the label of the full backup that it rests on; nil for a full.
    ///   - existing: labels of directories, of backup.info and of the newest year of backup.history; what is no label
    ///     does not count. Others than fulls only count within their own set.
    ///   - time: when the backup started, seconds since 1970.
    /// - Throws: `.clock` when even the next second is not later than the newest label.
    static func label(
        _ type: BackupType = .full, full: String? = nil, existing: [String], time: Int64
    ) throws(BackupError) -> (label: String, time: Int64) {
        let labels = existing.compactMap { BackupLabel($0) }
        let newest =
            if let full {
                labels.filter { $0.full == full }.map { timePart($0) }.max()
            } else {
                labels.map { String($0.full.dropLast()) }.max()
            }
        for candidate in [time, time + 1] {
            let components = LocalTime.labelComponents(candidate)
            if components > newest ?? "" {
                return (BackupLabel(type: type, localTime: components, full: full).text, candidate)
            }
        }
        throw BackupError(
            .clock, "the new backup label would not be later than the newest one, of \(newest ?? "")",
            hint: "has the clock or the time zone changed? Wait until it is past that time, or set the clock right")
    }

    /// `YYYYMMDD-HHMMSS` of the backup itself.
    private static func timePart(_ label: BackupLabel) -> String { String(label.text.suffix(16).dropLast()) }
}
