import ArchiveShortcut
import BackupEngine
import BackupModel
import Glibc
import PostgresFormats
import RepositoryStorage
import Telemetry

/// Leaves for the launcher what it needs to answer the next call from the spool by itself, and for the agent what it needs
/// to push ahead as the call means it.
struct ShortcutWriter {
    private let configuration: Configuration
    /// Seconds since 1970.
    private let start: Int

    /// - Parameter start: when the options had been read.
    init(_ configuration: Configuration, start: Int) {
        self.configuration = configuration
        self.start = start
    }

    /// Writes it if it is not there yet. That it cannot be written is no failure: the launcher then starts the program.
    func write() {
        guard let stanza = configuration.string(.stanza), let spoolPath = configuration.string(.spoolPath),
            let (kind, shortcut) = make(stanza: stanza)
        else { return }
        let path = ArchiveShortcut.path(spoolPath: spoolPath, stanza: stanza, kind: kind)
        let bytes = shortcut.bytes
        guard FileFacts.contents(path, ownedBy: geteuid()) != bytes else { return }
        // It holds digests of files with secrets in them.
        try? LocalFile.writeDurably(path, bytes, mode: 0o600)
    }

    /// nil when it would be of no use to the launcher or the agent.
    private func make(stanza: String) -> (ArchiveCall.Kind, ArchiveShortcut)? {
        guard configuration.bool(.archiveAsync), configuration.role == .main,
            let call = ArchiveCall(CommandLine.arguments), call.kind.rawValue == configuration.command.rawValue,
            call.parameters == configuration.parameters,
            isForLauncher || call.kind == .push,
            let environment = ArchiveEnvironment.relevant(
                ProgramPath.environment().map { "\($0.key)=\($0.value)" }),
            let program = realpath("/proc/self/exe", nil)
        else { return nil }
        defer { free(program) }
        guard let key = configuration.postgresKeys.first,
            let dataDirectory = configuration.string(.pgPath, key),
            let control = try? ClusterDirectory.control(dataDirectory),
            let files = files([String(cString: program)] + configuration.consultedPaths)
        else { return nil }
        var shortcut = ArchiveShortcut()
        shortcut.program = String(cString: program)
        shortcut.words = call.words
        shortcut.environment = environment
        shortcut.files = files
        shortcut.lockPath = configuration.string(.lockPath) ?? "/tmp/pgbackrest"
        shortcut.stanza = stanza
        shortcut.dataDirectory = dataDirectory
        shortcut.systemIdentifier = control.systemIdentifier
        shortcut.queueLength = ArchiveGetQueue.length(
            queueSize: configuration.size(.archiveGetQueueMax) ?? 0, segmentSize: control.walSegmentSize)
        shortcut.isForLauncher = isForLauncher
        // Where PostgreSQL runs its commands.
        shortcut.isForAgent = FileFacts.isSameFile(".", dataDirectory)
        shortcut.agentSocket = configuration.string(.agentSocket) ?? ""
        if let timeout = configuration.duration(.archiveTimeout) {
            shortcut.timeout = Int(timeout / .milliseconds(1))
        }
        shortcut.log = log(stanza: stanza)
        return (call.kind, shortcut)
    }

    /// False when a call has something to say that the launcher cannot know.
    private var isForLauncher: Bool {
        configuration.warnings.isEmpty && configuration.string(.logFormat) ?? "text" == "text"
            && !isLogged(.logLevelStderr, .off)
    }

    /// nil when one may have changed after it was read: times have a resolution, and clocks go wrong.
    private func files(_ paths: [String]) -> [ArchiveShortcut.FileState]? {
        var files: [ArchiveShortcut.FileState] = []
        for path in paths {
            // Before its facts: what they call unchanged since the options were read is what was read.
            let content = FileContent.text(path) ?? ""
            guard let facts = FileFacts(path), (facts.changed ?? 0) < start - 1 else { return nil }
            files.append(ArchiveShortcut.FileState(path: path, facts: facts.text, content: content))
        }
        return files
    }

    private func log(stanza: String) -> ArchiveCallLog {
        var marked = configuration
        marked.parameters = [String(ArchiveCallLog.parameterMark)]
        let text = CommandLog.beginText(marked)
        let execution = configuration.string(.execId) ?? ""
        let begin = text.split(separator: " ", omittingEmptySubsequences: false)
            .map { $0 == "--exec-id=\(execution)" ? "--exec-id=\(ArchiveCallLog.executionMark)" : String($0) }
            .joined(separator: " ")
        return ArchiveCallLog(
            begin: begin,
            file: isLogged(.logLevelFile, .info)
                ? LogSetup.filePath(
                    logPath: configuration.string(.logPath) ?? "", stanza: stanza,
                    command: configuration.logName(.main)) : "",
            toConsole: isLogged(.logLevelConsole, .warn), hasTimestamps: configuration.bool(.logTimestamp))
    }

    /// Whether lines of level info are shown.
    private func isLogged(_ option: OptionName, _ fallback: LogLevel) -> Bool {
        (configuration.string(option).flatMap(LogLevel.init(rawValue:)) ?? fallback) >= .info
    }
}
