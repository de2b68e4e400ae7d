import BackupModel
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// What is known of one repository before the backup begins: what there is, and what the new backup rests on.
struct RepositoryPreparation: Sendable {
    var repository: Repository
    var archiveInfo: ArchiveInfo
    /// Made to agree with the directories.
    var backupInfo: BackupInfo
    /// `full` where there is nothing to rest on.
    var type: BackupType
    var prior: Manifest?
    var settings: BackupSettings
    /// Of all backups, to be later than.
    var existingLabels: [String]
    /// What an interrupted run has left, if this run can go on with it.
    var resumed: Manifest?

    static func load(
        _ repository: Repository, stanza: String, _ source: BackupSource
    ) async throws -> RepositoryPreparation {
        let context = source.context
        let logger = context.logger
        async let loadingBackupInfo = repository.loadBackupInfo(stanza: stanza)
        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        var backupInfo = try await loadingBackupInfo
        try StanzaIdentity.requireMatch(
            source.control, archiveInfo, backupInfo, repository: repository, stanza: stanza)
        async let history = labelsInHistory(repository, stanza: stanza)
        // After backup.info, so that nothing is listed there that came into the directories later.
        let listing = try await BackupListing.load(repository, stanza: stanza)
        try await backupInfo.reconcile(with: listing, in: repository, stanza: stanza, logger: logger)

        let asked = context.configuration.string(.type).flatMap(BackupType.init(rawValue:)) ?? .incr
        let entry = PriorSelection.prior(for: asked, in: backupInfo)
        if let entry {
            logger.notice(
                "\(repository.name): last backup label = \(entry.label), version = \(entry.writerVersion)")
        } else if asked != .full {
            logger.warning(
                "\(repository.name): no prior backup exists, \(asked.rawValue) backup has been changed to full")
        }
        let type = entry == nil ? .full : asked
        var prior: Manifest?
        if let entry {
            prior = try await repository.loadManifest(
                stanza: stanza, label: entry.label, cipherPass: backupInfo.cipherPass)
        }
        let warn: (String) -> Void = { logger.warning("\(repository.name): \($0)") }
        var settings = try BackupSettings.make(
            context, key: repository.key, type: type, prior: prior,
            checksumPage: BackupSettings.checksumPage(
                context.configuration, source.control, isOnline: source.isOnline, warn: warn),
            cipherPass: prior == nil ? try repository.newCipherPass() : nil, warn: warn)
        var resumed: Manifest?
        if let unfinished = listing.unfinished {
            resumed = try await unfinishedManifest(
                repository, stanza: stanza, label: unfinished, backupInfo, type: type, prior: prior, settings, context)
            if let resumed { settings.cipherPass = resumed.cipherPass }
        }
        return RepositoryPreparation(
            repository: repository, archiveInfo: archiveInfo, backupInfo: backupInfo, type: type, prior: prior,
            settings: settings,
            existingLabels: listing.labels.filter { $0 != listing.unfinished } + backupInfo.backups.map(\.label)
                + (try await history),
            resumed: resumed)
    }

    /// The manifest of the interrupted backup when this run goes on with it; otherwise its directory is removed.
    private static func unfinishedManifest(
        _ repository: Repository, stanza: String, label: String, _ info: BackupInfo, type: BackupType,
        prior: Manifest?, _ settings: BackupSettings, _ context: EngineContext
    ) async throws -> Manifest? {
        var saved: Manifest?
        var reason = "resume is disabled"
        if context.configuration.bool(.resume) {
            let path = RepositoryPaths.copy(of: RepositoryPaths.manifest(stanza: stanza, label: label))
            do throws(BackupError) {
                saved = try await repository.decodeManifest(
                    path, as: StoredForm(compress: .none, cipherPass: info.cipherPass))
                reason = "it has no manifest"
            } catch {
                reason = "its manifest is unusable: \(error.message)"
            }
            if let manifest = saved {
                let difference = ResumeRule.difference(
                    manifest, label: label, type: type, prior: prior, settings, databaseID: info.currentID)
                if let difference {
                    saved = nil
                    reason = difference
                }
            }
        }
        if let saved {
            context.logger.warning(
                "\(repository.name): a resumable backup '\(label)' exists and is completed: its files are kept")
            return saved
        }
        context.logger.warning(
            "\(repository.name): backup '\(label)' was interrupted and cannot be resumed: its files are removed (\(reason))"
        )
        let directory = RepositoryPaths.backupSet(stanza: stanza, label: label)
        try await repository.describing { try await repository.store.deleteTree(directory) }
        return nil
    }

    private static func labelsInHistory(_ repository: Repository, stanza: String) async throws -> [String] {
        let directory = "\(RepositoryPaths.backup(stanza: stanza))/backup.history"
        guard let year = try await repository.listAll(directory).filter({ $0.kind == .directory }).map(\.name).max()
        else {
            return []
        }
        return try await repository.listAll("\(directory)/\(year)").map { String($0.name.prefix(while: { $0 != "." })) }
    }
}
