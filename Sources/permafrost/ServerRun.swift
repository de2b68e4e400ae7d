import BackupEngine
import BackupModel
import Glibc
import HTTP
import Logging
import ObjectStorage
import RepositoryHost
import RepositoryStorage
import Synchronization

/// `permafrost server`: serves the volumes of this host until a signal.
struct ServerRun {
    private let configuration: Configuration
    private let logger: Logger
    private let hangUp: HangUp

    /// Calls of a file system that run at once.
    private static let threads = 8
    /// Bodies that move at once, each with a buffer.
    private static let buffers = 64
    /// Between two looks for clients that are gone.
    private static let interval = Duration.seconds(10)
    /// For requests that run when the server is to stop.
    private static let farewell = Duration.seconds(30)

    init(_ configuration: Configuration, _ logger: Logger, _ hangUp: HangUp) {
        self.configuration = configuration
        self.logger = logger
        self.hangUp = hangUp
    }

    func run() async throws {
        let locks = HostLocks(
            lockPath: try Self.repositories(configuration.programPath).string(.lockPath) ?? "/tmp/pgbackrest",
            now: ObjectStoreContext.now)
        let threads = WorkerThreads(count: Self.threads)
        let handler = HostHandler(try Self.service(configuration, locks, threads))
        let server = HTTPServer(try options(), handler: handler)
        let port = try await server.start()
        logger.notice("serving on \(configuration.string(.tlsServerAddress) ?? "localhost"), port \(port)")
        hangUp.set { [logger, programPath = configuration.programPath] in
            ServiceManager.tell("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.microseconds())")
            do throws(BackupError) {
                try server.reload()
                handler.use(try Self.service(try Self.configuration(programPath), locks, threads))
                logger.notice("configuration and certificates were read again")
            } catch {
                logger.error("unable to read the configuration again, the old one stays: \(error.description)")
            }
            ServiceManager.tell("READY=1")
        }
        ServiceManager.tell("READY=1")
        while true {
            do { try await Task.sleep(for: Self.interval) } catch { break }
            locks.endOld()
        }
        hangUp.set(nil)
        ServiceManager.tell("STOPPING=1")
        logger.notice("stopping: requests that run have \(Self.farewell.components.seconds)s to end")
        // A task of its own: this one was cancelled.
        await Task { await server.stop(graceful: Self.farewell) }.value
    }

    private func options() throws(BackupError) -> ServerOptions {
        let certificates = ServerCertificates(
            certificateFile: try required(.tlsServerCertFile), keyFile: try required(.tlsServerKeyFile),
            caFile: try required(.tlsServerCaFile))
        var options = ServerOptions(
            .tls(
                address: configuration.string(.tlsServerAddress) ?? "localhost",
                port: configuration.integer(.tlsServerPort) ?? 8432, certificates))
        options.log = { [logger] in logger.warning("\($0)") }
        return options
    }

    private func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option) else {
            throw BackupError(.optionRequired, "server command requires option: \(option.rawValue)")
        }
        return value
    }

    /// As a start would read it now.
    private static func configuration(_ programPath: String) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath, arguments: Array(CommandLine.arguments.dropFirst()),
            environment: ProgramPath.environment())
    }

    private static func service(
        _ configuration: Configuration, _ locks: HostLocks, _ threads: WorkerThreads
    ) throws(BackupError) -> StorageService {
        let authorization = try HostAuthorization(
            auth: configuration.pairs(.tlsServerAuth), allow: configuration.pairs(.tlsServerAllow))
        return StorageService(
            try volumes(repositories(configuration.programPath)), authorization, locks, threads: threads,
            buffers: CallSlots(buffers))
    }

    /// What is configured for commands that work on repositories.
    private static func repositories(_ programPath: String) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath,
            arguments: ["info"] + CommandLine.arguments.dropFirst().filter { $0.hasPrefix("--config") },
            environment: ProgramPath.environment())
    }

    private static func volumes(_ configuration: Configuration) throws(BackupError) -> [HostVolume] {
        var volumes: [HostVolume] = []
        for key in configuration.configuredRepositoryKeys {
            guard ["posix", "cifs"].contains(configuration.string(.repoType, key) ?? "posix"),
                configuration.string(.repoHost, key) == nil, let path = configuration.string(.repoPath, key)
            else { continue }
            volumes.append(
                HostVolume(
                    key: key, store: PosixStore(root: path, neutralUmask: configuration.bool(.neutralUmask)),
                    cipherPass: configuration.secret(.repoCipherPass, key)))
        }
        guard !volumes.isEmpty else {
            throw BackupError(
                .optionRequired, "there is no repository on a volume to serve",
                hint: "set repo1-path, with repo1-type=posix")
        }
        return volumes
    }
}

/// What SIGHUP does; nothing was set: it ends the command, as other signals do.
final class HangUp: Sendable {
    private let action = Mutex<(@Sendable () -> Void)?>(nil)

    func set(_ action: (@Sendable () -> Void)?) { self.action.withLock { $0 = action } }

    /// False when there is nothing to do.
    func run() -> Bool {
        guard let action = action.withLock({ $0 }) else { return false }
        action()
        return true
    }
}
