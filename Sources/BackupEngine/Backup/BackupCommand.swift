package import BackupModel
import Logging
import PostgresAccess
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Telemetry

/// `backup`: copies a cluster into repositories, reading it once. The order of writes is in docs/write-ordering.md.
package struct BackupCommand: Sendable {
    let context: EngineContext
    let stanza: String

    /// - Parameter context: its repositories are those to fill.
    package init(_ context: EngineContext) throws(BackupError) {
        guard !context.repositories.isEmpty else {
            throw BackupError(.optionRequired, "no repository is configured", hint: "set repo1-path")
        }
        self.context = context
        stanza = try context.stanza()
    }

    /// Makes the backup, with the locks of its repositories held. Where some repositories fail the others get theirs,
    /// and the failure is thrown afterwards.
    package func run() async throws {
        if let error = try await runWhereItCan().error { throw error }
    }

    /// As ``run()``, but gives the failures of single repositories back, for what is to be done in the others first.
    package func runWhereItCan() async throws -> RepositoryFailures {
        let failures = RepositoryFailures(repositories: context.repositories.count, logger: context.logger)
        try await CommandLocks.inAvailable(context.repositories, context) { (repository, error) throws(BackupError) in
            do {
                try failures.record(repository, error)
            } catch {
                throw error as? BackupError ?? BackupError(.terminated, "terminated on signal")
            }
        } body: { available in
            let source = try await BackupSource.open(context)
            do {
                try await BackupRun(context: source.context, stanza: stanza, failures: failures).run(available, source)
            } catch {
                // On another host the session would go on for a while.
                await source.primary?.close()
                throw error
            }
            await source.primary?.close()
        }
        return failures
    }
}

/// One run over the repositories that can be worked on.
private struct BackupRun: Sendable {
    let context: EngineContext
    let stanza: String
    let failures: RepositoryFailures

    private var configuration: Configuration { context.configuration }
    private var logger: Logger { context.logger }

    /// A repository and its share.
    private struct Share: Sendable {
        var preparation: RepositoryPreparation
        var backup: RepositoryBackup
        var archive: ArchiveCheck
    }

    func run(_ repositories: [Repository], _ source: BackupSource) async throws {
        var preparations: [RepositoryPreparation] = []
        for repository in repositories {
            try await attempt(repository) {
                preparations.append(try await RepositoryPreparation.load(repository, stanza: stanza, source))
            }
        }
        // Before PostgreSQL is made to do anything.
        if source.checksArchive { try source.primary?.requireArchiving(configuration) }
        let (labels, time) = try await chooseLabels(&preparations)
        guard let firstLabel = labels.first else { return }
        let started = try await source.start(label: firstLabel)
        var common = NewManifest.Common(
            source: source, started: started, scan: try await source.scan(started), timestampStart: time)
        var shares: [Share] = []
        // In reverse, and nothing kept that is not needed any more: manifests are large.
        for label in labels.reversed() {
            let preparation = preparations.removeLast()
            var files = common.scan.found.files
            if preparations.isEmpty { common.scan.found.files = ManifestFiles() }
            try await attempt(preparation.repository) {
                shares.append(try await begin(common, preparation, label: label, &files))
            }
        }
        shares.reverse()
        try await copy(shares, common)
        let stop = try await source.stop(started)
        for share in shares where !share.backup.hasFailed {
            try await attempt(share.preparation.repository) { try await finish(share, common, stop) }
        }
    }

