package import Glibc

/// The log lines of a call that was answered from the spool, as the program writes them at level info.
package struct ArchiveCallLog: Equatable {
    /// The text of the first line, with ``parameterMark`` and ``executionMark`` in place of what differs from call to
    /// call.
    package var begin: String
    /// Path of the log file; empty when it does not take such lines.
    package var file: String
    package var toConsole: Bool
    package var hasTimestamps: Bool

    package static let parameterMark: Character = "\u{1}"
    package static let executionMark: Character = "\u{2}"

    package init(begin: String = "", file: String = "", toConsole: Bool = false, hasTimestamps: Bool = true) {
        self.begin = begin
        self.file = file
        self.toConsole = toConsole
        self.hasTimestamps = hasTimestamps
    }

    /// Appends to the log file that is open as `descriptor`, if there is one, and to standard output if it is wanted.
    package func write(_ call: ArchiveCall, _ message: String, start: timespec, to descriptor: Int32?) {
        guard descriptor != nil || toConsole else { return }
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        let milliseconds =
            max(0, (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1_000_000)
        var first = ""
        for character in begin {
            switch character {
            case Self.parameterMark: first += call.parameters.joined(separator: ", ")
            case Self.executionMark: first += "\(getpid())-" + Self.digits(UInt64(start.tv_nsec), 8, radix: 16)
            default: first.append(character)
            }
        }
        let (early, late) = (Self.local(start), Self.local(end))
        let lines = [
            (early, first), (late, message),
            (late, "\(call.kind.rawValue) command end: completed successfully (\(milliseconds)ms)"),
        ]
        func text(timestamps: Bool) -> String {
            lines.map { time, line in (timestamps ? time + " " : "") + "P00   INFO: \(line)\n" }.joined()
        }
        if let descriptor {
            let gap = lseek(descriptor, 0, SEEK_END) > 0 ? "\n" : ""
            put(
                gap + "-------------------PROCESS START-------------------\n" + text(timestamps: hasTimestamps),
                descriptor)
        }
        if toConsole { put(text(timestamps: hasTimestamps), 1) }
    }

    private func put(_ text: String, _ descriptor: Int32) {
        var text = text
        text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    /// `2026-11-21 03:40:00.123`, in the process's time zone.
    private static func local(_ moment: timespec) -> String {
        var fields = tm()
        var seconds = moment.tv_sec
        localtime_r(&seconds, &fields)
        func number(_ value: Int32) -> String { digits(UInt64(value), 2) }
        return digits(UInt64(fields.tm_year + 1900), 4) + "-" + number(fields.tm_mon + 1) + "-"
            + number(fields.tm_mday) + " " + number(fields.tm_hour) + ":" + number(fields.tm_min) + ":"
            + number(fields.tm_sec) + "." + digits(UInt64(moment.tv_nsec / 1_000_000), 3)
    }

    private static func digits(_ value: UInt64, _ width: Int, radix: Int = 10) -> String {
        let text = String(value, radix: radix)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
}
