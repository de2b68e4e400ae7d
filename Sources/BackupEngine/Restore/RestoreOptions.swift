package import BackupModel
import Glibc
package import RepositoryStorage

/// How far recovery goes: `--type` of restore.
package enum RestoreType: String, CaseIterable, Sendable {
    /// To the end of the archive.
    case `default`
    case immediate
    case lsn
    case name
    case none
    /// Recovery files are left as they are.
    case preserve
    case standby
    case time
    case xid
}

/// What was asked of one restore.
package struct RestoreOptions: Sendable {
    package var stanza: String
    /// Absolute, without a trailing `/`.
    package var dataDirectory: String
    package var type = RestoreType.default
    /// False when ``type`` is the default, which depends on the backup then.
    package var isTypeGiven = false
    package var target: String?
    package var targetAction = "pause"
    package var targetExclusive = false
    package var targetTimeline: String?
    /// nil: chosen by ``type`` and ``target``.
    package var set: String?
    package var delta = false
    package var force = false
    /// By name or oid: only these databases, beside the system's.
    package var databaseInclude: [String] = []
    /// By name or oid: all but these.
    package var databaseExclude: [String] = []
    package var linkAll = false
    package var linkMap: [String: String] = [:]
    /// By name or id of the tablespace.
    package var tablespaceMap: [String: String] = [:]
    package var tablespaceMapAll: String?
    /// In the order given.
    package var recoveryOptions: [(key: String, value: String)] = []
    package var disablesArchiveMode = false
    /// At least 1.
    package var processMax = 1
    package var spoolPath: String?
    /// Bytes that a worker reads at once.
    package var bufferSize = 1 << 20
    /// Of writing into the data directory.
    package var diskLimit: RateLimit?
    /// What PostgreSQL shall run for each WAL file.
    package var restoreCommand = ""
    /// Say what would be done, and do nothing.
    package var isDryRun = false

    package init(stanza: String, dataDirectory: String) {
        self.stanza = stanza
        self.dataDirectory = dataDirectory
    }

    package init(_ configuration: Configuration) throws(BackupError) {
        let stanza = try configuration.requiredStanza()
        let postgresKey = configuration.postgresKeys.first ?? 1
        guard let dataDirectory = configuration.string(.pgPath, postgresKey) else {
            throw BackupError(.optionRequired, "restore command requires option: pg\(postgresKey)-path")
        }
        self.init(stanza: stanza, dataDirectory: LocalDisk.withoutTrailingSlash(dataDirectory))
        if let text = configuration.string(.type) {
            guard let type = RestoreType(rawValue: text) else {
                throw BackupError(.optionInvalidValue, "'\(text)' is not allowed for 'type' option")
            }
            self.type = type
        }
        isTypeGiven = configuration.isSet(.type)
        target = configuration.string(.target)
        targetAction = configuration.string(.targetAction) ?? "pause"
        targetExclusive = configuration.bool(.targetExclusive)
        targetTimeline = configuration.string(.targetTimeline)
        set = configuration.string(.set).flatMap { $0 == "latest" ? nil : $0 }
        delta = configuration.bool(.delta)
        force = configuration.bool(.force)
        databaseInclude = configuration.list(.dbInclude)
        databaseExclude = configuration.list(.dbExclude)
        linkAll = configuration.bool(.linkAll)
        linkMap = Dictionary(configuration.pairs(.linkMap).map { ($0.key, $0.value) }) { $1 }
        tablespaceMap = Dictionary(configuration.pairs(.tablespaceMap).map { ($0.key, $0.value) }) { $1 }
        tablespaceMapAll = configuration.string(.tablespaceMapAll)
        recoveryOptions = configuration.pairs(.recoveryOption)
        disablesArchiveMode = configuration.string(.archiveMode) == "off"
        processMax = max(1, configuration.integer(.processMax) ?? 1)
        spoolPath = configuration.string(.spoolPath)
        bufferSize = configuration.bufferSize
        isDryRun = configuration.bool(.dryRun)
        diskLimit = configuration.size(.rateLimitDisk).map { RateLimit(bytesPerSecond: $0) }
        restoreCommand = RestoreCommandText.text(
            program: RestoreCommandText.program(configuration),
            arguments: configuration.arguments(for: .archiveGet))
    }
}

/// The value of `restore_command`.
package enum RestoreCommandText {
    /// Secrets are not passed on: PostgreSQL's configuration is readable to its users. `archive-get` finds them where
    /// this run found them.
    /// - Parameter arguments: words of a shell, as ``Configuration/arguments(for:)`` gives them.
    package static func text(program: String, arguments: [String]) -> String {
        let passed = arguments.filter { !$0.contains("<redacted>") }
        return ([shellQuoted(program)] + passed).joined(separator: " ") + " archive-get %f \"%p\""
    }

    /// The launcher that started us, when one did: it serves `archive-get` sooner than the whole program would.
    static func program(_ configuration: Configuration) -> String {
        if let command = configuration.string(.cmd) { return command }
        if let launcher = getenv("PERMAFROST_LAUNCHER"), launcher.pointee != 0 { return String(cString: launcher) }
        return LocalDisk.absoluteProgramPath(configuration.programPath)
    }

    /// One word for the shell that PostgreSQL starts, which replaces `%` itself first.
    static func shellQuoted(_ word: String) -> String {
        let escaped = word.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
        let isPlain =
            !escaped.isEmpty
            && escaped.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "-_./=:,+@%".utf8.contains(byte)
                }
            }
        if isPlain { return escaped }
        return "'" + escaped.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
