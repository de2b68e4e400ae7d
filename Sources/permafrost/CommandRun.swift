import BackupEngine
import BackupModel
import CLinux
import Glibc
import Logging
import RepositoryStorage
import Telemetry

/// One command from its begin line to its exit status: locks, repositories, engine.
struct CommandRun {
    private let configuration: Configuration
    private let logger: Logger
    /// Where the command's own flow may block; workers that copy have threads of their own.
    private let control: WorkerThreads

    /// Seconds since 1970, when the options had been read.
    private let startTime: Int
    private let objectStores: ObjectStoreContext
    private let hangUp = HangUp()

    init(_ configuration: Configuration) {
        startTime = time(nil)
        var configuration = configuration
        configuration.setExecId(ExecutionID.new())
        self.configuration = configuration
        let logger = CommandLog.start(configuration)
        self.logger = logger
        objectStores = ObjectStoreContext { logger.warning("\($0)") }
        control = WorkerThreads(count: 1)
    }

    func execute() async -> Int32 {
        let start = ContinuousClock.now
        let frame = CommandLog.frame(configuration)
        CommandLog.begin(logger, configuration)
        // Only with secrets: without, a core dump helps to find a fault.
        if configuration.hasSecrets, linux_disable_core_dumps() != 0 {
            logger.warning("core dumps cannot be switched off: one of this process would hold passphrases")
        }
        let task = Task(executorPreference: control) { try await run() }
        Signals.watch(hangUp: hangUp) { task.cancel() }
        let status: Int32
        do {
            status = try await task.value
            if configuration.command == .archivePush || configuration.command == .archiveGet {
                ShortcutWriter(configuration, start: startTime).write()
            }
            let time = ContinuousClock.now - start
            let network = objectStores.summary.map { "; " + $0 } ?? ""
            logger.log(
                level: frame,
                "\(configuration.commandText) command end: completed successfully (\(time.milliseconds)ms\(network))",
                metadata: CommandLog.exitCode(status))
        } catch {
            let failure = BackupError(error)
            CommandLog.report(failure, logger)
            status = failure.code.rawValue
            CommandLog.end(logger, configuration, failedWith: failure.code)
        }
        return status
    }

    private func run() async throws -> Int32 {
        if let priority = configuration.integer(.priority) { try ProcessPriority.set(priority) }
        // By itself the allocator raises the size from which on blocks go back to the system as it goes, and keeps tables
        // of a million files as holes. For segments of WAL, one like the other, that is just right.
        if configuration.command != .archivePush, configuration.command != .archiveGet {
            // What goes over a network comes and goes in blocks of hundreds of kilobytes, which are not to be new each time.
            linux_return_blocks_from(isAmongHosts ? 1 << 20 : 64 << 10)
        }
        return try await configuration.withForcedVersion { try await runCommand() }
    }

    private var isAmongHosts: Bool {
        CommandSet.serving.contains(configuration.command.asSet)
            || configuration.configuredRepositoryKeys.contains { configuration.string(.repoHost, $0) != nil }
    }

