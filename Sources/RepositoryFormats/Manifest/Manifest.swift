package import BackupModel

/// `backup.manifest` (section B.6 of the reference).
package struct Manifest: Sendable {
    package var writerVersion = ProgramVersion.inProgressText
    package var label: String
    package var type: BackupType
    package var prior: String?
    /// `backup-reference`: an index into it is the reference number of ``ManifestFile/reference`` and of block maps.
    /// Never reordered or pruned; the last is the backup's own label.
    package var references: [String]
    /// Seconds since 1970.
    package var timestampStart: Int64
    package var timestampStop: Int64 = 0
    package var timestampCopyStart: Int64
    package var archiveStart: String?
    package var archiveStop: String?
    package var lsnStart: String?
    package var lsnStop: String?
    package var isBlockIncremental = false
    package var isBundle = false
    package var isBundleRaw = false
    package var database: BackupInfo.Database
    package var options: ManifestOptions
    package var targets: [ManifestTarget] = []
    package var cipherPass: Secret<String>?
    package var databases: [ManifestDatabase] = []
    package var annotations: [String: String] = [:]
    package var files = ManifestFiles()
    package var links: [ManifestLink] = []
    package var paths: [ManifestPath] = []

    package init(
        label: String, type: BackupType, references: [String], timestampStart: Int64, timestampCopyStart: Int64,
        database: BackupInfo.Database, options: ManifestOptions
    ) {
        self.label = label
        self.type = type
        self.references = references
        self.timestampStart = timestampStart
        self.timestampCopyStart = timestampCopyStart
        self.database = database
        self.options = options
    }
}

package struct ManifestOptions: Sendable, Equatable {
    package var archiveCheck = true
    package var archiveCopy = false
    package var hardlink = false
    package var online = true
    package var backupStandby: Bool?
    package var checksumPage: Bool?
    package var delta: Bool?
    package var bufferSize: UInt64?
    package var compressLevel: Int?
    package var compressLevelNetwork: Int?
    package var processMax: Int?
    package var compressType: CompressType
    package init(compressType: CompressType) { self.compressType = compressType }
}

package struct ManifestTarget: Sendable, Equatable {
    package enum Kind: Sendable, Equatable { case path, link }
    /// `pg_data`, `pg_data/<link>` or `pg_tblspc/<oid>`.
    package var name: String
    package var kind: Kind
    package var path: String
    /// For a link to a file: its name under `path`.
    package var file: String?
    package var tablespaceID: UInt32?
    package var tablespaceName: String?
    package init(
        name: String, kind: Kind, path: String, file: String? = nil, tablespaceID: UInt32? = nil,
        tablespaceName: String? = nil
    ) {
        self.name = name
        self.kind = kind
        self.path = path
        self.file = file
        self.tablespaceID = tablespaceID
        self.tablespaceName = tablespaceName
    }
}

package struct ManifestDatabase: Sendable, Equatable {
    package var name: String
    package var id: UInt32
    package var lastSystemID: UInt32
    package init(name: String, id: UInt32, lastSystemID: UInt32) {
        self.name = name
        self.id = id
        self.lastSystemID = lastSystemID
    }
}

package struct ManifestLink: Sendable, Equatable {
    package var name: String
    package var destination: String
    /// nil: the owner had no name.
    package var user: String?
    package var group: String?
    package init(name: String, destination: String, user: String?, group: String?) {
        self.name = name
        self.destination = destination
        self.user = user
        self.group = group
    }
}

package struct ManifestPath: Sendable, Equatable {
    package var name: String
    /// Permission bits.
    package var mode: UInt16
    package var user: String?
    package var group: String?
    package init(name: String, mode: UInt16, user: String?, group: String?) {
        self.name = name
        self.mode = mode
        self.user = user
        self.group = group
    }
}
