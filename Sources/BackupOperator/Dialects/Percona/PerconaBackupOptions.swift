import BackupModel
import HTTP
import Jobs

/// `options` of a backup.
struct PerconaBackupOptions: Sendable {
    var kind = WantedSchedule.Kind.incr
    /// For the run, without dashes.
    var options: [(name: String, value: String)] = []

    init(_ texts: [String]) throws(Refusal) { try self.init(["options": ServiceJSON(texts)]) }

    /// Of the object.
    init(_ spec: ServiceJSON?) throws(Refusal) { try take(try PerconaWords.options(of: spec)) }

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
            throw PerconaWords.refusal(error.message + (error.hint.map { "; \($0)" } ?? ""))
        }
        for option in asked {
            guard case .texts(let values) = option.value else { continue }
            for value in values {
                if option.name == .type {
                    guard let type = WantedSchedule.Kind(rawValue: value) else {
                        throw PerconaWords.refusal("'\(value)' is no type of a backup: full, diff and incr are")
                    }
                    kind = type
                    continue
                }
                if option.name == .annotation {
                    guard value.contains("="), !value.hasPrefix("=") else {
                        throw PerconaWords.refusal("annotation '\(value)' is not written as key=value")
                    }
                    let key = value.prefix { $0 != "=" }
                    guard key != OperatorNames.backupUID, !key.hasPrefix("percona.com/") else {
                        throw PerconaWords.refusal("annotation '\(key)' is the operator's")
                    }
                }
                options.append((option.name.rawValue, value))
            }
        }
    }
}
