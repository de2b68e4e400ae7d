package enum BackupType: String, CaseIterable, Sendable {
    case full, diff, incr
}
