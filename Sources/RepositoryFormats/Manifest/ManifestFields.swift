import BackupModel
import PostgresFormats

/// What has been read of `[backup]`.
struct ManifestBackupFields {
    private(set) var label: String?
    private(set) var type: BackupType?
    /// nil in manifests before 2.42.
    private(set) var references: [String]?
    private(set) var timestampStart: Int64?
    private(set) var timestampCopyStart: Int64?
    private var timestampStop: Int64 = 0
    private var prior: String?
    private var archiveStart: String?
    private var archiveStop: String?
    private var lsnStart: String?
    private var lsnStop: String?
    private var isBlockIncremental = false
    private var isBundle = false
    private var isBundleRaw = false

    mutating func read(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch String(decoding: key, as: UTF8.self) {
        case "backup-archive-start": archiveStart = try value.nullableString()
        case "backup-archive-stop": archiveStop = try value.nullableString()
        case "backup-block-incr": isBlockIncremental = try value.bool()
        case "backup-bundle": isBundle = try value.bool()
        case "backup-bundle-raw": isBundleRaw = try value.bool()
        case "backup-label": label = try value.label()
        case "backup-lsn-start": lsnStart = try value.nullableString()
        case "backup-lsn-stop": lsnStop = try value.nullableString()
        case "backup-prior": prior = try value.null() ? nil : try value.label()
        case "backup-reference":
            let text = try value.string()
            let labels = text.split(separator: ",").map(String.init)
            for label in labels where BackupLabel(label) == nil {
                throw value.problem("'\(label)' is no label of a backup")
            }
            references = labels
        case "backup-timestamp-copy-start": timestampCopyStart = try value.timestamp()
        case "backup-timestamp-start": timestampStart = try value.timestamp()
        case "backup-timestamp-stop": timestampStop = try value.timestamp()
        case "backup-type": type = try value.backupType()
        default: try value.skip()
        }
    }

    /// Sets what the initialiser of a manifest does not take.
    func fill(_ manifest: inout Manifest) {
        manifest.prior = prior
        manifest.timestampStop = timestampStop
        manifest.archiveStart = archiveStart
        manifest.archiveStop = archiveStop
        manifest.lsnStart = lsnStart
        manifest.lsnStop = lsnStop
        manifest.isBlockIncremental = isBlockIncremental
        manifest.isBundle = isBundle
        manifest.isBundleRaw = isBundleRaw
    }
}

/// What has been read of `[backup:db]`.
struct ManifestDatabaseFields {
    private var id: Int?
    private var systemIdentifier: UInt64?
    private var version: PostgresVersion?
    private var catalogVersion: UInt32?
    /// pgBackRest writes but never reads it.
    private var controlVersion: UInt32 = 0

    mutating func read(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch key {
        case _ where key == "db-catalog-version": catalogVersion = try value.unsigned(UInt32.self)
        case _ where key == "db-control-version": controlVersion = try value.unsigned(UInt32.self)
        case _ where key == "db-id": id = try DatabaseSectionValue.historyID(&value)
        case _ where key == "db-system-id": systemIdentifier = try value.unsigned()
        case _ where key == "db-version": version = try DatabaseSectionValue.version(&value)
        default: try value.skip()
        }
    }

    func database() throws(BackupError) -> BackupInfo.Database {
        BackupInfo.Database(
            id: try required(id, "db-id"), systemIdentifier: try required(systemIdentifier, "db-system-id"),
            version: try required(version, "db-version"),
            catalogVersion: try required(catalogVersion, "db-catalog-version"), controlVersion: controlVersion)
    }
}

/// What has been read of `[backup:option]`.
struct ManifestOptionFields {
    private var values = ManifestOptions(compressType: .none)
    private var compress: Bool?
    private var compressType: CompressType?

    init() {
        // pgBackRest takes a missing option for off.
        values.archiveCheck = false
        values.online = false
    }

    mutating func read(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch String(decoding: key, as: UTF8.self) {
        case "option-archive-check": values.archiveCheck = try value.bool()
        case "option-archive-copy": values.archiveCopy = try value.bool()
        case "option-backup-standby": values.backupStandby = try value.nullableBool()
        case "option-buffer-size": values.bufferSize = try value.unsigned()
        case "option-checksum-page": values.checksumPage = try value.nullableBool()
        case "option-compress": compress = try value.bool()
        case "option-compress-level": values.compressLevel = try value.level()
        case "option-compress-level-network": values.compressLevelNetwork = try value.level()
        case "option-compress-type":
            let text = try value.string()
            guard let type = CompressType(rawValue: text) else {
                throw value.problem("'\(text)' is no type of compression")
            }
            compressType = type
        case "option-delta": values.delta = try value.nullableBool()
        case "option-hardlink": values.hardlink = try value.bool()
        case "option-online": values.online = try value.bool()
        case "option-process-max": values.processMax = Int(try value.unsigned(UInt32.self))
        default: try value.skip()
        }
    }

