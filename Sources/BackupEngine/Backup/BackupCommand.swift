package import BackupModel
import Checksums
import Glibc
import Logging
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import Telemetry

/// `backup`: copies a cluster into a repository. The order of writes is in docs/write-ordering.md.
package struct BackupCommand: Sendable {
    let context: EngineContext
    let repository: Repository
    let stanza: String
    let logger: Logger

    package init(_ context: EngineContext) throws(BackupError) {
        self.context = context
        guard let repository = context.repositories.first else {
            throw BackupError(.optionRequired, "no repository is configured", hint: "set repo1-path")
        }
        self.repository = repository
        stanza = try context.stanza()
        logger = context.logger
    }

    private var configuration: Configuration { context.configuration }

    /// What a run knows before it copies.
    private struct Preparation {
        var archiveInfo: ArchiveInfo
        var backupInfo: BackupInfo
        var control: PostgresControl
        var server: BackupServer?
        var checksArchive: Bool
        var label: String
        var timestampStart: Int64
    }

    /// Makes the backup, with the lock of its repository held.
    package func run() async throws {
        try await CommandLocks.inRepositories([repository], context) { try await copyCluster() }
    }

    private func copyCluster() async throws {
        let preparation = try await prepare()
        let started = try preparation.server.map { server throws(BackupError) in try start(server, preparation) }

        let (scanned, source) = try scan(preparation, started)
        var manifest = scanned
        manifest.label = preparation.label
        manifest.references = [preparation.label]
        // A name that the manifest cannot hold is found before anything is written.
        try manifest.validateNames()
        let directory = RepositoryPaths.backupSet(stanza: stanza, label: preparation.label)
        try await repository.describing { try await repository.store.makeDirectory(directory) }
        try await save(
            manifest, at: RepositoryPaths.copy(of: RepositoryPaths.manifest(stanza: stanza, label: preparation.label)))

        let archive = ArchiveCheck(
            repository: repository, stanza: stanza, archiveID: preparation.archiveInfo.currentArchiveID,
            timeout: configuration.duration(.archiveTimeout) ?? .seconds(60),
            segmentSize: preparation.control.walSegmentSize)
        let results = try await copy(
            source, manifest, control: preparation.control, archive,
            proof: preparation.checksArchive ? started?.proofSegment : nil)
        apply(results, to: &manifest)

        if let server = preparation.server, let started {
            try await finishOnline(server, started, archive, preparation, &manifest)
        }
        manifest.timestampStop = context.now()
        manifest.writerVersion = ProgramVersion.repositoryText
        manifest.files.sort()
        try manifest.validateComplete()
        try await publish(manifest, preparation)
        logSummary(manifest)
    }

    // MARK: - Before the copy

    private func prepare() async throws -> Preparation {
        try requireFullBackup()
        let dataDirectory = try context.dataDirectory()
        let isOnline = configuration.bool(.online)
        let server = isOnline ? try BackupServer.connect(context, command: .backup) : nil
        let control = try server?.control ?? ClusterDirectory.control(dataDirectory)
        try control.requireSupported(in: dataDirectory)
        if !isOnline, try ClusterDirectory.isRunning(dataDirectory) {
            guard configuration.bool(.force) else {
                throw BackupError(
                    .postgresRunning, "--no-online was given, but postmaster.pid is in '\(dataDirectory)'",
                    hint: "stop PostgreSQL, or use --force if you are certain that it does not run")
            }
            logger.warning("postmaster.pid is present and --force was given: the backup may not be consistent")
        }
        if let server, server.server.facts.isInRecovery {
            throw BackupError(
                .databaseMissing, "the server is a standby: the backup must be started and stopped on the primary",
                hint: "let pg1-path, pg1-port and pg1-socket-path name the primary")
        }

        let archiveInfo = try await repository.loadArchiveInfo(stanza: stanza)
        var backupInfo = try await repository.loadBackupInfo(stanza: stanza)
        try StanzaIdentity.requireMatch(control, archiveInfo, backupInfo, repository: repository, stanza: stanza)

        let checksArchive = isOnline && configuration.bool(.archiveCheck)
        if checksArchive { try server?.requireArchiving(configuration) }

        let listing = try await BackupListing.load(repository, stanza: stanza)
        try await backupInfo.reconcile(with: listing, in: repository, stanza: stanza, logger: logger)
        if let unfinished = listing.unfinished {
            logger.warning("backup '\(unfinished)' was interrupted: its files are removed")
            let path = RepositoryPaths.backupSet(stanza: stanza, label: unfinished)
            try await repository.describing { try await repository.store.deleteTree(path) }
        }
        let existing =
            listing.labels.filter { $0 != listing.unfinished } + backupInfo.backups.map(\.label)
            + (try await labelsInHistory())
        let (label, time) = try NewLabel.full(existing: existing, time: context.now())
        // A label of the next second: wait for it, so that no backup starts before its label says.
        while context.now() < time { try await Task.sleep(for: .milliseconds(20)) }
        return Preparation(
            archiveInfo: archiveInfo, backupInfo: backupInfo, control: control, server: server,
            checksArchive: checksArchive, label: label, timestampStart: time)
    }

    private func requireFullBackup() throws(BackupError) {
        let type = configuration.string(.type) ?? "incr"
        guard type != BackupType.full.rawValue else { return }
        if configuration.isSet(.type) {
            throw BackupError(
                .featureNotSupported, "backup --type=\(type) is not supported by this version of Permafrost",
                hint: "use --type=full")
        }
        logger.info("a full backup is made: this version of Permafrost makes no other")
    }

    private func labelsInHistory() async throws(BackupError) -> [String] {
        let directory = "\(RepositoryPaths.backup(stanza: stanza))/backup.history"
        guard let year = try await repository.listAll(directory).filter({ $0.kind == .directory }).map(\.name).max()
        else {
            return []
        }
        return try await repository.listAll("\(directory)/\(year)").map { String($0.name.prefix(while: { $0 != "." })) }
    }

    /// A backup that the server has begun.
    private struct Started {
        var start: BackupStart
        /// Complete and about to be archived when the backup began: its arrival proves that archiving works.
        var proofSegment: WALSegment?
        var databases: [ManifestDatabase]
        var tablespaces: [UInt32: String]
    }

    private func start(_ server: BackupServer, _ preparation: Preparation) throws(BackupError) -> Started {
        let connection = server.server
        let before = preparation.checksArchive ? try connection.currentWALSegment() : nil
        let isFast = configuration.bool(.startFast)
        logger.notice(
            "execute non-exclusive backup start: backup begins after the \(isFast ? "requested immediate" : "next regular") checkpoint completes"
        )
        let start = try connection.startBackup(label: "Permafrost backup \(preparation.label)", fast: isFast)
        logger.notice("backup start archive = \(start.segment), lsn = \(start.lsn)")
        let onDisk = try ClusterDirectory.control(server.dataDirectory)
        guard onDisk.checkpoint >= start.lsn, onDisk.timeline == start.timeline else {
            throw BackupError(
                .databaseMismatch,
                "pg_control in '\(server.dataDirectory)' has checkpoint \(onDisk.checkpoint) on timeline \(onDisk.timeline), but the backup began at \(start.lsn) on timeline \(start.timeline)",
                hint: "is the data directory the one of this server, and is its file system coherent?")
        }
        if let before, before == start.segment {
            // Nothing was written since the last switch: make the start segment archivable now.
            _ = try connection.switchWAL()
        }
        let databases = try connection.databases().map {
            ManifestDatabase(name: $0.name, id: $0.oid, lastSystemID: $0.lastSystemOID)
        }
        let tablespaces = try connection.tablespaces()
        return Started(
            start: start, proofSegment: before, databases: databases,
            tablespaces: Dictionary(tablespaces.map { ($0.oid, $0.name) }) { first, _ in first })
    }

    private func scan(_ preparation: Preparation, _ started: Started?) throws(BackupError) -> (Manifest, [PlannedCopy])
    {
        let control = preparation.control
        let dataDirectory = try context.dataDirectory()
        let scanStart = context.now()
        let result = try DataDirectoryScan(
            dataDirectory: dataDirectory, version: control.version, catalogVersion: control.catalogVersion,
            isOnline: started != nil, tablespaceNames: started?.tablespaces ?? [:],
            excludes: configuration.list(.exclude)
        ).run()
        let scanEnd = context.now()
        for warning in result.warnings { logger.warning("\(warning)") }

        var options = ManifestOptions(compressType: try context.compressType())
        options.archiveCheck = preparation.checksArchive
        options.archiveCopy = preparation.checksArchive && configuration.bool(.archiveCopy)
        options.online = started != nil
        options.backupStandby = false
        options.checksumPage = checksumPage(control, isOnline: started != nil)
        options.delta = false
        options.bufferSize = configuration.size(.bufferSize)
        options.compressLevel = configuration.integer(.compressLevel)
        options.compressLevelNetwork = 1
        options.processMax = configuration.integer(.processMax)
        let database = preparation.backupInfo.current
        var manifest = Manifest(
            label: preparation.label, type: .full, references: [preparation.label],
            timestampStart: preparation.timestampStart, timestampCopyStart: scanEnd + 1,
            database: BackupInfo.Database(
                id: database.id, systemIdentifier: control.systemIdentifier, version: control.version,
                catalogVersion: control.catalogVersion, controlVersion: control.controlVersion),
            options: options)
        manifest.targets = result.targets
        manifest.paths = result.paths
        manifest.links = result.links
        manifest.files = result.files
        manifest.databases = started?.databases ?? []
        manifest.archiveStart = started?.start.segment.description
        manifest.lsnStart = started?.start.lsn.description
        for (key, value) in configuration.pairs(.annotation) where !value.isEmpty { manifest.annotations[key] = value }
        return (manifest, CopyPlan.files(of: manifest, dataDirectory: dataDirectory, scanStart: scanStart))
    }

    private func checksumPage(_ control: PostgresControl, isOnline: Bool) -> Bool {
        let isEnabled = control.dataChecksumVersion != 0
        guard configuration.isSet(.checksumPage) else { return isEnabled && isOnline }
        let isAsked = configuration.bool(.checksumPage)
        if isAsked, !isEnabled {
            logger.warning("checksum-page is on, but the cluster has no data checksums: pages are not checked")
            return false
        }
        return isAsked
    }

    // MARK: - Copy

    /// Copies while it is proven that archiving works: if it does not, that is found early and ends the copy.
    private func copy(
        _ source: [PlannedCopy], _ manifest: Manifest, control: PostgresControl, _ archive: ArchiveCheck,
        proof: WALSegment?
    ) async throws -> [Int: CopiedFile?] {
        let phase = CopyPhase(context: context, repository: repository, stanza: stanza, label: manifest.label)
        let options = manifest.options
        let workers = WorkerThreads(count: configuration.integer(.processMax) ?? 1)
        return try await withThrowingTaskGroup(of: [Int: CopiedFile?].self) { group in
            if let proof {
                group.addTask {
                    _ = try await archive.wait(for: proof)
                    return [:]
                }
            }
            group.addTask { try await phase.run(source, control: control, manifestOptions: options, workers: workers) }
            var all: [Int: CopiedFile?] = [:]
            do {
                while let part = try await group.next() { all.merge(part) { first, _ in first } }
            } catch {
                group.cancelAll()
                throw error
            }
            return all
        }
    }

    // MARK: - After the copy

    private func apply(_ results: [Int: CopiedFile?], to manifest: inout Manifest) {
        var vanished: [Int] = []
        for (index, result) in results {
            guard let copied = result, let stored = copied.stored.first else {
                vanished.append(index)
                continue
            }
            var row = manifest.files[index]
            row.size = copied.size
            row.checksum = copied.checksum
            row.pageCheck = copied.pageCheck
            row.repoSize = stored.repoSize
            row.repoChecksum = stored.repoChecksum
            manifest.files[index] = row
        }
        manifest.files.remove(at: vanished.sorted())
    }

    private func finishOnline(
        _ server: BackupServer, _ started: Started, _ archive: ArchiveCheck, _ preparation: Preparation,
        _ manifest: inout Manifest
    ) async throws {
        logger.notice("execute non-exclusive backup stop and wait for all WAL segments to archive")
        let stop = try server.server.stopBackup()
        logger.notice("backup stop archive = \(stop.segment), lsn = \(stop.lsn)")
        guard stop.timeline == started.start.timeline else {
            throw BackupError(
                .databaseMismatch,
                "the timeline changed from \(started.start.timeline) to \(stop.timeline) during the backup",
                hint: "run the backup again")
        }
        manifest.archiveStop = stop.segment.description
        manifest.lsnStop = stop.lsn.description

        let alone = HashPairing(participants: 1)
        let copier = FileCopier(
            branches: [
                try RepositoryBranch(
                    repository: repository, stanza: stanza, label: manifest.label,
                    compress: manifest.options.compressType, level: manifest.options.compressLevel, pairing: alone)
            ], pages: nil, pairing: alone, progress: { _ in })
        let root = manifest.paths.first { $0.name == "pg_data" }
        var extras = [("pg_data/backup_label", stop.backupLabel)]
        if let map = stop.tablespaceMap { extras.append(("pg_data/tablespace_map", map)) }
        for (name, text) in extras {
            var file = ManifestFile(
                name: name, size: UInt64(text.utf8.count), timestamp: context.now(),
                mode: (root?.mode ?? 0o600) & 0o644,
                user: root?.user, group: root?.group)
            let copied = try await copier.store(
                Array(text.utf8),
                as: SourceFile(
                    index: -1, name: name, path: name, size: file.size, stopsAtSize: true, hasPages: false,
                    isControlFile: false))
            file.checksum = copied.checksum
            file.repoSize = copied.stored[0].repoSize
            file.repoChecksum = copied.stored[0].repoChecksum
            manifest.files.append(file)
        }
        guard preparation.checksArchive else { return }
        let segments = try await archive.wait(from: started.start.segment, to: stop.segment, logger: logger)
        if manifest.options.archiveCopy {
            try await archive.copy(segments, into: &manifest, ownedAs: root, time: context.now())
        }
    }

    /// Data is written: make it durable, then the manifest that refers to it, then the list that refers to that.
    private func publish(_ manifest: Manifest, _ preparation: Preparation) async throws {
        let path = RepositoryPaths.manifest(stanza: stanza, label: manifest.label)
        let directory = RepositoryPaths.backupSet(stanza: stanza, label: manifest.label)
        try await makeDirectories(manifest)
        try await repository.describing { try await repository.store.syncAll(under: directory) }
        try await save(manifest, at: RepositoryPaths.copy(of: path))
        try await save(manifest, at: path)
        let history = RepositoryPaths.manifestHistory(stanza: stanza, label: manifest.label)
        try await save(manifest, at: history, compress: .gz)
        if repository.store.capabilities.contains(.symlinks), configuration.bool(.repoSymlink, repository.key) {
            let link = RepositoryPaths.latest(stanza: stanza)
            try await repository.describing { try await repository.store.link(link, to: manifest.label) }
        }
        var info = preparation.backupInfo
        info.backups.append(BackupInfoEntry(manifest))
        info.backups.sort { $0.label < $1.label }
        info.writerVersion = ProgramVersion.repositoryText
        try await repository.saveBackupInfo(info, stanza: stanza)
        // Rewritten unchanged, so that no lifecycle rule of a bucket takes it for old.
        var archiveInfo = preparation.archiveInfo
        archiveInfo.writerVersion = ProgramVersion.repositoryText
        try await repository.saveArchiveInfo(archiveInfo, stanza: stanza)
    }

    /// The directory tree as pgBackRest makes it, empty directories too, so that an uncompressed set can be used as a
    /// data directory.
    private func makeDirectories(_ manifest: Manifest) async throws {
        guard repository.store.capabilities.contains(.directories) else { return }
        let set = RepositoryPaths.backupSet(stanza: stanza, label: manifest.label)
        for path in manifest.paths {
            try await repository.describing { try await repository.store.makeDirectory("\(set)/\(path.name)") }
        }
        guard repository.store.capabilities.contains(.symlinks), configuration.bool(.repoSymlink, repository.key) else {
            return
        }
        for target in manifest.targets where target.tablespaceID != nil {
            let link = "\(set)/pg_data/\(target.name)"
            try await repository.describing { try await repository.store.link(link, to: "../../\(target.name)") }
        }
    }

    private func save(_ manifest: Manifest, at path: String, compress: CompressType = .none) async throws {
        try await repository.describing {
            let writer = try await CompressedObjectWriter(
                repository.store.write(path, .atomic), compress: compress, level: compress == .none ? nil : 9)
            do {
                var encoder = ManifestEncoder(manifest)
                var piece: [UInt8] = []
                while encoder.next(into: &piece) {
                    try await writer.append(piece.span.bytes)
                    piece.removeAll(keepingCapacity: true)
                }
                try await writer.commit()
            } catch {
                await writer.abort()
                throw error
            }
        }
    }

    private func logSummary(_ manifest: Manifest) {
        let entry = BackupInfoEntry(manifest)
        if entry.hasErrors == true {
            for index in 0..<manifest.files.count {
                guard case .invalid(let pages) = manifest.files[index].pageCheck else { continue }
                logger.warning("\(PageErrorText.sentence(file: manifest.files.name(index), pages))")
            }
        }
        logger.notice("new backup label = \(manifest.label)")
        logger.notice("full backup size = \(SizeText.bytes(entry.size)), file total = \(manifest.files.count)")
    }
}
