import BackupModel
import HTTP
import Jobs
import Logging

/// The agent or repository host that is to run a job, and how to reach it.
struct JobHost {
    let origin: HTTPOrigin
    private let configuration: Configuration
    private let options: Options
    /// The `N` of `pgN-host` or `repoN-host`.
    private let key: Int

    private struct Options {
        var host: OptionName
        var port: OptionName
        var defaultPort: Int
        var caFile: OptionName
        var caPath: OptionName
        var certificate: OptionName
        var key: OptionName
    }

    private static let agentOptions = Options(
        host: .pgHost, port: .pgHostPort, defaultPort: 8433, caFile: .pgHostCaFile, caPath: .pgHostCaPath,
        certificate: .pgHostCertFile, key: .pgHostKeyFile)
    private static let repositoryOptions = Options(
        host: .repoHost, port: .repoHostPort, defaultPort: 8432, caFile: .repoHostCaFile, caPath: .repoHostCaPath,
        certificate: .repoHostCertFile, key: .repoHostKeyFile)

    /// The agent that `pgN-host` names; nil when it names none.
    static func agent(_ configuration: Configuration, key: Int) -> JobHost? {
        JobHost(configuration, agentOptions, key)
    }

    /// The repository host that `repoN-host` names; nil when it names none.
    static func repository(_ configuration: Configuration, key: Int) -> JobHost? {
        JobHost(configuration, repositoryOptions, key)
    }

    private init?(_ configuration: Configuration, _ options: Options, _ key: Int) {
        guard let host = configuration.string(options.host, key) else { return nil }
        origin = HTTPOrigin(host: host, port: configuration.integer(options.port, key) ?? options.defaultPort)
        self.configuration = configuration
        self.options = options
        self.key = key
    }

    func client(_ logger: Logger) throws(BackupError) -> JobClient {
        var transport = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { transport.timeout = timeout }
        transport.caFile = configuration.string(options.caFile, key)
        transport.caPath = configuration.string(options.caPath, key)
        transport.certificateFile = try required(options.certificate)
        transport.keyFile = try required(options.key)
        transport.minimumTLS = .v13
        var client = JobClient.Options()
        client.notice = { logger.warning("\($0)") }
        return JobClient(try NetworkTransport(transport), origin, client)
    }

    private func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option, key) else {
            let name = OptionTable.definition(option)?.displayName(key) ?? option.rawValue
            throw BackupError(.optionRequired, "\(configuration.command.rawValue) command requires option: \(name)")
        }
        return value
    }
}
