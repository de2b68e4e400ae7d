package import BackupModel
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Synchronization

/// `expire`: removes backups that the retention does not keep, then WAL that no kept backup needs.
///
/// Unreferenced first: the list, then manifests, then data. With `--dry-run` nothing is written.
package struct ExpireCommand: Sendable {
    let context: EngineContext
    let stanza: String
    /// The one backup to expire, whatever the retention.
    let set: String?
    let isDryRun: Bool

    /// Throws `.optionInvalidValue` when the set is no label.
    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        stanza = try context.stanza()
        set = context.configuration.command == .expire ? context.configuration.string(.set) : nil
        isDryRun = context.configuration.bool(.dryRun)
        if let set, BackupLabel(set) == nil {
            throw BackupError(
                .optionInvalidValue, "'\(set)' is not a valid backup label", hint: "'info' lists the backups")
        }
    }

    /// Tries every repository; throws `.command` at the end when one failed.
    package func run() async throws {
        var failures: [BackupError] = []
        let wasFound = Atomic<Bool>(false)
        for repository in context.repositories {
            do {
                try await CommandLocks.inRepositories([repository], context) {
                    if try await expire(repository) { wasFound.store(true, ordering: .relaxed) }
                }
            } catch let error as BackupError {
                // With one repository it is what the command ends with.
                if context.repositories.count > 1 { context.logger.error("\(error.message)") }
                failures.append(error)
            }
        }
        if let set, !wasFound.load(ordering: .relaxed), failures.isEmpty {
            throw BackupError(
                .backupSetInvalid, "backup '\(set)' does not exist", hint: "'info' lists the backups")
        }
        guard let first = failures.first else { return }
        if context.repositories.count == 1 { throw first }
        throw BackupError(
            .command, "expire failed on \(failures.count) of \(context.repositories.count) repositories",
            hint: "the errors above say why: \(first.message)")
    }

    /// False when the requested set is not in this repository.
    private func expire(_ repository: Repository) async throws(BackupError) -> Bool {
        var info = try await repository.loadBackupInfo(stanza: stanza)
        let listing = try await BackupListing.load(repository, stanza: stanza)
        try await info.reconcile(with: listing, in: repository, stanza: stanza, logger: context.logger)
        let policy = self.policy(repository)
        let plan: ExpirePlan
        if let set {
            // With several repositories a set is in some of them.
            guard info.backups.contains(where: { $0.label == set }) else {
                context.logger.notice("\(repository.name): no backup '\(set)' here")
                return false
            }
            plan = try ExpirePlan.bySet(set, info, policy)
        } else {
            plan = ExpirePlan.byRetention(info, policy, now: context.now())
        }
        for expired in plan.expired {
            context.logger.notice("\(repository.name): expire backup \(expired.label): \(expired.reason)")
        }
        let gone = Set(plan.expired.map(\.label))
        info.backups.removeAll { gone.contains($0.label) }
        info.writerVersion = ProgramVersion.repositoryText
        if !isDryRun {
            try await unlist(plan.expired.map(\.label), info, repository)
        }
        try await removeUnlisted(info, listing, gone, repository)
        try await expireArchive(info, policy, plan.archiveRetention, repository)
        try await expireHistory(info, repository)
        return true
    }

    private func policy(_ repository: Repository) -> RetentionPolicy {
        let configuration = context.configuration
        let key = repository.key
        return RetentionPolicy(
            fullType: RetentionPolicy.FullType(rawValue: configuration.string(.repoRetentionFullType, key) ?? "count")
                ?? .count,
            full: configuration.integer(.repoRetentionFull, key),
            diff: configuration.integer(.repoRetentionDiff, key),
            archiveType: BackupType(rawValue: configuration.string(.repoRetentionArchiveType, key) ?? "full") ?? .full,
            archive: configuration.integer(.repoRetentionArchive, key))
    }

    // MARK: - Backups

    /// In reverse of how they were written: a listed backup always has its manifest, and a manifest its data. A run that
    /// ends in between leaves complete backups, which the next one finds and expires again.
    private func unlist(_ labels: [String], _ info: BackupInfo, _ repository: Repository) async throws(BackupError) {
        try await repository.saveBackupInfo(info, stanza: stanza)
        if let newest = info.backups.last, repository.store.capabilities.contains(.symlinks),
            context.configuration.bool(.repoSymlink, repository.key)
        {
            let link = RepositoryPaths.latest(stanza: stanza)
            try await repository.describing { try await repository.store.link(link, to: newest.label) }
        }
        for label in labels.reversed() {
            let manifest = RepositoryPaths.manifest(stanza: stanza, label: label)
            try await repository.describing { try await repository.store.delete([manifest]) }
            try await repository.describing {
                try await repository.store.delete([RepositoryPaths.copy(of: manifest)])
            }
        }
    }

    private func removeUnlisted(
        _ info: BackupInfo, _ listing: BackupListing, _ expired: Set<String>, _ repository: Repository
    ) async throws(BackupError) {
        let listed = Set(info.backups.map(\.label))
        for label in listing.labels.reversed() where !listed.contains(label) {
            // The newest without a manifest may be a backup that is running elsewhere or waits to be resumed.
            if label == listing.unfinished { continue }
            if listing.complete.contains(label), !expired.contains(label), try await isUnreadable(label, repository) {
                continue
            }
            context.logger.notice("\(repository.name): remove backup directory \(label)")
            guard !isDryRun else { continue }
            let path = RepositoryPaths.backupSet(stanza: stanza, label: label)
            try await repository.describing { try await repository.store.deleteTree(path) }
        }
    }

    /// A manifest that cannot be read now says nothing against its backup, which is no leftover.
    private func isUnreadable(_ label: String, _ repository: Repository) async throws(BackupError) -> Bool {
        do throws(BackupError) {
            _ = try await repository.loadManifest(stanza: stanza, label: label)
            return false
        } catch {
            context.logger.warning(
                "\(repository.name): backup directory \(label) is kept, its manifest cannot be read: \(error.message)")
            return true
        }
    }

    // MARK: - WAL

    private func expireArchive(
        _ info: BackupInfo, _ policy: RetentionPolicy, _ retention: Int?, _ repository: Repository
    ) async throws(BackupError) {
        guard let retention else { return }
        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        try StanzaIdentity.requireAgreement(archiveInfo, info, repository: repository, stanza: stanza)
        let root = RepositoryPaths.archive(stanza: stanza)
        for entry in try await repository.listAll(root) where entry.kind == .directory {
            guard let id = RepositoryPaths.parseArchiveID(entry.name),
                archiveInfo.history.contains(where: { $0.id == id.historyID && $0.version == id.version })
            else { continue }
            let decision = ArchiveRetention.decide(
                backups: info.backups, type: policy.archiveType, count: retention, databaseID: id.historyID,
                isCurrent: id.historyID == archiveInfo.currentID)
            switch decision {
            case .keepAll: continue
            case .removeAll:
                context.logger.notice("\(repository.name): \(entry.name) remove archive, no backup needs it")
                guard !isDryRun else { continue }
                try await repository.describing { try await repository.store.deleteTree("\(root)/\(entry.name)") }
            case .keep(let ranges):
                try await expireArchive("\(root)/\(entry.name)", ranges, repository)
            }
        }
    }

    private func expireArchive(
        _ directory: String, _ ranges: [ArchiveRetention.Range], _ repository: Repository
    ) async throws(BackupError) {
        guard let retentionStart = ranges.last?.start else { return }
        let entries = try await repository.listAll(directory)
        var removedFirst: String?
        var removedLast: String?
        for entry in entries where entry.kind == .directory && isSegmentDirectory(entry.name) {
            let path = "\(directory)/\(entry.name)"
            if ArchiveRetention.isOutside(directory: entry.name, ranges) {
                removedFirst = removedFirst ?? entry.name
                removedLast = entry.name
                guard !isDryRun else { continue }
                try await repository.describing { try await repository.store.deleteTree(path) }
            } else if entry.name <= String(retentionStart.prefix(16)) {
                let files = try await repository.listAll(path).map(\.name).filter {
                    WALSegment($0.prefix(24)) != nil && ArchiveRetention.isOutside(file: $0, ranges)
                }
                guard let first = files.first, let last = files.last else { continue }
                removedFirst = removedFirst ?? String(first.prefix(24))
                removedLast = String(last.prefix(24))
                guard !isDryRun else { continue }
                try await repository.describing { try await repository.store.delete(files.map { "\(path)/\($0)" }) }
            }
        }
        if let removedFirst, let removedLast {
            context.logger.notice(
                "\(repository.name): \(splitLast(directory).last) remove archive, start = \(removedFirst), stop = \(removedLast)"
            )
        }
        // A history file tells how a timeline began; those before the retained timeline lead nowhere that is kept.
        let oldestTimeline = ranges.map { String($0.start.prefix(8)) }.min() ?? String(retentionStart.prefix(8))
        let histories = entries.map(\.name).filter { name in
            guard case .history = WALFileName(name) else { return false }
            return String(name.prefix(8)) < oldestTimeline
        }
        if !histories.isEmpty {
            context.logger.notice("\(repository.name): remove \(histories.joined(separator: ", "))")
            guard !isDryRun else { return }
            try await repository.describing {
                try await repository.store.delete(histories.map { "\(directory)/\($0)" })
            }
        }
    }

    private func isSegmentDirectory(_ name: String) -> Bool {
        name.utf8.count == 16 && WALSegment("\(name)00000000") != nil
    }

    // MARK: - backup.history

    private func expireHistory(_ info: BackupInfo, _ repository: Repository) async throws(BackupError) {
        guard let days = context.configuration.integer(.repoRetentionHistory, repository.key) else { return }
        let limit = LocalTime.labelComponents(context.now() - Int64(days) * 86400)
        let listed = Set(info.backups.map(\.label))
        let root = "\(RepositoryPaths.backup(stanza: stanza))/backup.history"
        for year in try await repository.listAll(root)
        where year.kind == .directory && year.name <= String(limit.prefix(4)) {
            let files = try await repository.listAll("\(root)/\(year.name)").map(\.name)
            let old = files.filter { file in
                let label = String(file.prefix { $0 != "." })
                return BackupLabel(label) != nil && !listed.contains(label) && String(label.prefix(15)) < limit
            }
            for file in old {
                context.logger.notice("\(repository.name): remove \(file) from the history")
            }
            guard !isDryRun, !old.isEmpty else { continue }
            try await repository.describing {
                if old.count == files.count {
                    try await repository.store.deleteTree("\(root)/\(year.name)")
                } else {
                    try await repository.store.delete(old.map { "\(root)/\(year.name)/\($0)" })
                }
            }
        }
    }
}
