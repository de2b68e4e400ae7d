/// Makes of what was given what is used: dependencies, defaults, required options, ranges.
struct OptionResolver {
    let command: Command
    let programPath: String
    let given: GivenOptions
    private(set) var keys: [OptionDefinition.Group: [Int]] = [:]
    private(set) var resolved: [OptionKey: ResolvedOption] = [:]
    private(set) var warnings: [String] = []

    init(command: Command, programPath: String, given: GivenOptions) throws(BackupError) {
        self.command = command
        self.programPath = programPath
        self.given = given
        try rejectInvalid()
        try resolveAll()
    }

    private func rejectInvalid() throws(BackupError) {
        let invalid = given.keys.filter { key in
            OptionTable.definition(key.name).map { !$0.isValid(for: command) } ?? true
        }
        guard let first = invalid.min(by: { $0.name.rawValue < $1.name.rawValue }),
            let definition = OptionTable.definition(first.name)
        else { return }
        throw BackupError(
            .optionInvalid,
            "option '\(definition.displayName(first.index))' not valid for command '\(command.rawValue)'")
    }

    private mutating func resolveAll() throws(BackupError) {
        let valid = OptionTable.definitions.filter { $0.isValid(for: command) }
        for group in [OptionDefinition.Group.pg, .repo] {
            let members = valid.filter { $0.group == group }
            if members.isEmpty { continue }
            var used = Set<Int>()
            for (key, option) in given where !option.isReset && members.contains(where: { $0.name == key.name }) {
                used.insert(key.index)
            }
            // Key 1 of PostgreSQL exists even when only others are configured.
            if group == .pg || used.isEmpty { used.insert(1) }
            keys[group] = used.sorted()
        }
        for definition in valid {
            for index in definition.group.flatMap({ keys[$0] }) ?? [0] {
                _ = try resolve(definition, OptionKey(name: definition.name, index: index))
            }
        }
        for (group, indexes) in keys { dropUnused(indexes, of: group, valid.filter { $0.group == group }) }
    }

    /// A number whose options are all defaults, because their dependencies are not met, does not count.
    private mutating func dropUnused(
        _ indexes: [Int], of group: OptionDefinition.Group, _ members: [OptionDefinition]
    ) {
        if indexes == [1] { return }
        var kept = indexes.filter { index in
            members.contains {
                resolved[OptionKey(name: $0.name, index: index)].map { $0.source != .defaultValue } ?? false
            }
        }
        for index in indexes where !kept.contains(index) {
            for member in members {
                let option = resolved.removeValue(forKey: OptionKey(name: member.name, index: index))
                if kept.isEmpty, index == indexes.first {
                    resolved[OptionKey(name: member.name, index: 1)] = option
                }
            }
        }
        if kept.isEmpty { kept = [1] }
        keys[group] = kept
    }

    private mutating func resolve(_ definition: OptionDefinition, _ key: OptionKey) throws(BackupError)
        -> ResolvedOption
    {
        if let done = resolved[key] { return done }
        let option = try resolveNew(definition, key)
        resolved[key] = option
        return option
    }

    private mutating func resolveNew(
        _ definition: OptionDefinition, _ key: OptionKey
    ) throws(BackupError) -> ResolvedOption {
        let display = definition.displayName(key.index)
        let option = given[key]
        let isSet = option.map { !$0.isReset && (definition.type == .bool || !$0.isNegated) } ?? false
        var match: Match?
        if let dependency = definition.dependency(for: command),
            let other = OptionTable.definition(dependency.option)
        {
            let otherKey = OptionKey(name: other.name, index: other.group == nil ? 0 : key.index)
            let text = try resolve(other, otherKey).text
            guard let text, dependency.values.isEmpty || dependency.values.contains(text) else {
                if isSet && option?.source == .commandLine {
                    throw unmet(display, dependency, other, key.index, isUnset: text == nil)
                }
                guard let otherwise = dependency.otherwise else { return ResolvedOption() }
                return ResolvedOption(value: .scalar(otherwise, type: definition.type), text: otherwise)
            }
            match = Match(option: other.displayName(key.index), value: text)
        }

        var result = ResolvedOption(isNegated: option?.isNegated ?? false, isReset: option?.isReset ?? false)
        if let option, isSet {
            try fill(&result, definition, display, option, match)
            try checkSupport(definition, display, result, match)
        } else if let option, option.isNegated {
            result.source = option.source
        } else if let text = defaultText(definition, match) {
            result.value = .scalar(text, type: definition.type)
            result.text = text
        } else if definition.isRequired(for: command) {
            throw BackupError(
                .optionRequired, "\(command.rawValue) command requires option: \(display)",
                hint: definition.section == .stanza
                    ? "has the configuration file a section of this stanza, with \(display) in it?"
                    : "'help \(command.rawValue) \(display)' tells more")
        }
        return result
    }

