package import BackupModel
package import Logging
import Glibc
import PostgresFormats
import RepositoryFormats
import Telemetry

/// `restore`: brings a backup set back into the data directory and leaves PostgreSQL ready to recover to the target.
package struct RestoreCommand: Sendable {
    package var configuration: Configuration
    /// In the order in which they are searched.
    package var repositories: [Repository]
    package var logger: Logger
    package var workers: WorkerThreads
    package var progress: (any ProgressSink)?
    /// Takes what a dry run prints, without its last newline.
    package var print: @Sendable (String) -> Void

    package init(
        configuration: Configuration, repositories: [Repository], logger: Logger, workers: WorkerThreads,
        progress: (any ProgressSink)? = nil, print: @Sendable @escaping (String) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.repositories = repositories
        self.logger = logger
        self.workers = workers
        self.progress = progress
        self.print = print
    }

    package func run() async throws {
        if configuration.bool(.inPlace) {
            let restore = try InPlaceRestore(self)
            return try await withTaskExecutorPreference(workers) { try await restore.run() }
        }
        let options = try RestoreOptions(configuration)
        guard
            let plan = try await Self.run(
                options, repositories: repositories, logger: logger, workers: workers, progress: progress)
        else { return }
        print(plan.text(asJSON: configuration.string(.output) == "json"))
    }

    /// With resolved options: what `run()` does, without the command line.
    /// - Returns: of a dry run, what would be done.
    @discardableResult
    package static func run(
        _ options: RestoreOptions, repositories: [Repository], logger: Logger, workers: WorkerThreads,
        progress: (any ProgressSink)? = nil
    ) async throws -> RestoreReport? {
        try await withTaskExecutorPreference(workers) {
            var options = options
            write(try RestorePreflight.checkDataDirectory(&options), to: logger)
            let (repository, manifest) = try await chooseBackup(options, repositories: repositories, logger: logger)
            let plan = try RestorePlan(manifest, options)
            try RestorePreflight.check(plan, options)
            if options.isDryRun { return RestoreReport(plan, options, repository) }
            try await carryOut(
                plan, options, from: repository, among: repositories, logger: logger, workers: workers,
                progress: progress)
            var report = RestoreReport(plan, options, repository)
            report.isDone = true
            logger.notice("restored backup set \(manifest.label)", metadata: report.metadata)
            return nil
        }
    }

    /// - Parameter plan: one that was checked.
    static func carryOut(
        _ plan: RestorePlan, _ options: RestoreOptions, from repository: Repository, among repositories: [Repository],
        logger: Logger, workers: WorkerThreads, progress: (any ProgressSink)?
    ) async throws {
        logger.notice(
            """
            \(repository.name): restore backup set \(plan.manifest.label), recovery will start at \
            \(TargetTime.describe(plan.manifest.timestampStart))
            """)
        let present = try LocalDisk.status(options.dataDirectory, followingLinks: true)
        let owners = try RestoreOwners(
            plan, isRoot: geteuid() == 0,
            dataDirectoryOwner: present.map { FileOwner(user: $0.user, group: $0.group) })
        write(plan.notices + owners.notices, to: logger)

        var execution = RestoreExecution(
            plan: plan, options: options, repository: repository,
            others: repositories.filter { $0.key != repository.key }, owners: owners, logger: logger,
            workers: workers)
        progress?.begin(total: plan.totalSize)
        defer { progress?.end() }
        execution.progress = { progress?.add($0) }
        try await execution.run()
        logger.notice("restore size = \(SizeText.bytes(plan.totalSize)), file total = \(plan.order.count + 1)")
    }

    static func write(_ notices: [RestoreNotice], to logger: Logger) {
        for notice in notices { logger.log(level: notice.isWarning ? .warning : .notice, "\(notice.text)") }
    }

    /// Of the first repository that has a backup which fits and whose manifest can be read: nothing has been written
    /// yet, so each that fails is passed over with a warning. When none helps, the first failure is thrown.
    static func chooseBackup(
        _ options: RestoreOptions, repositories: [Repository], logger: Logger
    ) async throws(BackupError) -> (Repository, Manifest) {
        let selection = try BackupSetSelection(options)
        var oldest: (repository: Int, entry: BackupInfoEntry)?
        var failure: BackupError?
        for (index, repository) in repositories.enumerated() {
            do throws(BackupError) {
                let info = try await repository.loadBackupInfo(stanza: options.stanza)
                if let first = info.backups.first, first.timestampStop < oldest?.entry.timestampStop ?? .max {
                    oldest = (repository.key, first)
                }
                let reach = try await reachability(options, info: info, repository: repository)
                var entry = try selection.choose(from: info, isReachable: reach)
                // One that fits but for its timeline is better than none: the check of it says what is wrong.
                if entry == nil { entry = try selection.choose(from: info) }
                guard let entry else { continue }
                let manifest = try await repository.loadManifest(
                    stanza: options.stanza, label: entry.label, cipherPass: info.cipherPass)
                try check(manifest, entry, options, logger)
                try await repository.checkTimeline(options, of: manifest, stanza: options.stanza)
                return (repository, manifest)
            } catch {
                if index < repositories.count - 1 {
                    logger.warning("\(repository.name): \(error.message): trying the next repository")
                } else if repositories.count > 1 {
                    logger.warning("\(repository.name): \(error.message)")
                }
                failure = failure ?? error
            }
        }
        throw failure ?? selection.failure(oldest: oldest)
    }

    /// With a timeline given by number, backups that it does not descend from are passed over.
    private static func reachability(
        _ options: RestoreOptions, info: BackupInfo, repository: Repository
    ) async throws(BackupError) -> (BackupInfoEntry) -> Bool {
        guard case .number(let timeline) = try RestoreTimeline(options, version: info.current.version) else {
            return { _ in true }
        }
        let history = try await repository.loadTimelineHistory(
            timeline, stanza: options.stanza,
            archiveID: RepositoryPaths.archiveID(version: info.current.version, historyID: info.currentID))
        return { entry in
            guard entry.databaseID == info.currentID,
                let end = RestoreTimeline.end(archiveStart: entry.archiveStart, lsnStop: entry.lsnStop)
            else { return true }
            return RestoreTimeline.isReachable(timeline, history: history, from: end)
        }
    }

    private static func check(
        _ manifest: Manifest, _ entry: BackupInfoEntry, _ options: RestoreOptions, _ logger: Logger
    ) throws(BackupError) {
        guard manifest.label == entry.label else {
            throw BackupError(
                .format, "manifest of backup set \(entry.label) says that it is of \(manifest.label)",
                hint: "was the backup directory renamed or copied?")
        }
        if entry.hasErrors == true {
            logger.warning("backup set \(entry.label) contains page checksum errors")
        }
        if options.set != nil, options.type == .time, let target = options.target,
            let time = try? TargetTime.parse(target), time <= manifest.timestampStop
        {
            logger.warning(
                """
                target time \(target) is not after the end of backup set \(entry.label) \
                (\(TargetTime.describe(manifest.timestampStop))): PostgreSQL will probably refuse to recover
                """)
        }
    }
}
