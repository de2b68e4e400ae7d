import BackupModel
import PostgresFormats
import Testing

@Suite struct WALHeaderTests {
    @Test(
        arguments: [
            (RealFiles.wal15, 150_000, 7_710_468_758_530_303_004, 16 << 20),
            (RealFiles.wal16, 160_000, 7_710_470_300_812_045_629, 8 << 20),
            (RealFiles.wal18, 180_000, 7_710_470_298_914_381_096, 2 << 20),
        ] as [([UInt8], Int, UInt64, UInt64)])
    func readsRealSegments(bytes: [UInt8], version: Int, systemIdentifier: UInt64, size: UInt64) throws {
        let header = try WALHeader(parsing: bytes.span.bytes)
        #expect(header.version.number == version)
        #expect(header.systemIdentifier == systemIdentifier)
        #expect(header.segmentSize == size)
    }

    @Test(arguments: ControlFixture.all)
    func readsEveryVersion(fixture: ControlFixture) throws {
        let header = try WALHeader(parsing: fixture.walHeader(segmentSize: 1 << 30, flags: 0x0007).span.bytes)
        #expect(header.version.description == fixture.version)
        #expect(header.systemIdentifier == 7_000_000_000_000_000_001)
        #expect(header.segmentSize == 1 << 30)
    }

    @Test func refusesTruncatedHeaders() {
        for length in 0..<40 {
            #expect(code(parsing: Array(RealFiles.wal15[..<length])) == .format, "\(length) bytes")
        }
    }

    @Test func refusesShortHeadersUnknownMagicsAndSizes() {
        let fixture = ControlFixture.all[4]
        #expect(code(parsing: fixture.walHeader(flags: 0x0005)) == .format)
        var unknown = fixture
        for magic in [0, 0xD061, 0xD107, 0x06D1, 0xFFFF] as [UInt16] {
            unknown.magic = magic
            #expect(code(parsing: unknown.walHeader()) == .format)
        }
        for size in [0, 1, 1 << 19, 3 << 20, 1 << 31, .max] as [UInt32] {
            #expect(code(parsing: fixture.walHeader(segmentSize: size)) == .format)
        }
        #expect(code(parsing: [UInt8](repeating: 0, count: 512)) == .format)
    }

    private func code(parsing bytes: [UInt8]) -> ErrorCode? {
        do throws(BackupError) {
            _ = try WALHeader(parsing: bytes.span.bytes)
            return nil
        } catch {
            return error.code
        }
    }
}
