import BackupModel
import PostgresFormats

/// One row of an answer, read from left to right.
struct Row {
    let values: [String?]
    private let statement: String
    private var column = 0

    init(values: [String?], statement: String) {
        self.values = values
        self.statement = statement
    }

    /// Runs a statement that answers with exactly one row.
    init(_ connection: PostgresConnection, _ statement: String, _ parameters: [String?] = []) throws(BackupError) {
        let rows = try connection.query(statement, parameters)
        guard rows.count == 1 else {
            throw BackupError(.databaseQuery, "\(rows.count) rows where one was expected from '\(statement)'")
        }
        self.init(values: rows[0], statement: statement)
    }

    /// Whether the next value is NULL.
    var isNull: Bool { column < values.count && values[column] == nil }

    mutating func text() throws(BackupError) -> String {
        guard column < values.count, let value = values[column] else { throw unexpected("nothing") }
        column += 1
        return value
    }

    mutating func bool() throws(BackupError) -> Bool { try text() == "t" }

    mutating func integer<Value: FixedWidthInteger>() throws(BackupError) -> Value {
        let text = try text()
        guard let value = Value(text) else { throw unexpected(text) }
        return value
    }

    mutating func lsn() throws(BackupError) -> LSN {
        let text = try text()
        guard let value = LSN(text) else { throw unexpected(text) }
        return value
    }

    mutating func segment() throws(BackupError) -> WALSegment {
        let text = try text()
        guard let value = WALSegment(text) else { throw unexpected(text) }
        return value
    }

    private func unexpected(_ text: String) -> BackupError {
        BackupError(.databaseQuery, "unexpected answer '\(text)' in column \(column) from '\(statement)'")
    }
}
