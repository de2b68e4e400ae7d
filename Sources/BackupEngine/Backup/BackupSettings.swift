import BackupModel
import PostgresFormats
import RepositoryFormats
import StreamFilters

/// How a backup is stored in one repository: what the options say, and what a set must not change.
struct BackupSettings: Sendable {
    struct Bundles: Sendable, Equatable {
        /// Bytes of content after which a bundle is closed, and up to which a file goes into one.
        var size: UInt64
        var limit: UInt64
    }
    struct Blocks: Sendable, Equatable {
        var sizes: BlockSizes
        /// Bytes of content.
        var superBlockSize: Int
    }

    var compress: CompressType
    /// nil: the default of the type.
    var level: Int?
    var checksumPage: Bool
    var bundles: Bundles?
    var blocks: Blocks?
    var isBundleRaw: Bool
    var hardlink: Bool
    var symlink: Bool
    var cipherPass: Secret<String>?

    /// - Parameters:
    ///   - key: the repository's.
    ///   - prior: of a diff or incr; what it has stays as it is within its set.
    ///   - cipherPass: of a new set; nil when the repository is not encrypted.
    ///   - warn: is told where an option is not followed.
    static func make(
        _ context: EngineContext, key: Int, type: BackupType, prior: Manifest?, checksumPage: Bool,
        cipherPass: Secret<String>?, warn: (String) -> Void
    ) throws(BackupError) -> BackupSettings {
        let configuration = context.configuration
        var settings = BackupSettings(
            compress: try context.compressType(), level: configuration.integer(.compressLevel),
            checksumPage: checksumPage, bundles: nil, blocks: nil, isBundleRaw: false,
            hardlink: configuration.bool(.repoHardlink, key), symlink: configuration.bool(.repoSymlink, key),
            cipherPass: cipherPass)
        if configuration.bool(.repoBundle, key) {
            settings.hardlink = false
            settings.bundles = Bundles(
                size: configuration.size(.repoBundleSize, key) ?? 20 << 20,
                limit: configuration.size(.repoBundleLimit, key) ?? 2 << 20)
            if configuration.bool(.repoBlock, key) {
                settings.blocks = try blocks(configuration, key, isFull: prior == nil)
            }
        }
        settings.isBundleRaw = settings.blocks != nil
        if let prior { settings.follow(prior, type, warn) }
        return settings
    }

    private mutating func follow(_ prior: Manifest, _ type: BackupType, _ warn: (String) -> Void) {
        if prior.options.compressType != compress {
            warn(
                "\(type.rawValue) backup cannot alter compress-type option to '\(compress.rawValue)', reset to value in \(prior.label)"
            )
            compress = prior.options.compressType
            // Levels of another type mean something else.
            level = prior.options.compressLevel.flatMap { Codecs.hasLevel($0, compress) ? $0 : nil }
        }
        let checked = prior.options.checksumPage ?? false
        if checked != checksumPage {
            if prior.options.checksumPage != nil {
                warn(
                    "\(type.rawValue) backup cannot alter 'checksum-page' option to '\(checksumPage)', reset to '\(checked)' from \(prior.label)"
                )
            }
            checksumPage = checked
        }
        isBundleRaw = prior.isBundleRaw
        cipherPass = prior.cipherPass
    }

    private static func blocks(
        _ configuration: Configuration, _ key: Int, isFull: Bool
    ) throws(BackupError) -> Blocks {
        let sizes = try BlockSizes(
            sizeMap: configuration.pairs(.repoBlockSizeMap, key), ageMap: configuration.pairs(.repoBlockAgeMap, key),
            checksumSizeMap: configuration.pairs(.repoBlockChecksumSizeMap, key))
        let superBlockSize =
            isFull
            ? configuration.size(.repoBlockSizeSuperFull, key) ?? 1 << 20
            : configuration.size(.repoBlockSizeSuper, key) ?? 256 << 10
        return Blocks(sizes: sizes, superBlockSize: Int(clamping: superBlockSize))
    }

    /// Whether pages are checked: by default where the cluster has checksums and runs.
    static func checksumPage(
        _ configuration: Configuration, _ control: PostgresControl, isOnline: Bool, warn: (String) -> Void
    ) -> Bool {
        let isEnabled = control.dataChecksumVersion != 0
        guard configuration.isSet(.checksumPage) else { return isEnabled && isOnline }
        let isAsked = configuration.bool(.checksumPage)
        if isAsked, !isEnabled {
            warn("checksum-page is on, but the cluster has no data checksums: pages are not checked")
            return false
        }
        return isAsked
    }

    /// How a file's bytes are stored that is not block incremental.
    func form(inBundle: Bool) -> StoredForm {
        StoredForm(compress: compress, level: level, cipherPass: cipherPass, isRaw: inBundle && isBundleRaw)
    }
}
