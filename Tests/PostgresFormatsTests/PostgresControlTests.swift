import BackupModel
import PostgresFormats
import Testing

@Suite struct PostgresControlTests {
    /// What `pg_controldata` of each server says of its own file.
    @Test(arguments: [
        (
            RealFiles.control15,
            PostgresControl(
                version: PostgresVersion(number: 150_000), controlVersion: 1300, catalogVersion: 202_209_061,
                systemIdentifier: 7_710_468_758_530_303_004, checkpoint: LSN(rawValue: 0x175_2990), timeline: 1,
                pageSize: 8192, walSegmentSize: 16_777_216, dataChecksumVersion: 1)
        ),
        (
            RealFiles.control16,
            PostgresControl(
                version: PostgresVersion(number: 160_000), controlVersion: 1300, catalogVersion: 202_307_071,
                systemIdentifier: 7_710_470_300_812_045_629, checkpoint: LSN(rawValue: 0xEC_2D50), timeline: 1,
                pageSize: 8192, walSegmentSize: 8_388_608, dataChecksumVersion: 1)
        ),
        (
            RealFiles.control18,
            PostgresControl(
                version: PostgresVersion(number: 180_000), controlVersion: 1800, catalogVersion: 202_506_291,
                systemIdentifier: 7_710_470_298_914_381_096, checkpoint: LSN(rawValue: 0x8E_F448), timeline: 1,
                pageSize: 8192, walSegmentSize: 2_097_152, dataChecksumVersion: 1)
        ),
    ])
    func readsRealFiles(bytes: [UInt8], expected: PostgresControl) throws {
        #expect(try PostgresControl(parsing: bytes.span.bytes) == expected)
    }

