package import BackupModel
import Checksums
import RepositoryFormats
import RepositoryStorage
import StreamFilters

/// What verify remembers between runs, kept in the repository as `permafrost/<stanza>/verify`: how far a run with a time
/// budget came, when each part was last read from end to end, and what was found then.
///
/// Text of one record a line, fields parted by tabs, closed by the SHA-1 of all that stands before: a state that was
/// torn or changed by hand is no state, and verification starts anew.
package struct VerifyState: Sendable, Equatable {
    package struct Position: Sendable, Equatable {
        package var part: String
        /// The last object of the part that was read.
        package var object: String
        /// When reading of the part began, in seconds since 1970.
        package var since: Int64
    }
    package struct Part: Sendable, Equatable {
        /// When reading it from end to end began, in seconds since 1970.
        package var time: Int64
        /// The last name in a directory of WAL, which may get more.
        package var through: String
    }
    package struct Remembered: Sendable, Equatable {
        package var finding: VerifyFinding
        package var time: Int64
    }

    package var position: Position?
    /// By ``VerifyPart/key``.
    package var parts: [String: Part] = [:]
    package var findings: [String: [Remembered]] = [:]

    package init() {}

    /// The part is not in the repository any more.
    package mutating func forget(_ part: String) {
        parts[part] = nil
        findings[part] = nil
        if position?.part == part { position = nil }
    }

    // MARK: Text

    private static let title = "permafrost-verify 1"

    package func serialized() -> [UInt8] {
        var text = Self.title + "\n"
        func line(_ fields: String...) { text += fields.map(Self.escaped).joined(separator: "\t") + "\n" }
        if let position { line("position", position.part, position.object, String(position.since)) }
        for (key, part) in parts.sorted(by: { $0.key < $1.key }) {
            line("part", key, String(part.time), part.through)
        }
        for (key, found) in findings.sorted(by: { $0.key < $1.key }) {
            for one in found {
                let finding = one.finding
                line(
                    "finding", key, String(one.time), finding.kind.rawValue, String(finding.files), finding.object,
                    finding.file ?? "", finding.detail)
            }
        }
        return Array((text + "end\t\(Self.sum(text))\n").utf8)
    }

    /// nil for what is no whole state of this version.
    package init?(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self),
            let end = text.range(ofLast: "end\t"), text[end...] == "end\t\(Self.sum(text[..<end]))\n"
        else { return nil }
        var lines = text[..<end].split(separator: "\n")[...]
        guard lines.popFirst() == Self.title[...] else { return nil }
        for line in lines {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(Self.unescaped)
            switch (fields[0], fields.count) {
            case ("position", 4):
                guard let since = Int64(fields[3]) else { return nil }
                position = Position(part: fields[1], object: fields[2], since: since)
            case ("part", 4):
                guard let time = Int64(fields[2]) else { return nil }
                parts[fields[1]] = Part(time: time, through: fields[3])
            case ("finding", 8):
                guard let time = Int64(fields[2]), let kind = VerifyFinding.Kind(rawValue: fields[3]),
                    let files = Int(fields[4])
                else { return nil }
                let finding = VerifyFinding(
                    kind, fields[5], file: fields[6].isEmpty ? nil : fields[6], files: files, fields[7])
                findings[fields[1], default: []].append(Remembered(finding: finding, time: time))
            default: return nil
            }
        }
    }

    private static func sum(_ text: some StringProtocol) -> String { SHA1.hash(Array(text.utf8).span.bytes).hex }

    private static func escaped(_ field: String) -> String {
        var text = ""
        for scalar in field.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\t": text += "\\t"
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    private static func unescaped(_ field: Substring) -> String {
        guard field.utf8.contains(UInt8(ascii: "\\")) else { return String(field) }
        var text = ""
        var isEscaped = false
        for scalar in field.unicodeScalars {
            if isEscaped {
                text.unicodeScalars.append(scalar == "t" ? "\t" : scalar == "n" ? "\n" : scalar)
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

extension String {
    /// Where the last line that begins with `word` starts.
    fileprivate func range(ofLast word: String) -> String.Index? {
        let body = self.utf8.dropLast()
        let start = body.lastIndex(of: UInt8(ascii: "\n")).map { body.index(after: $0) } ?? startIndex
        return self[start...].utf8.starts(with: word.utf8) ? start : nil
    }
}

extension Repository {
    /// A new one when there is none, or none that is whole.
    package func loadVerifyState(stanza: String) async throws(BackupError) -> VerifyState {
        let path = RepositoryPaths.verifyState(stanza: stanza)
        do throws(BackupError) {
            guard let bytes = try await readWhole(path, as: stateForm) else { return VerifyState() }
            return VerifyState(bytes) ?? VerifyState()
        } catch {
            // Unreadable as what it is, such as after a change of the cipher: the next write replaces it.
            if [.format, .crypto, .fileRead, .checksum].contains(error.code) { return VerifyState() }
            throw error
        }
    }

    package func saveVerifyState(_ state: VerifyState, stanza: String) async throws(BackupError) {
        try await writeWhole(RepositoryPaths.verifyState(stanza: stanza), state.serialized(), as: stateForm)
    }

    private var stateForm: StoredForm { StoredForm(compress: .none, cipherPass: cipherPass) }
}
