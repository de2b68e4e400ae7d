package import BackupModel
package import PostgresFormats

/// `backup.info` (section B.4 of the reference).
package struct BackupInfo: Sendable, Equatable {
    package struct Database: Sendable, Equatable {
        package var id: Int
        package var systemIdentifier: UInt64
        package var version: PostgresVersion
        package var catalogVersion: UInt32
        package var controlVersion: UInt32
        package init(
            id: Int, systemIdentifier: UInt64, version: PostgresVersion, catalogVersion: UInt32, controlVersion: UInt32
        ) {
            self.id = id
            self.systemIdentifier = systemIdentifier
            self.version = version
            self.catalogVersion = catalogVersion
            self.controlVersion = controlVersion
        }
    }

    package var currentID: Int
    /// By id ascending; holds `currentID`.
    package var history: [Database]
    /// By label ascending.
    package var backups: [BackupInfoEntry]
    package var cipherPass: Secret<String>?
    package var writerVersion: String

    package init(
        currentID: Int, history: [Database], backups: [BackupInfoEntry] = [], cipherPass: Secret<String>? = nil,
        writerVersion: String = ProgramVersion.repositoryText
    ) {
        precondition(history.contains { $0.id == currentID }, "the history must hold the current id")
        self.currentID = currentID
        self.history = history
        self.backups = backups
        self.cipherPass = cipherPass
        self.writerVersion = writerVersion
    }

    package var current: Database { history.first { $0.id == currentID } ?? history[0] }

    /// Throws `.checksum` when the closing checksum is wrong, `.format` for another format or missing keys, and
    /// `.crypto` for an encrypted file.
    package init(parsing bytes: RawSpan) throws(BackupError) {
        var content = BackupInfoContent()
        var reader = InfoFileReader()
        try reader.feed(bytes, into: &content)
        let facts = try reader.finish(into: &content)
        self.init(
            currentID: try content.database.checkedCurrentID(),
            history: content.database.history.sorted { $0.id < $1.id },
            backups: content.backups.sorted { BytewiseOrder.precedes($0.label, $1.label) },
            cipherPass: facts.cipherPass, writerVersion: facts.writerVersion)
    }

    /// The whole file, checksum included, written by `writerVersion`.
    package func serialized() -> [UInt8] {
        var bytes: [UInt8] = []
        var writer = InfoFileWriter()
        writer.header(writerVersion: writerVersion, in: &bytes)
        writer.beginSection(BackupInfoContent.backupSection)
        for backup in backups.sorted(by: { BytewiseOrder.precedes($0.label, $1.label) }) {
            writer.value(backup.label, in: &bytes) { backup.append(to: &$0) }
        }
        writer.cipher(cipherPass, in: &bytes)
        writer.beginSection(DatabaseSection<Database>.name)
        writer.database(current, in: &bytes)
        writer.beginSection(DatabaseSection<Database>.historyName)
        for entry in history.sorted(by: { $0.id < $1.id }) {
            writer.value(String(entry.id), in: &bytes) {
                $0.append("{")
                $0.appendKey("db-catalog-version")
                $0.appendDecimal(entry.catalogVersion)
                $0.appendKey("db-control-version")
                $0.appendDecimal(entry.controlVersion)
                $0.appendKey("db-system-id")
                $0.appendDecimal(entry.systemIdentifier)
                $0.appendKey("db-version")
                $0.appendJSON(entry.version.description)
                $0.append("}")
            }
        }
        writer.checksum(in: &bytes)
        return bytes
    }

    /// `label` and everything that rests on it, labels ascending.
    package func withDependents(_ label: String) -> [String] {
        // What a backup rests on is older than itself, so that one ascending pass finds the whole closure.
        var found: Set = [label]
        for backup in backups.sorted(by: { BytewiseOrder.precedes($0.label, $1.label) }) {
            if backup.prior.map(found.contains) ?? false || backup.references.contains(where: found.contains) {
                found.insert(backup.label)
            }
        }
        return found.sorted(by: BytewiseOrder.precedes)
    }
}

extension InfoFileWriter {
    /// The values that `[db]` of backup.info and `[backup:db]` of a manifest share.
    mutating func database(_ database: BackupInfo.Database, in bytes: inout [UInt8]) {
        value("db-catalog-version", UInt64(database.catalogVersion), in: &bytes)
        value("db-control-version", UInt64(database.controlVersion), in: &bytes)
        value("db-id", in: &bytes) { $0.appendDecimal(database.id) }
        value("db-system-id", database.systemIdentifier, in: &bytes)
        value("db-version", database.version.description, in: &bytes)
    }
}

private struct BackupInfoContent: InfoFileSink {
    static let backupSection = "backup:current"

    var database = DatabaseSection<BackupInfo.Database>()
    var backups: [BackupInfoEntry] = []
    private var isBackups = false
    private var labels: Set<String> = []

    mutating func beginSection(_ name: String) {
        isBackups = name == Self.backupSection
        database.beginSection(name)
    }

    mutating func value(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        if isBackups {
            let entry = try BackupInfoEntry(label: key.excerpt, parsing: &value)
            guard labels.insert(entry.label).inserted else { throw BackupError(.format, "the backup is listed twice") }
            return backups.append(entry)
        }
        guard try !database.currentValue(key, &value) else { return }
        guard let id = try database.historyID(key) else { return try value.skip() }
        database.history.append(try Self.database(id: id, &value))
    }

    private static func database(id: Int, _ value: inout JSONReader) throws(BackupError) -> BackupInfo.Database {
        var catalogVersion: UInt32?
        var controlVersion: UInt32?
        var systemIdentifier: UInt64?
        var version: PostgresVersion?
        try value.beginObject()
        while let key = try value.nextKey() {
            switch key {
            case _ where key == "db-catalog-version": catalogVersion = try value.unsigned(UInt32.self)
            case _ where key == "db-control-version": controlVersion = try value.unsigned(UInt32.self)
            case _ where key == "db-system-id": systemIdentifier = try value.unsigned()
            case _ where key == "db-version": version = try DatabaseSectionValue.version(&value)
            default: try value.skip()
            }
        }
        return BackupInfo.Database(
            id: id, systemIdentifier: try required(systemIdentifier, "db-system-id"),
            version: try required(version, "db-version"),
            catalogVersion: try required(catalogVersion, "db-catalog-version"),
            controlVersion: try required(controlVersion, "db-control-version"))
    }
}
