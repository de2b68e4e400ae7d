import BackupModel

/// Writes a manifest in pieces, so that it never exists as one string.
///
/// Names with a line break would tear the file apart: ``Manifest/validateNames()`` refuses them beforehand.
package struct ManifestEncoder: ~Copyable {
    /// Bytes after which a piece ends.
    private static let pieceSize = 1 << 20

    private var manifest: Manifest
    private var writer = InfoFileWriter()
    private let defaults: ManifestDefaults
    private let owners: [EncodedOwner]
    /// The text of each reference, with quotation marks.
    private let references: [[UInt8]]
    private var sections = ManifestSection.allCases[...]
    /// The next row of the first of `sections`.
    private var row = 0

    /// Sorts a copy of what is not sorted yet.
    package init(_ manifest: Manifest) {
        self.manifest = manifest
        self.manifest.sort()
        let defaults = ManifestDefaults(manifest)
        self.defaults = defaults
        owners = manifest.files.owners.map { EncodedOwner($0, defaults) }
        references = manifest.references.map {
            var text: [UInt8] = []
            text.appendJSON($0)
            return text
        }
    }

    /// Appends the next piece (about 1 MiB at most) to `bytes`; false when there was none left. The last piece ends with
    /// the checksum.
    package mutating func next(into bytes: inout [UInt8]) -> Bool {
        let limit = bytes.count + Self.pieceSize
        let hasPiece = !sections.isEmpty
        while let section = sections.first {
            if row == 0, let name = section.name { writer.beginSection(name) }
            let rows = rowCount(section)
            while row < rows {
                write(section, into: &bytes)
                row += 1
                if bytes.count >= limit { return true }
            }
            sections.removeFirst()
            row = 0
        }
        return hasPiece
    }

    private func rowCount(_ section: ManifestSection) -> Int {
        switch section {
        case .target: manifest.targets.count
        case .databases: manifest.databases.count
        case .files: manifest.files.count
        case .links: manifest.links.count
        case .linkDefaults: manifest.links.isEmpty ? 0 : 1
        case .paths: manifest.paths.count
        default: 1
        }
    }

    private mutating func write(_ section: ManifestSection, into bytes: inout [UInt8]) {
        switch section {
        case .header: writer.header(writerVersion: manifest.writerVersion, in: &bytes)
        case .backup: writer.backup(manifest, in: &bytes)
        case .backupDatabase: writer.database(manifest.database, in: &bytes)
        case .option: writer.options(manifest.options, in: &bytes)
        case .target: writer.target(manifest.targets[row], in: &bytes)
        case .cipher: writer.cipher(manifest.cipherPass, in: &bytes)
        case .databases: writer.database(manifest.databases[row], in: &bytes)
        case .metadata:
            guard !manifest.annotations.isEmpty else { return }
            let annotations = manifest.annotations
            writer.value("annotation", in: &bytes) { $0.appendJSON(annotations) }
        case .files: Self.writeFile(row, manifest.files, owners, references, defaults, &writer, into: &bytes)
        case .fileDefaults: writer.defaults(defaults, mode: defaults.fileMode, in: &bytes)
        case .links: writer.link(manifest.links[row], defaults, in: &bytes)
        case .linkDefaults: writer.defaults(defaults, mode: nil, in: &bytes)
        case .paths: writer.path(manifest.paths[row], defaults, in: &bytes)
        case .pathDefaults: writer.defaults(defaults, mode: defaults.pathMode, in: &bytes)
        case .checksum: writer.checksum(in: &bytes)
        }
    }

    private static func writeFile(
        _ row: Int, _ files: borrowing ManifestFiles, _ owners: [EncodedOwner], _ references: [[UInt8]],
        _ defaults: ManifestDefaults, _ writer: inout InfoFileWriter, into bytes: inout [UInt8]
    ) {
        files.withNameBytes(row) { writer.beginValue($0, in: &bytes) }
        let owner = owners[files.ownerIndex(row)]
        let size = files.size(row)
        let rarity = files.rarity(row)
        bytes.append("{")
        if let rarity { bytes.appendBlockIncremental(rarity) }
        if files.bundleID(row) != 0 {
            bytes.appendNumber("bni", files.bundleID(row))
            if files.bundleOffset(row) != 0 { bytes.appendNumber("bno", files.bundleOffset(row)) }
        }
        if size != 0, let checksum = files.checksum(row) { bytes.appendDigest("checksum", checksum) }
        bytes.appendPageCheck(files.pageCheck(row))
        if let group = owner.group { bytes.appendEncoded("group", group) }
        if files.mode(row) != defaults.fileMode {
            bytes.appendKey("mode")
            bytes.appendMode(files.mode(row))
        }
        if let checksum = files.repoChecksum(row) { bytes.appendDigest("rck", checksum) }
        if let reference = files.reference(row) { bytes.appendEncoded("reference", references[reference]) }
        if files.repoSize(row) != size { bytes.appendNumber("repo-size", files.repoSize(row)) }
        bytes.appendNumber("size", size)
        if let rarity, rarity.sizeOriginal != size { bytes.appendNumber("szo", rarity.sizeOriginal) }
        bytes.appendKey("timestamp")
        bytes.appendDecimal(files.timestamp(row))
        if let user = owner.user { bytes.appendEncoded("user", user) }
        bytes.append("}")
        writer.endValue(in: &bytes)
    }
}

/// Sections in the order of a manifest, which is that of their names but for the checksum.
enum ManifestSection: CaseIterable {
    case header, backup, backupDatabase, option, target, cipher, databases, metadata, files, fileDefaults
    case links, linkDefaults, paths, pathDefaults, checksum

    /// nil for those whose writer knows it.
    var name: String? {
        switch self {
        case .header, .cipher, .checksum: nil
        case .backup: "backup"
        case .backupDatabase: "backup:db"
        case .option: "backup:option"
        case .target: "backup:target"
        case .databases: "db"
        case .metadata: "metadata"
        case .files: "target:file"
        case .fileDefaults: "target:file:default"
        case .links: "target:link"
        case .linkDefaults: "target:link:default"
        case .paths: "target:path"
        case .pathDefaults: "target:path:default"
        }
    }
}

/// What entries leave out: owner and modes of the data directory.
struct ManifestDefaults {
    private static let fileModeMask: UInt16 = 0o640

    var user: String?
    var group: String?
    var pathMode: UInt16
    var fileMode: UInt16 { pathMode & Self.fileModeMask }

    init(_ manifest: Manifest) {
        let base = manifest.paths.first { $0.name == Manifest.dataDirectory }
        user = base?.user
        group = base?.group
        pathMode = base?.mode ?? 0o700
    }
}

/// The values of an owner as a file's row has them; nil for what is default.
private struct EncodedOwner {
    var user: [UInt8]?
    var group: [UInt8]?

    init(_ owner: ManifestFiles.Owner, _ defaults: ManifestDefaults) {
        if owner.user.text != defaults.user { user = Self.encoded(owner.user.text) }
        if owner.group.text != defaults.group { group = Self.encoded(owner.group.text) }
    }

    private static func encoded(_ name: String?) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendOwner(name)
        return bytes
    }
}
