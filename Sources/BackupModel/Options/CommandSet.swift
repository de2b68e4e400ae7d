/// Commands for which an option is valid.
package struct CommandSet: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let annotate = CommandSet(rawValue: 1 << 0)
    package static let archiveGet = CommandSet(rawValue: 1 << 1)
    package static let archivePush = CommandSet(rawValue: 1 << 2)
    package static let backup = CommandSet(rawValue: 1 << 3)
    package static let check = CommandSet(rawValue: 1 << 4)
    package static let expire = CommandSet(rawValue: 1 << 5)
    package static let help = CommandSet(rawValue: 1 << 6)
    package static let info = CommandSet(rawValue: 1 << 7)
    package static let manifest = CommandSet(rawValue: 1 << 8)
    package static let repoGet = CommandSet(rawValue: 1 << 9)
    package static let repoLs = CommandSet(rawValue: 1 << 10)
    package static let repoPut = CommandSet(rawValue: 1 << 11)
    package static let repoRm = CommandSet(rawValue: 1 << 12)
    package static let restore = CommandSet(rawValue: 1 << 13)
    package static let server = CommandSet(rawValue: 1 << 14)
    package static let serverPing = CommandSet(rawValue: 1 << 15)
    package static let stanzaCreate = CommandSet(rawValue: 1 << 16)
    package static let stanzaDelete = CommandSet(rawValue: 1 << 17)
    package static let stanzaUpgrade = CommandSet(rawValue: 1 << 18)
    package static let start = CommandSet(rawValue: 1 << 19)
    package static let stop = CommandSet(rawValue: 1 << 20)
    package static let verify = CommandSet(rawValue: 1 << 21)
    package static let version = CommandSet(rawValue: 1 << 22)

    package static let completion = CommandSet(rawValue: 1 << 23)
    package static let tls = CommandSet(rawValue: 1 << 24)

    package static let agent = CommandSet(rawValue: 1 << 25)

    package static let job = CommandSet(rawValue: 1 << 26)

    package static let kubernetesOperator = CommandSet(rawValue: 1 << 27)

    /// Has options of its own, and none of the table.
    package static let kubectl = CommandSet(rawValue: 1 << 28)

    package static let all = CommandSet(rawValue: 1 << 28 - 1)
    /// Those that read the configuration.
    package static let running = all.subtracting([.completion, .help, .tls, .version])
    /// Those that work on repositories.
    package static let work = running.subtracting([
        .agent, .job, .kubernetesOperator, .server, .serverPing, .start, .stop,
    ])
    package static let stanza = running.subtracting([.agent, .kubernetesOperator, .server, .serverPing])
    /// Those that ask a server of ours.
    package static let asking: CommandSet = [.job, .serverPing]
    /// Those that serve other hosts until a signal.
    package static let serving: CommandSet = [.agent, .server]
    /// Those that let the user choose one of several repositories.
    package static let oneRepository = work.subtracting([.archivePush, .check, .stanzaCreate, .stanzaUpgrade])
    package static let locking: CommandSet = [
        .annotate, .archiveGet, .archivePush, .backup, .expire, .info, .restore, .stanzaCreate, .stanzaDelete,
        .stanzaUpgrade, .start, .stop,
    ]
    package static let parallel: CommandSet = [.archiveGet, .archivePush, .backup, .restore, .verify]
    /// Those that connect to the database.
    package static let database: CommandSet = [.backup, .check, .stanzaCreate, .stanzaDelete, .stanzaUpgrade]
    package static let postgresHost: CommandSet = database.union([.archiveGet, .archivePush, .manifest])
    package static let postgres: CommandSet = postgresHost.union(.restore)
    package static let versioned: CommandSet = postgres.union(.verify)
}

extension Command {
    package var asSet: CommandSet {
        switch self {
        case .agent: .agent
        case .annotate: .annotate
        case .archiveGet: .archiveGet
        case .archivePush: .archivePush
        case .backup: .backup
        case .check: .check
        case .completion: .completion
        case .expire: .expire
        case .help: .help
        case .info: .info
        case .job: .job
        case .kubectl: .kubectl
        case .kubernetesOperator: .kubernetesOperator
        case .manifest: .manifest
        case .repoGet: .repoGet
        case .repoLs: .repoLs
        case .repoPut: .repoPut
        case .repoRm: .repoRm
        case .restore: .restore
        case .server: .server
        case .serverPing: .serverPing
        case .stanzaCreate: .stanzaCreate
        case .stanzaDelete: .stanzaDelete
        case .stanzaUpgrade: .stanzaUpgrade
        case .start: .start
        case .stop: .stop
        case .tls: .tls
        case .verify: .verify
        case .version: .version
        }
    }

    package var takesParameters: Bool {
        switch self {
        case .archiveGet, .archivePush, .completion, .help, .job, .repoGet, .repoLs, .repoPut, .repoRm, .serverPing,
            .tls:
            true
        default: false
        }
    }
}
