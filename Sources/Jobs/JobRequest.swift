package import BackupModel
package import HTTP
package import Telemetry

/// What a client wants done. One that exists is allowed: an option that is none of a client's makes none.
///
/// As JSON: `{"command":"backup","stanza":"main","options":{"type":"full","start-fast":true,"annotation":["a=b"]},
/// "log-level":"info","key":"nightly-2026-11-21"}`; only the first two must be there.
package struct JobRequest: Sendable, Equatable {
    package struct Option: Sendable, Equatable {
        package enum Value: Sendable, Equatable {
            case flag(Bool)
            /// One, or several of an option that is repeatable.
            case texts([String])
        }
        package var name: OptionName
        package var value: Value

        package init(_ name: OptionName, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    package let command: JobCommand
    package let stanza: String
    /// By name, each once.
    package let options: [Option]
    /// How much the job's log tells; `info` at least, whose last line says how the job ended.
    package let logLevel: LogLevel
    /// The client's own name for the request: made again with the same one, it is the same job.
    package let key: String?

    package static let sizeLimit = 64 << 10
    private static let textLimit = 4096
    private static let nameLimit = 128
    private static let valueLimit = 1000

    /// - Throws: `.commandInvalid`, `.optionInvalid` or `.optionInvalidValue` for what a client may not ask for.
    package init(
        _ command: Command, stanza: String, options: [Option] = [], logLevel: LogLevel = .info, key: String? = nil
    ) throws(BackupError) {
        try self.init(
            named: command.rawValue, stanza: stanza,
            options: options.map { (name: $0.name.rawValue, value: $0.value) }, logLevel: logLevel, key: key)
    }

    private init(
        named name: String, stanza: String, options: [(name: String, value: Option.Value)], logLevel: LogLevel,
        key: String?
    ) throws(BackupError) {
        guard let command = JobCommand.named(name) else {
            let known = JobCommand.all.map { "'\($0.command.rawValue)'" }.joined(separator: ", ")
            throw BackupError(
                .commandInvalid, "'\(Self.shown(name))' is no command for a job",
                hint: "a job may be one of \(known)")
        }
        try Self.checkStanza(stanza)
        if let key { try Self.check(key, "key", limit: Self.nameLimit) }
        self.command = command
        self.stanza = stanza
        self.logLevel = logLevel
        self.key = key
        var checked: [Option] = []
        for (name, value) in options { checked.append(try Self.option(name, value, command)) }
        checked.sort { $0.name.rawValue < $1.name.rawValue }
        for (one, next) in zip(checked, checked.dropFirst()) where one.name == next.name {
            throw BackupError(.optionInvalid, "option '\(one.name.rawValue)' cannot be set multiple times")
        }
        self.options = checked
    }

    /// The words after the program's name that run it, but for those of the log.
    package var words: [String] {
        ["--\(OptionName.stanza.rawValue)=\(stanza)"]
            + options.flatMap { option in
                switch option.value {
                case .flag(let flag): ["--\(option.name.rawValue)=\(flag ? "y" : "n")"]
                case .texts(let texts): texts.map { "--\(option.name.rawValue)=\($0)" }
                }
            } + [command.command.rawValue]
    }

    // MARK: JSON

    package init(_ bytes: [UInt8]) throws(BackupError) {
        guard bytes.count <= Self.sizeLimit else {
            throw BackupError(.jsonFormat, "a request for a job has \(Self.sizeLimit) bytes at most")
        }
        guard let json = ServiceJSON(bytes) else {
            throw BackupError(.jsonFormat, "the request for a job is no JSON object")
        }
        try self.init(json)
    }

    package init(_ json: ServiceJSON) throws(BackupError) {
        guard case .object(let members) = json else {
            throw BackupError(.jsonFormat, "the request for a job is no JSON object")
        }
        let known = ["command", "key", "log-level", "options", "stanza"]
        if let other = members.keys.first(where: { !known.contains($0) }) {
            throw BackupError(
                .jsonFormat, "'\(Self.shown(other))' is no member of a request for a job",
                hint: "its members are " + known.map { "'\($0)'" }.joined(separator: ", "))
        }
        func text(_ name: String) throws(BackupError) -> String? {
            switch members[name] {
            case .text(let text)?: return text
            case nil: return nil
            default: throw BackupError(.jsonFormat, "'\(name)' of a request for a job must be text")
            }
        }
        guard let command = try text("command"), let stanza = try text("stanza") else {
            throw BackupError(.jsonFormat, "a request for a job must have a 'command' and a 'stanza'")
        }
        var options: [(name: String, value: Option.Value)] = []
        switch members["options"] {
        case .object(let members)?:
            for (name, json) in members { options.append((name, try Self.value(json, name))) }
        case nil: break
        default: throw BackupError(.jsonFormat, "'options' of a request for a job must be an object")
        }
        var logLevel = LogLevel.info
        if let name = try text("log-level") {
            guard let level = LogLevel(rawValue: name) else {
                throw BackupError(.optionInvalidValue, "'\(Self.shown(name))' is not allowed for 'log-level'")
            }
            logLevel = level
        }
        try self.init(
            named: command, stanza: stanza, options: options, logLevel: logLevel, key: try text("key"))
    }

    package var json: ServiceJSON {
        var members: [String: ServiceJSON] = [
            "command": .text(command.command.rawValue), "log-level": .text(logLevel.rawValue), "stanza": .text(stanza),
        ]
        if let key { members["key"] = .text(key) }
        if !options.isEmpty {
            members["options"] = .object(
                Dictionary(
                    options.map { option in
                        switch option.value {
                        case .flag(let flag): (option.name.rawValue, .bool(flag))
                        case .texts(let texts):
                            (
                                option.name.rawValue,
                                texts.count == 1 ? .text(texts[0]) : .array(texts.map { .text($0) })
                            )
                        }
                    }, uniquingKeysWith: { $1 }))
        }
        return .object(members)
    }

    private static func value(_ json: ServiceJSON, _ name: String) throws(BackupError) -> Option.Value {
        if case .bool(let flag) = json { return .flag(flag) }
        if let text = json.string { return .texts([text]) }
        let texts = json.elements.compactMap(\.string)
        guard case .array(let elements) = json, elements.count == texts.count else {
            throw BackupError(
                .jsonFormat,
                "option '\(shown(name))' of a request for a job must be text, a number, true, false or a list of texts")
        }
        return .texts(texts)
    }

    // MARK: Checks

    private static func option(
        _ name: String, _ value: Option.Value, _ command: JobCommand
    ) throws(BackupError) -> Option {
        guard let option = command.options.first(where: { $0.rawValue == name }),
            let definition = OptionTable.definition(option)
        else {
            let known = command.options.map { "'\($0.rawValue)'" }.joined(separator: ", ")
            throw BackupError(
                .optionInvalid,
                "option '\(shown(name))' is not allowed for a job that runs '\(command.command.rawValue)'",
                hint: known.isEmpty
                    ? "it has no options: all is taken from the configuration of the host that runs the job"
                    : "allowed are \(known); all else is taken from the configuration of the host that runs the job")
        }
        switch (value, definition.type == .bool) {
        case (.flag, true): break
        case (.flag(let flag), false) where definition.flags.contains(.boolLike):
            return Option(option, .texts([flag ? "y" : "n"]))
        case (.texts(let texts), true):
            guard texts == ["y"] || texts == ["n"] else {
                throw BackupError(.optionInvalidValue, "boolean option '\(name)' must be true or false")
            }
            return Option(option, .flag(texts == ["y"]))
        case (.texts(let texts), false):
            guard !texts.isEmpty, texts.count == 1 || definition.isRepeatable, texts.count <= valueLimit else {
                throw BackupError(.optionInvalidValue, "option '\(name)' cannot have \(texts.count) values")
            }
            let allowed = definition.allowed(for: command.command)
            for text in texts {
                try check(text, "option '\(name)'", limit: textLimit)
                guard definition.type != .enumeration || allowed.contains(text) else {
                    throw BackupError(
                        .optionInvalidValue, "'\(shown(text))' is not allowed for '\(name)' option",
                        hint: "allowed are " + allowed.map { "'\($0)'" }.joined(separator: ", "))
                }
            }
        case (.flag, false):
            throw BackupError(.optionInvalidValue, "option '\(name)' cannot be true or false")
        }
        return Option(option, value)
    }

    /// It becomes part of paths, on the host and in repositories.
    /// - Throws: `.optionInvalidValue` for what is no name of a stanza.
    package static func checkStanza(_ stanza: String) throws(BackupError) {
        try check(stanza, "stanza", limit: nameLimit)
        guard !stanza.utf8.contains(UInt8(ascii: "/")), !stanza.hasPrefix("."), !stanza.hasPrefix("-") else {
            throw BackupError(.optionInvalidValue, "'\(shown(stanza))' is no name of a stanza")
        }
    }

    private static func check(_ text: String, _ what: String, limit: Int) throws(BackupError) {
        guard (1...limit).contains(text.utf8.count) else {
            throw BackupError(.optionInvalidValue, "\(what) must have 1 to \(limit) bytes")
        }
        guard !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
            throw BackupError(.optionInvalidValue, "\(what) has a control character")
        }
    }

    /// What a client sent, fit for an answer and a line of the log.
    private static func shown(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(64).map { $0.value < 0x20 ? "?" : $0 }))
    }
}
