import Logging

/// One message on its way to the outputs, and how it looks there.
struct LogLine {
    var time: LogTime
    var level: LogLevel
    /// The logger's label.
    var logger: String
    var message: String
    var facts: Logger.Metadata
    /// `Module::function`, shown at the levels debug and trace.
    var origin: String
    var isDryRun: Bool

    /// pgBackRest's form, with a line feed: `2026-11-21 03:40:00.123 P00   INFO: message`; later lines of the message
    /// are indented to where the first began. Standard error gets it from the level on.
    func text(timestamps: Bool, forStandardError: Bool = false) -> String {
        let name = level.rawValue.uppercased()
        var head = ""
        if forStandardError {
            head = name + ": "
        } else {
            if timestamps { head = time.local + " " }
            let process = integerFact(LogFact.process) ?? 0
            head +=
                "P" + padded(process, 2) + " " + String(repeating: " ", count: max(0, 6 - name.utf8.count)) + name
                + ": "
        }
        if level >= .debug { head += String(repeating: " ", count: level == .debug ? 4 : 8) }
        let indent = String(repeating: " ", count: head.utf8.count)
        if level == .error, let code = integerFact(LogFact.code) { head += "[" + padded(code, 3) + "]: " }
        if isDryRun { head += "[DRY-RUN] " }
        if level >= .debug, !origin.isEmpty { head += origin + ": " }

        var lines = message.split(separator: "\n", omittingEmptySubsequences: false)
        while lines.count > 1, lines.last?.isEmpty == true { lines.removeLast() }
        return head + lines.joined(separator: "\n" + indent) + "\n"
    }

    /// One JSON object and a line feed. Facts are sorted by name; one called like a field of ours gets `fact.` before it.
    func json() -> String {
        var line = "{\"ts\":\"\(time.universal)\",\"level\":\"\(level.rawValue)\",\"logger\":"
        JSONText.append(logger, to: &line)
        line += ",\"msg\":"
        JSONText.append(message, to: &line)
        if isDryRun { line += ",\"dry-run\":true" }
        for (name, value) in facts.sorted(by: { $0.key < $1.key }) {
            line += ","
            let isOurs = ["ts", "level", "logger", "msg", "dry-run"].contains(name)
            JSONText.append(isOurs ? "fact." + name : name, to: &line)
            line += ":"
            JSONText.append(value, to: &line)
        }
        return line + "}\n"
    }

    private func integerFact(_ name: String) -> Int? {
        facts[name].flatMap { Int("\($0)") }
    }
}

/// JSON of log facts.
enum JSONText {
    static func append(_ text: String, to line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where scalar.value < 0x20:
                line += "\\u00" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }

    /// Numbers and booleans stay what they are; everything else that is not a list or an object is a string.
    static func append(_ value: Logger.MetadataValue, to line: inout String) {
        switch value {
        case .string(let text): append(text, to: &line)
        case .stringConvertible(let object):
            switch object {
            case let number as any BinaryInteger: line += String(describing: number)
            case let number as Double where number.isFinite: line += String(describing: number)
            case let flag as Bool: line += flag ? "true" : "false"
            default: append(object.description, to: &line)
            }
        case .array(let values):
            line += "["
            for (index, value) in values.enumerated() {
                if index > 0 { line += "," }
                append(value, to: &line)
            }
            line += "]"
        case .dictionary(let values):
            line += "{"
            for (index, (name, value)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { line += "," }
                append(name, to: &line)
                line += ":"
                append(value, to: &line)
            }
            line += "}"
        }
    }
}
