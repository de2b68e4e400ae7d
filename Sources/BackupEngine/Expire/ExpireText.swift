import BackupModel
import RepositoryFormats
import Telemetry

/// What `expire` says of its plan: printed by a dry run, logged by a real one.
enum ExpireText {
    static func lines(_ plan: RepositoryExpirePlan) -> [String] {
        var lines: [String] = []
        for backup in plan.backups.expired {
            lines.append(
                "expire \(backup.type.rawValue) backup \(backup.label), \(SizeText.bytes(backup.size)): \(reason(backup, plan.key))"
            )
        }
        lines += holds(plan)
        for label in plan.leftovers { lines.append("remove backup directory \(label): it is no listed backup") }
        for spared in plan.spared where spared.reason == .unfinished {
            lines.append("leave backup directory \(spared.label): it has no manifest yet, and may be running")
        }
        for archive in plan.archives { lines += self.lines(archive) }
        if plan.backups.archiveRetention == nil {
            lines.append("WAL is not expired: \(archiveReason(plan))")
        }
        for manifests in plan.manifests {
            let range = manifests.names.count == 1 ? "" : " to \(manifests.names.last ?? "")"
            lines.append(
                "remove \(manifests.names.count) of backup.history/\(manifests.year), \(manifests.names.first ?? "")\(range): older than repo\(plan.key)-retention-history=\(plan.manifestRetention ?? 0) days"
            )
        }
        lines.append(
            plan.isEmpty
                ? "nothing to expire"
                : "\(plan.backups.expired.count) backups expire, \(SizeText.bytes(plan.size)) of backups; \(plan.info.backups.count) stay"
        )
        return lines.map { "repo\(plan.key): \($0)" }
    }

    private static func holds(_ plan: RepositoryExpirePlan) -> [String] {
        let rules = Dictionary(plan.backups.heldBack.map { ($0.label, $0) }) { first, _ in first }
        return Set(plan.backups.holds.keys).union(rules.keys).sorted().map { label in
            let back = rules[label]
            let rule = back.map { " (\(text($0.rule, plan.key)))" } ?? ""
            guard let reason = plan.backups.holds[label] else {
                return "keep backup \(label)\(rule): held \(back?.keeper ?? "") rests on it"
            }
            return "keep backup \(label)\(rule): held: \(reason)"
        }
    }

    static func reason(_ backup: ExpirePlan.Expired, _ key: Int) -> String {
        let rule = text(backup.rule, key)
        return backup.dependsOn.map { "rests on \($0) (\(rule))" } ?? rule
    }

    static func text(_ rule: ExpirePlan.Rule, _ key: Int) -> String {
        let name = "repo\(key)-retention"
        return switch rule {
        case .fullCount(let rank, let kept): "\(ordinal(rank)) newest full, \(name)-full=\(kept)"
        case .fullTime(let days, let base): "older than \(base), with which \(name)-full=\(days) days begin"
        case .diffCount(let rank, let kept): "\(ordinal(rank)) newest full or diff, \(name)-diff=\(kept)"
        case .set: "requested by --set"
        case .oldest: "oldest full, requested by --oldest"
        }
    }

    private static func lines(_ archive: RepositoryExpirePlan.ArchiveExpiry) -> [String] {
        if archive.isWhole {
            return ["remove archive \(archive.archiveID): no backup of its database is left, which is not the current"]
        }
        let reason =
            archive.keptFrom.map { "no kept backup needs it, all WAL is kept from \($0) on" }
            ?? "there is no backup, and it is from before --archive-expire-before or the end of the last one"
        var lines = archive.runs.map { run in
            "\(archive.archiveID): remove WAL \(run.first)\(run.first == run.last ? "" : " to \(run.last)"): \(reason)"
        }
        if !archive.histories.isEmpty {
            lines.append(
                "\(archive.archiveID): remove \(archive.histories.joined(separator: ", ")): no kept backup is of this timeline"
            )
        }
        return lines
    }

    private static func archiveReason(_ plan: RepositoryExpirePlan) -> String {
        plan.backups.archiveType == .full
            ? "repo\(plan.key)-retention-archive is not set, and no full backup retention decides"
            : "repo\(plan.key)-retention-archive is not set for type \(plan.backups.archiveType.rawValue)"
    }

    private static func ordinal(_ number: Int) -> String {
        let suffix =
            switch (number % 100, number % 10) {
            case (11...13, _): "th"
            case (_, 1): "st"
            case (_, 2): "nd"
            case (_, 3): "rd"
            default: "th"
            }
        return "\(number)\(suffix)"
    }
}

/// The plans as one JSON array, an object for each repository.
enum ExpireJSON {
    static func text(_ plans: [RepositoryExpirePlan], stanza: String) -> String {
        JSONValue.array(plans.map { object($0, stanza) }).text
    }

    private static func object(_ plan: RepositoryExpirePlan, _ stanza: String) -> JSONValue {
        .object([
            "archive": .array(plan.archives.map(archive)),
            "backup": .array(
                plan.backups.expired.map { backup in
                    .object([
                        "label": .string(backup.label), "reason": .string(ExpireText.reason(backup, plan.key)),
                        "size": .unsigned(backup.size), "type": .string(backup.type.rawValue),
                    ])
                }),
            "directory": .array(plan.leftovers.map { .string($0) }),
            "held": .array(
                plan.backups.holds.sorted { $0.key < $1.key }.map { label, reason in
                    .object(["label": .string(label), "reason": .string(reason)])
                }),
            "history": .array(plan.manifests.flatMap { year in year.names.map { .string("\(year.year)/\($0)") } }),
            "kept": .array(plan.info.backups.map { .string($0.label) }), "repo-key": .number(plan.key),
            "size": .unsigned(plan.size), "stanza": .string(stanza),
        ])
    }

    private static func archive(_ archive: RepositoryExpirePlan.ArchiveExpiry) -> JSONValue {
        .object([
            "history": .array(archive.histories.map { .string($0) }), "id": .string(archive.archiveID),
            "wal": .array(
                archive.runs.map { .object(["start": .string($0.first), "stop": .string($0.last)]) }),
            "whole": .bool(archive.isWhole),
        ])
    }
}