    /// The value of the option depended on, which chooses among defaults and ranges.
    private struct Match {
        let option: String
        let value: String
    }

    private func unmet(
        _ display: String, _ dependency: OptionDefinition.Dependency, _ other: OptionDefinition, _ index: Int,
        isUnset: Bool
    ) -> BackupError {
        var condition = "'\(other.displayName(index))'"
        if !isUnset, !dependency.values.isEmpty {
            if other.type == .bool {
                if dependency.values == ["n"] { condition = "'no-\(other.displayName(index))'" }
            } else {
                let list = dependency.values.map { "'\($0)'" }.joined(separator: ", ")
                condition += dependency.values.count == 1 ? " = \(list)" : " in (\(list))"
            }
        }
        return BackupError(.optionInvalid, "option '\(display)' not valid without option \(condition)")
    }

    private func defaultText(_ definition: OptionDefinition, _ match: Match?) -> String? {
        switch definition.defaultValue(for: command) {
        case nil: nil
        case .text(let text): text
        case .programPath: programPath
        case .byDependency(let cases): cases.first { $0.when == match?.value }?.value
        }
    }

    private mutating func fill(
        _ result: inout ResolvedOption, _ definition: OptionDefinition, _ display: String, _ option: GivenOption,
        _ match: Match?
    ) throws(BackupError) {
        result.source = option.source
        if definition.flags.contains(.secure) {
            result.value = .secret(Secret(try checkedText(option.values.first ?? "", definition, display)))
            return
        }
        switch definition.type {
        case .bool:
            result.value = .bool(!option.isNegated)
            result.text = option.isNegated ? "n" : "y"
        case .list:
            result.value = .list(option.values)
        case .keys:
            try checkKeys(option.values, definition, display)
            result.value = .list(option.values)
        case .hash:
            result.value = .pairs(try pairs(option.values, display))
        default:
            let text = try checkedText(option.values.first ?? "", definition, display)
            guard let value = OptionValue.scalar(text, type: definition.type) else {
                throw BackupError(.optionInvalidValue, "'\(text)' is not valid for '\(display)' option")
            }
            if case .number(let number) = value { try checkRange(number, text, definition, display, match) }
            try checkAllowed(value, text, definition, display)
            result.value = value
            result.text = text
        }
    }

    private func checkKeys(
        _ values: [String], _ definition: OptionDefinition, _ display: String
    ) throws(BackupError) {
        let words = definition.allowed(for: command)
        if values.count > 1 {
            if words.isEmpty {
                throw BackupError(.optionInvalid, "option '\(display)' cannot be set multiple times")
            }
            if let word = values.first(where: words.contains) {
                throw BackupError(
                    .optionInvalidValue, "'\(word)' must be the only value of the '\(display)' option")
            }
        }
        for text in values where !words.contains(text) {
            guard let number = Int64(text) else {
                throw BackupError(.optionInvalidValue, "'\(text)' is not valid for '\(display)' option")
            }
            try checkRange(number, text, definition, display, nil)
        }
    }

