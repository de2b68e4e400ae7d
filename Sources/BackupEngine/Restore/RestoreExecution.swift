import BackupModel
package import Logging
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Glibc

/// Carries a plan out.
package struct RestoreExecution: Sendable {
    package var plan: RestorePlan
    package var options: RestoreOptions
    package var repository: Repository
    /// In which files are looked for that `repository` does not give.
    let alternatives: RestoreAlternatives
    package var owners: RestoreOwners
    package var logger: Logger
    package var workers: WorkerThreads
    /// Called with the bytes of each file that is done, from any worker.
    package var progress: @Sendable (UInt64) -> Void = { _ in }

    package init(
        plan: RestorePlan, options: RestoreOptions, repository: Repository, others: [Repository] = [],
        owners: RestoreOwners, logger: Logger, workers: WorkerThreads
    ) {
        alternatives = RestoreAlternatives(others, to: plan.manifest, stanza: plan.stanza, workers: workers)
        self.plan = plan
        self.options = options
        self.repository = repository
        self.owners = owners
        self.logger = logger
        self.workers = workers
    }

    /// In the data directory while a restore is not finished.
    static let manifestName = "backup.manifest"
    /// The level of lines about single files, `detail` of the log options.
    static let detail = Logger.Level.info

    package func run() async throws {
        try removeSpool()
        try LocalDisk.makeDirectories(plan.dataDirectory, owner: nil)
        // From here on an interrupted restore is recognised and can be continued with --delta.
        try saveManifest()
        if options.delta || options.force { try clean() }
        try makeDirectories()
        try LocalDisk.sync(directory: plan.dataDirectory)

        let queue = WorkQueue(plan.jobs)
        let progress = RestoreProgress(total: plan.totalSize, report: progress)
        // More tasks than threads: while some wait for a store behind a network, others decode and write.
        let ahead = repository.store.concurrency.readAhead
        try await workers.runPaired(ahead: ahead, atMost: plan.jobs.count) { pairing in
            try await RestoreWorker(self, progress: progress, pairing: pairing).run(queue)
        }

        try writeRecoveryFiles()
        for directory in try directoriesToSync() { try LocalDisk.sync(directory: directory) }
        try await restoreControl(progress)
        try LocalDisk.removeFile("\(plan.dataDirectory)/\(Self.manifestName)")
        try LocalDisk.sync(directory: plan.dataDirectory)
    }

    /// What an asynchronous archive-get fetched ahead belongs to the cluster that was here before.
    private func removeSpool() throws(BackupError) {
        guard let spool = options.spoolPath else { return }
        let path = "\(spool)/archive/\(options.stanza)"
        // What this user may not read, an archive-get of the same user does not find either.
        if access(path, R_OK | X_OK) != 0, errno == EACCES { return }
        try LocalDisk.removeTree(path)
    }

    private func saveManifest() throws(BackupError) {
        let path = "\(plan.dataDirectory)/\(Self.manifestName)"
        var encoder = ManifestEncoder(plan.manifest)
        try LocalDisk.replace(path, mode: 0o600, owner: rootOwner) { encoder.next(into: &$0) }
        try LocalDisk.sync(directory: plan.dataDirectory)
    }

    /// Of the data directory, for files that no manifest has.
    private var rootOwner: FileOwner? {
        let root = plan.manifest.paths.first { $0.name == "pg_data" }
        return owners.owner(user: root?.user, group: root?.group)
    }

    private func clean() throws(BackupError) {
        let global = "\(plan.dataDirectory)/global"
        try LocalDisk.removeFile("\(global)/pg_control")
        if try LocalDisk.status(global) != nil { try LocalDisk.sync(directory: global) }
        let cleaning = try RestoreCleaning(scanning: plan)
        for removal in cleaning.removals { logger.log(level: Self.detail, "remove \(removal.kind) '\(removal.path)'") }
        if !cleaning.removals.isEmpty {
            logger.notice(
                "remove \(cleaning.removals.count) invalid files, links and directories from '\(plan.dataDirectory)'")
        }
        try cleaning.run()
    }

    private func makeDirectories() throws(BackupError) {
        let files = Set(plan.manifest.targets.filter { $0.file != nil }.map(\.name))
        var links: [String: ManifestLink] = [:]
        for link in plan.manifest.links { links[link.name] = link }
        for directory in plan.manifest.paths where directory.name != "pg_tblspc" {
            let owner = owners.owner(user: directory.user, group: directory.group)
            let linkName = directory.name.hasPrefix("pg_tblspc/") ? "pg_data/\(directory.name)" : directory.name
            let path = plan.path(of: directory.name)
            if let link = links[linkName] {
                try makeLink(link, isFile: false)
            } else {
                try LocalDisk.makeDirectory(path)
            }
            try LocalDisk.adjustDirectory(path, mode: directory.mode, owner: owner)
        }
        for link in plan.manifest.links { try makeLink(link, isFile: files.contains(link.name)) }
    }

    private func makeLink(_ link: ManifestLink, isFile: Bool) throws(BackupError) {
        let path = plan.path(of: link.name)
        let owner = owners.owner(user: link.user, group: link.group)
        let destination = LocalDisk.resolve(link.destination, in: LocalDisk.parent(of: path))
        try LocalDisk.makeDirectories(isFile ? LocalDisk.parent(of: destination) : destination, owner: owner)
        if try LocalDisk.status(path) != nil { return }
        try LocalDisk.makeLink(path, to: link.destination, owner: owner)
    }

    private func writeRecoveryFiles() throws(BackupError) {
        let recovery = plan.recovery
        guard let file = recovery.file else { return }
        let path = "\(plan.dataDirectory)/\(RecoverySettings.name(of: file))"
        let time = TargetTime.describe(Int64(Glibc.time(nil)))
        let text: String?
        switch file {
        case .recoveryConf:
            text = recovery.recoveryConf(time: time)
        case .autoConf:
            let present = try LocalDisk.read(path)
            let rewritten = recovery.autoConf(rewriting: String(decoding: present ?? [], as: UTF8.self), time: time)
            text = present == nil && rewritten.isEmpty ? nil : rewritten
        }
        if let text {
            logger.notice("write updated '\(path)'")
            try LocalDisk.replace(path, with: Array(text.utf8), mode: 0o600, owner: rootOwner)
        } else {
            try LocalDisk.removeFile(path)
        }
        guard let signal = recovery.signalFile else { return }
        try LocalDisk.replace("\(plan.dataDirectory)/\(signal)", with: [], mode: 0o600, owner: rootOwner)
    }

    /// All directories in which a name may be new.
    private func directoriesToSync() throws(BackupError) -> [String] {
        var directories = plan.manifest.paths.filter { $0.name != "pg_tblspc" }.map { plan.path(of: $0.name) }
        directories.append(LocalDisk.parent(of: plan.dataDirectory))
        for root in plan.roots where root.name != "pg_data" { directories.append(LocalDisk.parent(of: root.path)) }
        for link in plan.manifest.links {
            let path = plan.path(of: link.name)
            directories.append(
                LocalDisk.parent(of: LocalDisk.resolve(link.destination, in: LocalDisk.parent(of: path))))
        }
        var seen: Set<String> = []
        return directories.filter { seen.insert($0).inserted && access($0, R_OK) == 0 }
    }

    /// Last of all: without pg_control an aborted restore cannot be started, and with the checkpoint made invalid
    /// neither can one whose backup_label was removed.
    private func restoreControl(_ progress: RestoreProgress) async throws {
        let file = plan.manifest.files[plan.controlFile]
        let path = plan.path(of: file.name)
        logger.notice("restore global/pg_control (performed last to ensure aborted restores cannot be started)")
        var content = try await RestoreWorker(self, progress: progress, pairing: HashPairing(participants: 1)).load(
            file)
        if plan.manifest.options.online { try PostgresControl.invalidateCheckpoint(in: &content) }
        try LocalDisk.replace(
            path, with: content, mode: file.mode, owner: owners.owner(user: file.user, group: file.group),
            modified: file.timestamp)
        try LocalDisk.sync(directory: LocalDisk.parent(of: path))
        _ = progress.add(file.size)
    }
}
