import BackupEngine
import BackupModel
import HTTP
import Jobs
import PostgresAccess
import RepositoryFormats

/// The answers' form; docs/job-api.md describes it.
enum StatusJSON {
    static func number(_ value: some BinaryInteger) -> ServiceJSON { .number(String(value)) }

    static func server(_ status: ServerStatus) -> ServiceJSON {
        .object([
            "in-recovery": .bool(status.isInRecovery), "version": .text(status.version),
            // Of 64 bits: many readers of JSON would round it.
            "system-id": .text(String(status.systemIdentifier)), "timeline": number(status.timeline),
            "lsn": .text(status.lsn), "started": number(status.started),
        ])
    }

    static func archiving(_ archiving: ServerStatus.Archiving, _ look: ServerLook) -> ServiceJSON {
        let counts = archiving.counts
        var members: [String: ServiceJSON] = [
            "mode": .text(archiving.mode), "command-set": .bool(archiving.isCommandSet),
            "archived": number(counts.archived), "failed": number(counts.failed),
        ]
        for (name, file) in [("last-archived", counts.lastArchived), ("last-failed", counts.lastFailed)] {
            guard let file else { continue }
            members[name] = .text(file.name)
            members["\(name)-time"] = number(file.time)
        }
        if let time = look.restorable { members["restorable"] = number(time) }
        if let lag = look.lag {
            members["ready"] = number(lag.segments)
            members["ready-bytes"] = number(lag.bytes)
        }
        // A failure of long ago with nothing left to archive is over.
        members["is-failing"] = .bool(counts.hasFailedLast && look.lag?.segments != 0)
        if let failure = look.pushFailure, look.lag?.segments != 0, failure.time >= counts.lastArchived?.time ?? 0 {
            members["error"] = failure.error.json
        }
        return .object(members)
    }

    static func volume(_ volume: StatusVolume) -> ServiceJSON {
        var json: ServiceJSON = ["name": .text(volume.name), "path": .text(volume.path)]
        do throws(BackupError) {
            let (size, free) = try volume.space()
            json["size"] = number(size)
            json["free"] = number(free)
        } catch {
            json["error"] = error.json
        }
        return json
    }

    static func repository(_ status: RepositoryStatus) -> [String: ServiceJSON] {
        if let failure = status.failure { return ["error": failure.json] }
        var members: [String: ServiceJSON] = [
            "status": ["code": number(status.code), "message": .text(status.message)],
            "size": ["backups": number(status.size)],
            "backups": .array(status.backups.map(backup)),
            "archive": .array(
                status.archives.map { archive in
                    var json: ServiceJSON = ["id": .text(archive.id)]
                    json["min"] = archive.first.map { .text($0) }
                    json["max"] = archive.last.map { .text($0) }
                    return json
                }),
        ]
        members["lock"] = status.lock.map { lock in
            ["host": .text(lock.host), "pid": number(lock.processID), "expires": number(lock.expires)]
        }
        return members
    }

    private static func backup(_ entry: BackupInfoEntry) -> ServiceJSON {
        var members: [String: ServiceJSON] = [
            "label": .text(entry.label), "type": .text(entry.type.rawValue), "start": number(entry.timestampStart),
            "stop": number(entry.timestampStop), "size": number(entry.size),
            "repository-size": number(entry.repoSize), "repository-delta": number(entry.repoSizeDelta),
            "error": .bool(entry.hasErrors ?? false), "annotations": ServiceJSON(entry.annotations),
            "reference": ServiceJSON(entry.references), "database": number(entry.databaseID),
        ]
        for (name, text) in [
            ("lsn-start", entry.lsnStart), ("lsn-stop", entry.lsnStop), ("wal-start", entry.archiveStart),
            ("wal-stop", entry.archiveStop), ("prior", entry.prior),
        ] {
            members[name] = text.map { .text($0) }
        }
        // The first eight digits of a segment's name.
        if let timeline = entry.archiveStart.flatMap({ UInt32($0.prefix(8), radix: 16) }) {
            members["timeline"] = number(timeline)
        }
        return .object(members)
    }
}
