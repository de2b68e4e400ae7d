package import BackupModel

/// The long header at the start of each WAL segment (format: `XLogLongPageHeaderData` of PostgreSQL).
package struct WALHeader: Sendable, Equatable {
    package var version: PostgresVersion
    package var systemIdentifier: UInt64
    /// Bytes.
    package var segmentSize: UInt64

    /// Bytes to read; the header, 40 bytes, lies within.
    package static let readSize = 512

    /// Throws `.format` when there is no long header, the magic is unknown, or the segment size cannot be.
    package init(parsing bytes: RawSpan) throws(BackupError) {
        guard bytes.byteCount >= 40 else {
            throw BackupError(.format, "WAL segment of \(bytes.byteCount) bytes is too short for a header")
        }
        let magic: UInt16 = bytes.integer(at: 0)
        guard let layout = VersionLayout.find(walMagic: magic) else {
            throw BackupError(
                .format, "WAL segment has the unknown magic \(String(magic, radix: 16, uppercase: true))",
                hint: "is this version of PostgreSQL supported, and is permafrost up to date on all hosts?")
        }
        let longHeaderFlag: UInt16 = 0x0002
        guard bytes.integer(at: 2, as: UInt16.self) & longHeaderFlag != 0 else {
            throw BackupError(.format, "WAL segment does not start with a long page header")
        }
        version = layout.version
        systemIdentifier = bytes.integer(at: 24)
        segmentSize = UInt64(bytes.integer(at: 32, as: UInt32.self))
        guard WALSegment.isSegmentSize(segmentSize) else {
            throw BackupError(
                .format, "WAL segment says it is \(segmentSize) bytes long, not a power of two from 1 MiB to 1 GiB")
        }
    }
}
