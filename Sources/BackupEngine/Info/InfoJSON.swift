import BackupModel
import PostgresFormats
import RepositoryFormats

/// `info --output=json`: the keys of pgBackRest 2.59 (section C.10 of the reference).
enum InfoJSON {
    static func text(_ report: InfoReport) -> String {
        JSONValue.array(report.stanzas.map { stanza($0, report) }).text
    }

    private static func stanza(_ stanza: InfoReport.Stanza, _ report: InfoReport) -> JSONValue {
        var members: [String: JSONValue] = ["name": .string(stanza.name), "status": status(stanza)]
        if report.isProgressOnly { return .object(members) }
        members["archive"] = .array(
            stanza.repositories.flatMap { repository in repository.archives.map { archive($0, repository.key) } })
        members["backup"] = .array(stanza.backups.map { backup($0.backup, $0.repositoryKey) })
        members["cipher"] = .string(stanza.cipher)
        members["db"] = .array(
            stanza.repositories.flatMap { repository in
                repository.databases.map { database in
                    .object([
                        "id": .number(database.id), "repo-key": .number(repository.key),
                        "system-id": .unsigned(database.systemIdentifier),
                        "version": .string(database.version.description),
                    ])
                }
            })
        members["repo"] = .array(
            stanza.repositories.map { repository in
                .object([
                    "cipher": .string(repository.cipher), "key": .number(repository.key),
                    "status": .object([
                        "code": .number(repository.status.rawValue), "message": .string(repository.message),
                    ]),
                ])
            })
        return .object(members)
    }

    private static func status(_ stanza: InfoReport.Stanza) -> JSONValue {
        let status = stanza.status
        return .object([
            "code": .number(status.rawValue),
            "lock": .object(["backup": backupLock(stanza), "restore": restoreLock(stanza)]),
            "message": .string(status.message),
        ])
    }

    private static func backupLock(_ stanza: InfoReport.Stanza) -> JSONValue {
        var members: [String: JSONValue] = ["held": .bool(!stanza.backupLocks.isEmpty)]
        if let progress = stanza.backupProgress {
            members["size"] = .unsigned(progress.total)
            members["size-cplt"] = .unsigned(progress.done)
            members["repo"] = .array(
                stanza.backupLocks.compactMap { lock in
                    lock.holder.sizes.map { sizes in
                        .object([
                            "key": .number(lock.repositoryKey), "size": .unsigned(sizes.total),
                            "size-cplt": .unsigned(sizes.done),
                        ])
                    }
                })
        }
        return .object(members)
    }

    private static func restoreLock(_ stanza: InfoReport.Stanza) -> JSONValue {
        var members: [String: JSONValue] = ["held": .bool(stanza.restoreLock != nil)]
        if let sizes = stanza.restoreLock?.sizes {
            members["size"] = .unsigned(sizes.total)
            members["size-cplt"] = .unsigned(sizes.done)
        }
        return .object(members)
    }

    private static func database(_ id: Int, _ repositoryKey: Int) -> JSONValue {
        .object(["id": .number(id), "repo-key": .number(repositoryKey)])
    }

    private static func archive(_ archive: InfoReport.Archive, _ repositoryKey: Int) -> JSONValue {
        .object([
            "database": database(archive.databaseID, repositoryKey), "id": .string(archive.archiveID),
            "max": .optional(archive.last), "min": .optional(archive.first),
        ])
    }

    private static func backup(_ backup: InfoReport.Backup, _ repositoryKey: Int) -> JSONValue {
        let entry = backup.entry
        var members: [String: JSONValue] = [
            "archive": .object(["start": .optional(entry.archiveStart), "stop": .optional(entry.archiveStop)]),
            "backrest": .object([
                "format": .number(ProgramVersion.repositoryFormat), "version": .string(entry.writerVersion),
            ]),
            "database": database(entry.databaseID, repositoryKey), "info": info(entry), "label": .string(entry.label),
            "prior": .optional(entry.prior),
            "reference": entry.references.isEmpty ? .null : .array(entry.references.map { .string($0) }),
            "timestamp": .object(["start": .signed(entry.timestampStart), "stop": .signed(entry.timestampStop)]),
            "type": .string(entry.type.rawValue),
        ]
        if !entry.annotations.isEmpty { members["annotation"] = .object(entry.annotations.mapValues { .string($0) }) }
        if let start = entry.lsnStart, let stop = entry.lsnStop {
            members["lsn"] = .object(["start": .string(start), "stop": .string(stop)])
        }
        if let hasErrors = entry.hasErrors { members["error"] = .bool(hasErrors) }
        if let detail = backup.detail { add(detail, to: &members) }
        return .object(members)
    }

    private static func info(_ entry: BackupInfoEntry) -> JSONValue {
        var repository: [String: JSONValue] = ["delta": .unsigned(entry.repoSizeDelta)]
        if let map = entry.repoSizeMap {
            repository["size-map"] = .unsigned(map)
            repository["delta-map"] = entry.repoSizeMapDelta.map { .unsigned($0) } ?? .null
        } else {
            repository["size"] = .unsigned(entry.repoSize)
        }
        return .object([
            "delta": .unsigned(entry.sizeDelta), "repository": .object(repository), "size": .unsigned(entry.size),
        ])
    }

    private static func add(_ detail: InfoReport.Detail, to members: inout [String: JSONValue]) {
        func list(_ items: [InfoReport.Detail.Named]) -> JSONValue {
            .array(
                items.map { item in
                    var members: [String: JSONValue] = ["name": .string(item.name)]
                    if let oid = item.oid { members["oid"] = .unsigned(UInt64(oid)) }
                    if let destination = item.destination { members["destination"] = .string(destination) }
                    return .object(members)
                })
        }
        members["database-ref"] = list(detail.databases)
        members["link"] = detail.links.isEmpty ? .null : list(detail.links)
        members["tablespace"] = detail.tablespaces.isEmpty ? .null : list(detail.tablespaces)
        if !detail.damagedFiles.isEmpty {
            members["error-list"] = .array(detail.damagedFiles.map { .string($0) })
            members["error"] = .bool(true)
        }
    }
}