    /// Defaults of initdb, and the state after it.
    @Test(arguments: [RealFiles.control15, RealFiles.control16, RealFiles.control18])
    func readsSettings(bytes: [UInt8]) throws {
        #expect(
            try ServerControl(parsing: bytes.span.bytes)
                == ServerControl(
                    state: .shutDown, walLevel: "replica", logsHints: false, maxConnections: 100, maxWALSenders: 10,
                    maxPreparedTransactions: 0, maxLocksPerTransaction: 64, tracksCommitTimestamps: false))
    }

    @Test(arguments: ControlFixture.all)
    func readsEveryVersion(fixture: ControlFixture) throws {
        let bytes = fixture.file(
            timeline: 0x0102_0304, pageSize: 32768, walSegmentSize: 1 << 30, dataChecksumVersion: 0)
        #expect(
            try PostgresControl(parsing: bytes.span.bytes)
                == PostgresControl(
                    version: PostgresVersion(number: fixture.number), controlVersion: fixture.control,
                    catalogVersion: fixture.catalog, systemIdentifier: 7_000_000_000_000_000_001,
                    checkpoint: LSN(rawValue: 0x12_3456_7890), timeline: 0x0102_0304, pageSize: 32768,
                    walSegmentSize: 1 << 30, dataChecksumVersion: 0))
    }

    /// A build with numbers of its own is read as what `pg-version-force` names, and its numbers stay its own.
    @Test func readsForeignNumbersAsTheForcedVersion() throws {
        var fixture = try #require(ControlFixture.all.first { $0.version == "17" })
        fixture.control = 99_017
        fixture.catalog = 209_901_011
        fixture.magic = 0xBEEF
        var bytes = fixture.file()
        let header = fixture.walHeader()
        #expect(code(parsing: bytes) == .versionNotSupported)
        #expect(throws: BackupError.self) { try WALHeader(parsing: header.span.bytes) }
        try PostgresVersion.$forced.withValue(PostgresVersion(number: 170_000)) {
            let control = try PostgresControl(parsing: bytes.span.bytes)
            #expect(control.version.number == 170_000 && control.controlVersion == 99_017)
            #expect(control.catalogVersion == 209_901_011 && control.walSegmentSize == 16 << 20)
            #expect(try WALHeader(parsing: header.span.bytes).version.number == 170_000)
            try PostgresControl.invalidateCheckpoint(in: &bytes)
            #expect(try PostgresControl(parsing: bytes.span.bytes).checkpoint == PostgresControl.invalidCheckpoint)
        }
        // The CRC lies elsewhere in 18.
        PostgresVersion.$forced.withValue(PostgresVersion(number: 180_000)) {
            #expect(code(parsing: bytes) == .checksum)
        }
        #expect(PostgresVersion(number: 170_000).hasKnownLayout && !PostgresVersion(number: 90_500).hasKnownLayout)
    }

    @Test func refusesEveryTruncatedLength() {
        let bytes = RealFiles.control15
        for length in 0..<PostgresControl.readSize {
            #expect(code(parsing: Array(bytes[..<length])) == .format, "\(length) bytes")
        }
        #expect(code(parsing: bytes) == nil)
        #expect(code(parsing: bytes + [UInt8](repeating: 0, count: 8192 - 512)) == nil)
    }

    @Test(arguments: ControlFixture.all)
    func refusesEveryFlippedByteBeforeTheCRCAndInIt(fixture: ControlFixture) {
        let bytes = Array(fixture.file()[..<512])
        for offset in 0..<fixture.crc + 4 {
            var broken = bytes
            broken[offset] ^= 0x10
            let isVersion = (8..<16).contains(offset)
            // A flipped version bit of an unreleased version may name another catalog of its year.
            let expected: [ErrorCode] = isVersion ? [.versionNotSupported, .checksum] : [.checksum]
            #expect(code(parsing: broken).map(expected.contains) == true, "byte \(offset)")
        }
        var padded = bytes
        padded[fixture.crc + 4] = 1
        #expect(code(parsing: padded) == nil)
    }

    @Test(
        arguments: [
            (1300, 202_209_060), (1300, 201_909_212), (942, 201_409_291), (0, 0), (.max, .max), (1902, 202_605_130),
            (1902, 202_700_000), (2000, 202_605_131),
        ] as [(UInt32, UInt32)])
    func refusesUnknownVersions(control: UInt32, catalog: UInt32) {
        #expect(PostgresVersion(controlVersion: control, catalogVersion: catalog) == nil)
        var fixture = ControlFixture.all[6]
        fixture.control = control
        fixture.catalog = catalog
        #expect(code(parsing: fixture.file()) == .versionNotSupported)
    }

    @Test func acceptsPreReleasesOfOneYear() {
        for catalog in [202_605_131, 202_605_132, 202_699_999] as [UInt32] {
            #expect(PostgresVersion(controlVersion: 1902, catalogVersion: catalog)?.number == 190_000)
        }
    }

    @Test(arguments: [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, .max] as [UInt32])
    func refusesWALSegmentSizes(size: UInt32) {
        #expect(code(parsing: ControlFixture.all[4].file(walSegmentSize: size)) == .format)
    }

    @Test(arguments: [0, 1, 512, 1025, 3072, 65536, .max] as [UInt32])
    func refusesPageSizes(size: UInt32) {
        #expect(code(parsing: ControlFixture.all[5].file(pageSize: size)) == .format)
    }

    @Test func acceptsEachSize() throws {
        for shift in 20...30 as ClosedRange<UInt32> {
            let bytes = ControlFixture.all[4].file(walSegmentSize: 1 << shift)
            #expect(try PostgresControl(parsing: bytes.span.bytes).walSegmentSize == 1 << shift)
        }
        for shift in 10...15 as ClosedRange<UInt32> {
            let bytes = ControlFixture.all[5].file(pageSize: 1 << shift)
            #expect(try PostgresControl(parsing: bytes.span.bytes).pageSize == 1 << shift)
        }
    }

    @Test func knowsTransitionsOfDataChecksumsFromNineteen() throws {
        for (value, expected) in [(0, 0), (1, 1), (2, 0), (3, 0)] as [(UInt32, UInt32)] {
            let bytes = ControlFixture.all[10].file(dataChecksumVersion: value)
            #expect(try PostgresControl(parsing: bytes.span.bytes).dataChecksumVersion == expected)
        }
        #expect(code(parsing: ControlFixture.all[10].file(dataChecksumVersion: 4)) == .format)
        #expect(code(parsing: ControlFixture.all[9].file(dataChecksumVersion: 2)) == .format)
    }

    /// `pg_controldata` of 15 and of 18 read 0/DEAD from files with these checksums, without a warning.
    @Test(
        arguments: [
            (RealFiles.control15, 288, 0x4E78_729E), (RealFiles.control16, 288, 0xAFDD_3C6C),
            (RealFiles.control18, 292, 0xCE4C_47E0),
        ] as [([UInt8], Int, UInt32)])
    func invalidatesCheckpoints(real: [UInt8], crcOffset: Int, crc: UInt32) throws {
        let whole = real + [UInt8](repeating: 0, count: PostgresControl.fileSize - real.count)
        var expected = whole
        expected.store(UInt64(0xDEAD), at: 32)
        expected.store(crc, at: crcOffset)
        var bytes = whole
        try PostgresControl.invalidateCheckpoint(in: &bytes)
        #expect(bytes == expected)
        #expect(try PostgresControl(parsing: bytes.span.bytes).checkpoint == PostgresControl.invalidCheckpoint)
    }

    @Test(arguments: ControlFixture.all)
    func invalidatesTheCheckpointOnly(fixture: ControlFixture) throws {
        var bytes = fixture.file()
        try PostgresControl.invalidateCheckpoint(in: &bytes)
        #expect(bytes == fixture.file(checkpoint: 0xDEAD))
    }

    @Test func leavesABrokenFileAlone() {
        var broken = RealFiles.control15
        broken[100] ^= 1
        for bytes in [broken, Array(RealFiles.control15.dropLast()), []] {
            var copy = bytes
            #expect(throws: BackupError.self) { try PostgresControl.invalidateCheckpoint(in: &copy) }
            #expect(copy == bytes)
        }
    }

    private func code(parsing bytes: [UInt8]) -> ErrorCode? {
        do throws(BackupError) {
            _ = try PostgresControl(parsing: bytes.span.bytes)
            return nil
        } catch {
            return error.code
        }
    }
}
