/// What a shell may offer for the last of the words behind `kubectl permafrost`; kubectl asks
/// `kubectl_complete-permafrost` for it.
package enum PluginCompletion: Sendable, Equatable {
    package struct Word: Sendable, Equatable {
        package var text: String
        package var help: String

        package init(_ text: String, _ help: String = "") {
            self.text = text
            self.help = help
        }
    }

    case words([Word])
    /// Names that the API server has; the arguments say which one.
    case clusters(PluginArguments)
    case files

    /// - Parameter words: the last is the one that is being typed, and may be empty.
    package init(_ words: [String]) {
        let typed = words.last ?? ""
        var command: PluginArguments.Command?
        var parameters = 0
        var awaited: PluginArguments.Option?
        for word in words.dropLast() {
            if awaited != nil {
                awaited = nil
            } else if word.hasPrefix("-") {
                if !word.contains("="), let option = Self.option(word), option.value != nil { awaited = option }
            } else {
                if parameters == 0 { command = PluginArguments.Command(rawValue: word) }
                parameters += 1
            }
        }
        if let awaited {
            self = Self.values(awaited, command, typed, before: "")
        } else if typed.hasPrefix("--"), let equals = typed.firstIndex(of: "="), let option = Self.option(typed) {
            let rest = String(typed[typed.index(after: equals)...])
            self = Self.values(option, command, rest, before: String(typed[...equals]))
        } else if typed.hasPrefix("-") {
            let valid = PluginArguments.options.filter { option in command.map(option.isValid) ?? true }
            self = .words(valid.map { Word("--\($0.name)", $0.help) }.filter { $0.text.hasPrefix(typed) })
        } else if parameters == 0 {
            self = .words(
                PluginArguments.Command.allCases.filter { $0.rawValue.hasPrefix(typed) }
                    .map { Word($0.rawValue, PluginHelp.summary(of: $0)) })
        } else if parameters == 1, let command, command != .version,
            // Any name stands for the one that is missing.
            let arguments = try? PluginArguments(words.dropLast() + ["any"])
        {
            self = .clusters(arguments)
        } else {
            self = .words([])
        }
    }

    /// As it is written, with or without a value.
    private static func option(_ word: String) -> PluginArguments.Option? {
        let name = word.drop { $0 == "-" }.prefix { $0 != "=" }
        return PluginArguments.options.first {
            word.hasPrefix("--") ? $0.name == name : $0.letter.map { name == "\($0)" } ?? false
        }
    }

    private static func values(
        _ option: PluginArguments.Option, _ command: PluginArguments.Command?, _ typed: String, before: String
    ) -> PluginCompletion {
        let values: [String]
        switch option.name {
        case "kubeconfig": return .files
        case "output": values = command == .status ? ["json", "yaml"] : ["json", "name", "yaml"]
        case "type": values = ["full", "diff", "incr"]
        case "repo": values = ["repo1", "repo2", "repo3", "repo4"]
        default: values = []
        }
        return .words(values.filter { $0.hasPrefix(typed) }.map { Word(before + $0) })
    }
}
