extension Configuration {
    /// All values that were given, as words of a shell, for the log's begin line and `restore_command`:
    /// `--repo1-path=/r`; secrets as `<redacted>`.
    ///
    /// With a command, just those from this run's command line that the command takes, as pgBackRest passes them on:
    /// without log options, and without what belongs to this run alone. `%` is doubled then, because PostgreSQL
    /// replaces it.
    package func arguments(for command: Command? = nil) -> [String] {
        var found: [(name: String, index: Int, words: [String])] = []
        for (key, option) in resolved {
            guard let definition = OptionTable.definition(key.name) else { continue }
            if let command {
                guard isPassedOn(definition, option, to: command) else { continue }
            } else if option.source == .defaultValue && !option.isReset {
                continue
            }
            let name = definition.displayName(key.index)
            let words = words(option, definition, name, doublesPercent: command != nil)
            found.append((key.name.rawValue, key.index, words))
        }
        return found.sorted { ($0.name, $0.index) < ($1.name, $1.index) }.flatMap(\.words)
    }

    /// An option that this run's command line has set.
    package struct Given: Sendable, Equatable {
        package let name: OptionName
        /// As it is written: `repo2-path`.
        package let displayName: String
        /// `y` or `n` of bools; none of what is negated without being a bool, of what is reset, and of secrets.
        package let values: [String]

        /// As it came, before anything was checked.
        init(_ definition: OptionDefinition, _ key: OptionKey, _ option: GivenOption) {
            let values =
                definition.type == .bool && !option.isReset ? [option.isNegated ? "n" : "y"] : option.values
            self.init(name: definition.name, displayName: definition.displayName(key.index), values: values)
        }

        init(name: OptionName, displayName: String, values: [String]) {
            self.name = name
            self.displayName = displayName
            self.values = values
        }
    }

    /// All that this run's command line has set, by name.
    package var givenOnCommandLine: [Given] {
        resolved.filter { $0.value.source == .commandLine || $0.value.isReset }.compactMap { key, option in
            guard let definition = OptionTable.definition(key.name) else { return nil }
            let values: [String] =
                switch option.value {
                case .bool(let value): [value ? "y" : "n"]
                case .list(let elements): elements
                case .pairs(let pairs): pairs.map { "\($0.key)=\($0.value)" }
                default: option.text.map { [$0] } ?? []
                }
            return Given(
                name: key.name, displayName: definition.displayName(key.index),
                values: option.isReset || (option.isNegated && definition.type != .bool) ? [] : values)
        }.sorted { $0.displayName < $1.displayName }
    }

    /// The words after `argv[0]` that run this command in another role with the same options.
    package func arguments(for role: CommandRole, parameters: [String]) -> [String] {
        inputs.optionWords + ["\(command.rawValue):\(role.rawValue)"] + parameters
    }

    /// `archive-push`, or `archive-push:async`.
    package var commandText: String {
        role == .main ? command.rawValue : "\(command.rawValue):\(role.rawValue)"
    }

    /// What the log file of this command in another role is named after: `archive-push-async`.
    package func logName(_ role: CommandRole) -> String {
        role == .main ? command.rawValue : "\(command.rawValue)-\(role.rawValue)"
    }

    private func isPassedOn(_ definition: OptionDefinition, _ option: ResolvedOption, to command: Command) -> Bool {
        switch definition.name {
        case .cmd, .execId, .jobRetry, .jobRetryInterval, .logFormat, .logLevelConsole, .logLevelFile,
            .logLevelStderr, .logSubprocess, .logTimestamp, .processMax, .rateLimitNetwork, .repoCipherType:
            false
        default:
            definition.isValid(for: command) && !definition.flags.contains(.secure)
                && (option.source == .commandLine || option.isReset)
        }
    }

    private func words(
        _ option: ResolvedOption, _ definition: OptionDefinition, _ name: String, doublesPercent: Bool
    ) -> [String] {
        if option.isReset { return ["--reset-\(name)"] }
        if option.isNegated { return ["--no-\(name)"] }
        if definition.flags.contains(.secure) { return ["--\(name)=<redacted>"] }
        if definition.type == .bool { return ["--\(name)"] }
        let values: [String] =
            switch option.value {
            case .list(let elements): elements
            case .pairs(let pairs): pairs.map { "\($0.key)=\($0.value)" }
            default: [option.text ?? ""]
            }
        return values.map { value in
            let text =
                doublesPercent
                ? value.split(separator: "%", omittingEmptySubsequences: false)
                    .joined(separator: "%%") : value
            return "--\(name)=\(shellQuoted(text))"
        }
    }

    /// Double quotes, as pgBackRest writes them: the whole command stands in single quotes in PostgreSQL's files.
    private func shellQuoted(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
                true
            default: "-_./:=,+@%".utf8.contains(byte)
            }
        }
        if plain { return text }
        return "\"" + text.map { "\"\\$`".contains($0) ? "\\\($0)" : String($0) }.joined() + "\""
    }
}
