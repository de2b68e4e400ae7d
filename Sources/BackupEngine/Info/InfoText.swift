import BackupModel
import PostgresFormats
import RepositoryFormats
import Telemetry

/// `info` for people, in pgBackRest's layout. Every line ends with a newline.
enum InfoText {
    static func text(_ report: InfoReport) -> String {
        if report.stanzas.isEmpty { return "No stanzas exist in the repository.\n" }
        return report.stanzas.map { stanza($0, report) }.joined(separator: "\n")
    }

    private static func stanza(_ stanza: InfoReport.Stanza, _ report: InfoReport) -> String {
        let status = stanza.status
        var text = "stanza: \(stanza.name)\n    status: \(headline(stanza, report))\n"
        if stanza.backupLocks.count(where: { $0.holder.sizes != nil }) > 1 {
            for lock in stanza.backupLocks {
                guard let sizes = lock.holder.sizes else { continue }
                text += "        repo\(lock.repositoryKey) backup: \(percent(sizes)) complete\n"
            }
        }
        if report.isProgressOnly { return text }
        if [.mixed, .databaseMismatch, .other].contains(status) {
            for repository in stanza.repositories {
                text += repositoryStatus(repository, isOnly: stanza.repositories.count == 1)
            }
        }
        if status != .missingStanzaPath {
            text += "    cipher: \(stanza.cipher)\n"
            if stanza.cipher == "mixed" {
                for repository in stanza.repositories {
                    text += "        repo\(repository.key): \(repository.cipher)\n"
                }
            }
        }
        for group in DatabaseGroup.groups(of: stanza, report) { text += databaseGroup(group, report) }
        return text
    }

    // MARK: - Status

    private static func headline(_ stanza: InfoReport.Stanza, _ report: InfoReport) -> String {
        let status = stanza.status
        let word: String
        var remarks: [String] = []
        switch status {
        case .ok: word = "ok"
        // The repositories' own states follow.
        case .mixed where !report.isProgressOnly: word = "mixed"
        default:
            word = "error"
            remarks.append(status.message)
        }
        if !stanza.backupLocks.isEmpty {
            remarks.append("backup/expire running" + progress(stanza.backupProgress, stanza.backupLocks.map(\.holder)))
        }
        if let lock = stanza.restoreLock { remarks.append("restore running" + progress(lock.sizes, [lock])) }
        return word + (remarks.isEmpty ? "" : " (\(remarks.joined(separator: ", ")))")
    }

    /// Old lock files tell only the share that is done.
    private static func progress(_ sizes: (done: UInt64, total: UInt64)?, _ holders: [LockHolder]) -> String {
        if let sizes { return " - \(percent(sizes)) complete" }
        guard let share = holders.lazy.compactMap(\.progress).first else { return "" }
        return " - \(percent(hundredths: min(share, 10_000))) complete"
    }

    private static func percent(_ sizes: (done: UInt64, total: UInt64)) -> String {
        percent(
            hundredths: sizes.done == sizes.total
                ? 10_000 : UInt64((Double(sizes.done) / Double(sizes.total) * 10_000).rounded()))
    }

    private static func percent(hundredths: UInt64) -> String {
        "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)%"
    }

    private static func repositoryStatus(_ repository: InfoReport.RepositoryState, isOnly: Bool) -> String {
        let start = isOnly ? "" : "        repo\(repository.key): "
        switch repository.status {
        case .ok: return start + "ok\n"
        case .other:
            let indent = isOnly ? "            " : "               "
            let lines = repository.message.split(separator: "\n", omittingEmptySubsequences: false)
            return (isOnly ? "" : "\(start)error (other)\n") + lines.map { "\(indent)\($0)\n" }.joined()
        default: return "\(start)error (\(repository.message))\n"
        }
    }

    // MARK: - Databases

    private static func databaseGroup(_ group: DatabaseGroup, _ report: InfoReport) -> String {
        var text =
            "\n    db (\(group.isCurrent ? "current" : "prior"))\n        wal archive min/max (\(group.version)): "
        if let first = group.first, let last = group.last {
            text += "\(first)/\(last)\n"
        } else {
            text += "none present\n"
        }
        for item in group.backups {
            text += "\n        \(item.backup.entry.type.rawValue) backup: \(item.backup.entry.label)\n"
            for line in lines(item.backup, item.repositoryKey, report) { text += "            \(line)\n" }
        }
        return text
    }

