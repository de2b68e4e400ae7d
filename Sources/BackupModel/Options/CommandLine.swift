/// What one source says of one option.
struct GivenOption: Sendable {
    /// Empty for bools and what is negated or reset.
    var values: [String] = []
    var isNegated = false
    var isReset = false
    var source: Configuration.Source
}

/// An option of one member of its group.
struct OptionKey: Hashable, Sendable {
    let name: OptionName
    /// 0 for options without group.
    let index: Int

    static func == (left: OptionKey, right: OptionKey) -> Bool {
        left.name.ordinal == right.name.ordinal && left.index == right.index
    }

    func hash(into hasher: inout Hasher) { hasher.combine(name.ordinal << 16 | index) }
}

typealias GivenOptions = [OptionKey: GivenOption]

/// The words after the program's name.
struct ParsedCommandLine: Sendable {
    var command: Command
    var role = CommandRole.main
    /// Of `job COMMAND`.
    var job: JobWords?
    var parameters: [String]
    var options: GivenOptions
    /// The words that are options and their values, as they came.
    var optionWords: [String] = []

    init(_ arguments: [String]) throws(BackupError) {
        command = .help
        parameters = []
        options = [:]
        var found: Command?
        var wantsHelp = false
        var place = 0
        while place < arguments.count {
            let argument = arguments[place]
            place += 1
            if argument == "-h" {
                wantsHelp = true
            } else if argument.hasPrefix("-") {
                let start = place - 1
                try takeOption(argument, arguments, &place)
                optionWords += arguments[start..<place]
            } else if found == nil {
                (found, role) = try Self.command(named: argument)
            } else {
                parameters.append(argument)
            }
        }
        if options.removeValue(forKey: OptionKey(name: .help, index: 0)) != nil { wantsHelp = true }
        if wantsHelp && found != .help {
            parameters = found.map { [$0.rawValue] } ?? []
            found = .help
        }
        if found == nil, options.removeValue(forKey: OptionKey(name: .version, index: 0)) != nil { found = .version }
        if found == nil, !options.isEmpty {
            throw BackupError(.commandRequired, "no command found", hint: "'help' lists the commands")
        }
        command = found ?? .help
        if command == .job { try takeJob() }
        if !command.takesParameters, let first = parameters.first {
            throw BackupError(
                .parameterInvalid, "command '\(command.rawValue)' does not allow parameters: '\(first)'")
        }
    }

    /// What follows `job` is a command of its own, with options of its own.
    private mutating func takeJob() throws(BackupError) {
        guard let name = parameters.first, let command = Command(rawValue: name) else { return }
        guard parameters.count == 1 else {
            throw BackupError(
                .parameterInvalid, "command '\(name)' does not allow parameters in a job: '\(parameters[1])'")
        }
        var given: [Configuration.Given] = []
        for (key, option) in options {
            guard let definition = OptionTable.definition(key.name), definition.isValid(for: command) else { continue }
            given.append(Configuration.Given(definition, key, option))
            if !definition.isValid(for: .job) { options[key] = nil }
        }
        job = JobWords(command: command, options: given.sorted { $0.displayName < $1.displayName })
    }

    private static func command(named name: String) throws(BackupError) -> (Command, CommandRole) {
        if let command = Command(rawValue: name) { return (command, .main) }
        let parts = name.split(separator: ":", maxSplits: 1)
        if parts.count == 2, let command = Command(rawValue: String(parts[0])),
            let role = CommandRole(rawValue: String(parts[1])), command.roles.contains(role)
        {
            return (command, role)
        }
        throw BackupError(
            .commandInvalid, "invalid command '\(name)'",
            hint: closest(to: name, in: Command.allCases.map(\.rawValue)).map { "did you mean '\($0)'?" }
                ?? "'help' lists the commands")
    }

    private mutating func takeOption(
        _ argument: String, _ arguments: [String], _ place: inout Int
    ) throws(BackupError) {
        guard argument.hasPrefix("--") else {
            // Not with its value, which may be a secret.
            throw BackupError(.optionInvalid, "option '\(argument.prefix { $0 != "=" })' must begin with --")
        }
        let text = argument.dropFirst(2)
        let equals = text.firstIndex(of: "=")
        let name = String(text[..<(equals ?? text.endIndex)])
        var value = equals.map { String(text[text.index(after: $0)...]) }
        guard let written = try WrittenOption.find(name, prefixes: true) else {
            throw BackupError(
                .optionInvalid, "invalid option '--\(name)'", hint: WrittenOption.suggestion(for: name))
        }
        let definition = written.definition
        let display = definition.displayName(written.index)
        if definition.flags.contains(.secure) {
            throw BackupError(
                .optionInvalid, "option '\(display)' is not allowed on the command-line",
                hint: "this option could expose secrets in the process list: "
                    + "specify it in a configuration file or an environment variable instead")
        }
        var isNegated = written.isNegated
        if isNegated || written.isReset {
            guard value == nil else {
                throw BackupError(.optionInvalid, "option '\(name)' does not allow an argument")
            }
            if isNegated && definition.flags.contains(.boolLike) {
                isNegated = false
                value = "n"
            }
        } else if definition.type == .bool {
            guard value == nil || value == "y" || value == "n" else {
                throw BackupError(
                    .optionInvalidValue, "boolean option '--\(name)' argument must be 'y' or 'n'")
            }
            isNegated = value == "n"
            value = nil
        } else if value == nil {
            if definition.flags.contains(.boolLike) {
                value = "y"
            } else if place < arguments.count {
                value = arguments[place]
                place += 1
            } else {
                throw BackupError(.optionInvalid, "option '--\(name)' requires an argument")
            }
        }
        let given = GivenOption(
            values: value.map { [$0] } ?? [], isNegated: isNegated, isReset: written.isReset, source: .commandLine)
        try add(given, to: OptionKey(name: definition.name, index: written.index), definition, display)
    }

    private mutating func add(
        _ given: GivenOption, to key: OptionKey, _ definition: OptionDefinition, _ display: String
    ) throws(BackupError) {
        guard var before = options[key] else {
            options[key] = given
            return
        }
        let conflict: String? =
            if before.isNegated && given.isNegated {
                "is negated multiple times"
            } else if before.isReset && given.isReset {
                "is reset multiple times"
            } else if (before.isReset && given.isNegated) || (before.isNegated && given.isReset) {
                "cannot be negated and reset"
            } else if before.isNegated != given.isNegated {
                "cannot be set and negated"
            } else if before.isReset != given.isReset {
                "cannot be set and reset"
            } else if given.values.isEmpty || !definition.isRepeatable {
                "cannot be set multiple times"
            } else {
                nil
            }
        if let conflict { throw BackupError(.optionInvalid, "option '\(display)' \(conflict)") }
        before.values += given.values
        options[key] = before
    }
}
