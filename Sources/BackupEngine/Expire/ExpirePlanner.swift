import BackupModel
import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// Looks at one repository and plans what goes from it. Writes nothing.
struct ExpirePlanner {
    let context: EngineContext
    let repository: Repository
    let stanza: String
    let request: ExpireRequest

    /// nil when the requested set is not in this repository.
    func plan() async throws(BackupError) -> RepositoryExpirePlan? {
        // Two at a time: further connections would take longer to open than these take.
        async let archivesEarly = repository.inAdvance(archives)
        var info = try await repository.loadBackupInfo(stanza: stanza)
        let listing = try await BackupListing.load(repository, stanza: stanza)
        try await info.reconcile(with: listing, in: repository, stanza: stanza, logger: context.logger)
        let policy = policy(info)
        let backups: ExpirePlan
        if let set = request.set {
            // With several repositories a set is in some of them.
            guard info.backups.contains(where: { $0.label == set }) else {
                context.logger.notice("\(repository.name): no backup '\(set)' here")
                return nil
            }
            backups = try ExpirePlan.bySet(set, info, policy, isForced: request.isForced)
        } else {
            backups = ExpirePlan.byRetention(info, policy, now: context.now())
        }
        let gone = Set(backups.expired.map(\.label))
        let end = request.isForced && gone.count == info.backups.count ? info.backups.last?.archiveStop : nil
        info.backups.removeAll { gone.contains($0.label) }
        info.writerVersion = ProgramVersion.repositoryText
        var plan = RepositoryExpirePlan(key: repository.key, backups: backups, info: info)
        try await planLeftovers(&plan, listing, gone)
        if plan.backups.archiveRetention != nil {
            let archives = if let early = await archivesEarly { try early.get() } else { try await archives() }
            try await planArchives(&plan, archives, before: request.archiveExpireBefore ?? end)
        }
        try await planManifests(&plan)
        return plan
    }

    private func policy(_ info: BackupInfo) -> RetentionPolicy {
        let policy = RetentionPolicy(context.configuration, repository: repository.key)
        guard request.isOldest else {
            for warning in policy.warnings(repository: repository.key) { context.logger.warning("\(warning)") }
            return policy
        }
        let holds = Holds(info)
        let count = info.backups.count { $0.type == .full && !holds.isHeld($0.label) }
        if let oldest = policy.expiringOldest(of: count) { return oldest }
        context.logger.warning(
            "\(repository.name): no full backup can be spared: there are \(count) that are not held, and one stays")
        return policy
    }

    // MARK: - Directories without a listed backup

    private func planLeftovers(
        _ plan: inout RepositoryExpirePlan, _ listing: BackupListing, _ gone: Set<String>
    ) async throws(BackupError) {
        let listed = Set(plan.info.backups.map(\.label)).union(gone)
        for label in listing.labels where !listed.contains(label) {
            if label == listing.unfinished {
                if try await restsOnExpired(label, plan.info) {
                    plan.leftovers.append(label)
                } else {
                    plan.spared.append(.init(label: label, reason: .unfinished))
                }
                continue
            }
            if listing.complete.contains(label), let reason = try await failure(label, plan.info.cipherPass) {
                plan.spared.append(.init(label: label, reason: .unreadable(reason)))
                continue
            }
            plan.leftovers.append(label)
        }
    }

    /// The newest directory without a manifest may be a backup that is running elsewhere or waits to be resumed. When a
    /// set was requested that it rests on, neither can come to anything.
    private func restsOnExpired(_ label: String, _ info: BackupInfo) async throws(BackupError) -> Bool {
        guard let set = request.set, label.prefix(16) == set.prefix(16), BackupLabel(label)?.type != .full else {
            return false
        }
        let path = RepositoryPaths.copy(of: RepositoryPaths.manifest(stanza: stanza, label: label))
        do throws(BackupError) {
            let form = StoredForm(compress: .none, cipherPass: info.cipherPass)
            guard let prior = try await repository.decodeManifest(path, as: form)?.prior else { return false }
            return !info.backups.contains { $0.label == prior }
        } catch {
            return false
        }
    }

    /// A manifest that cannot be read now says nothing against its backup, which is no leftover.
    private func failure(_ label: String, _ cipherPass: Secret<String>?) async throws(BackupError) -> String? {
        do throws(BackupError) {
            _ = try await repository.loadManifest(stanza: stanza, label: label, cipherPass: cipherPass)
            return nil
        } catch {
            return error.message
        }
    }

    // MARK: - WAL

    private struct Archives {
        var info: ArchiveInfo
        /// What lies beside it.
        var entries: [ObjectInfo]
    }

    private func archives() async throws(BackupError) -> Archives {
        let info = try await repository.loadArchiveInfo(stanza: stanza)
        let entries = try await repository.listAll(RepositoryPaths.archive(stanza: stanza))
        return Archives(info: info, entries: entries)
    }

