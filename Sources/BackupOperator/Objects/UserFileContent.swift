import BackupModel
import HTTP

/// What of users' files the engine is given, by the names of the files, and what is wrong with the rest. A value is never
/// told of.
struct UserFileContent: Sendable, Equatable {
    private(set) var files: [String: [UInt8]] = [:]
    private(set) var faults: [Refusal] = []
    /// Sections and options that are set already, with their values: given again they would be refused by the engine.
    private var taken: [String: String]
    private let stanza: String

    /// - Parameters:
    ///   - texts: files of configuration that are there already.
    ///   - entries: of a Secret or ConfigMap; nil when there is none.
    init(
        _ wanted: UserFiles, beside texts: [String], stanza: String = OperatorNames.stanza,
        entries: (UserFiles.Source) -> [String: [UInt8]]?
    ) {
        taken = [:]
        self.stanza = stanza
        for text in texts {
            for case .option(let section, let key, let value) in Self.lines(text) { taken["\(section) \(key)"] = value }
        }
        for source in wanted.sources {
            guard let present = entries(source) else {
                if !source.isOptional {
                    let reason = source.kind == .secret ? "SecretMissing" : "ConfigMapMissing"
                    faults.append(Refusal(reason, "there is no \(source.shown)", isTemporary: true))
                }
                continue
            }
            let items = source.items ?? present.keys.sorted().map { UserFiles.Item(key: $0, file: $0) }
            for item in items { add(item, of: source, present[item.key]) }
        }
        // Only now is it known which file of a name counts.
        for name in files.keys.sorted() where name.hasSuffix(".conf") {
            files[name] = filtered(files[name] ?? [], name)
        }
    }

    private mutating func add(_ item: UserFiles.Item, of source: UserFiles.Source, _ bytes: [UInt8]?) {
        guard let bytes else {
            if !source.isOptional {
                faults.append(
                    Refusal("EntryMissing", "there is no entry '\(item.key)' in \(source.shown)", isTemporary: true))
            }
            return
        }
        guard Self.isFileName(item.file) else {
            faults.append(
                Refusal(
                    "FileNameInvalid", "'\(item.file)' of \(source.shown) cannot be a file in conf.d: it has no folders"
                ))
            return
        }
        files[item.file] = bytes
    }

    /// As keys of Secrets can be.
    private static func isFileName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 253 && !name.hasPrefix("..") && name != "."
            && name.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    private mutating func filtered(_ bytes: [UInt8], _ name: String) -> [UInt8] {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            faults.append(Refusal("FileInvalid", "'\(name)' is no text"))
            return []
        }
        var kept: [String] = []
        var lastSection = ""
        for line in Self.lines(text) {
            switch line {
            case .option(let section, let key, let value):
                if let fault = refusal(section, key, value) {
                    if !fault.isEmpty {
                        faults.append(Refusal("OptionRefused", "'\(name)': option '\(key)': \(fault)"))
                    }
                    continue
                }
                taken["\(section) \(key)"] = value
                if section != lastSection { kept.append("[\(section)]") }
                lastSection = section
                kept.append("\(key)=\(value)")
            case .invalid(let number, let what):
                faults.append(Refusal("FileInvalid", "'\(name)' line \(number): \(what)"))
            }
        }
        return Array((kept.joined(separator: "\n") + "\n").utf8)
    }

    /// nil when the line is the user's to write; empty when it says what holds anyway.
    private func refusal(_ section: String, _ key: String, _ value: String) -> String? {
        let parts = section.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, ["global", stanza].contains(parts[0]),
            parts.count == 1 || Command(rawValue: parts[1]) != nil
        else { return "it is in section '\(section)', and known are global and \(stanza)" }
        if let present = taken["\(section) \(key)"] { return present == value ? "" : "it is set already" }
        let option: FileOption
        do throws(BackupError) {
            option = try FileOption(key, value)
        } catch {
            // What is wrong with a value would show it.
            if error.code == .optionInvalidValue { return "the engine does not take its value" }
            return error.message + (error.hint.map { "; \($0)" } ?? "")
        }
        return ReservedOptions.refusal(option)
    }

    // MARK: Lines

    private enum Line {
        case option(section: String, key: String, value: String)
        case invalid(Int, String)
    }

    /// As the engine reads them.
    private static func lines(_ text: String) -> [Line] {
        var lines: [Line] = []
        var section: String?
        for (place, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = String(raw).trimmingSpaces
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("[") {
                section = line.hasSuffix("]") && line.count > 2 ? String(line.dropFirst().dropLast()) : nil
                if section == nil { lines.append(.invalid(place + 1, "a section is written as [name]")) }
                continue
            }
            guard let section else {
                lines.append(.invalid(place + 1, "it is in no section, such as [global]"))
                continue
            }
            guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
                lines.append(.invalid(place + 1, "it is no option=value"))
                continue
            }
            lines.append(
                .option(
                    section: section, key: String(line[..<equals]).trimmingSpaces,
                    value: String(line[line.index(after: equals)...]).trimmingSpaces))
        }
        return lines
    }
}