    private mutating func pairs(_ values: [String], _ display: String) throws(BackupError) -> [OptionValue.Pair] {
        var pairs: [OptionValue.Pair] = []
        for text in values {
            guard let equals = text.firstIndex(of: "=") else {
                throw BackupError(
                    .optionInvalid, "key/value '\(text)' not valid for '\(display)' option",
                    hint: "it should be key=value")
            }
            let pair = OptionValue.Pair(
                key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
            if let place = pairs.firstIndex(where: { $0.key == pair.key }) {
                warnings.append(
                    "key '\(pair.key)' value '\(pairs[place].value)' is overwritten with '\(pair.value)' "
                        + "for '\(display)' option")
                pairs[place].value = pair.value
            } else {
                pairs.append(pair)
            }
        }
        return pairs
    }

    private func checkedText(
        _ text: String, _ definition: OptionDefinition, _ display: String
    ) throws(BackupError) -> String {
        guard definition.type == .path || definition.type == .string else { return text }
        guard !text.isEmpty else {
            throw BackupError(.optionInvalidValue, "'' must be >= 1 character for '\(display)' option")
        }
        if definition.name == .stanza, text.contains("/") || text == "." || text == ".." {
            throw BackupError(
                .optionInvalidValue, "'\(text)' is not valid for 'stanza' option",
                hint: "the name of a stanza is the name of a directory in the repository")
        }
        guard definition.type == .path else { return text }
        guard text.hasPrefix("/") else {
            throw BackupError(.optionInvalidValue, "'\(text)' must begin with / for '\(display)' option")
        }
        let bytes = text.utf8
        if zip(bytes, bytes.dropFirst()).contains(where: { $0 == UInt8(ascii: "/") && $1 == $0 }) {
            throw BackupError(.optionInvalidValue, "'\(text)' cannot contain // for '\(display)' option")
        }
        return text.hasSuffix("/") && bytes.count > 1 ? String(text.dropLast()) : text
    }

    private func checkRange(
        _ number: Int64, _ text: String, _ definition: OptionDefinition, _ display: String, _ match: Match?
    ) throws(BackupError) {
        for range in definition.ranges where range.when == nil || range.when == match?.value {
            let type = definition.type == .keys ? .integer : definition.type
            guard case .number(let minimum)? = OptionValue.scalar(range.minimum, type: type),
                case .number(let maximum)? = OptionValue.scalar(range.maximum, type: type),
                number < minimum || number > maximum
            else { continue }
            var message = "'\(text)' is out of range for '\(display)' option"
            if range.when != nil, let match { message += " when '\(match.option)' option = '\(match.value)'" }
            throw BackupError(
                .optionInvalidValue, message,
                hint: "allowed range is \(range.minimum) to \(range.maximum) inclusive")
        }
    }

    private func checkAllowed(
        _ value: OptionValue, _ text: String, _ definition: OptionDefinition, _ display: String
    ) throws(BackupError) {
        let allowed = definition.allowed(for: command)
        guard !allowed.isEmpty, !allowed.contains(where: { OptionValue.scalar($0, type: definition.type) == value })
        else { return }
        throw BackupError(
            .optionInvalidValue, "'\(text)' is not allowed for '\(display)' option",
            hint: "allowed values are " + allowed.map { "'\($0)'" }.joined(separator: ", "))
    }

    private func checkSupport(
        _ definition: OptionDefinition, _ display: String, _ result: ResolvedOption, _ match: Match?
    ) throws(BackupError) {
        let subject: String
        switch definition.support(for: command) {
        case .supported, .accepted:
            guard let text = result.text, definition.unsupportedValues(for: command).contains(text) else { return }
            subject = "option '\(display)' = '\(text)'"
        case .notYet, .never:
            if let text = defaultText(definition, match),
                OptionValue.scalar(text, type: definition.type) == result.value
            {
                return
            }
            subject = "option '\(display)'"
        }
        throw BackupError(
            .featureNotSupported, "\(subject) is known but not supported by this version of Permafrost",
            hint: definition.reasonForRefusal)
    }
}

extension OptionDefinition {
    /// Whether a value from a file is one of this option; what other options make of it is not asked.
    func check(_ value: String, _ index: Int?) throws(BackupError) {
        guard let command = Command.allCases.first(where: { isValid(for: $0) }) else { return }
        let display = displayName(index)
        guard !value.isEmpty else { throw BackupError(.optionInvalidValue, "option '\(display)' must have a value") }
        var given = GivenOption(values: [value], source: .file)
        if type == .bool {
            guard value == "y" || value == "n" else {
                throw BackupError(.optionInvalidValue, "boolean option '\(display)' must be 'y' or 'n'")
            }
            given.isNegated = value == "n"
            given.values = []
        }
        var resolver = OptionResolver(checking: command)
        try resolver.check(given, self, display)
    }
}

extension OptionResolver {
    fileprivate init(checking command: Command) {
        self.command = command
        programPath = ""
        given = [:]
    }

    fileprivate mutating func check(
        _ given: GivenOption, _ definition: OptionDefinition, _ display: String
    ) throws(BackupError) {
        var result = ResolvedOption()
        try fill(&result, definition, display, given, nil)
        try checkSupport(definition, display, result, nil)
    }
}