    /// - Parameter expireBefore: with no backup left, what came before this segment is of no use to anyone; what follows may be
    ///   what a backup that runs elsewhere, or a standby, will ask for.
    private func planArchives(
        _ plan: inout RepositoryExpirePlan, _ archives: Archives, before expireBefore: String?
    ) async throws(BackupError) {
        guard let count = plan.backups.archiveRetention else { return }
        let archiveInfo = archives.info
        try StanzaIdentity.requireAgreement(archiveInfo, plan.info, repository: repository, stanza: stanza)
        var retention = ArchiveRetention(
            backups: plan.info.backups, uncounted: plan.backups.uncounted, type: plan.backups.archiveType,
            count: count, expireBefore: expireBefore)
        if context.configuration.bool(.repoRetentionHoldArchive, repository.key) {
            retention.held = Set(plan.backups.holds.keys)
        }
        let root = RepositoryPaths.archive(stanza: stanza)
        for entry in archives.entries where entry.kind == .directory {
            guard let id = RepositoryPaths.parseArchiveID(entry.name),
                archiveInfo.history.contains(where: { $0.id == id.historyID && $0.version == id.version })
            else { continue }
            let isCurrent = id.historyID == archiveInfo.currentID
            switch retention.decide(databaseID: id.historyID, isCurrent: isCurrent) {
            case .keepAll: continue
            case .removeAll:
                plan.archives.append(.init(archiveID: entry.name, isWhole: true))
            case .keep(let ranges, let backup):
                let archive = try await archive("\(root)/\(entry.name)", entry.name, ranges, from: backup)
                if !archive.isEmpty { plan.archives.append(archive) }
            }
        }
    }

    private func archive(
        _ path: String, _ archiveID: String, _ ranges: [ArchiveRetention.Range], from backup: String?
    ) async throws(BackupError) -> RepositoryExpirePlan.ArchiveExpiry {
        var archive = RepositoryExpirePlan.ArchiveExpiry(archiveID: archiveID, keptFrom: backup)
        let entries = try await repository.listAll(path)
        var run: RepositoryExpirePlan.ArchiveExpiry.Run?
        func extend(_ name: String) {
            run = .init(first: run?.first ?? name, last: name)
        }
        func end() {
            if let run { archive.runs.append(run) }
            run = nil
        }
        let directories = entries.filter { $0.kind == .directory && Self.isSegmentDirectory($0.name) }.map(\.name)
            .sorted()
        let partly = directories.filter { !ranges.exclude(directory: $0) && !ranges.includeAll(of: $0) }
        let listed = try await repository.readingEach(partly) { [repository] directory in
            try await repository.listAll("\(path)/\(directory)").map(\.name)
        }
        let content = Dictionary(zip(partly, listed)) { first, _ in first }
        for directory in directories {
            if ranges.exclude(directory: directory) {
                archive.directories.append(directory)
                extend(directory)
                continue
            }
            guard !ranges.includeAll(of: directory) else {
                end()
                continue
            }
            let names = (content[directory] ?? []).filter { WALSegment($0.prefix(24)) != nil }
            var gone: [String] = []
            for name in names.sorted() {
                guard ranges.exclude(file: name) else {
                    end()
                    continue
                }
                gone.append(name)
                extend(String(name.prefix(24)))
            }
            if !gone.isEmpty { archive.files.append(.init(directory: directory, names: gone)) }
        }
        end()
        // A history file tells how a timeline began; those before the oldest kept timeline lead nowhere that is kept.
        let oldestTimeline = ranges.map { $0.start.prefix(8) }.min() ?? ""
        guard backup != nil else { return archive }
        archive.histories = entries.map(\.name).filter { name in
            guard case .history = WALFileName(name) else { return false }
            return name.prefix(8) < oldestTimeline
        }
        return archive
    }

    private static func isSegmentDirectory(_ name: String) -> Bool {
        name.utf8.count == 16 && WALSegment("\(name)00000000") != nil
    }

    // MARK: - backup.history

    /// Of this repository's own listing: each has its own backups and its own retention.
    private func planManifests(_ plan: inout RepositoryExpirePlan) async throws(BackupError) {
        guard let days = context.configuration.integer(.repoRetentionHistory, repository.key) else { return }
        plan.manifestRetention = days
        let limit = LocalTime.labelComponents(context.now() - Int64(days) * 86400)
        let listed = Set(plan.info.backups.map(\.label))
        let root = RepositoryPaths.manifestHistory(stanza: stanza)
        for year in try await repository.listAll(root)
        where year.kind == .directory && year.name <= limit.prefix(4) {
            let names = try await repository.listAll("\(root)/\(year.name)").map(\.name)
            let old = names.filter { name in
                let label = String(name.prefix { $0 != "." })
                return BackupLabel(label) != nil && !listed.contains(label) && label.prefix(15) < limit
            }
            guard !old.isEmpty else { continue }
            plan.manifests.append(.init(year: year.name, names: old, isWholeYear: old.count == names.count))
        }
    }
}
