import Checksums

/// A file of a manifest without its name and without a `String`.
struct ManifestFileRow {
    var size: UInt64 = 0
    var repoSize: UInt64 = 0
    var timestamp: Int64 = 0
    var checksum: SHA1Digest?
    var repoChecksum: SHA1Digest?
    var reference: Int?
    var bundleID: UInt64 = 0
    var bundleOffset: UInt64 = 0
    var mode = ManifestFiles.defaultMode
    /// Into ``ManifestFiles/owners``.
    var owner: UInt32 = 0
    var pagesChecked = false
    var pagesValid = false
    /// nil when none of it applies.
    var rarity: ManifestFiles.Rarity?

    init() {}

    init(_ file: ManifestFile, owner: UInt32) {
        size = file.size
        repoSize = file.repoSize
        timestamp = file.timestamp
        checksum = file.checksum
        repoChecksum = file.repoChecksum
        reference = file.reference
        bundleID = file.bundleID
        bundleOffset = file.bundleOffset
        mode = file.mode
        self.owner = owner
        var invalidPages: [ClosedRange<UInt32>] = []
        switch file.pageCheck {
        case .notChecked: break
        case .valid:
            pagesChecked = true
            pagesValid = true
        case .invalid(let pages):
            pagesChecked = true
            invalidPages = pages
        }
        guard file.sizeOriginal != file.size || file.blockSize != 0 || file.blockMapSize != 0 || !invalidPages.isEmpty
        else { return }
        rarity = ManifestFiles.Rarity(
            sizeOriginal: file.sizeOriginal, blockSize: file.blockSize, blockChecksumSize: file.blockChecksumSize,
            blockMapSize: file.blockMapSize, invalidPages: invalidPages)
    }
}

/// Numbers of block incremental that manifests assume.
enum BlockIncremental {
    /// Bytes; block sizes are multiples of it, and manifests count in it.
    static let sizeUnit: UInt32 = 8192
    /// Bytes of a block's checksum unless the manifest says more.
    static let defaultChecksumSize: UInt8 = 6
    /// Bytes of the hash that block checksums are cut from.
    static let checksumSizeLimit: UInt8 = 16
}

extension ManifestFiles {
    /// What few files have.
    struct Rarity: Sendable {
        /// Bytes when the manifest was built; equal to the size when only other fields apply.
        var sizeOriginal: UInt64
        var blockSize: UInt32 = 0
        var blockChecksumSize = BlockIncremental.defaultChecksumSize
        var blockMapSize: UInt64 = 0
        var invalidPages: [ClosedRange<UInt32>] = []
    }

    struct Owner: Hashable, Sendable {
        var user = OwnerName.byDefault
        var group = OwnerName.byDefault

        init() {}
        init(_ file: ManifestFile) {
            user = OwnerName(file.user)
            group = OwnerName(file.group)
        }
    }

    enum OwnerName: Hashable, Sendable {
        /// Only while a manifest is read, until its defaults are known.
        case byDefault
        /// The owner has no name.
        case unknown
        case known(String)

        init(_ name: String?) { self = name.map { .known($0) } ?? .unknown }

        var text: String? {
            if case .known(let name) = self { name } else { nil }
        }
    }

    struct Flags: OptionSet, Sendable {
        var rawValue: UInt8
        static let checksum = Flags(rawValue: 1)
        static let repoChecksum = Flags(rawValue: 2)
        static let pagesChecked = Flags(rawValue: 4)
        static let pagesValid = Flags(rawValue: 8)

        init(rawValue: UInt8) { self.rawValue = rawValue }

        init(_ row: ManifestFileRow) {
            rawValue = 0
            if row.checksum != nil { insert(.checksum) }
            if row.repoChecksum != nil { insert(.repoChecksum) }
            if row.pagesChecked { insert(.pagesChecked) }
            if row.pagesValid { insert(.pagesValid) }
        }
    }

    /// 20 bytes, where ``SHA1Digest`` takes 24 in an array.
    struct PackedDigest: Sendable {
        private var words: (UInt32, UInt32, UInt32, UInt32, UInt32)

        init(_ digest: SHA1Digest?) {
            guard let digest else {
                words = (0, 0, 0, 0, 0)
                return
            }
            words = (
                UInt32(truncatingIfNeeded: digest.high >> 32), UInt32(truncatingIfNeeded: digest.high),
                UInt32(truncatingIfNeeded: digest.middle >> 32), UInt32(truncatingIfNeeded: digest.middle), digest.low
            )
        }

        var digest: SHA1Digest {
            SHA1Digest(
                high: UInt64(words.0) << 32 | UInt64(words.1), middle: UInt64(words.2) << 32 | UInt64(words.3),
                low: words.4)
        }
    }

    package struct Sums {
        package var size: UInt64 = 0
        package var sizeDelta: UInt64 = 0
        package var repoSize: UInt64 = 0
        package var repoSizeDelta: UInt64 = 0
        package var mapSize: UInt64 = 0
        package var mapSizeDelta: UInt64 = 0
        package var hasErrors = false
    }

    /// What `backup.info` says of all files; sums beyond 64 bits, which no real backup has, stay at the greatest number.
    package func sums() -> Sums {
        var sums = Sums()
        for index in 0..<count {
            let size = size(index)
            // pgBackRest counts a file without stored bytes by its size.
            let repoSize = repoSize(index) > 0 ? repoSize(index) : size
            let mapSize = rarity(index)?.blockMapSize ?? 0
            sums.size.addSaturating(size)
            sums.repoSize.addSaturating(repoSize)
            sums.mapSize.addSaturating(mapSize)
            if !hasReference(index) {
                sums.sizeDelta.addSaturating(size)
                sums.repoSizeDelta.addSaturating(repoSize)
                sums.mapSizeDelta.addSaturating(mapSize)
            }
            if case .invalid = pageCheck(index) { sums.hasErrors = true }
        }
        return sums
    }
}

extension UInt64 {
    fileprivate mutating func addSaturating(_ other: UInt64) {
        let (sum, overflow) = addingReportingOverflow(other)
        self = overflow ? .max : sum
    }
}
