/// What a shell may offer, made from the option table: the same for every shell.
struct CompletionTable {
    /// An option as it is typed; with a final `=` when a value follows.
    struct Candidate: Hashable {
        let text: String
        let summary: String

        static func == (left: Candidate, right: Candidate) -> Bool { left.text == right.text }
        func hash(into hasher: inout Hasher) { hasher.combine(text) }
    }

    /// Values of an option, for one command or, without one, wherever nothing else is said.
    struct Values {
        let command: Command?
        let option: String
        let words: [String]
    }

    let program: String
    let commands: [Command]
    /// Options of every command that works on repositories.
    let common: [Candidate]
    /// The other options of each command.
    let own: [(command: Command, options: [Candidate])]
    /// The options of all commands, for when the command is not typed yet.
    let any: [Candidate]
    /// Options that no value follows.
    let flags: [String]
    let values: [Values]
    /// Options whose value is a directory.
    let directories: [String]
    /// Options whose value is a file.
    let files: [String]

    init(program: String) {
        self.program = program
        commands = Command.allCases
        let lists = commands.map { command in (command: command, options: Self.options(of: command)) }
        let working = lists.filter { CommandSet.work.contains($0.command.asSet) }.map {
            Set($0.options.flatMap(\.candidates))
        }
        let shared = working.dropFirst().reduce(working.first ?? []) { $0.intersection($1) }
        common = shared.sorted { $0.text < $1.text }
        own = lists.map { list in
            let candidates = list.options.flatMap(\.candidates)
            let isWorking = CommandSet.work.contains(list.command.asSet)
            return (list.command, isWorking ? candidates.filter { !shared.contains($0) } : candidates)
        }
        let all = lists.flatMap { $0.options }
        any = Set(all.flatMap(\.candidates)).sorted { $0.text < $1.text }
        flags = any.map(\.text).filter { !$0.hasSuffix("=") }
        values = Self.values(lists.map { ($0.command, $0.options) })
        let named = Set(all.map(\.definition.name)).compactMap { OptionTable.definition($0) }
        directories = named.filter(\.isDirectory).map { "--\($0.displayName(1))" }.sorted()
        files = named.filter(\.isFile).map { "--\($0.displayName(1))" }.sorted()
    }

    /// An option of one command.
    private struct Offered {
        let definition: OptionDefinition
        let candidates: [Candidate]
        let words: [String]
    }

    private static func options(of command: Command) -> [Offered] {
        OptionTable.definitions.filter { $0.isOffered(for: command) && !$0.flags.contains(.secure) }.sorted {
            $0.name.rawValue < $1.name.rawValue
        }.map { option in
            let name = option.displayName(1)
            let summary = option.summary(for: command)
            var candidates = [Candidate(text: option.type == .bool ? "--\(name)" : "--\(name)=", summary: summary)]
            if option.isNegatable { candidates.append(Candidate(text: "--no-\(name)", summary: "not: \(summary)")) }
            let refused = option.unsupportedValues(for: command)
            return Offered(
                definition: option, candidates: candidates,
                words: option.allowed(for: command).filter { !refused.contains($0) })
        }
    }

    /// The most frequent words of an option are those for all commands, the others have a row of their own before it.
    private static func values(_ lists: [(command: Command, options: [Offered])]) -> [Values] {
        var byOption: [String: [(command: Command, words: [String])]] = [:]
        for (command, options) in lists {
            for option in options {
                byOption["--\(option.definition.displayName(1))", default: []].append((command, option.words))
            }
        }
        var rows: [Values] = []
        for (option, uses) in byOption.sorted(by: { $0.key < $1.key }) {
            var union: [String] = []
            for word in uses.flatMap(\.words) where !union.contains(word) { union.append(word) }
            if union.isEmpty { continue }
            for use in uses where use.words != union {
                rows.append(Values(command: use.command, option: option, words: use.words))
            }
            rows.append(Values(command: nil, option: option, words: union))
        }
        return rows
    }
}

/// The shells that `completion` writes a script for.
package enum Shell: String, CaseIterable, Sendable {
    case bash, zsh, fish

    /// Throws `.parameterRequired` and `.parameterInvalid`.
    package init(_ parameters: [String]) throws(BackupError) {
        let names = Shell.allCases.map(\.rawValue).joined(separator: ", ")
        guard let name = parameters.first else {
            throw BackupError(
                .parameterRequired, "completion requires the name of a shell", hint: "it is one of \(names)")
        }
        guard parameters.count == 1, let shell = Shell(rawValue: name) else {
            throw BackupError(
                .parameterInvalid, "completion knows no shell '\(parameters.joined(separator: " "))'",
                hint: "it is one of \(names)")
        }
        self = shell
    }

    /// The script, for the program as it was called.
    package func completion(programPath: String) -> String {
        let table = CompletionTable(program: String(programPath.split(separator: "/").last ?? "permafrost"))
        return switch self {
        case .bash: BashCompletion(table: table).script
        case .zsh: ZshCompletion(table: table).script
        case .fish: FishCompletion(table: table).script
        }
    }
}

extension OptionDefinition {
    fileprivate var isDirectory: Bool { type == .path && !isFile }
    fileprivate var isFile: Bool {
        name == .config || name == .cmd || name.rawValue.hasSuffix("-file")
    }
}

/// In single quotes for a shell of the Bourne family, and for fish.
func singleQuoted(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}
