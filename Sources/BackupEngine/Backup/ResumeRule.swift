import BackupModel
import RepositoryFormats

/// Whether a run goes on with what an interrupted one has left (section C.4 of the reference).
enum ResumeRule {
    /// What forbids it; nil when `saved` is of the same backup that is to be made.
    /// - Parameters:
    ///   - saved: `backup.manifest.copy` of the interrupted run.
    ///   - label: of its directory.
    static func difference(
        _ saved: Manifest, label: String, type: BackupType, prior: Manifest?, _ settings: BackupSettings,
        databaseID: Int
    ) -> String? {
        // A manifest of pgBackRest's, or of another version of ours, may mean something else.
        if saved.writerVersion != ProgramVersion.inProgressText {
            return "it was begun by '\(saved.writerVersion)', this is '\(ProgramVersion.inProgressText)'"
        }
        if saved.label != label { return "its manifest is of '\(saved.label)'" }
        if saved.type != type { return "it is of type \(saved.type.rawValue), the new one of \(type.rawValue)" }
        if saved.prior != prior?.label {
            return "its prior backup is '\(saved.prior ?? "none")', that of the new one '\(prior?.label ?? "none")'"
        }
        if saved.database.id != databaseID { return "it is of another database" }
        if saved.options.compressType != settings.compress {
            return
                "it has compress-type '\(saved.options.compressType.rawValue)', the new one '\(settings.compress.rawValue)'"
        }
        if (saved.cipherPass == nil) != (settings.cipherPass == nil) { return "one of the two is not encrypted" }
        if saved.isBundle != (settings.bundles != nil) || saved.isBundleRaw != settings.isBundleRaw
            || saved.isBlockIncremental != (settings.blocks != nil)
        {
            return "bundles or blocks are switched on for one of the two only"
        }
        if saved.options.checksumPage != settings.checksumPage { return "checksum-page has changed" }
        return nil
    }

    /// Whether files of `saved` can still be what the cluster has: size and time tell only along one timeline.
    static func isSameHistory(_ saved: Manifest, isOnline: Bool, timeline: UInt32?) -> Bool {
        guard saved.options.online == isOnline else { return false }
        guard let timeline, let start = saved.archiveStart else { return true }
        return UInt32(start.prefix(8), radix: 16) == timeline
    }
}
