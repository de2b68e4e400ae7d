import BackupModel
import HTTP

/// Another host of ours, and how to reach it: as options name it.
struct HostAddress {
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
    static func agent(_ configuration: Configuration, _ key: Int) -> HostAddress? {
        HostAddress(configuration, agentOptions, key)
    }

    /// The repository host that `repoN-host` names; nil when it names none.
    static func repository(_ configuration: Configuration, _ key: Int) -> HostAddress? {
        HostAddress(configuration, repositoryOptions, key)
    }

    private init?(_ configuration: Configuration, _ options: Options, _ key: Int) {
        guard let host = configuration.string(options.host, key) else { return nil }
        origin = HTTPOrigin(host: host, port: configuration.integer(options.port, key) ?? options.defaultPort)
        self.configuration = configuration
        self.options = options
        self.key = key
    }

    /// With the certificates of the options, which are read now.
    func transport() throws(BackupError) -> NetworkTransport {
        var transport = TransportOptions()
        if let timeout = configuration.duration(.ioTimeout) { transport.timeout = timeout }
        // One that has gone answers nothing; the next attempt may find the one in its place.
        transport.connectTimeout = min(transport.timeout, .seconds(10))
        transport.caFile = configuration.string(options.caFile, key)
        transport.caPath = configuration.string(options.caPath, key)
        transport.certificateFile = try required(options.certificate)
        transport.keyFile = try required(options.key)
        transport.minimumTLS = .v13
        return try NetworkTransport(transport)
    }

    private func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option, key) else {
            let name = OptionTable.definition(option)?.displayName(key) ?? option.rawValue
            throw BackupError(.optionRequired, "\(configuration.command.rawValue) command requires option: \(name)")
        }
        return value
    }
}
