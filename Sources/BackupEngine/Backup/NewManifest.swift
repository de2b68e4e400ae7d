import BackupModel
import PostgresAccess
import PostgresFormats
import RepositoryFormats

/// The manifest of a backup that begins, with what is to be done for each of its files. Pure.
enum NewManifest {
    /// What is the same for all repositories.
    struct Common {
        var source: BackupSource
        var started: BackupSource.Started?
        var scan: ClusterListing
        var timestampStart: Int64

        var timeline: UInt32? { started?.start.timeline }
        var copyStart: Int64 { scan.end + 1 }
    }

    /// - Parameters:
    ///   - files: of the scan; moved into the manifest.
    ///   - warn: is told why contents are compared where that was not asked for.
    static func make(
        _ common: Common, _ preparation: RepositoryPreparation, label: String, _ files: inout ManifestFiles,
        warn: (String) -> Void
    ) -> (manifest: Manifest, actions: [FileAction]) {
        let (source, settings, prior) = (common.source, preparation.settings, preparation.prior)
        let configuration = source.context.configuration
        let database = preparation.backupInfo.current
        var manifest = Manifest(
            label: label, type: preparation.type, references: (prior?.references ?? []) + [label],
            timestampStart: common.timestampStart, timestampCopyStart: common.copyStart,
            database: BackupInfo.Database(
                id: database.id, systemIdentifier: source.control.systemIdentifier, version: source.control.version,
                catalogVersion: source.control.catalogVersion, controlVersion: source.control.controlVersion),
            options: options(source, settings))
        manifest.prior = prior?.label
        manifest.isBundle = settings.bundles != nil
        manifest.isBundleRaw = settings.isBundleRaw
        manifest.isBlockIncremental = settings.blocks != nil
        manifest.cipherPass = settings.cipherPass
        manifest.targets = common.scan.found.targets
        manifest.paths = common.scan.found.paths
        manifest.links = common.scan.found.links
        swap(&manifest.files, &files)
        manifest.databases = common.started?.databases ?? []
        manifest.archiveStart = common.started?.start.segment.description
        manifest.lsnStart = common.started?.start.lsn.description
        for (key, value) in configuration.pairs(.annotation) where !value.isEmpty { manifest.annotations[key] = value }

        let rows = prior.map { manifest.files.rows(in: $0.files) } ?? []
        let anomaly = DeltaRule.reason(
            files: manifest.files, rows: rows, prior: prior, copyStart: common.copyStart, timeline: common.timeline)
        if let anomaly, !configuration.bool(.delta) { warn("\(anomaly), enabling delta checksum") }
        let isDelta = configuration.bool(.delta) || anomaly != nil
        manifest.options.delta = isDelta
        var actions = FileActions.plan(
            &manifest.files, prior: prior, rows: rows, isDelta: isDelta, isOnline: source.isOnline,
            isBundle: manifest.isBundle, usesBlocks: settings.blocks != nil)
        if let resumed = preparation.resumed,
            ResumeRule.isSameHistory(resumed, isOnline: source.isOnline, timeline: common.timeline)
        {
            FileActions.resume(&manifest.files, &actions, from: resumed, isDelta: isDelta)
        }
        return (manifest, actions)
    }

    private static func options(_ source: BackupSource, _ settings: BackupSettings) -> ManifestOptions {
        let configuration = source.context.configuration
        var options = ManifestOptions(compressType: settings.compress)
        options.archiveCheck = source.checksArchive
        options.archiveCopy = source.checksArchive && configuration.bool(.archiveCopy)
        options.hardlink = settings.hardlink
        options.online = source.isOnline
        options.backupStandby = source.standby != nil
        options.checksumPage = settings.checksumPage
        options.bufferSize = configuration.size(.bufferSize)
        options.compressLevel = settings.level
        options.compressLevelNetwork = 1
        options.processMax = configuration.integer(.processMax)
        return options
    }
}
