package import BackupModel
import Telemetry

extension JobRequest {
    /// Options that are about this process: the job has those of the host that runs it.
    private static let own: Set<OptionName> = [
        .allowRoot, .config, .configIncludePath, .configPath, .execId, .ioTimeout, .lockPath, .logFormat,
        .logLevelConsole, .logLevelFile, .logLevelStderr, .logPath, .logSubprocess, .logTimestamp, .pg, .pgHost,
        .pgHostCaFile, .pgHostCaPath, .pgHostCertFile, .pgHostKeyFile, .pgHostPort, .pgHostType, .priority, .progress,
        .protocolTimeout, .repoHost, .repoHostCaFile, .repoHostCaPath, .repoHostCertFile, .repoHostKeyFile,
        .repoHostPort, .repoHostType, .sckKeepAlive, .stanza, .tcpKeepAliveCount, .tcpKeepAliveIdle,
        .tcpKeepAliveInterval,
    ]

    /// What a command line asks for, as a job on another host: `job COMMAND`, or `backup` where `pg1-host` names an agent.
    /// - Parameter added: options that the job is to have as they are here, wherever they were set.
    /// - Throws: `.optionInvalid` for an option that a job cannot have: left out it would be missed.
    package init(
        delegating configuration: Configuration, key: String?, adding added: [OptionName] = []
    ) throws(BackupError) {
        let command = configuration.job?.command ?? configuration.command
        var options: [Option] = []
        for given in configuration.job?.options ?? configuration.givenOnCommandLine
        where !Self.own.contains(given.name) {
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
            command, stanza: configuration.requiredStanza(), options: options,
            logLevel: configuration.string(.logLevelConsole).flatMap { LogLevel(rawValue: $0) } ?? .info, key: key)
    }
}
