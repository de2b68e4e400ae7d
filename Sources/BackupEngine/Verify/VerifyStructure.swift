import BackupModel
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// What a repository holds of a stanza by its info files and listings: read anew in every run, since it is cheap.
struct VerifyStructure: Sendable {
    struct Backup: Sendable {
        var label: String
        var status: VerifyReport.Backup.Status
        /// nil for a complete backup that is not listed.
        var entry: BackupInfoEntry?
    }

    var archiveInfo: ArchiveInfo?
    var backupInfo: BackupInfo?
    var archives: [ArchiveInventory] = []
    /// By label; with `--set` that one and those that it refers to.
    var backups: [Backup] = []
    /// Of info files.
    var findings: [VerifyFinding] = []
    var notes: [String] = []
    /// The WAL that a set needs; nil: all.
    private var wanted: RecoveryStart?
    private var stanza = ""
    private var complete: Set<String> = []

    /// - Throws: `.fileMissing` when there is no such stanza, `.backupSetInvalid` when there is no such set.
    static func load(_ repository: Repository, stanza: String, set: String?) async throws -> VerifyStructure {
        var structure = VerifyStructure()
        structure.stanza = stanza
        // Before backup.info: expire removes a backup from the list first.
        let listing = try await BackupListing.load(repository, stanza: stanza)
        structure.complete = listing.complete
        try await structure.loadInfo(repository)
        try await structure.classify(listing, repository)
        if let set { try await structure.restrict(to: set, repository) }
        try await structure.loadArchives(repository, isSet: set != nil)
        return structure
    }

    var parts: [VerifyPart] {
        archives.flatMap { archive in
            archive.directories.map { VerifyPart.wal(archiveID: archive.archiveID, directory: $0.name) }
        } + backups.filter { complete.contains($0.label) }.map { .backup(label: $0.label) }
    }

    /// Stored, of all parts.
    var bytes: UInt64 {
        archives.flatMap(\.directories).map(\.bytes).reduce(0, &+)
            &+ backups.compactMap { $0.entry?.repoSizeDelta }.reduce(0, &+)
    }

    /// The last name in each directory of WAL, by ``VerifyPart/key``.
    var lastNames: [String: String] {
        Dictionary(
            archives.flatMap { archive in
                archive.directories.map { directory in
                    (
                        VerifyPart.wal(archiveID: archive.archiveID, directory: directory.name).key,
                        directory.lastName
                    )
                }
            }, uniquingKeysWith: { first, _ in first })
    }

    func isComplete(_ label: String) -> Bool { complete.contains(label) }

    func references(of label: String) -> [String] {
        backups.first { $0.label == label }?.entry?.references.filter { complete.contains($0) } ?? []
    }

    /// Whether a file of the archive is to be read.
    func isWanted(name: String) -> Bool {
        guard let wanted else { return true }
        guard let segment = WALSegment(name.prefix(24)) else { return false }
        return segment >= wanted.start && segment <= wanted.stop
    }

    /// Whether all WAL is where it should be.
    var hasAllSegments: Bool {
        archives.allSatisfy { $0.segments.gaps.isEmpty && $0.findings.isEmpty }
            && backups.allSatisfy { missingSegments($0).isEmpty }
    }

    // MARK: - Loading

    private mutating func loadInfo(_ repository: Repository) async throws {
        let archivePath = RepositoryPaths.archiveInfo(stanza: stanza)
        let backupPath = RepositoryPaths.backupInfo(stanza: stanza)
        let archive = try await InfoPair.load(repository, archivePath) { bytes throws(BackupError) in
            try ArchiveInfo(parsing: bytes.span.bytes)
        }
        let backup = try await InfoPair.load(repository, backupPath) { bytes throws(BackupError) in
            try BackupInfo(parsing: bytes.span.bytes)
        }
        guard archive.isThere || backup.isThere else {
            throw BackupError(
                .fileMissing, "\(repository.name): stanza '\(stanza)' has neither archive.info nor backup.info",
                hint: "has 'stanza-create' been run for stanza '\(stanza)' on \(repository.name)?")
        }
        findings += archive.findings + backup.findings
        archiveInfo = archive.value
        backupInfo = backup.value
        if let first = archive.values.first, let second = archive.values.last,
            first.history != second.history || first.currentID != second.currentID
                || first.cipherPass != second.cipherPass
        {
            findings.append(
                VerifyFinding(.other, RepositoryPaths.copy(of: archivePath), "it differs from archive.info"))
        }
        if let first = backup.values.first, let second = backup.values.last,
            first.history != second.history || first.currentID != second.currentID
                || first.cipherPass != second.cipherPass
        {
            findings.append(
                VerifyFinding(.other, RepositoryPaths.copy(of: backupPath), "it differs from backup.info"))
        }
        guard let archiveInfo, let backupInfo else { return }
        do throws(BackupError) {
            try StanzaIdentity.requireAgreement(archiveInfo, backupInfo, repository: repository, stanza: stanza)
        } catch {
            findings.append(VerifyFinding(.other, archivePath, error.message))
        }
    }

