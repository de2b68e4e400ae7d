import BackupModel
import BackupOperator
import Glibc
import HTTP
import KubernetesClient
import Logging
import RepositoryStorage

/// `permafrost operator`: waits until it leads, and looks after clusters then.
struct OperatorRun {
    private let configuration: Configuration
    private let logger: Logger

    private static let lease = "permafrost-operator"

    init(_ configuration: Configuration, _ logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    func run() async throws {
        let environment = ProgramPath.environment()
        var options = KubernetesClient.Options(fieldManager: OperatorNames.fieldManager)
        options.pageSize = 200
        let client = try KubernetesClient(try ClusterAccess.load(environment: environment), options)
        let settings = try settings(environment)
        let health = OperatorHealth()
        let server = try await serve(health)
        do {
            try await lead(client, settings, health)
        } catch is CancellationError {
            logger.notice("stopped: another may lead now")
        } catch {
            await server?.stop(graceful: .zero)
            throw error
        }
        await server?.stop(graceful: .zero)
    }

    private func lead(
        _ client: KubernetesClient, _ settings: OperatorSettings, _ health: OperatorHealth
    ) async throws {
        let dialects = try await NeighbourCheck(client, settings).run()
        var options = LeaderElection.Options()
        options.notice = { [logger] in logger.notice("\($0)") }
        let lease = Lease(
            client, namespace: settings.namespace, name: Self.lease, holder: settings.identity, duration: .seconds(15))
        health.isWaiting = true
        try await LeaderElection(lease, options).run { [logger] in
            let work = Operator(
                settings, client, dialects,
                agents: { caches in NetworkAgents(client) { caches.certificateVersion(of: $0) } }, logger: logger,
                now: { Int64(time(nil)) })
            health.work = work
            try await work.run()
        }
    }

    private func settings(_ environment: [String: String]) throws(BackupError) -> OperatorSettings {
        var settings = OperatorSettings()
        settings.namespace = configuration.string(.operatorNamespace) ?? settings.namespace
        settings.watchedNamespaces = (configuration.string(.watchNamespaces) ?? "").split(separator: ",")
            .map(String.init)
        settings.imagePrefix = configuration.string(.imagePrefix) ?? ""
        settings.imageTag = configuration.string(.imageTag) ?? ProgramVersion.number
        if let path = configuration.string(.trustedCaFile) {
            settings.trustedCertificates = String(
                decoding: try LocalFile.readAll(path, limit: 512 << 10), as: UTF8.self)
        }
        let name = environment["POD_NAME"] ?? HostName.current
        settings.identity = "\(name)_\(String(UInt32.random(in: .min ... .max), radix: 16))"
        return settings
    }

    private func serve(_ health: OperatorHealth) async throws -> HTTPServer? {
        guard let port = configuration.integer(.monitorPort) else { return nil }
        var options = ServerOptions(.plain(address: configuration.string(.monitorAddress) ?? "*", port: port))
        options.limits.connections = 32
        options.log = { [logger] in logger.warning("\($0)") }
        let server = HTTPServer(options, handler: health)
        _ = try await server.start()
        return server
    }
}

private enum HostName {
    static var current: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "operator" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