    private static func lines(_ backup: InfoReport.Backup, _ repositoryKey: Int, _ report: InfoReport) -> [String] {
        let entry = backup.entry
        var lines = [
            "timestamp start/stop: \(LocalTime.text(entry.timestampStart)) / \(LocalTime.text(entry.timestampStop))"
        ]
        if let start = entry.archiveStart, let stop = entry.archiveStop {
            lines.append("wal start/stop: \(start) / \(stop)")
        } else {
            lines.append("wal start/stop: n/a")
        }
        let isDetailed = report.set != nil
        if isDetailed, let start = entry.lsnStart, let stop = entry.lsnStop {
            lines.append("lsn start/stop: \(start) / \(stop)")
        }
        lines.append(
            "database size: \(SizeText.bytes(entry.size)), database backup size: \(SizeText.bytes(entry.sizeDelta))")
        // Unknown for block incremental backups: nobody counts which blocks of the earlier ones are in use.
        let setSize = entry.repoSizeMap == nil ? "backup set size: \(SizeText.bytes(entry.repoSize)), " : ""
        lines.append("repo\(repositoryKey): \(setSize)backup size: \(SizeText.bytes(entry.repoSizeDelta))")
        if !entry.references.isEmpty {
            lines.append(
                isDetailed
                    ? "backup reference list: \(entry.references.joined(separator: ", "))"
                    : "backup reference total: \(referenceTotal(entry.references))")
        }
        if let detail = backup.detail { lines += self.lines(detail) }
        if let damaged = backup.detail?.damagedFiles, !damaged.isEmpty {
            lines.append("error list: \(damaged.joined(separator: ", "))")
        } else if entry.hasErrors == true {
            lines.append("error(s) detected during backup")
        }
        // pgBackRest, which knows no holds, has no such line.
        if let hold = entry.hold { lines.append("held: \(hold)") }
        if isDetailed, !entry.annotations.isEmpty {
            lines.append("annotation(s)")
            let sorted = entry.annotations.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            lines += sorted.map { "    \($0.key): \($0.value)" }
        }
        return lines
    }

    private static func lines(_ detail: InfoReport.Detail) -> [String] {
        func numbered(_ item: InfoReport.Detail.Named) -> String {
            item.oid.map { "\(item.name) (\($0))" } ?? item.name
        }
        func arrow(_ item: InfoReport.Detail.Named) -> String { "    \(numbered(item)) => \(item.destination ?? "")" }
        let databases = detail.databases.isEmpty ? "none" : detail.databases.map(numbered).joined(separator: ", ")
        var lines = ["database list: \(databases)"]
        if !detail.links.isEmpty { lines += ["symlinks:"] + detail.links.map(arrow) }
        if !detail.tablespaces.isEmpty { lines += ["tablespaces:"] + detail.tablespaces.map(arrow) }
        return lines
    }

    private static func referenceTotal(_ references: [String]) -> String {
        let types = references.compactMap { BackupLabel($0)?.type }
        return BackupType.allCases.compactMap { type in
            let count = types.count { $0 == type }
            return count > 0 || type == .full ? "\(count) \(type.rawValue)" : nil
        }.joined(separator: ", ")
    }
}

/// One database over all repositories, whatever id each gives it.
private struct DatabaseGroup {
    var systemIdentifier: UInt64
    var version: PostgresVersion
    var isCurrent: Bool
    var first: String?
    var last: String?
    var backups: [(repositoryKey: Int, backup: InfoReport.Backup)] = []

    /// Those to show: the current one last; prior ones with WAL or backups; of one requested backup only its own.
    static func groups(of stanza: InfoReport.Stanza, _ report: InfoReport) -> [DatabaseGroup] {
        let current = stanza.current
        var groups: [DatabaseGroup] = []
        func index(_ database: DatabaseHistoryEntry) -> Int? {
            groups.firstIndex {
                $0.systemIdentifier == database.systemIdentifier && $0.version == database.version
            }
        }
        for repository in stanza.repositories {
            for database in repository.databases {
                let place = index(database) ?? groups.count
                if place == groups.count {
                    groups.append(
                        DatabaseGroup(
                            systemIdentifier: database.systemIdentifier, version: database.version,
                            isCurrent: database.systemIdentifier == current?.systemIdentifier
                                && database.version == current?.version))
                }
                for archive in repository.archives where archive.databaseID == database.id {
                    guard let first = archive.first, let last = archive.last else { continue }
                    groups[place].first = min(groups[place].first ?? first, first)
                    groups[place].last = max(groups[place].last ?? last, last)
                }
            }
        }
        for (key, backup) in stanza.backups {
            let repository = stanza.repositories.first { $0.key == key }
            guard let database = repository?.databases.first(where: { $0.id == backup.entry.databaseID }),
                let place = index(database)
            else { continue }
            groups[place].backups.append((key, backup))
        }
        if report.set != nil, groups.contains(where: { !$0.backups.isEmpty }) {
            groups.removeAll { $0.backups.isEmpty }
        }
        return groups.filter { !$0.isCurrent && ($0.first != nil || !$0.backups.isEmpty) }
            + groups.filter(\.isCurrent)
    }
}
