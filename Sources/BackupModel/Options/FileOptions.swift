/// A configuration file that was read.
package struct ConfigFile: Sendable {
    package let path: String
    package let text: String

    package init(path: String, text: String) {
        self.path = path
        self.text = text
    }
}

/// The sections of all configuration files, as if they were one: a key that is repeated is a list.
struct ConfigSections: Sendable {
    struct Entry: Sendable {
        let key: String
        var values: [String]
        /// The file that has it first, for messages.
        let path: String
    }

    private(set) var sections: [String: [Entry]] = [:]
    /// In order of appearance.
    private(set) var names: [String] = []

    init(_ files: [ConfigFile]) throws(BackupError) {
        for file in files { try add(file) }
    }

    private mutating func add(_ file: ConfigFile) throws(BackupError) {
        var section: String?
        var number = 0
        for rawLine in file.text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            number += 1
            let line = trimmed(rawLine)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("[") {
                guard line.hasSuffix("]"), line.count > 2 else {
                    throw invalid("a section should be '[name]'", file, number)
                }
                let name = String(line.dropFirst().dropLast())
                if sections[name] == nil {
                    sections[name] = []
                    names.append(name)
                }
                section = name
                continue
            }
            guard let section else { throw invalid("key/value outside of a section", file, number) }
            guard let equals = line.firstIndex(of: "=") else {
                throw invalid("missing '=' in key/value", file, number)
            }
            let key = String(trimmed(line[..<equals]))
            guard !key.isEmpty else { throw invalid("key is empty", file, number) }
            let value = String(trimmed(line[line.index(after: equals)...]))
            if let place = sections[section]?.firstIndex(where: { $0.key == key }) {
                sections[section]?[place].values.append(value)
            } else {
                sections[section]?.append(Entry(key: key, values: [value], path: file.path))
            }
        }
    }

    /// The line itself is not shown: it may hold a secret.
    private func invalid(_ what: String, _ file: ConfigFile, _ line: Int) -> BackupError {
        BackupError(.format, "unable to parse configuration file '\(file.path)' line \(line): \(what)")
    }

    private func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}

/// Adds what the configuration files say, the most special section first, to what is not given yet.
func addFiles(
    _ sections: ConfigSections, for command: Command, stanza: String?, to options: inout GivenOptions,
    warnings: inout [String]
) throws(BackupError) {
    let names =
        (stanza.map { ["\($0):\(command.rawValue)", $0] } ?? []) + ["global:\(command.rawValue)", "global"]
    for section in names {
        let isGlobal = section == "global" || section.hasPrefix("global:")
        var seen: [OptionKey: String] = [:]
        for entry in sections.sections[section] ?? [] {
            let subject = "configuration file '\(entry.path)' contains"
            guard let written = try WrittenOption.find(entry.key, prefixes: false) else {
                warnings.append("\(subject) invalid option '\(entry.key)'")
                continue
            }
            let definition = written.definition
            if written.isNegated || written.isReset {
                warnings.append("\(subject) \(written.isNegated ? "negate" : "reset") option '\(entry.key)'")
                continue
            }
            if definition.section == .commandLine {
                warnings.append("\(subject) command-line only option '\(entry.key)'")
                continue
            }
            let key = OptionKey(name: definition.name, index: written.index)
            if let other = seen.updateValue(entry.key, forKey: key) {
                throw BackupError(
                    .optionInvalid,
                    "\(subject) duplicate options ('\(entry.key)', '\(other)') in section '[\(section)]'")
            }
            guard definition.isValid(for: command) else {
                if section.contains(":") {
                    warnings.append("\(subject) option '\(entry.key)' invalid for section '\(section)'")
                }
                continue
            }
            if definition.section == .stanza && isGlobal {
                warnings.append("\(subject) stanza-only option '\(entry.key)' in global section '\(section)'")
                continue
            }
            guard options[key] == nil else { continue }
            guard entry.values.allSatisfy({ !$0.isEmpty }) else {
                throw BackupError(
                    .optionInvalidValue, "section '\(section)', key '\(entry.key)' must have a value")
            }
            guard entry.values.count == 1 || definition.isRepeatable else {
                throw BackupError(
                    .optionInvalid, "option '\(definition.displayName(written.index))' cannot be set multiple times")
            }
            var given = GivenOption(values: entry.values, source: .file)
            if definition.type == .bool {
                guard given.values == ["y"] || given.values == ["n"] else {
                    throw BackupError(.optionInvalidValue, "boolean option '\(entry.key)' must be 'y' or 'n'")
                }
                given.isNegated = given.values == ["n"]
                given.values = []
            }
            options[key] = given
        }
    }
}
