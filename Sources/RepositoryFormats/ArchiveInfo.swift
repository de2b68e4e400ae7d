package import BackupModel
package import PostgresFormats

/// One database that a stanza has had, by history id.
package struct DatabaseHistoryEntry: Sendable, Equatable {
    package var id: Int
    package var systemIdentifier: UInt64
    package var version: PostgresVersion

    package init(id: Int, systemIdentifier: UInt64, version: PostgresVersion) {
        self.id = id
        self.systemIdentifier = systemIdentifier
        self.version = version
    }
}

/// `archive.info` (section B.4 of the reference).
package struct ArchiveInfo: Sendable, Equatable {
    package var currentID: Int
    /// By id ascending; holds `currentID`.
    package var history: [DatabaseHistoryEntry]
    package var cipherPass: Secret<String>?
    /// Who wrote it.
    package var writerVersion: String

    package init(
        currentID: Int, history: [DatabaseHistoryEntry], cipherPass: Secret<String>? = nil,
        writerVersion: String = ProgramVersion.repositoryText
    ) {
        precondition(history.contains { $0.id == currentID }, "the history must hold the current id")
        self.currentID = currentID
        self.history = history
        self.cipherPass = cipherPass
        self.writerVersion = writerVersion
    }

    package var current: DatabaseHistoryEntry { history.first { $0.id == currentID } ?? history[0] }
    package var currentArchiveID: String { RepositoryPaths.archiveID(version: current.version, historyID: currentID) }

    /// Throws `.checksum` when the closing checksum is wrong, `.format` for another format or missing keys, and
    /// `.crypto` for an encrypted file.
    package init(parsing bytes: RawSpan) throws(BackupError) {
        var content = ArchiveInfoContent()
        var reader = InfoFileReader()
        try reader.feed(bytes, into: &content)
        let facts = try reader.finish(into: &content)
        let history = content.database.history
        self.init(
            currentID: try content.database.checkedCurrentID(), history: history.sorted { $0.id < $1.id },
            cipherPass: facts.cipherPass, writerVersion: facts.writerVersion)
    }

    /// The whole file, checksum included, written by `writerVersion`.
    package func serialized() -> [UInt8] {
        var bytes: [UInt8] = []
        var writer = InfoFileWriter()
        writer.header(writerVersion: writerVersion, in: &bytes)
        writer.cipher(cipherPass, in: &bytes)
        typealias Section = DatabaseSection<DatabaseHistoryEntry>
        let current = current
        writer.beginSection(Section.name)
        writer.value(Section.idKey, UInt64(current.id), in: &bytes)
        writer.value(Section.systemIDKey, current.systemIdentifier, in: &bytes)
        writer.value(Section.versionKey, current.version.description, in: &bytes)
        writer.beginSection(Section.historyName)
        for entry in history.sorted(by: { $0.id < $1.id }) {
            writer.value(String(entry.id), in: &bytes) {
                $0.append("{")
                // The system identifier under the name of the history id: so it has been since the first version.
                $0.appendKey("db-id")
                $0.appendDecimal(entry.systemIdentifier)
                $0.appendKey("db-version")
                $0.appendJSON(entry.version.description)
                $0.append("}")
            }
        }
        writer.checksum(in: &bytes)
        return bytes
    }
}

private struct ArchiveInfoContent: InfoFileSink {
    var database = DatabaseSection<DatabaseHistoryEntry>()

    mutating func beginSection(_ name: String) { database.beginSection(name) }

    mutating func value(_ key: UnsafeRawBufferPointer, _ value: inout JSONReader) throws(BackupError) {
        guard try !database.currentValue(key, &value) else { return }
        guard let id = try database.historyID(key) else { return try value.skip() }
        var systemIdentifier: UInt64?
        var version: PostgresVersion?
        try value.beginObject()
        while let name = try value.nextKey() {
            switch name {
            case _ where name == "db-id": systemIdentifier = try value.unsigned()
            case _ where name == "db-version": version = try DatabaseSectionValue.version(&value)
            default: try value.skip()
            }
        }
        database.history.append(
            DatabaseHistoryEntry(
                id: id, systemIdentifier: try required(systemIdentifier, "db-id"),
                version: try required(version, "db-version")))
    }
}
