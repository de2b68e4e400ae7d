/// The text of `help`, for 80 columns.
package enum Help {
    package static let width = 80
    static let headings = [
        "Command Options", "General Options", "Log Options", "PostgreSQL Options", "Repository Options",
    ]

    /// - Parameters:
    ///   - parameters: nothing, a command, or a command and an option (with or without a group's number).
    ///   - programPath: `argv[0]`, whose last part is shown.
    /// Throws `.commandInvalid`, `.optionInvalid` or `.parameterInvalid`.
    package static func text(_ parameters: [String] = [], programPath: String = "permafrost") throws(BackupError)
        -> String
    {
        let program = String(programPath.split(separator: "/").last ?? "permafrost")
        guard let name = parameters.first else { return general(program) }
        guard let command = Command(rawValue: name) else {
            throw BackupError(.commandInvalid, "invalid command '\(name)' for help", hint: "'help' lists the commands")
        }
        guard parameters.count > 1 else { return text(of: command, program) }
        guard parameters.count == 2 else {
            throw BackupError(.parameterInvalid, "help takes one option at most")
        }
        let option = parameters[1].hasPrefix("--") ? String(parameters[1].dropFirst(2)) : parameters[1]
        let definition =
            if let exact = OptionTable.definition(named: option) {
                exact
            } else {
                try WrittenOption.find(option, prefixes: true)?.definition
            }
        guard let definition else {
            throw BackupError(
                .optionInvalid, "option '\(option)' does not exist", hint: WrittenOption.suggestion(for: option))
        }
        guard definition.isValid(for: command) else {
            throw BackupError(.optionInvalid, "option '\(option)' is not valid for command '\(command.rawValue)'")
        }
        return text(of: definition, for: command, program)
    }

    /// What `version` prints: `--output=num` gives one number that grows with each version. Scripts that call us as
    /// pgbackrest read its version there, and behind it they may find whom they really called.
    package static func version(output: String? = nil, programPath: String = "permafrost") -> String {
        let number = ProgramVersion.number(calledAs: programPath)
        guard output == "num" else { return title(programPath) }
        let parts = number.split(separator: ".").compactMap { Int($0) }
        return String(parts.reduce(0) { $0 * 1000 + $1 })
    }

    private static func title(_ programPath: String) -> String {
        let ours = "Permafrost \(ProgramVersion.number)"
        return ProgramVersion.isPgBackRest(programPath) ? "pgBackRest \(ProgramVersion.pgBackRest) (\(ours))" : ours
    }

    private static func general(_ program: String) -> String {
        var lines = [
            "\(title(program)) - backup and restore for PostgreSQL", "",
            "Usage:", "    \(program) [options] COMMAND [parameters]", "", "Commands:",
        ]
        for command in Command.allCases { lines += entry(command) }
        lines += [
            "", "'\(program) help COMMAND' shows a command and its options,",
            "'\(program) help COMMAND OPTION' all about one option.",
        ]
        return joined(lines)
    }

    private static func entry(_ command: Command) -> [String] {
        columns(command.rawValue, command.summary, indent: 4, column: 20)
    }

    private static func text(of command: Command, _ program: String) -> String {
        var lines = ["\(program) \(command.rawValue) - \(command.summary)", ""]
        lines += ["Usage:", "    \(program) [options] \(command.rawValue)\(command.parameterUsage)"]
        if !command.details.isEmpty { lines += [""] + wrapped(command.details, indent: 0) }
        let options = OptionTable.definitions
            .filter { $0.isValid(for: command) && !$0.isInternal(for: command) }
            .sorted { $0.name.rawValue < $1.name.rawValue }
        for heading in headings {
            let members = options.filter { !$0.isUnsupported(for: command) && $0.heading(for: command) == heading }
            if members.isEmpty { continue }
            lines += ["", "\(heading):", ""]
            for option in members {
                var text = option.summary(for: command)
                if let value = option.defaultDescription(for: command, programPath: program) {
                    text += " [default=\(value)]"
                }
                lines += columns("--\(option.displayName(1))", text, indent: 2, column: 36)
            }
        }
        let unsupported = options.filter { $0.isUnsupported(for: command) }.map { $0.displayName(1) }
        if !unsupported.isEmpty {
            lines += ["", "Known, but not supported by this version:", ""]
            lines += wrapped(unsupported.joined(separator: ", "), indent: 2)
        }
        lines += [""]
        lines += ["'\(program) help \(command.rawValue) OPTION' tells all about one option."]
        return joined(lines)
    }

    private static func text(of option: OptionDefinition, for command: Command, _ program: String) -> String {
        let name = option.displayName(1)
        var lines = ["\(program) \(command.rawValue) --\(name)", ""] + wrapped(option.summary(for: command), indent: 0)
        if let details = option.details(for: command) { lines += [""] + wrapped(details, indent: 0) }
        if option.isUnsupported(for: command) {
            let reason = option.reasonForRefusal.map { ": \($0)" } ?? ""
            lines += [""] + wrapped("Known, but not supported by this version of Permafrost\(reason).", indent: 0)
        } else if let reason = option.reasonForNoEffect(for: command) {
            lines += [""] + wrapped("Accepted; it has no effect in this version of Permafrost: \(reason).", indent: 0)
        }
        lines += [""]
        for (title, text) in facts(option, command, program) {
            lines += columns("\(title):", text, indent: 0, column: 15)
        }
        return joined(lines)
    }

    private static func facts(
        _ option: OptionDefinition, _ command: Command, _ program: String
    ) -> [(title: String, text: String)] {
        let name = option.displayName(1)
        var facts: [(String, String)] = [("type", option.typeDescription)]
        if let value = option.defaultDescription(for: command, programPath: program) {
            facts.append(("default", value))
        } else if option.isRequired(for: command) {
            facts.append(("default", "none: it must be given"))
        }
        let unsupported = option.unsupportedValues(for: command)
        let allowed = option.allowed(for: command)
        if option.type == .keys, let word = allowed.first {
            facts.append(("several", "may be repeated; \(word) stands for every one that is configured"))
        } else if !allowed.isEmpty {
            facts.append(("allowed", allowed.filter { !unsupported.contains($0) }.joined(separator: ", ")))
        }
        if !unsupported.isEmpty { facts.append(("not supported", unsupported.joined(separator: ", "))) }
        if !option.ranges.isEmpty {
            let ranges = option.ranges.map { range in
                "\(range.minimum) to \(range.maximum)" + (range.when.map { " for \($0)" } ?? "")
            }
            facts.append(("range", ranges.joined(separator: ", ")))
        }
        if let dependency = option.dependency(for: command),
            let other = OptionTable.definition(dependency.option)?.displayName(1)
        {
            let values = dependency.values.joined(separator: " or ")
            facts.append(("needs", values.isEmpty ? other : "\(other)=\(values)"))
        }
        if option.group != nil { facts.append(("number", "1 to \(WrittenOption.indexLimit)")) }
        if !option.flags.contains(.secure), let value = option.exampleValue(for: command) {
            if option.type == .bool {
                let isYes = value == "y"
                facts.append(("example", isYes ? "--\(name)" : option.isNegatable ? "--no-\(name)" : "--\(name)=n"))
            } else {
                facts.append(("example", "--\(name)=\(value.contains(" ") ? "\"\(value)\"" : value)"))
            }
        }
        let variable = name.uppercased().map { $0 == "-" ? "_" : $0 }
        facts.append(("environment", "PERMAFROST_\(String(variable)) or PGBACKREST_\(String(variable))"))
        switch option.section {
        case .commandLine: facts.append(("file", "not in a configuration file"))
        case .global: facts.append(("file", "\(name) in [global], [STANZA], or either for a command"))
        case .stanza: facts.append(("file", "\(name) in [STANZA] or [STANZA:COMMAND]"))
        }
        if option.flags.contains(.secure) { facts.append(("command line", "refused: the value would be visible")) }
        return facts
    }

    /// `left` at `indent`, `right` wrapped from `column` on; on a line of its own when `left` is too long.
    package static func columns(_ left: String, _ right: String, indent: Int, column: Int) -> [String] {
        let start = String(repeating: " ", count: indent) + left
        var lines = wrapped(right, indent: column)
        guard start.count < column, let first = lines.first else { return [start] + lines }
        lines[0] = start + first.dropFirst(start.count)
        return lines
    }

    package static func wrapped(_ text: String, indent: Int) -> [String] {
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        var line = margin
        for word in text.split(separator: " ") {
            if line.count > indent, line.count + 1 + word.count > width {
                lines.append(line)
                line = margin
            }
            if line.count > indent { line += " " }
            line += word
        }
        return lines + [line]
    }

    private static func joined(_ lines: [String]) -> String { lines.joined(separator: "\n") + "\n" }
}

extension OptionDefinition {
    fileprivate func isUnsupported(for command: Command) -> Bool {
        switch support(for: command) {
        case .supported, .accepted: false
        case .notYet, .never: true
        }
    }

    fileprivate var typeDescription: String {
        switch type {
        case .bool: "y or n"
        case .integer: "number"
        case .size: "bytes, or with a unit: KiB, MiB, GiB, TiB, PiB"
        case .time: "seconds, or with a unit: ms, s, m, h, d, w"
        case .string: "text"
        case .enumeration: "one of the values below"
        case .path: "absolute path"
        case .list: "text, may be repeated"
        case .hash: "key=value, may be repeated"
        case .keys: "number"
        }
    }
}
