import BackupModel
import PostgresFormats

/// `[db]` and `[db:history]`, which `archive.info` and `backup.info` share but for the values of the history.
struct DatabaseSection<Entry: DatabaseSectionEntry> {
    static var name: String { "db" }
    static var historyName: String { "db:history" }
    static var idKey: String { "db-id" }
    static var systemIDKey: String { "db-system-id" }
    static var versionKey: String { "db-version" }

    private enum Part { case current, history, other }

    private var part = Part.other
    private var currentID: Int?
    var history: [Entry] = []

    mutating func beginSection(_ name: String) {
        part = name == Self.name ? .current : name == Self.historyName ? .history : .other
    }

    /// Whether the key belongs to `[db]`, of which only the id matters: the rest stands in the history.
    mutating func currentValue(
        _ key: UnsafeRawBufferPointer, _ value: inout JSONReader
    ) throws(BackupError) -> Bool {
        guard part == .current else { return false }
        if key == Self.idKey {
            currentID = try DatabaseSectionValue.historyID(&value)
        } else {
            try value.skip()
        }
        return true
    }

    /// The id that a key of `[db:history]` names; nil in another section.
    func historyID(_ key: UnsafeRawBufferPointer) throws(BackupError) -> Int? {
        guard part == .history else { return nil }
        guard let id = key.decimal, id > 0, let id = UInt32(exactly: id) else {
            throw BackupError(.format, "a history id is a number from 1")
        }
        guard !history.contains(where: { $0.id == Int(id) }) else {
            throw BackupError(.format, "the history has this id twice")
        }
        return Int(id)
    }

    func checkedCurrentID() throws(BackupError) -> Int {
        guard let currentID else { throw BackupError(.format, "'db-id' is missing in section [db]") }
        guard history.contains(where: { $0.id == currentID }) else {
            throw BackupError(.format, "the current history id \(currentID) is missing in section [db:history]")
        }
        return currentID
    }
}

protocol DatabaseSectionEntry {
    var id: Int { get }
}

extension DatabaseHistoryEntry: DatabaseSectionEntry {}
extension BackupInfo.Database: DatabaseSectionEntry {}

enum DatabaseSectionValue {
    static func historyID(_ value: inout JSONReader) throws(BackupError) -> Int {
        Int(try value.unsigned(UInt32.self))
    }

    static func version(_ value: inout JSONReader) throws(BackupError) -> PostgresVersion {
        let text = try value.string()
        guard let version = PostgresVersion(text) else {
            throw BackupError(.versionNotSupported, "PostgreSQL version '\(text)' is unknown")
        }
        return version
    }
}

/// `value`, or `.format` when the key was missing.
func required<Value>(_ value: Value?, _ key: StaticString) throws(BackupError) -> Value {
    guard let value else { throw BackupError(.format, "'\(key)' is missing") }
    return value
}
