package import BackupModel

/// Reads a manifest in pieces of any size. After an error it is of no more use.
package struct ManifestDecoder: ~Copyable {
    private var reader = InfoFileReader()
    private var content = ManifestContent()

    package init() {}

    /// Throws `.format` for what is no manifest, `.crypto` for an encrypted one.
    package mutating func feed(_ bytes: RawSpan) throws(BackupError) {
        try reader.feed(bytes, into: &content)
    }

    /// Throws `.checksum` when the closing checksum is wrong, `.format` when something required is missing.
    package consuming func finish() throws(BackupError) -> Manifest {
        let facts = try reader.finish(into: &content)
        return try content.manifest(facts)
    }
}

/// What has been read of a manifest. Sections may come in any order; unknown ones and unknown keys are passed over.
private struct ManifestContent: InfoFileSink {
    private static let sections: [String: ManifestSection] = Dictionary(
        ManifestSection.allCases.compactMap { section in section.name.map { ($0, section) } },
        uniquingKeysWith: { first, _ in first })

    private var section: ManifestSection?
    private var backup = ManifestBackupFields()
    private var options = ManifestOptionFields()
    private var database = ManifestDatabaseFields()
    private var rows = ManifestFileReader()
    private var annotations: [String: String] = [:]
    private var targets: [ManifestTarget] = []
    private var databases: [ManifestDatabase] = []
    private var links: [ManifestOwned<ManifestLink>] = []
    private var paths: [ManifestOwned<ManifestPath>] = []
    private var fileDefaults = ManifestDefaultFields()
    private var linkDefaults = ManifestDefaultFields()
    private var pathDefaults = ManifestDefaultFields()

    mutating func beginSection(_ name: String) { section = Self.sections[name] }

    mutating func value(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch section {
        case .files: try rows.read(key, &value)
        case .backup: try backup.read(key, &value)
        case .backupDatabase: try database.read(key, &value)
        case .option: try options.read(key, &value)
        case .target: targets.append(try ManifestTarget(name: ManifestName.checked(key), parsing: &value))
        case .databases: databases.append(try ManifestDatabase(name: ManifestName.text(key), parsing: &value))
        case .metadata where key == "annotation": annotations = try value.annotations()
        case .links: links.append(try ManifestOwned(link: ManifestName.checked(key), parsing: &value))
        case .paths: paths.append(try ManifestOwned(path: ManifestName.checked(key), parsing: &value))
        case .fileDefaults: try fileDefaults.read(key, &value)
        case .linkDefaults: try linkDefaults.read(key, &value)
        case .pathDefaults: try pathDefaults.read(key, &value)
        default: try value.skip()
        }
    }

    /// Not to be called twice.
    mutating func manifest(_ facts: InfoFileFacts) throws(BackupError) -> Manifest {
        let label = try required(backup.label, "backup-label")
        // Before 2.42 the list was not written: it follows from the files.
        let references = backup.references ?? rows.references.filter { $0 != label } + [label]
        var manifest = Manifest(
            label: label, type: try required(backup.type, "backup-type"), references: references,
            timestampStart: try required(backup.timestampStart, "backup-timestamp-start"),
            timestampCopyStart: try required(backup.timestampCopyStart, "backup-timestamp-copy-start"),
            database: try database.database(), options: try options.options())
        manifest.writerVersion = facts.writerVersion
        manifest.cipherPass = facts.cipherPass
        backup.fill(&manifest)
        manifest.annotations = annotations
        manifest.targets = targets
        manifest.databases = databases
        manifest.links = links.map { $0.resolved(linkDefaults) }
        manifest.paths = try paths.map { path throws(BackupError) in try path.resolved(pathDefaults) }
        manifest.files = try rows.finish(references: references, label: label, defaults: fileDefaults)
        manifest.sort()
        if let index = manifest.files.firstUnordered {
            throw BackupError(.format, "file '\(manifest.files.name(index))' is listed twice")
        }
        return manifest
    }
}
