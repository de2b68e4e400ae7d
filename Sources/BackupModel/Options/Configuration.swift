/// The options of one run, resolved: command line over environment over file over default, ranges and dependencies
/// checked. The only way in which the engine learns what was asked.
package struct Configuration: Sendable {
    package var command: Command
    package var role: CommandRole
    /// Of `job COMMAND`.
    package var job: JobWords?
    /// What follows the command: `archive-push %p`.
    package var parameters: [String]
    /// `argv[0]` as it was called; made absolute where it goes into `restore_command`.
    package var programPath: String
    /// To be logged once the log is open.
    package var warnings: [String]

    /// Where a value came from.
    package enum Source: Sendable { case defaultValue, file, environment, commandLine }

    var resolved: [OptionKey: ResolvedOption]
    var keys: [OptionDefinition.Group: [Int]]
    /// What it was made from, so that `check` and `info` can look at the next stanza.
    var inputs: Inputs

    struct Inputs: Sendable {
        var arguments: [String]
        var environment: [String: String]
        var sections: ConfigSections
        /// Of `arguments`, those that are options and their values.
        var optionWords: [String] = []
        var filePlan = ConfigFilePlan([:])
    }

    /// nil when unset and without a default. `index` is the `N` of `repoN-…` and `pgN-…`.
    package func string(_ option: OptionName, _ index: Int? = nil) -> String? {
        entry(option, index)?.text
    }

    /// nil when unset. ``string(_:_:)`` gives no secrets.
    package func secret(_ option: OptionName, _ index: Int? = nil) -> Secret<String>? {
        guard case .secret(let secret)? = entry(option, index)?.value else { return nil }
        return secret
    }

    /// Whether this run was given anything that must not be seen.
    package var hasSecrets: Bool {
        resolved.values.contains { if case .secret? = $0.value { true } else { false } }
    }

    /// Options of type bool; those unset without default are false, ask ``isSet(_:_:)`` to tell.
    package func bool(_ option: OptionName, _ index: Int? = nil) -> Bool {
        entry(option, index)?.value == .bool(true)
    }

    package func integer(_ option: OptionName, _ index: Int? = nil) -> Int? {
        number(option, index).flatMap { Int(exactly: $0) }
    }

    /// Bytes.
    package func size(_ option: OptionName, _ index: Int? = nil) -> UInt64? {
        number(option, index).flatMap { UInt64(exactly: $0) }
    }

    /// A size inside of a `key=value` option: bytes of `16MiB`, `16m` or `16777216`; nil when malformed.
    package static func byteCount(_ text: String) -> UInt64? { OptionValue.bytes(text).flatMap { UInt64(exactly: $0) } }

    package func duration(_ option: OptionName, _ index: Int? = nil) -> Duration? {
        number(option, index).map { .milliseconds($0) }
    }

    package func list(_ option: OptionName, _ index: Int? = nil) -> [String] {
        guard case .list(let elements)? = entry(option, index)?.value else { return [] }
        return elements
    }

    /// `key=value` options, in the order given.
    package func pairs(_ option: OptionName, _ index: Int? = nil) -> [(key: String, value: String)] {
        guard case .pairs(let pairs)? = entry(option, index)?.value else { return [] }
        return pairs.map { ($0.key, $0.value) }
    }

    package func source(_ option: OptionName, _ index: Int? = nil) -> Source {
        entry(option, index)?.source ?? .defaultValue
    }

    /// Given by someone, not the default.
    package func isSet(_ option: OptionName, _ index: Int? = nil) -> Bool { source(option, index) != .defaultValue }

    /// The `N`s of the repositories to work on, ascending; never empty for commands that use them. With `--repo` just
    /// those; without it the first for `backup` and all configured ones for the others.
    package var repositoryKeys: [Int] {
        let given = list(.repo)
        if given.isEmpty {
            return command == .backup ? Array(configuredRepositoryKeys.prefix(1)) : configuredRepositoryKeys
        }
        if given == ["all"] { return configuredRepositoryKeys }
        return Set(given.compactMap { Int($0) }).sorted()
    }
    /// Those that locks on this host and the expiry after a backup cover: without `--repo` all, as with pgBackRest.
    package var coveredRepositoryKeys: [Int] { isSet(.repo) ? repositoryKeys : configuredRepositoryKeys }
    package var postgresKeys: [Int] { integer(.pg).map { [$0] } ?? keys[.pg] ?? [1] }
    /// All `N`s, whatever `--repo` says.
    package var configuredRepositoryKeys: [Int] { keys[.repo] ?? [1] }

    /// Throws `.optionRequired` when absent.
    package func requiredStanza() throws(BackupError) -> String {
        guard let stanza = string(.stanza) else {
            throw BackupError(.optionRequired, "\(command.rawValue) command requires option: stanza")
        }
        return stanza
    }

    /// Names the run, unless its caller did: `PID-` and 8 hexadecimal digits. Shows in the log's begin line and in
    /// lock files.
    package mutating func setExecId(_ text: String) {
        guard command.readsConfiguration, !isSet(.execId) else { return }
        resolved[OptionKey(name: .execId, index: 0)] = ResolvedOption(
            value: .text(text), text: text, source: .commandLine)
    }

    private func number(_ option: OptionName, _ index: Int?) -> Int64? {
        guard case .number(let number)? = entry(option, index)?.value else { return nil }
        return number
    }

    /// Without an index, that of the first of the group.
    private func entry(_ option: OptionName, _ index: Int?) -> ResolvedOption? {
        // Asked for by the keys below, so looked up without its group.
        if option == .repo || option == .pg { return resolved[OptionKey(name: option, index: 0)] }
        let index =
            switch OptionTable.definition(option)?.group {
            case nil: 0
            case .repo?: index ?? repositoryKeys.first ?? 1
            case .pg?: index ?? postgresKeys.first ?? 1
            }
        return resolved[OptionKey(name: option, index: index)]
    }
}

/// Its inputs hold secrets: it is shown as the log's first line shows it.
extension Configuration: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { ([command.rawValue] + arguments()).joined(separator: " ") }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