    /// Runs `body` for one repository; when it fails the run goes on without that, unless it is the last.
    private func attempt(_ repository: Repository, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            try failures.record(repository, error)
        }
    }

    // MARK: - Before the copy

    /// One time for all labels. A resumed backup keeps its own.
    private func chooseLabels(
        _ preparations: inout [RepositoryPreparation]
    ) async throws -> (labels: [String], time: Int64) {
        var time = context.now()
        var possible: [RepositoryPreparation] = []
        for preparation in preparations {
            try await attempt(preparation.repository) {
                if preparation.resumed == nil { time = try max(time, label(preparation, time).1) }
                possible.append(preparation)
            }
        }
        preparations = []
        var labels: [String] = []
        for preparation in possible {
            try await attempt(preparation.repository) {
                let chosen = try preparation.resumed.map { ($0.label, time) } ?? label(preparation, time)
                guard chosen.1 == time else {
                    throw BackupError(.clock, "\(preparation.repository.name): the clock of this host jumps")
                }
                labels.append(chosen.0)
                preparations.append(preparation)
            }
        }
        // A label of the next second: wait for it, so that no backup starts before its label says.
        while context.now() < time { try await Task.sleep(for: .milliseconds(20)) }
        return (labels, time)
    }

    private func label(_ preparation: RepositoryPreparation, _ time: Int64) throws(BackupError) -> (String, Int64) {
        let full = preparation.prior.flatMap { BackupLabel($0.label)?.full }
        let (label, labelTime) = try NewLabel.label(
            preparation.type, full: full, existing: preparation.existingLabels, time: time)
        return (label, labelTime)
    }

    private func begin(
        _ common: NewManifest.Common, _ preparation: RepositoryPreparation, label: String,
        _ files: inout ManifestFiles
    ) async throws -> Share {
        var preparation = preparation
        let repository = preparation.repository
        let (manifest, actions) = NewManifest.make(common, preparation, label: label, &files) {
            logger.warning("\(repository.name): \($0)")
        }
        let isResumed = preparation.resumed != nil
        preparation.prior = nil
        preparation.resumed = nil
        // A name that the manifest cannot hold is found before anything is written.
        try manifest.validateNames()
        var lastBundle: UInt64 = 0
        if isResumed {
            lastBundle = try await ResumedDirectory(repository: repository, stanza: stanza, label: label)
                .clean(manifest, actions)
        } else {
            let directory = RepositoryPaths.backupSet(stanza: stanza, label: label)
            try await repository.describing { try await repository.store.makeDirectory(directory) }
        }
        let total = manifest.files.sums().size
        let threshold = max(total / 100, configuration.size(.manifestSaveThreshold) ?? 1 << 30)
        let backup = RepositoryBackup(
            repository: repository, stanza: stanza, settings: preparation.settings, manifest: manifest,
            actions: actions, manifestPass: preparation.backupInfo.cipherPass, lastBundle: lastBundle,
            saveThreshold: configuration.bool(.resume) ? threshold : nil)
        try await backup.saveFirst()
        let archive = ArchiveCheck(
            repository: repository, stanza: stanza, archiveID: preparation.archiveInfo.currentArchiveID,
            timeout: configuration.duration(.archiveTimeout) ?? .seconds(60),
            segmentSize: common.source.control.walSegmentSize, cipherPass: preparation.archiveInfo.cipherPass)
        return Share(preparation: preparation, backup: backup, archive: archive)
    }

    // MARK: - Copy

    private enum CopyEvent: Sendable {
        case copied
        case archiveProven
        case heartbeat
    }

    /// Copies while it is proven that archiving works: where it does not, that is found early and ends the copy. So does
    /// a server that is promoted meanwhile.
    private func copy(_ shares: [Share], _ common: NewManifest.Common) async throws {
        let phase = CopyPhase(
            context: context, backups: shares.map(\.backup), failures: failures, plan: common.source.plan,
            scanStart: common.scan.start, control: common.source.control)
        let workers = WorkerThreads(count: configuration.integer(.processMax) ?? 1)
        let proof = common.source.checksArchive ? common.started?.proofSegment : nil
        let servers = common.source.servers
        try await withThrowingTaskGroup(of: CopyEvent.self) { group in
            defer { group.cancelAll() }
            var unproven = 0
            if let proof {
                for share in shares {
                    unproven += 1
                    group.addTask {
                        try await attempt(share.preparation.repository) {
                            do {
                                _ = try await share.archive.wait(for: proof)
                            } catch {
                                share.backup.setFailed()
                                throw error
                            }
                        }
                        return .archiveProven
                    }
                }
            }
            group.addTask {
                try await phase.run(workers)
                return .copied
            }
            func beat() {
                group.addTask {
                    try await Task.sleep(for: BackupServer.heartbeat)
                    return .heartbeat
                }
            }
            beat()
            var isCopied = false
            while !isCopied || unproven > 0, let event = try await group.next() {
                switch event {
                case .copied: isCopied = true
                case .archiveProven: unproven -= 1
                case .heartbeat:
                    for server in servers { try await server.requireUnchanged() }
                    beat()
                }
            }
        }
    }

    // MARK: - After the copy

    private func finish(_ share: Share, _ common: NewManifest.Common, _ stop: BackupStop?) async throws {
        var manifest = share.backup.copiedManifest()
        if let stop, let started = common.started {
            manifest.archiveStop = stop.segment.description
            manifest.lsnStop = stop.lsn.description
            try await storeTexts(stop, share.backup, &manifest)
            if common.source.checksArchive {
                let segments = try await share.archive.wait(
                    from: started.start.segment, to: stop.segment, logger: logger)
                if manifest.options.archiveCopy {
                    try await share.archive.copy(
                        segments, into: &manifest, ownedAs: root(of: manifest), time: context.now())
                }
            }
        }
        manifest.timestampStop = context.now()
        manifest.writerVersion = ProgramVersion.repositoryText
        manifest.files.sort()
        try manifest.validateComplete()
        try await BackupPublication(
            backup: share.backup, backupInfo: share.preparation.backupInfo,
            archiveInfo: share.preparation.archiveInfo
        ).publish(manifest)
        logSummary(manifest, share.preparation.repository)
    }

    private func root(of manifest: Manifest) -> ManifestPath? { manifest.paths.first { $0.name == "pg_data" } }

    /// backup_label and tablespace_map, which PostgreSQL hands out at the end.
    private func storeTexts(
        _ stop: BackupStop, _ backup: RepositoryBackup, _ manifest: inout Manifest
    ) async throws {
        let alone = HashPairing(participants: 1)
        let branch = try RepositoryBranch(backup, failures: failures, pairing: alone)
        let copier = FileCopier(branches: [branch], pages: nil, pairing: alone, progress: { _ in })
        let root = root(of: manifest)
        var texts = [("pg_data/backup_label", stop.backupLabel)]
        if let map = stop.tablespaceMap { texts.append(("pg_data/tablespace_map", map)) }
        for (name, text) in texts {
            var file = ManifestFile(
                name: name, size: UInt64(text.utf8.count), timestamp: context.now(),
                mode: (root?.mode ?? 0o600) & 0o644, user: root?.user, group: root?.group)
            let source = SourceFile(
                index: -1, name: name, path: name, size: file.size, stopsAtSize: true, hasPages: false,
                isControlFile: false)
            guard let stored = try await copier.store(Array(text.utf8), as: source, in: branch) else {
                throw BackupError(.fileWrite, "\(backup.repository.name): unable to store '\(name)'")
            }
            file.checksum = stored.checksum
            file.repoSize = stored.repoSize
            file.repoChecksum = stored.repoChecksum
            manifest.files.append(file)
        }
    }

    private func logSummary(_ manifest: Manifest, _ repository: Repository) {
        let entry = BackupInfoEntry(manifest)
        if entry.hasErrors == true {
            for index in 0..<manifest.files.count {
                guard case .invalid(let pages) = manifest.files.pageCheck(index) else { continue }
                logger.warning("\(PageErrorText.sentence(file: manifest.files.name(index), pages))")
            }
        }
        logger.notice("new backup label = \(manifest.label)")
        logger.notice(
            "\(manifest.type.rawValue) backup size = \(SizeText.bytes(entry.sizeDelta)), file total = \(manifest.files.count)"
        )
    }
}
