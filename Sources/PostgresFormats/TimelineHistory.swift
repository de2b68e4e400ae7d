package import BackupModel

/// A `.history` file: the timelines that a timeline descends from.
package struct TimelineHistory: Sendable, Equatable {
    package struct Switch: Sendable, Equatable {
        package var timeline: UInt32
        /// Where the next timeline branched off.
        package var end: LSN

        package init(timeline: UInt32, end: LSN) {
            self.timeline = timeline
            self.end = end
        }
    }
    package var timeline: UInt32
    /// Oldest first.
    package var switches: [Switch]

    /// Reads what PostgreSQL writes, a line `<timeline>\t<LSN>\t<reason>` per switch, and what it allows besides: blank
    /// lines and lines that start with `#`. Throws `.format` for anything else, and for timelines that do not ascend.
    package init(timeline: UInt32, parsing text: RawSpan) throws(BackupError) {
        self.timeline = timeline
        switches = []
        for line in TextLines.split(text) {
            let fields = line.split(maxSplits: 2) { $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") }
            guard let first = fields.first, first.first != UInt8(ascii: "#") else { continue }
            guard fields.count >= 2, let parent = UInt32(decimal: first), parent > 0, let end = LSN(utf8: fields[1]),
                end.rawValue > 0
            else {
                throw Self.invalid(timeline, "has the invalid line '\(TextLines.quotable(line))'")
            }
            guard parent > switches.last?.timeline ?? 0, parent < timeline else {
                throw Self.invalid(
                    timeline, "names timeline \(parent) after \(switches.last?.timeline ?? 0), which is out of order")
            }
            switches.append(Switch(timeline: parent, end: end))
        }
    }

    /// Whether WAL at `position` on `other` is part of the history of this timeline.
    package func contains(timeline other: UInt32, position: LSN) -> Bool {
        var begin = LSN(rawValue: 0)
        for step in switches {
            if step.timeline == other { return position >= begin && position < step.end }
            begin = step.end
        }
        return other == timeline && position >= begin
    }

    private static func invalid(_ timeline: UInt32, _ reason: String) -> BackupError {
        BackupError(
            .format, "history of timeline \(timeline) (\(WALFileName.history(timeline: timeline).name)) \(reason)",
            hint: "restore this file in the archive from another copy, such as the pg_wal directory of a server")
    }
}
