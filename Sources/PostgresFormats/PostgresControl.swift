package import BackupModel
import Checksums

/// What we need of `global/pg_control`.
package struct PostgresControl: Sendable, Equatable {
    package var version: PostgresVersion
    package var controlVersion: UInt32
    package var catalogVersion: UInt32
    package var systemIdentifier: UInt64
    package var checkpoint: LSN
    package var timeline: UInt32
    /// Bytes.
    package var pageSize: UInt32
    /// Bytes.
    package var walSegmentSize: UInt64
    /// 0: data checksums are off, or (from PostgreSQL 19) are just being switched on or off.
    package var dataChecksumVersion: UInt32

    /// Bytes to read; the CRC lies within.
    package static let readSize = 512
    /// Bytes of the whole file; those past `readSize` are zero.
    package static let fileSize = 8192
    /// The checkpoint of a restored pg_control until backup_label replaces it: a start without backup_label fails.
    package static let invalidCheckpoint = LSN(rawValue: 0xDEAD)

    package init(
        version: PostgresVersion, controlVersion: UInt32, catalogVersion: UInt32, systemIdentifier: UInt64,
        checkpoint: LSN, timeline: UInt32, pageSize: UInt32, walSegmentSize: UInt64, dataChecksumVersion: UInt32
    ) {
        self.version = version
        self.controlVersion = controlVersion
        self.catalogVersion = catalogVersion
        self.systemIdentifier = systemIdentifier
        self.checkpoint = checkpoint
        self.timeline = timeline
        self.pageSize = pageSize
        self.walSegmentSize = walSegmentSize
        self.dataChecksumVersion = dataChecksumVersion
    }

    /// Reads the first `readSize` bytes, checking version and CRC. Throws `.versionNotSupported` for a pg_control of
    /// no known version, `.checksum` for a bad CRC, `.format` for a short one or one with sizes that cannot be.
    package init(parsing bytes: RawSpan) throws(BackupError) {
        let layout = try Self.layout(of: bytes)
        version = layout.version
        controlVersion = bytes.integer(at: VersionLayout.controlVersionOffset)
        catalogVersion = bytes.integer(at: VersionLayout.catalogVersionOffset)
        systemIdentifier = bytes.integer(at: VersionLayout.systemIdentifier)
        checkpoint = LSN(rawValue: bytes.integer(at: VersionLayout.checkpoint))
        timeline = bytes.integer(at: layout.timeline)
        pageSize = bytes.integer(at: layout.pageSize)
        walSegmentSize = UInt64(bytes.integer(at: layout.walSegmentSize, as: UInt32.self))
        dataChecksumVersion = bytes.integer(at: layout.dataChecksumVersion)

        guard WALSegment.isSegmentSize(walSegmentSize) else {
            throw BackupError(
                .format,
                "pg_control has a WAL segment size of \(walSegmentSize), not a power of two from 1 MiB to 1 GiB")
        }
        guard pageSize >= 1 << 10, pageSize <= 1 << 15, pageSize & (pageSize - 1) == 0 else {
            throw BackupError(.format, "pg_control has a page size of \(pageSize), not a power of two from 1 to 32 KiB")
        }
        // Values 2 and 3 say that checksums are being switched off or on: not every page has one.
        let hasTransitions = version.number >= 190_000
        guard dataChecksumVersion <= (hasTransitions ? 3 : 1) else {
            throw BackupError(.format, "pg_control has the unknown data checksum version \(dataChecksumVersion)")
        }
        if dataChecksumVersion > 1 { dataChecksumVersion = 0 }
    }

    /// Replaces the checkpoint in `bytes` (a whole pg_control that parses) by ``invalidCheckpoint`` and renews the CRC.
    /// Throws as ``init(parsing:)`` does, and leaves `bytes` as they are then.
    package static func invalidateCheckpoint(in bytes: inout [UInt8]) throws(BackupError) {
        _ = try PostgresControl(parsing: bytes.span.bytes)
        let layout = try layout(of: bytes.span.bytes)
        store(invalidCheckpoint.rawValue, in: &bytes, at: VersionLayout.checkpoint)
        store(crc32c(bytes.span.bytes.extracting(0..<layout.crc)), in: &bytes, at: layout.crc)
    }

    /// The layout of a pg_control that is long enough and whose CRC is right.
    static func layout(of bytes: RawSpan) throws(BackupError) -> VersionLayout {
        guard bytes.byteCount >= readSize else {
            throw BackupError(
                .format, "pg_control has \(bytes.byteCount) bytes, expected at least \(readSize)",
                hint: "is pg_control truncated?")
        }
        let control: UInt32 = bytes.integer(at: VersionLayout.controlVersionOffset)
        let catalog: UInt32 = bytes.integer(at: VersionLayout.catalogVersionOffset)
        guard let layout = VersionLayout.find(controlVersion: control, catalogVersion: catalog) else {
            throw BackupError(
                .versionNotSupported,
                "pg_control is of no known version: control version \(control), catalog version \(catalog)",
                hint: "is this version of PostgreSQL supported, and is permafrost up to date on all hosts?")
        }
        let stored: UInt32 = bytes.integer(at: layout.crc)
        let computed = crc32c(bytes.extracting(0..<layout.crc))
        guard stored == computed else {
            throw BackupError(
                .checksum,
                "pg_control of PostgreSQL \(layout.version) has checksum \(Hexadecimal.fixedWidth(stored)), "
                    + "computed \(Hexadecimal.fixedWidth(computed))",
                hint: "is pg_control corrupt, or was it being written?")
        }
        return layout
    }

    private static func store(
        _ value: some FixedWidthInteger & BitwiseCopyable, in bytes: inout [UInt8], at offset: Int
    ) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: type(of: value)) }
    }
}
