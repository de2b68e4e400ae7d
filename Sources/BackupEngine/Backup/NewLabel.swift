import BackupModel
import RepositoryFormats

/// The label of a new backup: later than all there are, or readers would take it for an older one.
enum NewLabel {
    /// - Parameters:
    ///   - existing: labels of directories, of backup.info and of the newest year of backup.history; what is no label
    ///     does not count.
    ///   - time: when the backup started, seconds since 1970.
    /// - Throws: `.clock` when even the next second is not later than the newest label.
    static func full(existing: [String], time: Int64) throws(BackupError) -> (label: String, time: Int64) {
        let newest = existing.compactMap { BackupLabel($0)?.full }.max() ?? ""
        for candidate in [time, time + 1] {
            let label = BackupLabel(type: .full, localTime: LocalTime.labelComponents(candidate), full: nil).text
            if label > newest { return (label, candidate) }
        }
        throw BackupError(
            .clock, "the new backup label would not be later than the newest one, '\(newest)'",
            hint: "has the clock or the time zone changed? Wait until it is past that time, or set the clock right")
    }
}
