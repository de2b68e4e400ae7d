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
