import BackupModel
import Glibc
import Logging
import Telemetry

/// The log of one run, set up from its options.
enum CommandLog {
    static func start(_ configuration: Configuration) -> Logger {
        func level(_ option: OptionName, _ fallback: LogLevel) -> LogLevel {
            configuration.string(option).flatMap(LogLevel.init(rawValue:)) ?? fallback
        }
        let file = level(.logLevelFile, .info)
        let path = configuration.string(.logPath).map {
            LogSetup.filePath(
                logPath: $0, stanza: configuration.string(.stanza), command: configuration.logName(configuration.role))
        }
        LogSetup.bootstrap(
            consoleLevel: console(configuration, level(.logLevelConsole, .warn)), fileLevel: file,
            stderrLevel: level(.logLevelStderr, .off),
            format: LogFormat(rawValue: configuration.string(.logFormat) ?? "text") ?? .text,
            filePath: file == .off ? nil : path, timestamps: configuration.bool(.logTimestamp),
            isDryRun: configuration.bool(.dryRun))
        return Logger(label: configuration.commandText)
    }

    /// What is printed is for programs: nothing but errors goes between.
    private static func console(_ configuration: Configuration, _ level: LogLevel) -> LogLevel {
        switch configuration.command {
        case .info, .expire, .manifest, .repoLs, .restore:
            configuration.string(.output) == "json" ? min(level, .error) : level
        case .repoGet: min(level, .error)
        default: level
        }
    }

    /// What the first line says.
    static func beginText(_ configuration: Configuration) -> String {
        let parameters = configuration.parameters.joined(separator: ", ")
        let words = (parameters.isEmpty ? [] : ["[\(parameters)]"]) + configuration.arguments()
        return
            "\(configuration.commandText) command begin \(ProgramVersion.number(calledAs: configuration.programPath)): \(words.joined(separator: " "))"
    }

    static func begin(_ logger: Logger, _ configuration: Configuration) {
        logger.log(level: frame(configuration), "\(beginText(configuration))")
        for warning in configuration.warnings { logger.warning("\(warning)") }
    }

    /// The level of the first and the last line: about a command that changes nothing only who searches for a fault wants
    /// to know.
    static func frame(_ configuration: Configuration) -> Logger.Level {
        switch configuration.command {
        case .info, .manifest, .repoGet, .repoLs, .repoPut, .repoRm: .debug
        default: .notice
        }
    }

    static func report(_ error: BackupError, _ logger: Logger) {
        logger.error("\(error.description)", metadata: [LogFact.code: .stringConvertible(error.code.rawValue)])
    }

    static func end(_ logger: Logger, _ configuration: Configuration, failedWith code: ErrorCode) {
        logger.log(
            level: frame(configuration),
            "\(configuration.commandText) command end: aborted with exception [\(padded(code))]",
            metadata: exitCode(code.rawValue))
    }

    /// With the last line: who reads the log of a process that nobody waited for learns how it ended.
    static func exitCode(_ status: Int32) -> Logger.Metadata { [LogFact.code: .stringConvertible(status)] }

    /// Before the options are known: to standard error, in the format that was asked for as far as can be told.
    static func reportWithoutConfiguration(_ error: BackupError, arguments: [String]) {
        if wantsJSON(arguments) {
            LogSetup.bootstrap(
                consoleLevel: .off, fileLevel: .off, stderrLevel: .error, format: .json, filePath: nil,
                timestamps: true)
            report(error, Logger(label: "permafrost"))
            return
        }
        let text = error.description.split(separator: "\n").joined(separator: "\n       ")
        var line = Array("ERROR: [\(padded(error.code))]: \(text)\n".utf8)
        _ = write(2, &line, line.count)
    }

    private static func wantsJSON(_ arguments: [String]) -> Bool {
        let name = "--\(OptionName.logFormat.rawValue)"
        if let index = arguments.firstIndex(where: { $0 == name || $0.hasPrefix("\(name)=") }) {
            return arguments[index] == "\(name)=json" || arguments[index...].dropFirst().first == "json"
        }
        let environment = ProgramPath.environment()
        return (environment["PERMAFROST_LOG_FORMAT"] ?? environment["PGBACKREST_LOG_FORMAT"]) == "json"
    }

    /// Three digits, as people search logs for it.
    private static func padded(_ code: ErrorCode) -> String {
        let digits = String(code.rawValue)
        return String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }
}
