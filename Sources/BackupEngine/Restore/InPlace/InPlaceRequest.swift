import BackupModel
import PostgresFormats

/// What was asked of a restore in place.
struct InPlaceRequest: Sendable {
    /// As for any restore into the data directory; recovery always ends with a promotion.
    private(set) var options: RestoreOptions
    let method: RestoreReport.Method
    let paths: InPlacePaths
    /// Words for `archive-get` that come from this run's command line.
    private let archiveGet: (program: String, arguments: [String])
    private let pathOption: String

    /// - Throws: `.optionInvalid` for options that a restore in place does not take.
    init(_ configuration: Configuration) throws(BackupError) {
        var options = try RestoreOptions(configuration)
        switch options.type {
        case .none, .preserve, .standby:
            throw Self.refused("type=\(options.type.rawValue)", "the restored server is always promoted")
        default: break
        }
        if configuration.isSet(.targetAction), options.targetAction != "promote" {
            throw Self.refused("target-action=\(options.targetAction)", "the restored server is always promoted")
        }
        if options.disablesArchiveMode {
            throw Self.refused("archive-mode=off", "the restored server takes the place of the one that archives")
        }
        method = options.delta ? .delta : .copy
        if method == .copy {
            guard !options.linkAll, options.linkMap.isEmpty else {
                throw Self.refused(
                    "link-all or link-map",
                    "beside the old directory there is no place for links; with --delta they are taken")
            }
            guard options.tablespaceMap.isEmpty, options.tablespaceMapAll == nil else {
                throw Self.refused(
                    "tablespace-map",
                    "beside the old directory there is no place for tablespaces; with --delta they are taken")
            }
            // Only of an interrupted run there is anything to compare with.
            options.force = false
        }
        options.targetAction = "promote"
        if options.type == .time, let target = options.target { options.target = try TargetTime.withZone(target) }
        self.options = options
        paths = InPlacePaths(data: options.dataDirectory)
        archiveGet = (RestoreCommandText.program(configuration), configuration.arguments(for: .archiveGet))
        pathOption = "--pg\(configuration.postgresKeys.first ?? 1)-path="
    }

    private static func refused(_ option: String, _ reason: String) -> BackupError {
        BackupError(
            .optionInvalid, "option \(option) is not allowed with in-place", hint: reason)
    }

    /// Where the backup goes.
    var directory: String { method == .copy ? paths.restored : paths.data }

    /// For the files: settings of recovery are the recovering server's alone, so that no later start recovers.
    var fileOptions: RestoreOptions {
        var files = options
        files.dataDirectory = directory
        files.type = .none
        files.isTypeGiven = true
        // What is there of an interrupted run counts.
        files.delta = true
        // Of what lies there the archiver's part is still wanted.
        files.spoolPath = nil
        return files
    }

    /// For the server that recovers.
    /// - Parameter timeline: along which it does; nil: as the options say.
    func recovery(_ version: PostgresVersion, along timeline: UInt32? = nil) throws(BackupError) -> RecoverySettings {
        var options = options
        if let timeline { options.targetTimeline = "\(timeline)" }
        // A relative path that PostgreSQL gives is one in the directory that it recovers.
        let arguments =
            archiveGet.arguments.filter { !$0.hasPrefix(pathOption) }
            + [pathOption + RestoreCommandText.shellQuoted(directory)]
        options.restoreCommand = RestoreCommandText.text(program: archiveGet.program, arguments: arguments)
        return try RecoverySettings(options, version: version)
    }

    /// The same without a target.
    func recoveryToTheEnd(_ version: PostgresVersion) throws(BackupError) -> RecoverySettings {
        var request = self
        request.options.type = .default
        request.options.target = nil
        return try request.recovery(version)
    }

    /// All that decides what comes out, in one line. Two runs with the same may finish each other's work.
    var description: String {
        var parts = ["method=\(method.rawValue)", "type=\(options.type.rawValue)"]
        if let target = options.target { parts.append("target=\(target)") }
        if options.targetExclusive { parts.append("exclusive") }
        if let timeline = options.targetTimeline { parts.append("timeline=\(timeline)") }
        if let set = options.set { parts.append("set=\(set)") }
        parts += options.databaseInclude.sorted().map { "include=\($0)" }
        parts += options.databaseExclude.sorted().map { "exclude=\($0)" }
        parts += options.recoveryOptions.map { "\($0.key)=\($0.value)" }
        return parts.joined(separator: " ")
    }

    /// The target, for messages.
    var target: String? { options.target.map { "\(options.type.rawValue) \($0)" } }
}
