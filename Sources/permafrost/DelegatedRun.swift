import BackupModel
import Glibc
import HTTP
import Jobs
import Logging
import Telemetry

/// A command for a PostgreSQL that `pgN-host` says is elsewhere: a job of the agent there, followed to its end.
struct DelegatedRun {
    private let configuration: Configuration
    private let logger: Logger
    private let host: String
    /// The `N` of `pgN-host`.
    private let key: Int

    /// nil when the command is this host's own.
    init?(_ configuration: Configuration, _ logger: Logger) throws(BackupError) {
        let remote = configuration.postgresKeys.compactMap { key in
            configuration.string(.pgHost, key).map { (key: key, host: $0) }
        }
        guard let first = remote.first else { return nil }
        switch configuration.command {
        case .backup, .check, .stanzaCreate, .stanzaUpgrade: break
        case .archiveGet, .archivePush, .restore, .stanzaDelete:
            throw BackupError(
                .hostInvalid, "\(configuration.command.rawValue) command must be run on the PostgreSQL host",
                hint: "pg\(first.key)-host says that it is \(first.host)")
        default: return nil
        }
        guard remote.count == configuration.postgresKeys.count else {
            throw BackupError(
                .featureNotSupported, "some of the servers of the stanza are on this host and some are not",
                hint: "run the command on the host of the primary, or name an agent for each server")
        }
        self.configuration = configuration
        self.logger = logger
        (key, host) = first
    }

    func run() async throws -> Int32 {
        let origin = HTTPOrigin(host: host, port: configuration.integer(.pgHostPort, key) ?? 8433)
        var options = JobClient.Options()
        options.notice = { [logger] in logger.warning("\($0)") }
        let client = JobClient(try transport(), origin, options)
        let request = try JobRequest(
            delegating: configuration, key: "\(configuration.string(.execId) ?? "")-\(UInt64.random(in: 0 ... .max))")
        let result = try await client.run(
            request, cancelsWithTask: true,
            JobClient.Watcher(
                line: { [logger] line in logger.log(level: Self.level(line.level), "\(line.message)") },
                output: { bytes throws(BackupError) in print(String(decoding: bytes, as: UTF8.self), terminator: "") })
        ) { [logger] id in
            logger.notice("job \(id) on \(origin.authority)")
        }
        // Its own words were passed on already; this is for programs.
        print(result.text())
        return result.exitCode
    }

    private func transport() throws(BackupError) -> NetworkTransport {
        var options = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { options.timeout = timeout }
        options.caFile = configuration.string(.pgHostCaFile, key)
        options.caPath = configuration.string(.pgHostCaPath, key)
        options.certificateFile = try required(.pgHostCertFile)
        options.keyFile = try required(.pgHostKeyFile)
        options.minimumTLS = .v13
        return try NetworkTransport(options)
    }

    private func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option, key) else {
            let name = OptionTable.definition(option)?.displayName(key) ?? option.rawValue
            throw BackupError(
                .optionRequired, "\(configuration.command.rawValue) command requires option: \(name)")
        }
        return value
    }

    /// What a job logs as `info` is logged so here.
    private static func level(_ level: LogLevel?) -> Logger.Level {
        switch level {
        case .error: .error
        case .warn: .warning
        case .detail: .info
        case .debug: .debug
        case .trace: .trace
        default: .notice
        }
    }
}
