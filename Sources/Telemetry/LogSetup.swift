package import Logging
import Synchronization

/// Ties swift-log to our outputs.
package enum LogSetup {
    private static let installed = Mutex<LogOutput?>(nil)

    /// Where the loggers made from now on write; nil before ``bootstrap(consoleLevel:fileLevel:stderrLevel:format:filePath:timestamps:isDryRun:)``.
    package static var output: LogOutput? { installed.withLock { $0 } }

    /// Makes every `Logger` created from now on write to our outputs. A second call changes the outputs of later loggers.
    /// `filePath` nil means no log file.
    @discardableResult
    package static func bootstrap(
        consoleLevel: LogLevel, fileLevel: LogLevel, stderrLevel: LogLevel, format: LogFormat, filePath: String?,
        timestamps: Bool, isDryRun: Bool = false
    ) -> LogOutput {
        let output = LogOutput(
            levels: LogOutput.Levels(console: consoleLevel, file: fileLevel, standardError: stderrLevel),
            format: format, filePath: filePath, timestamps: timestamps, isDryRun: isDryRun)
        let isFirst = installed.withLock { current in
            defer { current = output }
            return current == nil
        }
        if isFirst {
            // swift-log permits one call per process.
            LoggingSystem.bootstrap { label in
                guard let output = LogSetup.output else { return SwiftLogNoOpLogHandler() }
                return LineLogHandler(label: label, output: output)
            }
        }
        return output
    }

    /// `<log-path>/<stanza>-<command>.log`, with `all` where there is no stanza.
    package static func filePath(logPath: String, stanza: String?, command: String) -> String {
        "\(logPath)/\(stanza ?? "all")-\(command).log"
    }
}

/// Hands the messages of one logger to a ``LogOutput``.
package struct LineLogHandler: LogHandler {
    private let label: String
    private let output: LogOutput
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    /// What swift-log compares before it builds a message. `critical` when the outputs want nothing.
    package var logLevel: Logger.Level

    package init(label: String, output: LogOutput) {
        self.label = label
        self.output = output
        logLevel = output.level.loggerLevel ?? .critical
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var facts = metadata
        if let provided = metadataProvider?.get() { facts.merge(provided) { _, new in new } }
        if let own = event.metadata { facts.merge(own) { _, new in new } }
        let level = LogLevel(event.level)
        output.write(
            LogLine(
                time: .now(), level: level, logger: label, message: event.message.description, facts: facts,
                origin: level >= .debug ? "\(event.source)::\(event.function.prefix { $0 != "(" })" : "",
                isDryRun: output.isDryRun))
    }
}
