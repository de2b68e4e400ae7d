package import BackupModel
package import PostgresFormats

/// Where things lie in a repository, relative to its root (section B.1 of the reference).
package enum RepositoryPaths {
    package static func archive(stanza: String) -> String { "archive/\(stanza)" }
    package static func backup(stanza: String) -> String { "backup/\(stanza)" }
    package static func archiveInfo(stanza: String) -> String { "archive/\(stanza)/archive.info" }
    package static func backupInfo(stanza: String) -> String { "backup/\(stanza)/backup.info" }
    /// The second copy of an info file or manifest.
    package static func copy(of path: String) -> String { path + ".copy" }
    package static func backupSet(stanza: String, label: String) -> String { "backup/\(stanza)/\(label)" }
    package static func manifest(stanza: String, label: String) -> String {
        "backup/\(stanza)/\(label)/backup.manifest"
    }
    package static func latest(stanza: String) -> String { "backup/\(stanza)/latest" }
    package static func manifestHistory(stanza: String) -> String { "backup/\(stanza)/backup.history" }
    /// `backup/S/backup.history/2026/<label>.manifest.gz`, by the year of the full backup.
    package static func manifestHistory(stanza: String, label: String) -> String {
        "\(manifestHistory(stanza: stanza))/\(label.prefix(4))/\(label).manifest.gz"
    }
    /// `15-1`
    package static func archiveID(version: PostgresVersion, historyID: Int) -> String { "\(version)-\(historyID)" }
    /// Version and history id of `15-1`; nil for what is no archive id.
    package static func parseArchiveID(_ text: some StringProtocol) -> (version: PostgresVersion, historyID: Int)? {
        guard let hyphen = text.lastIndex(of: "-"), let version = PostgresVersion(text[..<hyphen]) else { return nil }
        let digits = text[text.index(after: hyphen)...]
        guard digits.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let historyID = Int(digits), historyID > 0
        else { return nil }
        return (version, historyID)
    }
    /// Where a file of the archive lies: names that begin with 24 hex digits under their first 16.
    package static func archiveFile(stanza: String, archiveID: String, name: String) -> String {
        let start = name.utf8.prefix(24)
        let isSegment = start.count == 24 && start.allSatisfy { HexDigit.isUpper($0) }
        return isSegment
            ? "archive/\(stanza)/\(archiveID)/\(name.prefix(16))/\(name)" : "archive/\(stanza)/\(archiveID)/\(name)"
    }
    /// A file of a backup that is stored by itself: `backup/S/L/pg_data/base/1/2.gz`, `….pgbi` for block incremental.
    package static func backupFile(
        stanza: String, label: String, name: String, compress: CompressType, blockIncremental: Bool
    ) -> String {
        "backup/\(stanza)/\(label)/\(name)\(blockIncremental ? ".pgbi" : compress.fileExtension)"
    }
    package static func bundle(stanza: String, label: String, id: UInt64) -> String {
        "backup/\(stanza)/\(label)/bundle/\(id)"
    }
    /// What we keep beside the format.
    package static func lock(stanza: String) -> String { "permafrost/\(stanza)/lock" }
    package static func lockFlags(stanza: String) -> String { "permafrost/\(stanza)/locks" }
    package static func probe(stanza: String, name: String) -> String { "permafrost/\(stanza)/probe-\(name)" }
    /// Info files as they were before a client that may only add replaced them.
    package static func replaced(stanza: String) -> String { "permafrost/\(stanza)/replaced" }
    package static func verifyState(stanza: String) -> String { "permafrost/\(stanza)/verify" }
}

/// The object name of a WAL segment: `<segment>[.partial]-<sha1>[.ext]` (section B.11 of the reference).
package struct ArchivedSegmentName: Hashable, Sendable {
    package var segment: WALSegment
    package var isPartial: Bool
    package var checksum: String
    package var compress: CompressType

    package init(segment: WALSegment, isPartial: Bool, checksum: String, compress: CompressType) {
        self.segment = segment
        self.isPartial = isPartial
        self.checksum = checksum
        self.compress = compress
    }

    /// nil when `name` is no such object, nor for `.xz`, an extension that pgBackRest looks for and nobody writes.
    package init?(_ name: some StringProtocol) {
        var rest = name[...]
        guard let segment = WALSegment(rest.prefix(24)), rest.utf8.prefix(24).allSatisfy({ HexDigit.isUpper($0) })
        else { return nil }
        rest = rest.dropFirst(24)
        let isPartial = rest.hasPrefix(Self.partialSuffix)
        if isPartial { rest = rest.dropFirst(Self.partialSuffix.count) }
        guard rest.first == "-" else { return nil }
        let checksum = rest.dropFirst().prefix(40)
        guard checksum.utf8.count == 40, checksum.utf8.allSatisfy({ HexDigit.isLower($0) }) else { return nil }
        let fileExtension = rest.dropFirst(41)
        guard let compress = CompressType.allCases.first(where: { $0.fileExtension == fileExtension }) else {
            return nil
        }
        self.init(segment: segment, isPartial: isPartial, checksum: String(checksum), compress: compress)
    }

    package var name: String {
        "\(segment)\(isPartial ? Self.partialSuffix : "")-\(checksum)\(compress.fileExtension)"
    }

    private static let partialSuffix = ".partial"
}

private enum HexDigit {
    static func isUpper(_ byte: UInt8) -> Bool {
        isDecimal(byte) || byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "F")
    }
    static func isLower(_ byte: UInt8) -> Bool {
        isDecimal(byte) || byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "f")
    }
    private static func isDecimal(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
