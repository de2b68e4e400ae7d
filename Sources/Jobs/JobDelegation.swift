package import BackupModel
import Telemetry

extension JobRequest {
    /// Options that are about this process: the job has those of the host that runs it.
    private static let own: Set<OptionName> = [
        .allowRoot, .config, .configIncludePath, .configPath, .execId, .ioTimeout, .lockPath, .logFormat,
        .logLevelConsole, .logLevelFile, .logLevelStderr, .logPath, .logSubprocess, .logTimestamp, .pgHost,
        .pgHostCaFile, .pgHostCaPath, .pgHostCertFile, .pgHostKeyFile, .pgHostPort, .pgHostType, .priority, .progress,
        .protocolTimeout, .sckKeepAlive, .stanza, .tcpKeepAliveCount, .tcpKeepAliveIdle, .tcpKeepAliveInterval,
    ]

    /// What a command line asks for, as a job on another host: `backup` where `pg1-host` names an agent.
    /// - Parameter adding: options that the job is to have as they are here, wherever they were set.
    /// - Throws: `.optionInvalid` for an option that a job cannot have: left out it would be missed.
    package init(
        delegating configuration: Configuration, key: String?, adding added: [OptionName] = []
    ) throws(BackupError) {
        var options: [Option] = []
        for given in configuration.givenOnCommandLine where !Self.own.contains(given.name) {
            guard !given.values.isEmpty else {
                throw BackupError(
                    .optionInvalid,
                    "option '\(given.displayName)' cannot be reset or negated for a job on another host",
                    hint: "set it in the configuration of the host that runs the job")
            }
            options.append(Option(given.name, .texts(given.values)))
        }
        for name in added where !options.contains(where: { $0.name == name }) {
            if let value = configuration.string(name) { options.append(Option(name, .texts([value]))) }
        }
        try self.init(
            configuration.command, stanza: configuration.requiredStanza(), options: options,
            logLevel: configuration.string(.logLevelConsole).flatMap { LogLevel(rawValue: $0) } ?? .info, key: key)
    }
}
