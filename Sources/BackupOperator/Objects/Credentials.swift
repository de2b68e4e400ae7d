import HTTP
import KubernetesClient

/// What of users' Secrets the engine is given.
struct Credentials: Sendable, Equatable {
    /// A file of configuration.
    var text: String
    /// Files by name.
    var files: [String: [UInt8]]

    /// Digests of the accounts of stores, by repository.
    var accounts: [Int: String] = [:]

    /// Annotation of the Secret that has them.
    static let accountsName = "permafrost.dev/accounts"

    var accountsText: String {
        accounts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }

    static func accounts(_ secret: KubernetesObject?) -> [Int: String] {
        var accounts: [Int: String] = [:]
        for word in (secret?.annotations[accountsName] ?? "").split(separator: " ") {
            let parts = word.split(separator: "=")
            if parts.count == 2, let key = Int(parts[0]) { accounts[key] = String(parts[1]) }
        }
        return accounts
    }

    /// - Parameter value: an entry of a Secret; nil when there is no such Secret or no such key.
    /// - Returns: what could be had, and what was missing, by repository.
    static func collect(
        _ repositories: [(key: Int, location: RepositoryLocation)], value: (SecretKey) -> [UInt8]?
    ) -> (Credentials, missing: [Int: SecretKey]) {
        var credentials = Credentials(text: "[global]\n", files: [:])
        var missing: [Int: SecretKey] = [:]
        for (key, location) in repositories {
            var lines = ""
            for (option, selector) in location.secrets.sorted(by: { $0.key < $1.key }) {
                guard let bytes = value(selector) else {
                    missing[key] = missing[key] ?? selector
                    continue
                }
                lines += "repo\(key)-\(option)=\(line(bytes))\n"
                if option == "azure-account" { credentials.accounts[key] = OperatorNames.digest(line(bytes)) }
            }
            credentials.text += lines
            for (option, selector) in location.files.sorted(by: { $0.key < $1.key }) {
                guard let bytes = value(selector) else {
                    missing[key] = missing[key] ?? selector
                    continue
                }
                credentials.files[EngineConfiguration.fileName(key, option)] = bytes
            }
        }
        return (credentials, missing)
    }

    /// A newline at the end is a slip of whoever made the Secret; within, it would begin another option.
    private static func line(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).first ?? ""
        return String(text).trimmingSpaces
    }
}

extension String {
    var trimmingSpaces: String {
        var rest = self[...]
        while rest.first == " " || rest.first == "\t" { rest = rest.dropFirst() }
        while rest.last == " " || rest.last == "\t" { rest = rest.dropLast() }
        return String(rest)
    }
}
