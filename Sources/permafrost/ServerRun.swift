import ArchiveAgent
import BackupEngine
import BackupModel
import Glibc
import HTTP
import Jobs
import Logging
import Monitoring
import ObjectStorage
import RepositoryHost
import RepositoryStorage
import Synchronization

/// `permafrost server` and `permafrost agent`: serve other hosts until a signal. A server has volumes and runs jobs that
/// touch only repositories; an agent has none and runs those that need PostgreSQL.
struct ServerRun {
    private let configuration: Configuration
    private let logger: Logger
    private let hangUp: HangUp

    /// Calls of a file system that run at once.
    private static let threads = 8
    private static let buffers = TransferBuffers(large: 64)
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
        let ended = JobEnds()
        let runner = try await jobRunner(ended)
        let serving = Serving()
        let monitor = MonitorComposition.monitor(runner, programPath: configuration.programPath)
        let archiving = try archiveAgent()
        let looks = StatusLooks(now: ObjectStoreContext.now)
        let subjects = StatusComposition(
            programPath: configuration.programPath, isAgent: configuration.command == .agent, spoolPath: spool,
            failures: archiving?.failures)
        ended.tell {
            monitor.ended($0)
            looks.ended($0)
        }
        let parts = Parts(
            runner: runner, monitor: monitor, looks: looks, subjects: subjects, serving: serving,
            threads: WorkerThreads(count: Self.threads),
            locks: HostLocks(
                lockPath: try Self.repositories(configuration.programPath).string(.lockPath) ?? "/tmp/pgbackrest",
                now: ObjectStoreContext.now),
            sessions: ServerSessions(spoolPath: spool) { [logger] in logger.notice("\($0)") })
        let handler = HostHandler(try parts.services(configuration))
        let server = HTTPServer(try options(parts.threads), handler: handler)
        serving.set(server)
        let port = try await server.start()
        if configuration.command == .server, try Self.volumes(Self.repositories(configuration.programPath)).isEmpty {
            logger.notice("no repository is on a volume of this host: it takes jobs and tells how stanzas are")
        }
        let monitorServer = try await MonitorComposition.serve(monitor, configuration, logger)
        logger.notice("serving on \(configuration.string(.tlsServerAddress) ?? "localhost"), port \(port)")
        hangUp.set { [logger, programPath = configuration.programPath] in
            archiving?.tryAgain()
            ServiceManager.tell("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.microseconds())")
            do throws(BackupError) {
                try server.reload()
                handler.use(try parts.services(try Self.configuration(programPath)))
                logger.notice("configuration and certificates were read again")
            } catch {
                logger.error("unable to read the configuration again, the old one stays: \(error.description)")
            }
            ServiceManager.tell("READY=1")
        }
        ServiceManager.tell("READY=1")
        while true {
            do { try await Task.sleep(for: Self.interval) } catch { break }
            renewCertificates(server)
            parts.locks.endOld()
            parts.sessions.endOld()
            await runner?.prune()
        }
        hangUp.set(nil)
        archiving?.stop()
        ServiceManager.tell("STOPPING=1")
        monitor.stop()
        logger.notice("stopping: requests that run have \(Self.farewell.components.seconds)s to end")
        // A task of its own: this one was cancelled.
        await Task {
            // Jobs go on, and the next start watches them.
            await runner?.stop(endsJobs: false)
            await server.stop(graceful: Self.farewell)
            await monitorServer?.stop(graceful: .zero)
            parts.sessions.endAll()
        }.value
    }

    private func renewCertificates(_ server: HTTPServer) {
        do throws(BackupError) {
            if try server.renewIfChanged() { logger.notice("certificates were read again: their files have changed") }
        } catch {
            logger.warning("unable to use the new certificates, the old ones stay: \(error.description)")
        }
    }

    private var spool: String { configuration.string(.spoolPath) ?? "/var/spool/pgbackrest" }

    /// nil on a repository host that has no place for jobs: it serves its volumes all the same.
    private func jobRunner(_ ended: JobEnds) async throws -> JobRunner? {
        var options = JobRunner.Options(program: configuration.programPath)
        options.words = Self.places
        // An agent and a server on one host must not take each other's jobs for their own.
        let store: JobStore
        do throws(BackupError) {
            store = try JobStore(path: "\(spool)/jobs-\(configuration.command.rawValue)")
        } catch {
            guard configuration.command == .server else { throw error }
            logger.warning("no jobs are taken: \(error.description)")
            return nil
        }
        let runner = JobRunner(store, options, logger: logger) { ended.add($0) }
        try await runner.recover()
        return runner
    }

    /// nil on a repository host, which has no PostgreSQL.
    private func archiveAgent() throws(BackupError) -> ArchiveAgent? {
        guard configuration.command == .agent, let spool = configuration.string(.spoolPath),
            let socket = configuration.string(.agentSocket)
        else { return nil }
        return try ArchiveAgent(spoolPath: spool, socketPath: socket, logger: logger)
    }

    /// What stays when the configuration is read again.
    private struct Parts: Sendable {
        let runner: JobRunner?
        let monitor: Monitor
        let looks: StatusLooks
        let subjects: StatusComposition
        let serving: Serving
        let threads: WorkerThreads
        let locks: HostLocks
        let sessions: ServerSessions

        func services(_ configuration: Configuration) throws(BackupError) -> HostHandler.Services {
            let authorization = try HostAuthorization(
                auth: configuration.pairs(.tlsServerAuth), allow: configuration.pairs(.tlsServerAllow))
            monitor.use(try MonitorComposition.options(configuration, authorization, serving))
            let isAgent = configuration.command == .agent
            let authorize = { @Sendable (client: ClientIdentity, stanza: String, verb: AccessVerb) -> BackupError? in
                do throws(BackupError) {
                    try authorization.require(verb, of: client, stanza: stanza)
                    return nil
                } catch {
                    return error
                }
            }
            let status = StatusService(looks) {
                authorize($0, $1, .read)
            } subjects: { [subjects, threads] stanza in
                await withTaskExecutorPreference(threads) { subjects.subjects(stanza) }
            }
            let jobs = runner.map { runner in
                JobService(runner, hasCluster: isAgent, authorize: authorize)
            }
            guard !isAgent else {
                let connector = LocalServers { [path = configuration.programPath] stanza throws(BackupError) in
                    try Configuration.load(
                        programPath: path, arguments: ["backup", "--stanza=\(stanza)"] + ServerRun.places,
                        environment: ProgramPath.environment())
                }
                let servers = ServerService(sessions, authorization, threads: threads, connector: connector)
                return HostHandler.Services(
                    storage: nil, jobs: jobs, servers: servers, status: status, monitor: monitor)
            }
            let volumes = try ServerRun.volumes(ServerRun.repositories(configuration.programPath))
            let storage =
                volumes.isEmpty
                ? nil
                : StorageService(volumes, authorization, locks, threads: threads, buffers: ServerRun.buffers)
            return HostHandler.Services(storage: storage, jobs: jobs, status: status, monitor: monitor)
        }
    }

    private func options(_ threads: WorkerThreads) throws(BackupError) -> ServerOptions {
        let certificates = ServerCertificates(
            certificateFile: try required(.tlsServerCertFile), keyFile: try required(.tlsServerKeyFile),
            caFile: try required(.tlsServerCaFile))
        var options = ServerOptions(
            .tls(
                address: configuration.string(.tlsServerAddress) ?? "localhost",
                port: configuration.integer(.tlsServerPort) ?? (configuration.command == .agent ? 8433 : 8432),
                certificates))
        // From begin to end there: each change of threads costs a small request more than its work.
        options.executor = threads
        options.log = { [logger] in logger.warning("\($0)") }
        return options
    }

    private func required(_ option: OptionName) throws(BackupError) -> String {
        guard let value = configuration.string(option) else {
            throw BackupError(
                .optionRequired, "\(configuration.command.rawValue) command requires option: \(option.rawValue)")
        }
        return value
    }

    /// As a start would read it now.
    private static func configuration(_ programPath: String) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath, arguments: Array(CommandLine.arguments.dropFirst()),
            environment: ProgramPath.environment())
    }

    /// Where the configuration is, for other commands with the same one.
    static var places: [String] { CommandLine.arguments.dropFirst().filter { $0.hasPrefix("--config") } }

    /// What is configured for commands that work on repositories.
    private static func repositories(_ programPath: String) throws(BackupError) -> Configuration {
        try Configuration.load(
            programPath: programPath,
            arguments: ["info"] + places,
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
