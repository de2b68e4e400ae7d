package import BackupModel

/// What kubectl's plugin is asked for. Its options are kubectl's and few of its own, so they have a table of their own:
/// that of the engine has groups, sections and files, which mean nothing here.
package struct PluginArguments: Sendable, Equatable {
    package enum Command: String, Sendable, CaseIterable {
        case status, backup, restore, version
    }

    package enum Format: String, Sendable, CaseIterable {
        case json, yaml, name
    }

    /// nil for the help of all.
    package var command: Command?
    package var wantsHelp = false
    /// The only parameter; `sgcluster/shop` names the kind too.
    package var cluster: String?
    package var kind: ClusterKind?

    package var namespace: String?
    package var context: String?
    package var kubeconfig: String?
    package var output: Format?

    package var backup = BackupOrder()
    package var restore = RestoreOrder()
    package var waits = false
    package var isAgreed = false
    package var isTrial = false

    struct Option {
        var name: String
        var letter: Character?
        /// Of the value; nil for a switch.
        var value: String?
        var commands: [Command]
        var help: String

        func isValid(for command: Command) -> Bool { commands.contains(command) }
    }

    private static let everywhere: [Command] = [.status, .backup, .restore]

    static let options = [
        Option(
            name: "as", value: "NAME", commands: [.restore],
            help: "name of the cluster that is made (SGCluster; a PerconaPGCluster is restored in place)"),
        Option(
            name: "context", value: "NAME", commands: everywhere, help: "context of the configuration of kubectl"),
        Option(
            name: "dry-run", commands: [.restore], help: "show the plan and the object, and make nothing"),
        Option(name: "help", letter: "h", commands: Command.allCases, help: "show this text"),
        Option(name: "immediate", commands: [.restore], help: "to the end of the backup, without more WAL"),
        Option(name: "kubeconfig", value: "FILE", commands: everywhere, help: "configuration of kubectl"),
        Option(name: "lsn", value: "POSITION", commands: [.restore], help: "to a position in WAL, such as 0/5000028"),
        Option(name: "name", value: "NAME", commands: [.restore], help: "to a named restore point"),
        Option(
            name: "namespace", letter: "n", value: "NAME", commands: everywhere,
            help: "namespace of the cluster [default=that of the context]"),
        Option(
            name: "output", letter: "o", value: "FORMAT", commands: everywhere,
            help: "json or yaml; of backup and restore, name or what was made as json or yaml"),
        Option(
            name: "repo", value: "NAME", commands: [.backup, .restore],
            help: "repository: its number as repo2, or the name of its SGObjectStorage"),
        Option(
            name: "set", value: "NAME", commands: [.restore],
            help: "backup, by the name of its object or by that in the repository [default=the newest that fits]"),
        Option(
            name: "time", value: "TIME", commands: [.restore],
            help: "to a moment, such as 2026-01-31T10:45:00Z or '2026-01-31 10:45:00+00'"),
        Option(
            name: "type", value: "TYPE", commands: [.backup],
            help: "full, diff or incr (an SGBackup is always full) [default=incr]"),
        Option(name: "wait", commands: [.backup, .restore], help: "follow it to its end, and fail if it does"),
        Option(name: "yes", letter: "y", commands: [.restore], help: "do not ask"),
    ]

    /// - Parameter words: without the program's name.
    package init(_ words: [String]) throws(BackupError) {
        var parameters: [String] = []
        var given: [String: String] = [:]
        var place = 0
        while place < words.count {
            let word = words[place]
            place += 1
            guard word.hasPrefix("-"), word != "-" else {
                parameters.append(word)
                continue
            }
            let (option, shown, inline) = try Self.option(word)
            guard given[option.name] == nil else {
                throw BackupError(.optionInvalid, "option '\(shown)' is given twice")
            }
            if option.value == nil {
                guard inline == nil || ["true", "false"].contains(inline) else {
                    throw BackupError(
                        .optionInvalidValue, "option '\(shown)' is a switch, and has no value '\(inline ?? "")'")
                }
                given[option.name] = inline ?? "true"
            } else if let inline {
                given[option.name] = inline
            } else {
                guard place < words.count else {
                    throw BackupError(.optionInvalidValue, "option '\(shown)' has no value", hint: "write it behind")
                }
                given[option.name] = words[place]
                place += 1
            }
            if option.value != nil, given[option.name]?.isEmpty != false {
                throw BackupError(.optionInvalidValue, "option '\(shown)' has an empty value")
            }
        }
        wantsHelp = given["help"] == "true"
        try take(parameters)
        try take(given)
    }

    /// - Returns: the option, as it was written, and the value that is in the same word.
    private static func option(_ word: String) throws(BackupError) -> (Option, String, String?) {
        if word.hasPrefix("--") {
            let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts.first ?? "")
            guard let option = options.first(where: { $0.name == name }) else {
                let near = closest(to: name, in: options.map(\.name)).map { "did you mean '--\($0)'?" }
                throw BackupError(
                    .optionInvalid, "option '--\(name)' does not exist",
                    hint: near ?? "'kubectl permafrost --help' lists what there is")
            }
            return (option, "--\(name)", parts.count > 1 ? String(parts[1]) : nil)
        }
        let letter = word.dropFirst().first
        guard let letter, let option = options.first(where: { $0.letter == letter }) else {
            let known = options.compactMap { option in option.letter.map { "-\($0)" } }.joined(separator: ", ")
            throw BackupError(
                .optionInvalid, "option '\(word.prefix(2))' does not exist", hint: "those of one letter are \(known)")
        }
        var rest = word.dropFirst(2)
        if rest.isEmpty { return (option, "-\(letter)", nil) }
        if rest.first == "=" { rest = rest.dropFirst() }
        return (option, "-\(letter)", String(rest))
    }

    private mutating func take(_ parameters: [String]) throws(BackupError) {
        var rest = parameters[...]
        if rest.first == "help" {
            wantsHelp = true
            rest = rest.dropFirst()
        }
        guard let name = rest.popFirst() else {
            // Called with nothing it tells what it can do.
            wantsHelp = true
            return
        }
        guard let command = Command(rawValue: name) else {
            throw BackupError(
                .commandInvalid, "invalid command '\(name)' for kubectl permafrost",
                hint: closest(to: name, in: Command.allCases.map(\.rawValue)).map { "did you mean '\($0)'?" }
                    ?? "'kubectl permafrost --help' lists the commands")
        }
        self.command = command
        if wantsHelp { return }
        if let text = rest.popFirst() { try takeCluster(text) }
        guard rest.isEmpty, command != .version || cluster == nil else {
            throw BackupError(
                .parameterInvalid, "'\(command.rawValue)' takes one cluster\(command == .status ? " at most" : "")",
                hint: "there is too much: '\(parameters.last ?? "")'")
        }
        if cluster == nil, command == .backup || command == .restore {
            throw BackupError(
                .parameterRequired, "'\(command.rawValue)' needs the name of a cluster",
                hint: "'kubectl permafrost status' lists those of the namespace")
        }
    }

    private mutating func takeCluster(_ text: String) throws(BackupError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if parts.count > 1 {
            guard let kind = ClusterKind(word: parts[0]) else {
                throw BackupError(
                    .parameterInvalid, "'\(parts[0])' is no kind of clusters",
                    hint: "there are sgcluster/NAME and perconapgcluster/NAME")
            }
            self.kind = kind
        }
        let name = parts.last ?? ""
        guard ClusterName.isValid(name) else { throw ClusterName.fault(name) }
        cluster = name
    }

    private mutating func take(_ given: [String: String]) throws(BackupError) {
        if wantsHelp { return }
        for option in Self.options where given[option.name] != nil {
            guard let command, !option.isValid(for: command) else { continue }
            let valid = option.commands.map(\.rawValue).joined(separator: ", ")
            throw BackupError(
                .optionInvalid, "option '--\(option.name)' is not valid for command '\(command.rawValue)'",
                hint: "it is one of \(valid)")
        }
        namespace = given["namespace"]
        if let namespace, namespace.wholeMatch(of: #/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/#) == nil {
            throw BackupError(.optionInvalidValue, "'\(namespace)' is no name of a namespace")
        }
        context = given["context"]
        kubeconfig = given["kubeconfig"]
        if let text = given["output"] {
            let allowed = Format.allCases.filter { command != .status || $0 != .name }.map(\.rawValue)
            guard allowed.contains(text), let format = Format(rawValue: text) else {
                throw BackupError(
                    .optionInvalidValue, "'\(text)' is not allowed for option '--output'",
                    hint: "allowed are \(allowed.joined(separator: ", "))")
            }
            output = format
        }
        if let type = given["type"], !["full", "diff", "incr"].contains(type) {
            throw BackupError(
                .optionInvalidValue, "'\(type)' is not allowed for option '--type'",
                hint: "allowed are full, diff, incr")
        }
        waits = given["wait"] == "true"
        isAgreed = given["yes"] == "true"
        isTrial = given["dry-run"] == "true"
        backup = BackupOrder(repository: given["repo"], type: given["type"])
        restore = RestoreOrder(backup: given["set"], repository: given["repo"], newName: given["as"])
        var targets: [(String, RestoreOrder.Target)] = []
        if given["immediate"] == "true" { targets.append(("--immediate", .immediate)) }
        if let lsn = given["lsn"] { targets.append(("--lsn", .lsn(lsn))) }
        if let name = given["name"] { targets.append(("--name", .name(name))) }
        if let time = given["time"] { targets.append(("--time", .time(time))) }
        guard targets.count <= 1 else {
            throw BackupError(
                .optionInvalid, "\(targets.map(\.0).joined(separator: " and ")) say different moments",
                hint: "give one of them")
        }
        if let target = targets.first { restore.target = target.1 }
        if waits, isTrial { throw BackupError(.optionInvalid, "--wait and --dry-run do not go together") }
    }
}
