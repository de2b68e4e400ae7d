import BackupModel
import HTTP

/// Times, sizes and tables as a screen of 80 columns shows them.
package enum ScreenText {
    /// `2026-01-31 10:45:00Z`.
    package static func moment(_ time: Int64) -> String { ServiceTime.rfc3339(time).replacing("T", with: " ") }

    /// As kubectl writes ages: `35s`, `5m`, `3h50m`, `4d2h`, `40d`.
    package static func span(_ seconds: Int64) -> String {
        let seconds = max(0, seconds)
        func two(_ large: Int64, _ unit: String, _ small: Int64, _ other: String) -> String {
            small == 0 ? "\(large)\(unit)" : "\(large)\(unit)\(small)\(other)"
        }
        switch seconds {
        case ..<120: return "\(seconds)s"
        case ..<7200: return "\(seconds / 60)m"
        case ..<172_800: return two(seconds / 3600, "h", seconds / 60 % 60, "m")
        case ..<864_000: return two(seconds / 86_400, "d", seconds / 3600 % 24, "h")
        default: return "\(seconds / 86_400)d"
        }
    }

    /// `3h50m ago`, `in 19h`.
    static func distance(_ time: Int64, _ now: Int64) -> String {
        time > now ? "in \(span(time - now))" : "\(span(now - time)) ago"
    }

    /// `1.2 GiB`; none for nil.
    package static func size(_ bytes: Int64?) -> String {
        guard let bytes else { return "-" }
        guard bytes >= 1024 else { return "\(bytes) B" }
        var (value, unit) = (bytes * 10 / 1024, 0)
        while value >= 10_240, unit < 4 { (value, unit) = (value / 1024, unit + 1) }
        return (value < 1000 ? "\(value / 10).\(value % 10)" : "\(value / 10)")
            + " " + ["KiB", "MiB", "GiB", "TiB", "PiB"][unit]
    }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// One line of what others wrote: nothing in it may move the cursor.
    package static func plain(_ text: String) -> String {
        var plain = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: plain.append(" ")
            default: plain.append(scalar)
            }
        }
        return String(plain)
    }

    /// Broken between words, and within one that is longer than a line.
    static func paragraph(_ text: String, indent: Int) -> [String] {
        let room = Help.width - indent
        let words = plain(text).split(separator: " ").flatMap { word -> [Substring] in
            guard word.count > room else { return [word] }
            var (parts, rest) = ([Substring](), word)
            while !rest.isEmpty {
                parts.append(rest.prefix(room))
                rest = rest.dropFirst(room)
            }
            return parts
        }
        return Help.wrapped(words.joined(separator: " "), indent: indent)
    }

    /// Columns two blanks apart. Where a line would be too wide, its first column, which is a name that somebody may want
    /// to copy, has a line of its own.
    static func table(_ rows: [[String]], indent: Int) -> [String] {
        let rows = rows.map { $0.map(plain) }
        let count = rows.map(\.count).max() ?? 0
        func width(_ column: Int, _ rows: [[String]]) -> Int {
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        let others = (1..<max(count, 1)).reduce(0) { $0 + width($1, rows) + 2 }
        let room = max(12, Help.width - indent - others)
        let first = width(0, rows.filter { ($0.first?.count ?? 0) <= room })
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        for row in rows {
            var line = margin
            for (column, cell) in row.enumerated() {
                let wide = column == 0 ? first : width(column, rows)
                if column == 0, cell.count > first {
                    lines.append(margin + cell)
                    line += String(repeating: " ", count: first + 2)
                } else {
                    line += cell
                    if column < row.count - 1 { line += String(repeating: " ", count: wide - cell.count + 2) }
                }
            }
            while line.last == " " { line.removeLast() }
            lines.append(line)
        }
        return lines
    }
}
