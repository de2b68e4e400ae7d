import BackupModel
import Checksums

/// The sections of a manifest other than files; keys in the order of the format, which is that of bytes.
extension InfoFileWriter {
    mutating func backup(_ manifest: Manifest, in bytes: inout [UInt8]) {
        text("backup-archive-start", manifest.archiveStart, in: &bytes)
        text("backup-archive-stop", manifest.archiveStop, in: &bytes)
        if manifest.isBlockIncremental { value("backup-block-incr", true, in: &bytes) }
        if manifest.isBundle { value("backup-bundle", true, in: &bytes) }
        if manifest.isBundleRaw { value("backup-bundle-raw", true, in: &bytes) }
        value("backup-label", manifest.label, in: &bytes)
        text("backup-lsn-start", manifest.lsnStart, in: &bytes)
        text("backup-lsn-stop", manifest.lsnStop, in: &bytes)
        text("backup-prior", manifest.prior, in: &bytes)
        value("backup-reference", manifest.references.joined(separator: ","), in: &bytes)
        value("backup-timestamp-copy-start", in: &bytes) { $0.appendDecimal(manifest.timestampCopyStart) }
        value("backup-timestamp-start", in: &bytes) { $0.appendDecimal(manifest.timestampStart) }
        value("backup-timestamp-stop", in: &bytes) { $0.appendDecimal(manifest.timestampStop) }
        value("backup-type", manifest.type.rawValue, in: &bytes)
    }

    mutating func options(_ options: ManifestOptions, in bytes: inout [UInt8]) {
        value("option-archive-check", options.archiveCheck, in: &bytes)
        value("option-archive-copy", options.archiveCopy, in: &bytes)
        flag("option-backup-standby", options.backupStandby, in: &bytes)
        number("option-buffer-size", options.bufferSize, in: &bytes)
        flag("option-checksum-page", options.checksumPage, in: &bytes)
        value("option-compress", options.compressType != .none, in: &bytes)
        number("option-compress-level", options.compressLevel.map(Self.level), in: &bytes)
        number("option-compress-level-network", options.compressLevelNetwork.map(Self.level), in: &bytes)
        // Behind option-compress, from which old versions conclude gz.
        value("option-compress-type", options.compressType.rawValue, in: &bytes)
        flag("option-delta", options.delta, in: &bytes)
        value("option-hardlink", options.hardlink, in: &bytes)
        value("option-online", options.online, in: &bytes)
        number("option-process-max", options.processMax.map { UInt64(clamping: $0) }, in: &bytes)
    }

    mutating func target(_ target: ManifestTarget, in bytes: inout [UInt8]) {
        value(target.name, in: &bytes) {
            $0.append("{")
            if let file = target.file {
                $0.appendKey("file")
                $0.appendJSON(file)
            }
            $0.appendKey("path")
            $0.appendJSON(target.path)
            if let id = target.tablespaceID {
                $0.appendKey("tablespace-id")
                $0.append("\"")
                $0.appendDecimal(id)
                $0.append("\"")
                $0.appendKey("tablespace-name")
                $0.appendJSON(target.tablespaceName ?? "")
            }
            $0.appendKey("type")
            $0.append(target.kind == .path ? "\"path\"}" : "\"link\"}")
        }
    }

    mutating func database(_ database: ManifestDatabase, in bytes: inout [UInt8]) {
        value(database.name, in: &bytes) {
            $0.append("{")
            $0.appendNumber("db-id", UInt64(database.id))
            $0.appendNumber("db-last-system-id", UInt64(database.lastSystemID))
            $0.append("}")
        }
    }

    mutating func link(_ link: ManifestLink, _ defaults: ManifestDefaults, in bytes: inout [UInt8]) {
        value(link.name, in: &bytes) {
            $0.append("{")
            $0.appendKey("destination")
            $0.appendJSON(link.destination)
            $0.appendOwner("group", link.group, unless: defaults.group)
            $0.appendOwner("user", link.user, unless: defaults.user)
            $0.append("}")
        }
    }

    mutating func path(_ path: ManifestPath, _ defaults: ManifestDefaults, in bytes: inout [UInt8]) {
        value(path.name, in: &bytes) {
            $0.append("{")
            $0.appendOwner("group", path.group, unless: defaults.group)
            if path.mode != defaults.pathMode {
                $0.appendKey("mode")
                $0.appendMode(path.mode)
            }
            $0.appendOwner("user", path.user, unless: defaults.user)
            $0.append("}")
        }
    }

    mutating func defaults(_ defaults: ManifestDefaults, mode: UInt16?, in bytes: inout [UInt8]) {
        value("group", in: &bytes) { $0.appendOwner(defaults.group) }
        if let mode { value("mode", in: &bytes) { $0.appendMode(mode) } }
        value("user", in: &bytes) { $0.appendOwner(defaults.user) }
    }

    /// pgBackRest keeps levels in 32 bits without sign.
    private static func level(_ level: Int) -> UInt64 { UInt64(UInt32(truncatingIfNeeded: level)) }

    private mutating func text(_ key: String, _ text: String?, in bytes: inout [UInt8]) {
        if let text { value(key, text, in: &bytes) }
    }

    private mutating func flag(_ key: String, _ flag: Bool?, in bytes: inout [UInt8]) {
        if let flag { value(key, flag, in: &bytes) }
    }

    private mutating func number(_ key: String, _ number: UInt64?, in bytes: inout [UInt8]) {
        if let number { value(key, number, in: &bytes) }
    }
}

/// Parts of a file's row.
extension [UInt8] {
    mutating func appendNumber(_ key: StaticString, _ number: UInt64) {
        appendKey(key)
        appendDecimal(number)
    }

    mutating func appendDigest(_ key: StaticString, _ digest: SHA1Digest) {
        appendKey(key)
        append("\"")
        digest.appendHex(to: &self)
        append("\"")
    }

    mutating func appendEncoded(_ key: StaticString, _ value: [UInt8]) {
        appendKey(key)
        append(contentsOf: value)
    }

    mutating func appendOwner(_ key: StaticString, _ name: String?, unless normal: String?) {
        guard name != normal else { return }
        appendKey(key)
        appendOwner(name)
    }

    mutating func appendBlockIncremental(_ rarity: ManifestFiles.Rarity) {
        guard rarity.blockSize != 0 else { return }
        appendNumber("bi", UInt64(rarity.blockSize / BlockIncremental.sizeUnit))
        if rarity.blockChecksumSize != BlockIncremental.defaultChecksumSize {
            appendNumber("bic", UInt64(rarity.blockChecksumSize))
        }
        if rarity.blockMapSize != 0 { appendNumber("bim", rarity.blockMapSize) }
    }

    mutating func appendPageCheck(_ check: PageCheckResult) {
        switch check {
        case .notChecked: return
        case .valid:
            appendKey("checksum-page")
            appendJSON(true)
        case .invalid(let pages):
            appendKey("checksum-page")
            appendJSON(false)
            guard !pages.isEmpty else { return }
            appendKey("checksum-page-error")
            append("[")
            for (index, range) in pages.enumerated() {
                if index > 0 { append(",") }
                if range.count == 1 {
                    appendDecimal(range.lowerBound)
                } else {
                    append("[")
                    appendDecimal(range.lowerBound)
                    append(",")
                    appendDecimal(range.upperBound)
                    append("]")
                }
            }
            append("]")
        }
    }
}
