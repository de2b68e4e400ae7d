import Checksums
import PostgresFormats

/// A pg_control of any version, from the offsets that pgBackRest's copies of the servers' headers give (`offsetof`).
///
/// PostgreSQL 13 and 14 have no server on our machines. Their layout is that of 15: control version 1300 is the same structure.
struct ControlFixture: Sendable {
    var version: String
    var control: UInt32
    var catalog: UInt32
    var magic: UInt16
    var timeline = 48
    var pageSize = 216
    var walSegmentSize = 228
    var dataChecksumVersion = 252
    var crc = 288

    static let all = [
        ControlFixture(version: "9.6", control: 960, catalog: 201_608_131, magic: 0xD093, timeline: 56, crc: 256),
        ControlFixture(version: "10", control: 1002, catalog: 201_707_211, magic: 0xD097, timeline: 56),
        ControlFixture(
            version: "11", control: 1100, catalog: 201_809_051, magic: 0xD098, pageSize: 208, walSegmentSize: 220,
            dataChecksumVersion: 244, crc: 280),
        ControlFixture(version: "12", control: 1201, catalog: 201_909_212, magic: 0xD101),
        ControlFixture(version: "13", control: 1300, catalog: 202_007_201, magic: 0xD106),
        ControlFixture(version: "14", control: 1300, catalog: 202_107_181, magic: 0xD10D),
        ControlFixture(version: "15", control: 1300, catalog: 202_209_061, magic: 0xD110),
        ControlFixture(version: "16", control: 1300, catalog: 202_307_071, magic: 0xD113),
        ControlFixture(version: "17", control: 1700, catalog: 202_406_281, magic: 0xD116),
        ControlFixture(version: "18", control: 1800, catalog: 202_506_291, magic: 0xD118, crc: 292),
        ControlFixture(
            version: "19", control: 1902, catalog: 202_605_131, magic: 0xD121, pageSize: 224, walSegmentSize: 240,
            dataChecksumVersion: 264, crc: 304),
    ]

    var number: Int { version == "9.6" ? 90600 : (Int(version) ?? 0) * 10000 }

    /// A whole file. Every byte that we do not read is set, so that a wrong offset shows.
    func file(
        systemIdentifier: UInt64 = 7_000_000_000_000_000_001, checkpoint: UInt64 = 0x12_3456_7890, timeline: UInt32 = 7,
        pageSize: UInt32 = 8192, walSegmentSize: UInt32 = 16 << 20, dataChecksumVersion: UInt32 = 1
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xA5, count: crc) + [UInt8](repeating: 0, count: 8192 - crc)
        bytes.store(systemIdentifier, at: 0)
        bytes.store(control, at: 8)
        bytes.store(catalog, at: 12)
        bytes.store(checkpoint, at: 32)
        bytes.store(timeline, at: self.timeline)
        bytes.store(pageSize, at: self.pageSize)
        bytes.store(walSegmentSize, at: self.walSegmentSize)
        bytes.store(dataChecksumVersion, at: self.dataChecksumVersion)
        bytes.store(crc32c(bytes.span.bytes.extracting(0..<crc)), at: crc)
        return bytes
    }

    func walHeader(
        systemIdentifier: UInt64 = 7_000_000_000_000_000_001, segmentSize: UInt32 = 16 << 20, flags: UInt16 = 2
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xA5, count: 512)
        bytes.store(magic, at: 0)
        bytes.store(flags, at: 2)
        bytes.store(systemIdentifier, at: 24)
        bytes.store(segmentSize, at: 32)
        bytes.store(UInt32(8192), at: 36)
        return bytes
    }
}

extension [UInt8] {
    mutating func store(_ value: some FixedWidthInteger & BitwiseCopyable, at offset: Int) {
        withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: type(of: value)) }
    }
}
