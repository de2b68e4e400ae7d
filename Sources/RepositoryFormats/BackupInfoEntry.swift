package import BackupModel

/// One value of `[backup:current]` (section B.4 of the reference).
package struct BackupInfoEntry: Sendable, Equatable {
    package var label: String
    package var writerVersion: String
    package var type: BackupType
    package var prior: String?
    /// Labels referred to, without its own.
    package var references: [String]
    package var timestampStart: Int64
    package var timestampStop: Int64
    package var archiveStart: String?
    package var archiveStop: String?
    package var lsnStart: String?
    package var lsnStop: String?
    /// Page checksum problems; nil in entries older than the key.
    package var hasErrors: Bool?
    package var annotations: [String: String]
    /// Bytes of all files, original and stored; and of those physically in this backup.
    package var size: UInt64
    package var sizeDelta: UInt64
    package var repoSize: UInt64
    package var repoSizeDelta: UInt64
    package var repoSizeMap: UInt64?
    package var repoSizeMapDelta: UInt64?
    /// History id.
    package var databaseID: Int
    package var optionArchiveCheck: Bool
    package var optionArchiveCopy: Bool
    package var optionBackupStandby: Bool
    package var optionChecksumPage: Bool
    package var optionCompress: Bool
    package var optionHardlink: Bool
    package var optionOnline: Bool

    /// The entry for a complete manifest.
    package init(_ manifest: Manifest) {
        let sums = manifest.files.sums()
        label = manifest.label
        writerVersion = manifest.writerVersion
        type = manifest.type
        prior = manifest.prior
        references = manifest.references.filter { $0 != manifest.label }.sorted(by: BytewiseOrder.precedes)
        timestampStart = manifest.timestampStart
        timestampStop = manifest.timestampStop
        archiveStart = manifest.archiveStart
        archiveStop = manifest.archiveStop
        lsnStart = manifest.lsnStart
        lsnStop = manifest.lsnStop
        hasErrors = sums.hasErrors
        annotations = manifest.annotations
        size = sums.size
        sizeDelta = sums.sizeDelta
        repoSize = sums.repoSize
        repoSizeDelta = sums.repoSizeDelta
        repoSizeMap = manifest.isBlockIncremental ? sums.mapSize : nil
        repoSizeMapDelta = manifest.isBlockIncremental ? sums.mapSizeDelta : nil
        databaseID = manifest.database.id
        optionArchiveCheck = manifest.options.archiveCheck
        optionArchiveCopy = manifest.options.archiveCopy
        optionBackupStandby = manifest.options.backupStandby ?? false
        optionChecksumPage = manifest.options.checksumPage ?? false
        optionCompress = manifest.options.compressType != .none
        optionHardlink = manifest.options.hardlink
        optionOnline = manifest.options.online
    }

    func append(to bytes: inout [UInt8]) {
        bytes.append("{")
        bytes.appendKey("backrest-format")
        bytes.appendDecimal(ProgramVersion.repositoryFormat)
        bytes.appendKey("backrest-version")
        bytes.appendJSON(writerVersion)
        if !annotations.isEmpty {
            bytes.appendKey("backup-annotation")
            bytes.appendJSON(annotations)
        }
        bytes.appendKey("backup-archive-start")
        bytes.appendNullable(archiveStart)
        bytes.appendKey("backup-archive-stop")
        bytes.appendNullable(archiveStop)
        if let hasErrors {
            bytes.appendKey("backup-error")
            bytes.appendJSON(hasErrors)
        }
        appendSizes(to: &bytes)
        bytes.appendText("backup-lsn-start", lsnStart)
        bytes.appendText("backup-lsn-stop", lsnStop)
        bytes.appendText("backup-prior", prior)
        appendReferences(to: &bytes)
        bytes.appendKey("backup-timestamp-start")
        bytes.appendDecimal(timestampStart)
        bytes.appendKey("backup-timestamp-stop")
        bytes.appendDecimal(timestampStop)
        bytes.appendKey("backup-type")
        bytes.appendJSON(type.rawValue)
        bytes.appendKey("db-id")
        bytes.appendDecimal(databaseID)
        appendOptions(to: &bytes)
        bytes.append("}")
    }

    private func appendSizes(to bytes: inout [UInt8]) {
        bytes.appendKey("backup-info-repo-size")
        bytes.appendDecimal(repoSize)
        bytes.appendKey("backup-info-repo-size-delta")
        bytes.appendDecimal(repoSizeDelta)
        if let repoSizeMap {
            bytes.appendKey("backup-info-repo-size-map")
            bytes.appendDecimal(repoSizeMap)
            bytes.appendKey("backup-info-repo-size-map-delta")
            bytes.appendDecimal(repoSizeMapDelta ?? 0)
        }
        bytes.appendKey("backup-info-size")
        bytes.appendDecimal(size)
        bytes.appendKey("backup-info-size-delta")
        bytes.appendDecimal(sizeDelta)
    }

    private func appendReferences(to bytes: inout [UInt8]) {
        guard !references.isEmpty else { return }
        bytes.appendKey("backup-reference")
        bytes.append("[")
        for (index, reference) in references.enumerated() {
            if index > 0 { bytes.append(",") }
            bytes.appendJSON(reference)
        }
        bytes.append("]")
    }

    private func appendOptions(to bytes: inout [UInt8]) {
        bytes.appendKey("option-archive-check")
        bytes.appendJSON(optionArchiveCheck)
        bytes.appendKey("option-archive-copy")
        bytes.appendJSON(optionArchiveCopy)
        bytes.appendKey("option-backup-standby")
        bytes.appendJSON(optionBackupStandby)
        bytes.appendKey("option-checksum-page")
        bytes.appendJSON(optionChecksumPage)
        bytes.appendKey("option-compress")
        bytes.appendJSON(optionCompress)
        bytes.appendKey("option-hardlink")
        bytes.appendJSON(optionHardlink)
        bytes.appendKey("option-online")
        bytes.appendJSON(optionOnline)
    }
}

extension [UInt8] {
    /// Key and value; nothing for nil.
    fileprivate mutating func appendText(_ key: StaticString, _ text: String?) {
        guard let text else { return }
        appendKey(key)
        appendJSON(text)
    }

    fileprivate mutating func appendNullable(_ text: String?) {
        guard let text else { return append("null") }
        appendJSON(text)
    }
}