    private mutating func classify(_ listing: BackupListing, _ repository: Repository) async throws {
        var labels = Set(listing.labels)
        let entries = Dictionary(
            (backupInfo?.backups ?? []).map { ($0.label, $0) }, uniquingKeysWith: { first, _ in first })
        labels.formUnion(entries.keys)
        for label in labels.sorted() {
            if complete.contains(label) {
                backups.append(Backup(label: label, status: .notRead, entry: entries[label]))
                if backupInfo != nil, entries[label] == nil {
                    notes.append("backup '\(label)' is not in backup.info: the next backup or expire adds it")
                }
            } else if let entry = entries[label] {
                // It may have become complete since it was listed, or been removed from the list.
                if try await repository.exists(RepositoryPaths.manifest(stanza: stanza, label: label)) {
                    complete.insert(label)
                    backups.append(Backup(label: label, status: .notRead, entry: entry))
                } else if try await isStillListed(label, repository) {
                    backups.append(Backup(label: label, status: .missingManifest, entry: entry))
                }
            } else if label == listing.unfinished {
                backups.append(Backup(label: label, status: .inProgress))
            } else {
                notes.append("'\(label)' has no manifest and is no backup: the next expire removes it")
            }
        }
    }

    private func isStillListed(_ label: String, _ repository: Repository) async throws -> Bool {
        let info = try await repository.loadBackupInfo(stanza: stanza)
        return info.backups.contains { $0.label == label }
    }

    private mutating func restrict(to set: String, _ repository: Repository) async throws {
        guard complete.contains(set) else {
            throw BackupError(
                .backupSetInvalid, "\(repository.name): there is no complete backup '\(set)' of stanza '\(stanza)'",
                hint: "run 'info' to see the backups of the stanza")
        }
        let manifest = try await repository.loadManifest(
            stanza: stanza, label: set, cipherPass: backupInfo?.cipherPass)
        let entry = BackupInfoEntry(manifest)
        let labels = Set(manifest.references)
        backups = backups.filter { labels.contains($0.label) }
        for index in backups.indices where backups[index].label == set { backups[index].entry = entry }
        for label in labels where !backups.contains(where: { $0.label == label }) {
            notes.append("backup '\(set)' refers to backup '\(label)', which is not there")
        }
        wanted = RecoveryStart(entry)
        notes.removeAll { !$0.contains(set) }
    }

    private mutating func loadArchives(_ repository: Repository, isSet: Bool) async throws {
        let entries = try await repository.listAll(RepositoryPaths.archive(stanza: stanza))
        let ids = entries.filter { $0.kind == .directory }.map(\.name).compactMap { name in
            RepositoryPaths.parseArchiveID(name).map { (name: name, historyID: $0.historyID) }
        }.sorted { $0.historyID < $1.historyID }
        if isSet, wanted == nil { return }
        let setEntry = isSet ? backups.compactMap(\.entry).last : nil
        for id in ids {
            if let setEntry, archiveID(of: setEntry) != id.name { continue }
            var inventory = try await ArchiveInventory.load(
                repository, stanza: stanza, archiveID: id.name, cipherPass: archiveInfo?.cipherPass)
            if let wanted {
                inventory.directories.removeAll {
                    $0.name < wanted.start.directory || $0.name > wanted.stop.directory
                }
                inventory.findings.removeAll { !isWanted(name: String($0.object.split(separator: "/").last ?? "")) }
                inventory.strangers = []
            }
            archives.append(inventory)
        }
    }

    // MARK: - Reconciliation

    func archiveID(of entry: BackupInfoEntry) -> String? {
        let version = backupInfo?.history.first { $0.id == entry.databaseID }?.version
        return version.map { RepositoryPaths.archiveID(version: $0, historyID: entry.databaseID) }
    }

    /// The WAL that a backup needs and the archive does not have.
    private func missingSegments(_ backup: Backup) -> [SegmentRange] {
        guard complete.contains(backup.label), let entry = backup.entry, let start = RecoveryStart(entry),
            let id = archiveID(of: entry), wanted == nil || wanted?.label == backup.label
        else { return [] }
        let archive = archives.first { $0.archiveID == id }
        return (archive?.segments ?? SegmentRanges(segmentSize: 16 << 20)).missing(from: start.start, to: start.stop)
    }

