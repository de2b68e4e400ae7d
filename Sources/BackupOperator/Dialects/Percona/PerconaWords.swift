import BackupModel
import HTTP

/// `options` of a backup or a restore: words as a shell would make them, of which nothing is expanded, read by the
/// engine's own table.
enum PerconaWords {
    private static let own: [OptionName: String] = [
        .repo: "the repository is spec.repoName", .stanza: "the stanza is always \(OperatorNames.stanza)",
        .pgPath: "it is where the image has it", .inPlace: "it always is", .dryRun: "an object asks for the real thing",
        .output: "its log is a text",
        .targetAction: "the restored database always becomes the primary",
    ]

    /// Of a backup or a restore: `options`, and what `containerOptions` says of the engine, which counts where the former
    /// say nothing, as an environment does.
    static func options(of spec: ServiceJSON?) throws(Refusal) -> [OptionName: [String]] {
        let given = try options((spec?["options"]?.elements ?? []).compactMap(\.string))
        return try environment(spec?["containerOptions"]).merging(given) { _, given in given }
    }

    /// Variables are options of the engine for this run. The pods that they are written for do no work themselves, so that
    /// other ones would have no effect.
    private static func environment(_ json: ServiceJSON?) throws(Refusal) -> [OptionName: [String]] {
        let path = "spec.containerOptions"
        if let source = json?["envFrom"], !source.isEmpty {
            throw Refusal(
                "OptionInvalid",
                "\(path).envFrom: variables are options of this run, and are written out under env")
        }
        if let other = json?.members.keys.sorted().first(where: { $0 != "env" && $0 != "envFrom" }) {
            throw Refusal("OptionInvalid", "\(path).\(other): it is not known")
        }
        var found: [OptionName: [String]] = [:]
        for (place, variable) in (json?["env"]?.elements ?? []).enumerated() {
            let path = "\(path).env[\(place)]"
            let name = variable["name"]?.string ?? ""
            guard let prefix = ["PGBACKREST_", "PERMAFROST_"].first(where: name.hasPrefix) else {
                throw Refusal(
                    "OptionInvalid",
                    "\(path): nothing comes of variable '\(name)': those of options are, such as PGBACKREST_PROCESS_MAX"
                )
            }
            guard variable["valueFrom"] == nil, let value = variable["value"]?.string else {
                throw Refusal("OptionInvalid", "\(path): variable '\(name)' must have its value here")
            }
            let option = name.dropFirst(prefix.utf8.count).lowercased().replacing("_", with: "-")
            do throws(Refusal) {
                found.merge(try options(["--\(option)=\(quoted(value))"])) { _, last in last }
            } catch {
                throw Refusal(error.reason, "\(path): \(error.message.dropFirst("spec.options: ".utf8.count))")
            }
        }
        return found
    }

    private static func quoted(_ value: String) -> String { "'" + value.replacing("'", with: "'\\''") + "'" }

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
