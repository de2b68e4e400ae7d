import BackupModel

/// `options` of a backup or a restore: words as a shell would make them, of which nothing is expanded, read by the
/// engine's own table.
enum PerconaWords {
    private static let own: [OptionName: String] = [
        .repo: "the repository is spec.repoName", .stanza: "the stanza is always \(OperatorNames.stanza)",
        .pgPath: "it is where the image has it", .inPlace: "it always is", .dryRun: "an object asks for the real thing",
        .output: "its log is a text",
        .targetAction: "the restored database always becomes the primary",
    ]

    static func options(_ texts: [String]) throws(Refusal) -> [OptionName: [String]] {
        var words: [String] = []
        for text in texts { words += try Self.words(text) }
        var rest = words[...]
        var texts: [OptionName: [String]] = [:]
        while let word = rest.popFirst() {
            guard word.hasPrefix("--"), word.utf8.count > 2 else {
                throw Self.refusal("'\(word)' is no option, which begins with --")
            }
            let body = word.dropFirst(2)
            let equals = body.firstIndex(of: "=")
            let written = String(body[..<(equals ?? body.endIndex)])
            var value = equals.map { String(body[body.index(after: $0)...]) }
            let isNegated = OptionName(rawValue: written) == nil && written.hasPrefix("no-")
            let name = isNegated ? String(written.dropFirst(3)) : written
            if name.hasPrefix("log-level-") {
                // The log of the Job is what it is.
                if value == nil { rest = rest.dropFirst() }
                continue
            }
            guard let option = OptionName(rawValue: name), let definition = OptionTable.definition(option) else {
                throw Self.refusal(Self.reason(name))
            }
            if let reason = Self.own[option] { throw Self.refusal("option '--\(written)' is not allowed: \(reason)") }
            let isFlag = definition.type == .bool || definition.flags.contains(.boolLike)
            if isNegated || (isFlag && value == nil) {
                if isNegated, !isFlag || value != nil { throw Self.refusal("option '--\(written)' has no such form") }
                value = isNegated ? "n" : "y"
            } else if value == nil {
                value = rest.popFirst()
            }
            guard let value else { throw Self.refusal("option '--\(written)' has no value") }
            if !definition.isRepeatable, texts[option] != nil {
                throw Self.refusal("option '--\(written)' is there twice")
            }
            texts[option, default: []].append(value)
        }
        return texts
    }

    private static func reason(_ name: String) -> String {
        do throws(BackupError) {
            _ = try FileOption(name, "1")
        } catch {
            if error.message.hasPrefix("there is no option") {
                return error.message + (error.hint.map { "; \($0)" } ?? "")
            }
        }
        return "option '--\(name)' is not allowed here: the operator's configuration says it"
    }

    static func refusal(_ text: String) -> Refusal { Refusal("OptionInvalid", "spec.options: \(text)") }

    /// As POSIX has it: between ' all is itself; between " a backslash is one unless a ", a $, a ` or a backslash follows.
    static func words(_ text: String) throws(Refusal) -> [String] {
        guard !text.unicodeScalars.contains(where: { $0 == "\0" || $0 == "\n" || $0 == "\r" }) else {
            throw refusal("an option has a line feed or a null byte")
        }
        var words: [String] = []
        var word: String?
        var quote: Character?
        var rest = text[...]
        while let character = rest.popFirst() {
            switch (character, quote) {
            case ("'", "'"), ("\"", "\""): quote = nil
            case (_, "'"): word = (word ?? "") + String(character)
            case ("\\", _):
                guard let next = rest.popFirst() else { throw refusal("'\(text)' ends with a backslash") }
                let isPlain = quote == "\"" && !["\"", "\\", "$", "`"].contains(next)
                word = (word ?? "") + (isPlain ? "\\" : "") + String(next)
            case ("'", nil), ("\"", nil):
                quote = character
                word = word ?? ""
            case (" ", nil), ("\t", nil):
                if let word { words.append(word) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else { throw refusal("'\(text)' has a quotation mark that is not closed") }
        return words + (word.map { [$0] } ?? [])
    }
}