    private func runCommand() async throws -> Int32 {
        switch configuration.command {
        case .job: return try await JobRun(configuration, logger).run()
        case .serverPing:
            try await ServerPing(configuration).run()
            return 0
        default: break
        }
        if let agent = try DelegatedRun(configuration, logger) { return try await agent.run() }
        let progress = CommandProgress(logger: logger)
        let context = try makeContext(progress)
        switch configuration.command {
        case .backup:
            var selected = context
            selected.repositories = context.repositories.filter { configuration.repositoryKeys.contains($0.key) }
            try await CommandLocks.onHost(context, [.backup]) { lock in
                progress.show(in: lock)
                Hold.warn(configuration.pairs(.annotation), of: "the new backup", context)
                let failures = try await BackupCommand(selected).runWhereItCan()
                // One that is down for long must not let the others fill up.
                var left = context
                left.repositories.removeAll { failures.keys.contains($0.key) }
                if configuration.bool(.expireAuto) { try await ExpireCommand(left).run() }
                if let error = failures.error { throw error }
            }
        case .expire:
            try await CommandLocks.onHost(context, [.backup]) { _ in
                try await ExpireCommand(context) { print($0) }.run()
            }
        case .annotate:
            try await CommandLocks.onHost(context, [.backup]) { _ in try await AnnotateCommand(context).run() }
        case .archivePush:
            try CommandLocks.requireNotStopped(context)
            if configuration.role == .async {
                try await ArchivePushBackground(context).run()
            } else {
                try await ArchivePush(context).run()
            }
        case .archiveGet where configuration.role == .async:
            try await ArchiveGetBackground(context).run()
        case .archiveGet:
            // 1 tells PostgreSQL that the file is not there; errors are larger.
            return try await ArchiveGet(context).run() ? 0 : 1
        case .restore:
            // In place the server is stopped, and what is restored must stay: no backup and no expiry meanwhile.
            let isExclusive = configuration.bool(.inPlace) && !configuration.bool(.dryRun)
            try await CommandLocks.onHost(context, isExclusive ? [.backup, .restore] : [.restore]) { lock in
                progress.show(in: lock)
                try await RestoreCommand(
                    configuration: configuration, repositories: context.repositories, logger: logger,
                    workers: WorkerThreads(count: configuration.integer(.processMax) ?? 1),
                    progress: progress
                ) { print($0) }.run()
            }
        case .stanzaCreate:
            try await changeStanza(context) { try await $0.create() }
        case .stanzaUpgrade:
            try await changeStanza(context) { try await $0.upgrade() }
        case .stanzaDelete:
            try await changeStanza(context) { try await $0.delete() }
        case .check:
            try await check(context)
        case .info:
            print(try await InfoCommand(context).run())
        case .start:
            try StopFileCommands.start(context)
        case .stop:
            try StopFileCommands.stop(context)
        case .verify:
            try await VerifyCommand(context).run { print($0) }
        case .manifest:
            try await StandardStreams.printing { try await ManifestCommand(context).run(StandardStreams.write) }
        case .repoLs:
            try await StandardStreams.printing { try await RepositoryListing(context).run(StandardStreams.write) }
        case .repoGet:
            var isFound = true
            try await StandardStreams.printing {
                isFound = try await RepositoryFileCommands(context).get(StandardStreams.write)
            }
            return isFound ? 0 : 1
        case .repoPut:
            try await RepositoryFileCommands(context).put(StandardStreams.read)
        case .repoRm:
            try await RepositoryFileCommands(context).remove()
        case .kubernetesOperator:
            try await OperatorRun(configuration, logger).run()
        case .server, .agent:
            try await ServerRun(configuration, logger, hangUp).run()
        case .completion, .help, .job, .kubectl, .serverPing, .tls, .version:
            throw BackupError(
                .featureNotSupported,
                "command '\(configuration.command.rawValue)' works on no repository")
        }
        return 0
    }

    /// Nothing else may run for the stanza meanwhile, here or on another host.
    private func changeStanza(
        _ context: EngineContext, _ change: @Sendable @escaping (StanzaCommands) async throws -> Void
    ) async throws {
        try await CommandLocks.onHost(context, LockType.allCases) { _ in
            // One that is broken does not keep the others from it.
            try await CommandLocks.inEachRepository(context) { repository in
                var one = context
                one.repositories = [repository]
                try await change(StanzaCommands(one))
            }
        }
    }

    /// Without a stanza, all that the configuration names are checked, one after the other.
    private func check(_ context: EngineContext) async throws {
        if configuration.string(.stanza) != nil {
            try await CheckCommand(context).run()
            return
        }
        let stanzas = configuration.stanzasInFiles
        guard !stanzas.isEmpty else {
            throw BackupError(.optionRequired, "no stanza was given and the configuration names none")
        }
        for stanza in stanzas {
            var one = context
            one.configuration = try configuration.forStanza(stanza)
            one.repositories = try RepositoryComposition.repositories(one.configuration, objectStores)
            one.remoteServers = try one.configuration.agentServers(logger)
            try await CheckCommand(one).run()
        }
    }

    private func makeContext(_ progress: CommandProgress) throws(BackupError) -> EngineContext {
        var context = EngineContext(
            configuration: configuration,
            repositories: try RepositoryComposition.repositories(configuration, objectStores), logger: logger,
            now: {
                var now = timespec()
                clock_gettime(CLOCK_REALTIME, &now)
                return Int64(now.tv_sec)
            }, progress: progress)
        context.remoteServers = try configuration.agentServers(logger)
        return context
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
