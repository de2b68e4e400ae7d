import BackupModel

extension BackupInfoEntry {
    /// Throws `.format` when `label` is none or a key that is always written is missing.
    init(label: String, parsing value: inout JSONReader) throws(BackupError) {
        guard BackupLabel(label) != nil else { throw BackupError(.format, "this is no label of a backup") }
        var fields = BackupInfoEntryFields()
        try value.beginObject()
        while let key = try value.nextKey() { try fields.read(key, &value) }
        self.label = label
        writerVersion = try required(fields.writerVersion, "backrest-version")
        type = try required(fields.type, "backup-type")
        prior = fields.prior
        references = fields.references
        timestampStart = try required(fields.timestampStart, "backup-timestamp-start")
        timestampStop = try required(fields.timestampStop, "backup-timestamp-stop")
        archiveStart = fields.archiveStart
        archiveStop = fields.archiveStop
        lsnStart = fields.lsnStart
        lsnStop = fields.lsnStop
        hasErrors = fields.hasErrors
        annotations = fields.annotations
        size = try required(fields.size, "backup-info-size")
        sizeDelta = try required(fields.sizeDelta, "backup-info-size-delta")
        repoSize = try required(fields.repoSize, "backup-info-repo-size")
        repoSizeDelta = try required(fields.repoSizeDelta, "backup-info-repo-size-delta")
        repoSizeMap = fields.repoSizeMap
        repoSizeMapDelta = fields.repoSizeMapDelta
        databaseID = try required(fields.databaseID, "db-id")
        optionArchiveCheck = try required(fields.archiveCheck, "option-archive-check")
        optionArchiveCopy = try required(fields.archiveCopy, "option-archive-copy")
        optionBackupStandby = try required(fields.backupStandby, "option-backup-standby")
        optionChecksumPage = try required(fields.checksumPage, "option-checksum-page")
        optionCompress = try required(fields.compress, "option-compress")
        optionHardlink = try required(fields.hardlink, "option-hardlink")
        optionOnline = try required(fields.online, "option-online")
        guard fields.hasFormat else { throw BackupError(.format, "'backrest-format' is missing") }
        guard (repoSizeMap == nil) == (repoSizeMapDelta == nil) else {
            throw BackupError(.format, "of the two sizes of block maps one is missing")
        }
    }
}

/// What has been read of an entry.
private struct BackupInfoEntryFields {
    var hasFormat = false
    var writerVersion: String?
    var type: BackupType?
    var prior: String?
    var references: [String] = []
    var timestampStart: Int64?
    var timestampStop: Int64?
    var archiveStart: String?
    var archiveStop: String?
    var lsnStart: String?
    var lsnStop: String?
    var hasErrors: Bool?
    var annotations: [String: String] = [:]
    var size: UInt64?
    var sizeDelta: UInt64?
    var repoSize: UInt64?
    var repoSizeDelta: UInt64?
    var repoSizeMap: UInt64?
    var repoSizeMapDelta: UInt64?
    var databaseID: Int?
    var archiveCheck: Bool?
    var archiveCopy: Bool?
    var backupStandby: Bool?
    var checksumPage: Bool?
    var compress: Bool?
    var hardlink: Bool?
    var online: Bool?

    mutating func read(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch String(decoding: key, as: UTF8.self) {
        case "backrest-format":
            guard try value.unsigned() == UInt64(ProgramVersion.repositoryFormat) else {
                throw BackupError(.format, "the backup has another format than \(ProgramVersion.repositoryFormat)")
            }
            hasFormat = true
        case "backrest-version": writerVersion = try value.string()
        case "backup-annotation": annotations = try value.annotations()
        case "backup-archive-start": archiveStart = try value.nullableString()
        case "backup-archive-stop": archiveStop = try value.nullableString()
        case "backup-error": hasErrors = try value.bool()
        case "backup-info-repo-size": repoSize = try value.unsigned()
        case "backup-info-repo-size-delta": repoSizeDelta = try value.unsigned()
        case "backup-info-repo-size-map": repoSizeMap = try value.unsigned()
        case "backup-info-repo-size-map-delta": repoSizeMapDelta = try value.unsigned()
        case "backup-info-size": size = try value.unsigned()
        case "backup-info-size-delta": sizeDelta = try value.unsigned()
        case "backup-lsn-start": lsnStart = try value.nullableString()
        case "backup-lsn-stop": lsnStop = try value.nullableString()
        case "backup-prior":
            prior = try value.nullableString()
            guard prior.map({ BackupLabel($0) != nil }) ?? true else {
                throw BackupError(.format, "'backup-prior' is no label of a backup")
            }
        case "backup-reference":
            try value.beginArray()
            while try value.nextElement() { references.append(try value.label()) }
        case "backup-timestamp-start": timestampStart = try value.timestamp()
        case "backup-timestamp-stop": timestampStop = try value.timestamp()
        case "backup-type": type = try value.backupType()
        case "db-id": databaseID = try DatabaseSectionValue.historyID(&value)
        case "option-archive-check": archiveCheck = try value.bool()
        case "option-archive-copy": archiveCopy = try value.bool()
        case "option-backup-standby": backupStandby = try value.bool()
        case "option-checksum-page": checksumPage = try value.bool()
        case "option-compress": compress = try value.bool()
        case "option-hardlink": hardlink = try value.bool()
        case "option-online": online = try value.bool()
        default: try value.skip()
        }
    }
}

/// Values that `backup.info` and manifests share.
extension JSONReader {
    /// Values that are no text are ours as little as pgBackRest's, and left out.
    mutating func annotations() throws(BackupError) -> [String: String] {
        var annotations: [String: String] = [:]
        guard try !null() else { return annotations }
        try beginObject()
        while let key = try nextText() {
            guard isText() else {
                try skip()
                continue
            }
            annotations[key] = try string()
        }
        return annotations
    }

    /// Labels become parts of paths, so that nothing else passes for one.
    mutating func label() throws(BackupError) -> String {
        let text = try string()
        guard BackupLabel(text) != nil else { throw problem("'\(text)' is no label of a backup") }
        return text
    }

    /// Seconds since 1970, not before.
    mutating func timestamp() throws(BackupError) -> Int64 {
        guard let seconds = Int64(exactly: try unsigned()) else { throw problem("time out of range") }
        return seconds
    }

    mutating func backupType() throws(BackupError) -> BackupType {
        let text = try string()
        guard let type = BackupType(rawValue: text) else { throw problem("'\(text)' is no type of backup") }
        return type
    }
}
