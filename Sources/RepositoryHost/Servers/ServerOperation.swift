import BackupEngine
package import BackupModel
package import HTTP
import PostgresAccess

/// What may be asked of a server in a session. There is nothing else: no text of a client's is run.
package enum ServerOperation: Sendable, Equatable {
    /// Connects; the session's own first one.
    case open
    case inRecovery
    case currentWAL
    case switchWAL
    case startBackup(label: String, fast: Bool)
    case stopBackup
    case databases
    case tablespaces
    case control
    /// That of the host's clock.
    case time
    /// - excludes: the option `exclude`.
    case list(excludes: [String])

    package static let requestLimit = 64 << 10
    private static let labelLimit = 256

    private var name: String {
        switch self {
        case .open: "open"
        case .inRecovery: "in-recovery"
        case .currentWAL: "current-wal"
        case .switchWAL: "switch-wal"
        case .startBackup: "start-backup"
        case .stopBackup: "stop-backup"
        case .databases: "databases"
        case .tablespaces: "tablespaces"
        case .control: "control"
        case .time: "time"
        case .list: "list"
        }
    }

    package var json: ServiceJSON {
        var members: [String: ServiceJSON] = ["operation": .text(name)]
        switch self {
        case .startBackup(let label, let fast):
            members["label"] = .text(label)
            members["fast"] = .bool(fast)
        case .list(let excludes): members["excludes"] = .array(excludes.map { .text($0) })
        default: break
        }
        return .object(members)
    }

    /// - Throws: `.parameterInvalid` for what is none.
    package init(_ bytes: [UInt8]) throws(BackupError) {
        guard let json = ServiceJSON(bytes), let name = json["operation"]?.string else {
            throw BackupError(.parameterInvalid, "an operation is a JSON object with 'operation'")
        }
        let plain: [ServerOperation] = [
            .inRecovery, .currentWAL, .switchWAL, .stopBackup, .databases, .tablespaces, .control, .time,
        ]
        if let operation = plain.first(where: { $0.name == name }) {
            self = operation
            return
        }
        switch name {
        case "start-backup":
            guard case .text(let label)? = json["label"], case .bool(let fast)? = json["fast"],
                (1...Self.labelLimit).contains(label.utf8.count),
                !label.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f })
            else {
                throw BackupError(
                    .parameterInvalid, "'start-backup' needs a 'label' without control characters, and 'fast'")
            }
            self = .startBackup(label: label, fast: fast)
        case "list":
            var excludes: [String] = []
            for element in json["excludes"]?.elements ?? [] {
                guard case .text(let text) = element else {
                    throw BackupError(.parameterInvalid, "'excludes' holds what is no text")
                }
                excludes.append(text)
            }
            self = .list(excludes: excludes)
        default: throw BackupError(.parameterInvalid, "there is no such operation")
        }
    }
}
