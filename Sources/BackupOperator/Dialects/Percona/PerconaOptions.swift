import BackupModel
import HTTP
import Jobs

/// `backups.pgbackrest.global`: options of the engine, sorted by whom they are for.
struct PerconaOptions: Sendable {
    /// Of no single repository.
    var engine: [String: String] = [:]
    /// By repository, without `repoN-`.
    var repositories: [Int: [String: String]] = [:]
    /// What a repository cannot be used with.
    var faults: [Int: Refusal] = [:]
    var unsupported: [UnsupportedField] = []

    /// - Parameters:
    ///   - places: what the repositories' own fields say, by key.
    ///   - path: of the options, for messages.
    /// - Throws: where to leave one out would cost secrecy.
    init(_ global: ServiceJSON?, places: [Int: [String: String]], at path: String) throws(Refusal) {
        for (key, json) in (global?.members ?? [:]).sorted(by: { $0.key < $1.key }) {
            let place = "\(path).\(key)"
            guard case .text(let value) = json else {
                unsupported.append(UnsupportedField(place, "the value must be a text: put it between quotation marks"))
                continue
            }
            do throws(BackupError) {
                add(try FileOption(key, value), value, places, place)
            } catch {
                let text = error.message + (error.hint.map { "; \($0)" } ?? "")
                if key.contains("cipher") {
                    throw Refusal(
                        "OptionInvalid", "\(place): \(text). Nothing is uploaded, since it would lie there unencrypted")
                }
                if let number = Percona.key(String(key.prefix { $0 != "-" })), error.code == .optionInvalidValue,
                    places[number] != nil
                {
                    faults[number] = faults[number] ?? Refusal("OptionInvalid", "\(place): \(text)")
                } else {
                    unsupported.append(UnsupportedField(place, text))
                }
            }
        }
    }

    private mutating func add(
        _ option: FileOption, _ value: String, _ places: [Int: [String: String]], _ path: String
    ) {
        if let key = option.index, let place = places[key], ReservedOptions.isPlace(option) {
            if place[option.ownName] == value { return }
            unsupported.append(UnsupportedField(path, "the repository's own fields say otherwise"))
            return
        }
        if let refusal = ReservedOptions.refusal(option) {
            unsupported.append(UnsupportedField(path, refusal))
            return
        }
        if Self.isSecret(option, value) {
            unsupported.append(
                UnsupportedField(path, "it must not lie in the open: put it into a Secret that configuration names"))
            return
        }
        guard let key = option.index else {
            engine[option.name.rawValue] = value
            return
        }
        guard places[key] != nil else {
            unsupported.append(UnsupportedField(path, "there is no repo\(key)"))
            return
        }
        repositories[key, default: [:]][option.ownName] = value
    }

    private static func isSecret(_ option: FileOption, _ value: String) -> Bool {
        switch option.name {
        // Names; of a file the other.
        case .repoAzureAccount, .repoAzureEndpoint: false
        case .repoGcsKey: !value.hasPrefix("/")
        default: option.isSecret
        }
    }
}

/// `options` of a backup: words as a shell would make them, of which nothing is expanded, read by the engine's own table.
struct PerconaBackupOptions: Sendable {
    var kind = WantedSchedule.Kind.incr
    /// For the run, without dashes.
    var options: [(name: String, value: String)] = []

    private static let own: [OptionName: String] = [
        .repo: "the repository is spec.repoName", .stanza: "the stanza is always \(OperatorNames.stanza)",
    ]

    init(_ texts: [String]) throws(Refusal) {
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
        try take(texts)
    }

    private mutating func take(_ texts: [OptionName: [String]]) throws(Refusal) {
        var asked: [JobRequest.Option] = []
        for (name, values) in texts.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            asked.append(JobRequest.Option(name, .texts(values)))
        }
        do throws(BackupError) {
            _ = try JobRequest(.backup, stanza: OperatorNames.stanza, options: asked)
            for (name, values) in texts where OptionTable.definition(name)?.isRepeatable == false && name != .type {
                for value in values { _ = try FileOption(name.rawValue, value) }
            }
        } catch {
            throw Self.refusal(error.message + (error.hint.map { "; \($0)" } ?? ""))
        }
        for option in asked {
            guard case .texts(let values) = option.value else { continue }
            for value in values {
                if option.name == .type {
                    guard let type = WantedSchedule.Kind(rawValue: value) else {
                        throw Self.refusal("'\(value)' is no type of a backup: full, diff and incr are")
                    }
                    kind = type
                    continue
                }
                if option.name == .annotation {
                    guard value.contains("="), !value.hasPrefix("=") else {
                        throw Self.refusal("annotation '\(value)' is not written as key=value")
                    }
                    let key = value.prefix { $0 != "=" }
                    guard key != OperatorNames.backupUID, !key.hasPrefix("percona.com/") else {
                        throw Self.refusal("annotation '\(key)' is the operator's")
                    }
                }
                options.append((option.name.rawValue, value))
            }
        }
    }

    private static func reason(_ name: String) -> String {
        do throws(BackupError) {
            _ = try FileOption(name, "1")
        } catch {
            if error.message.hasPrefix("there is no option") {
                return error.message + (error.hint.map { "; \($0)" } ?? "")
            }
        }
        return "option '--\(name)' is not allowed for a backup: the operator's configuration says it"
    }

    private static func refusal(_ text: String) -> Refusal { Refusal("OptionInvalid", "spec.options: \(text)") }

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