    /// Adds what can be told from listings and from what was found when reading, and returns the findings among it.
    /// - Parameter known: of damaged WAL, of this run and of earlier ones.
    func conclude(
        into report: inout VerifyReport.Repository, known: [VerifyFinding], now: Int64
    ) -> [VerifyFinding] {
        var told = findings
        let damaged = DamagedSegments(known)
        for finding in findings { report.tally.add(finding) }
        report.notes += notes
        for index in report.backups.indices {
            guard let backup = backups.first(where: { $0.label == report.backups[index].label }) else { continue }
            for finding in concluded(backup, &report) + damaged.findings(of: backup.entry, archiveID: archiveID) {
                report.backups[index].tally.add(finding)
                told.append(finding)
            }
        }
        for (index, archive) in archives.enumerated() where index < report.archives.count {
            report.archives[index].gaps = wanted == nil ? archive.segments.gaps.map(\.gap) : []
            var findings = archive.findings
            let starts = backups.filter { complete.contains($0.label) && wanted == nil }.compactMap(\.entry)
                .filter { archiveID(of: $0) == archive.archiveID }.compactMap { RecoveryStart($0) }
            let sound = Set(report.backups.filter { $0.tally.invalid == 0 }.map(\.label))
            if let newest = starts.map(\.start).max(by: { ($0.log, $0.number) < ($1.log, $1.number) }) {
                findings += lostSegments(archive, since: newest, now: now)
            }
            for finding in findings {
                report.archives[index].tally.add(finding)
                told.append(finding)
            }
            report.archives[index].windows = RecoveryWindow.windows(
                archiveID: archive.archiveID,
                segments: archive.segments.removing(Set(damaged.segments[archive.archiveID, default: [:]].keys)),
                histories: archive.histories, starts: starts.filter { sound.contains($0.label) })
            for stranger in archive.strangers { report.notes.append("'\(stranger)' is no file of an archive") }
        }
        return told
    }

    private func concluded(_ backup: Backup, _ report: inout VerifyReport.Repository) -> [VerifyFinding] {
        let manifest = RepositoryPaths.manifest(stanza: stanza, label: backup.label)
        if backup.status == .missingManifest {
            return [VerifyFinding(.missing, manifest, "the backup is in backup.info, but its manifest is not there")]
        }
        guard let entry = backup.entry, let id = archiveID(of: entry) else { return [] }
        return missingSegments(backup).compactMap { range in
            let path = "\(RepositoryPaths.archive(stanza: stanza))/\(id)/\(range.first.directory)/\(range.first)"
            let text = range.first == range.last ? "WAL segment" : "WAL from here to \(range.last)"
            if entry.optionArchiveCopy || !entry.optionArchiveCheck {
                report.notes.append(
                    "'\(path)': \(text) of backup '\(backup.label)' is not in the archive; "
                        + (entry.optionArchiveCopy ? "the backup has a copy" : "it was made without archive-check"))
                return nil
            }
            return VerifyFinding(.missing, path, "\(text), without which backup '\(backup.label)' is not consistent")
        }
    }

    private func lostSegments(_ archive: ArchiveInventory, since newest: WALSegment, now: Int64) -> [VerifyFinding] {
        archive.segments.lost(since: newest, now: now).map { gap in
            let path =
                "\(RepositoryPaths.archive(stanza: stanza))/\(archive.archiveID)/\(gap.first.directory)/\(gap.first)"
            return VerifyFinding(
                .missing, path,
                "WAL \(gap.first == gap.last ? "segment" : "to \(gap.last)") is missing: nothing behind it can be "
                    + "recovered to on timeline \(gap.timeline)")
        }
    }
}

/// Segments that were found damaged, by archive id.
private struct DamagedSegments {
    var segments: [String: [WALSegment: VerifyFinding]] = [:]

    /// - Parameter findings: of any objects.
    init(_ findings: [VerifyFinding]) {
        for finding in findings {
            let path = finding.object.split(separator: "/")
            guard path.count == 5, path[0] == "archive", let name = ArchivedSegmentName(path[4]), !name.isPartial
            else { continue }
            segments[String(path[2]), default: [:]][name.segment] = finding
        }
    }

    /// For a backup that needs them.
    func findings(of entry: BackupInfoEntry?, archiveID: (BackupInfoEntry) -> String?) -> [VerifyFinding] {
        guard let entry, let start = RecoveryStart(entry), let id = archiveID(entry), !entry.optionArchiveCopy else {
            return []
        }
        let needed = (segments[id] ?? [:]).filter {
            $0.key.timeline == start.start.timeline && $0.key >= start.start && $0.key <= start.stop
        }
        return needed.sorted { $0.key < $1.key }.map { _, finding in
            VerifyFinding(finding.kind, finding.object, "backup '\(entry.label)' needs it; \(finding.detail)")
        }
    }
}

/// An info file and its copy.
private struct InfoPair<Value> {
    /// Of those that can be read, the file first.
    var values: [Value] = []
    var findings: [VerifyFinding] = []
    var isThere = false
    var value: Value? { values.first }

    static func load(
        _ repository: Repository, _ path: String, _ parse: ([UInt8]) throws(BackupError) -> Value
    ) async throws -> InfoPair {
        var pair = InfoPair()
        for path in [path, RepositoryPaths.copy(of: path)] {
            do throws(BackupError) {
                let form = StoredForm(compress: .none, cipherPass: repository.cipherPass)
                guard let bytes = try await repository.readWhole(path, as: form) else {
                    pair.findings.append(VerifyFinding(.missing, path, "it is not there"))
                    continue
                }
                pair.isThere = true
                pair.values.append(try parse(bytes))
            } catch {
                if error.code == .terminated || error.code == .featureNotSupported { throw error }
                pair.isThere = true
                pair.findings.append(
                    VerifyFinding(VerifyFinding.Kind(error), path, error.message))
            }
        }
        return pair
    }
}
