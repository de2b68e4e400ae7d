package import BackupModel
import RepositoryStorage

/// AWS's files `credentials` and `config`, and what they say of one profile.
package struct AWSProfiles: Sendable {
    private var profiles: [String: [String: String]] = [:]
    /// Where they were looked for.
    package let files: [String]

    /// Reads the files; those that are not there say nothing.
    package init(_ environment: [String: String]) throws(BackupError) {
        let home = environment["HOME"].flatMap { $0.isEmpty ? nil : $0 }
        let config = environment["AWS_CONFIG_FILE"] ?? home.map { "\($0)/.aws/config" }
        let credentials = environment["AWS_SHARED_CREDENTIALS_FILE"] ?? home.map { "\($0)/.aws/credentials" }
        files = [config, credentials].compactMap { $0 }
        // What `credentials` says wins.
        for (path, isConfig) in [(config, true), (credentials, false)] {
            guard let path else { continue }
            let bytes: [UInt8]
            do throws(BackupError) {
                bytes = try LocalFile.readAll(path, limit: 1 << 20)
            } catch {
                if error.code == .fileMissing { continue }
                throw error
            }
            for (name, members) in Self.parse(String(decoding: bytes, as: UTF8.self), isConfig: isConfig) {
                profiles[name, default: [:]].merge(members) { $1 }
            }
        }
    }

    package subscript(name: String) -> [String: String]? { profiles[name] }

    /// Sections of `[default]`, `[profile name]` (`config`), `[name]` (`credentials`); lines `key = value`. Indented
    /// lines are nested settings, which have nothing for us.
    static func parse(_ text: String, isConfig: Bool) -> [String: [String: String]] {
        var found: [String: [String: String]] = [:]
        var section: String?
        for line in text.split(whereSeparator: \.isNewline) {
            guard let first = line.first, first != "#", first != ";", !first.isWhitespace else { continue }
            if first == "[" {
                guard let close = line.firstIndex(of: "]") else { continue }
                var name = trimmed(line[line.index(after: line.startIndex)..<close])
                if isConfig, name != "default" {
                    section = nil
                    guard name.hasPrefix("profile ") || name.hasPrefix("profile\t") else { continue }
                    name = trimmed(name.dropFirst(8))
                }
                section = name
                found[name] = found[name] ?? [:]
            } else if let section, let equals = line.firstIndex(of: "=") {
                let value = trimmed(line[line.index(after: equals)...])
                found[section, default: [:]][trimmed(line[..<equals]).lowercased()] = value
            }
        }
        return found
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        var rest = Substring(text)
        while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest)
    }
}