    func options() throws(BackupError) -> ManifestOptions {
        var options = values
        // Versions without the type compressed with gz or not at all.
        if let compressType {
            options.compressType = compressType
        } else {
            options.compressType = try required(compress, "option-compress") ? .gz : .none
        }
        return options
    }
}

/// What has been read of a section of defaults.
struct ManifestDefaultFields {
    private(set) var user = ManifestFiles.OwnerName.unknown
    private(set) var group = ManifestFiles.OwnerName.unknown
    private(set) var mode: UInt16?

    mutating func read(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        switch key {
        case _ where key == "group": group = try value.owner()
        case _ where key == "mode": mode = try value.mode()
        case _ where key == "user": user = try value.owner()
        default: try value.skip()
        }
    }

    func text(_ name: ManifestFiles.OwnerName, _ normal: ManifestFiles.OwnerName) -> String? {
        name == .byDefault ? normal.text : name.text
    }
}

/// A link or path whose owner may be the default, which comes later in the file.
struct ManifestOwned<Entry> {
    private var entry: Entry
    private var owner = ManifestFiles.Owner()
    private var hasMode = false
}

extension ManifestOwned<ManifestLink> {
    init(link name: String, parsing value: inout JSONReader) throws(BackupError) {
        var destination: String?
        var owner = ManifestFiles.Owner()
        try value.beginObject()
        while let key = try value.nextKey() {
            switch key {
            case _ where key == "destination": destination = try value.string()
            case _ where key == "group": owner.group = try value.owner()
            case _ where key == "user": owner.user = try value.owner()
            default: try value.skip()
            }
        }
        entry = ManifestLink(
            name: name, destination: try required(destination, "destination"), user: nil, group: nil)
        self.owner = owner
    }

    func resolved(_ defaults: ManifestDefaultFields) -> ManifestLink {
        var link = entry
        link.user = defaults.text(owner.user, defaults.user)
        link.group = defaults.text(owner.group, defaults.group)
        return link
    }
}

extension ManifestOwned<ManifestPath> {
    init(path name: String, parsing value: inout JSONReader) throws(BackupError) {
        var mode: UInt16?
        var owner = ManifestFiles.Owner()
        try value.beginObject()
        while let key = try value.nextKey() {
            switch key {
            case _ where key == "group": owner.group = try value.owner()
            case _ where key == "mode": mode = try value.mode()
            case _ where key == "user": owner.user = try value.owner()
            default: try value.skip()
            }
        }
        entry = ManifestPath(name: name, mode: mode ?? 0, user: nil, group: nil)
        self.owner = owner
        hasMode = mode != nil
    }

    func resolved(_ defaults: ManifestDefaultFields) throws(BackupError) -> ManifestPath {
        var path = entry
        path.user = defaults.text(owner.user, defaults.user)
        path.group = defaults.text(owner.group, defaults.group)
        guard hasMode || defaults.mode != nil else {
            throw BackupError(.format, "path '\(path.name)' has no mode, nor is there a default")
        }
        if !hasMode, let mode = defaults.mode { path.mode = mode }
        return path
    }
}

extension ManifestTarget {
    init(name: String, parsing value: inout JSONReader) throws(BackupError) {
        var kind: Kind?
        var path: String?
        var file: String?
        var tablespaceID: UInt32?
        var tablespaceName: String?
        try value.beginObject()
        while let key = try value.nextKey() {
            switch key {
            case _ where key == "file": file = try value.string()
            case _ where key == "path": path = try value.string()
            case _ where key == "tablespace-id":
                guard let id = UInt32(try value.string()) else { throw value.problem("an oid expected") }
                tablespaceID = id
            case _ where key == "tablespace-name": tablespaceName = try value.string()
            case _ where key == "type":
                let text = try value.string()
                switch text {
                case "path": kind = .path
                case "link": kind = .link
                default: throw value.problem("'\(text)' is no type of target")
                }
            default: try value.skip()
            }
        }
        self.init(
            name: name, kind: try required(kind, "type"), path: try required(path, "path"), file: file,
            tablespaceID: tablespaceID,
            tablespaceName: tablespaceID == nil ? tablespaceName : try required(tablespaceName, "tablespace-name"))
    }
}

extension ManifestDatabase {
    init(name: String, parsing value: inout JSONReader) throws(BackupError) {
        var id: UInt32?
        var lastSystemID: UInt32?
        try value.beginObject()
        while let key = try value.nextKey() {
            switch key {
            case _ where key == "db-id": id = try value.unsigned(UInt32.self)
            case _ where key == "db-last-system-id": lastSystemID = try value.unsigned(UInt32.self)
            default: try value.skip()
            }
        }
        self.init(
            name: name, id: try required(id, "db-id"), lastSystemID: try required(lastSystemID, "db-last-system-id"))
    }
}
