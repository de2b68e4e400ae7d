package import BackupModel

/// The text of `backup_label`, which PostgreSQL gives at the end of a backup and reads at the start of recovery.
package struct BackupLabelFile: Sendable, Equatable {
    /// `START WAL LOCATION`: where replay begins.
    package var startLocation: LSN
    /// The segment of ``startLocation``.
    package var startSegment: WALSegment
    /// `CHECKPOINT LOCATION`: the checkpoint record that replaces the one in pg_control.
    package var checkpointLocation: LSN
    /// `START TIMELINE`, or that of the segment before PostgreSQL 11, which does not write it.
    package var startTimeline: UInt32

    /// Demands what PostgreSQL demands of the file, else throws `.format`: its first two lines are the start and the
    /// checkpoint, and the timeline, if there is one, is the segment's.
    package init(parsing text: RawSpan) throws(BackupError) {
        let lines = TextLines.split(text)
        guard let first = lines.first, let start = Self.value(of: "START WAL LOCATION: ", in: first),
            let space = start.firstIndex(of: UInt8(ascii: " ")),
            let location = LSN(utf8: start[..<space]),
            let file = Self.value(of: " (file ", in: start[space...]), file.last == UInt8(ascii: ")"),
            let segment = WALSegment(utf8: file.dropLast())
        else {
            throw Self.invalid("START WAL LOCATION", lines.first)
        }
        guard lines.count >= 2, let checkpoint = Self.value(of: "CHECKPOINT LOCATION: ", in: lines[1]),
            let checkpointLocation = LSN(utf8: checkpoint)
        else {
            throw Self.invalid("CHECKPOINT LOCATION", lines.dropFirst().first)
        }
        startLocation = location
        startSegment = segment
        self.checkpointLocation = checkpointLocation
        startTimeline = segment.timeline
        for line in lines.dropFirst(2) {
            guard let timeline = Self.value(of: "START TIMELINE: ", in: line) else { continue }
            guard UInt32(decimal: timeline) == segment.timeline else {
                throw Self.invalid("START TIMELINE", line)
            }
        }
    }

    private static func value(of key: StaticString, in line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        key.withUTF8Buffer { line.starts(with: $0) ? line.dropFirst($0.count) : nil }
    }

    private static func invalid(_ field: String, _ line: ArraySlice<UInt8>?) -> BackupError {
        let found = line.map { "'\(TextLines.quotable($0))'" } ?? "the end"
        return BackupError(.format, "backup_label has no valid \(field): found \(found)")
    }
}
