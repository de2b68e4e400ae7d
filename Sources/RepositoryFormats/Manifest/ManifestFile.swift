package import Checksums

package enum PageCheckResult: Sendable, Equatable {
    case notChecked
    case valid
    /// Absolute page numbers, ascending, neighbours merged; empty when the file's length is off ("misalignment").
    case invalid([ClosedRange<UInt32>])
}

/// One row of ``ManifestFiles``.
package struct ManifestFile: Sendable, Equatable {
    package var name: String
    /// Bytes copied.
    package var size: UInt64
    /// Bytes when the manifest was built (`szo`); equal to `size` unless the file changed meanwhile.
    package var sizeOriginal: UInt64
    /// Bytes stored.
    package var repoSize: UInt64
    /// Of modification, seconds since 1970.
    package var timestamp: Int64
    /// Of the content; nil only while the backup runs.
    package var checksum: SHA1Digest?
    /// Of the stored bytes (`rck`); nil when they equal the content.
    package var repoChecksum: SHA1Digest?
    /// Index into ``Manifest/references`` of the backup that holds the bytes; nil when it is this one.
    package var reference: Int?
    /// 0: stored by itself.
    package var bundleID: UInt64 = 0
    package var bundleOffset: UInt64 = 0
    /// Bytes; 0: not block incremental.
    package var blockSize: UInt32 = 0
    package var blockChecksumSize: UInt8 = 6
    package var blockMapSize: UInt64 = 0
    package var pageCheck: PageCheckResult = .notChecked
    /// Permission bits.
    package var mode: UInt16
    /// nil: the owner had no name.
    package var user: String?
    package var group: String?

    package init(name: String, size: UInt64, timestamp: Int64, mode: UInt16, user: String?, group: String?) {
        self.name = name
        self.size = size
        self.sizeOriginal = size
        self.repoSize = size
        self.timestamp = timestamp
        self.mode = mode
        self.user = user
        self.group = group
    }
}
