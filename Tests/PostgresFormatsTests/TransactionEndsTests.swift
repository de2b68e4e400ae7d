import BackupModel
import PostgresFormats
import Testing

/// Real segments are in `TransactionEndsOfServersTests`.
@Suite struct TransactionEndsTests {
    private static let segment = WALSegment(timeline: 1, log: 0, number: 3)
    private static let base: UInt64 = 3 << 20
    private static let year2000: Int64 = 946_684_800_000_000

    /// Records, one after the other, in pages of 1 KiB of a segment of 1 MiB.
    private struct Written {
        var pages: [[UInt8]] = []
        var at = 1024
        var previous: UInt64 = 0
        var carried = 0
        var isFirst = true
        var pageFlags: UInt16 = 0

        mutating func page() {
            var bytes = [UInt8](repeating: 0, count: 1024)
            bytes.store(UInt16(0xD116), at: 0)
            bytes.store(UInt16(isFirst ? 2 : 0) | (carried > 0 ? 1 : 0) | pageFlags, at: 2)
            bytes.store(UInt32(1), at: 4)
            bytes.store(TransactionEndsTests.base + UInt64(pages.count * 1024), at: 8)
            bytes.store(UInt32(carried), at: 16)
            if isFirst {
                bytes.store(UInt64(7), at: 24)
                bytes.store(UInt32(1 << 20), at: 32)
                bytes.store(UInt32(1024), at: 36)
            }
            at = isFirst ? 40 : 24
            isFirst = false
            pageFlags = 0
            pages.append(bytes)
        }

        mutating func record(_ manager: UInt8, _ info: UInt8, _ data: [UInt8], previous other: UInt64? = nil) {
            if at == 1024 { page() }
            var bytes = [UInt8](repeating: 0, count: 24)
            bytes.store(UInt32(24 + data.count), at: 0)
            bytes.store(other ?? previous, at: 8)
            bytes[16] = info
            bytes[17] = manager
            previous = TransactionEndsTests.base + UInt64((pages.count - 1) * 1024 + at)
            put(bytes + data)
            at = (at + 7) & ~7
        }

        mutating func put(_ bytes: [UInt8]) {
            carried = bytes.count
            for byte in bytes {
                if at == 1024 { page() }
                pages[pages.count - 1][at] = byte
                at += 1
                carried -= 1
            }
        }

        mutating func end(_ info: UInt8, _ time: Int64, before: [UInt8] = [], long: Bool = false, more: Int = 0) {
            var data = before + (long ? [254, UInt8(8 + more), 0, 0, 0] : [255, UInt8(8 + more)])
            let place = data.count
            data += [UInt8](repeating: 0xEE, count: 8 + more)
            data.store(time - TransactionEndsTests.year2000, at: place)
            record(1, info, data)
        }
    }

    private func latest(_ written: Written) throws -> Int64? {
        let first = written.pages[0]
        var ends = try TransactionEnds(Self.segment, start: first.span.bytes)
        #expect(ends.pageSize == 1024)
        for page in written.pages where !ends.read(page.span.bytes) { break }
        return ends.latest
    }

    @Test(arguments: [0x00, 0x20, 0x30, 0x40] as [UInt8])
    func everyEndCounts(info: UInt8) throws {
        for before in [[], [253, 1, 0], [252, 9, 9, 9, 9], [253, 1, 0, 252, 9, 9, 9, 9]] as [[UInt8]] {
            for long in [false, true] {
                var written = Written()
                written.record(10, 0, [UInt8](repeating: 1, count: 77))
                written.end(info, 1_700_000_000_000_001, before: before, long: long, more: 100)
                // With flags beside the kind.
                written.end(info | 0x80, 1_700_000_000_000_003)
                written.end(info, 1_700_000_000_000_002)
                #expect(try latest(written) == 1_700_000_000_000_003)
            }
        }
    }

    @Test func otherRecordsDoNot() throws {
        var written = Written()
        written.end(0x10, 5)
        written.end(0x50, 6)
        written.end(0x60, 7)
        written.record(0, 0, [255, 8, 1, 1, 1, 1, 1, 1, 1, 1])
        written.record(1, 0, [])
        written.record(1, 0, [255, 4, 1, 1, 1, 1])
        written.record(1, 0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        #expect(try latest(written) == nil)
    }

    /// The page ends at every place of a record.
    @Test func recordsGoOverPages() throws {
        for length in 0..<200 {
            var written = Written()
            written.record(10, 0, [UInt8](repeating: 1, count: 750 + length))
            written.end(0, 1_700_000_000_000_001)
            written.record(10, 0, [UInt8](repeating: 1, count: 5000 + length))
            written.end(0x20, 1_700_000_000_000_002, more: 50)
            #expect(try latest(written) == 1_700_000_000_000_002, "\(length)")
        }
    }

    @Test func segmentBeginsInTheMiddleOfARecord() throws {
        for length in [1, 7, 8, 900, 984, 985, 3000] {
            var written = Written()
            written.carried = length
            written.page()
            written.put([UInt8](repeating: 0xFF, count: length))
            written.at = (written.at + 7) & ~7
            written.end(0, 1_700_000_000_000_001)
            #expect(try latest(written) == 1_700_000_000_000_001, "\(length)")
        }
    }

    @Test func whatACrashLeftIsPassedOver() throws {
        var written = Written()
        written.end(0, 1_700_000_000_000_001)
        written.record(10, 0, [UInt8](repeating: 1, count: 980))
        // The record that goes on there was never written to its end.
        written.pages.removeLast()
        written.carried = 0
        written.pageFlags = 0x0008
        written.page()
        written.end(0, 1_700_000_000_000_009)
        #expect(try latest(written) == 1_700_000_000_000_009)
    }

    @Test func readingEndsWhereNothingFollows() throws {
        var written = Written()
        written.end(0, 1_700_000_000_000_001)
        written.page()
        written.end(0, 1_700_000_000_000_002)
        #expect(try latest(written) == 1_700_000_000_000_001, "zeros, as after a switch")

        written = Written()
        written.end(0, 1_700_000_000_000_001)
        written.record(1, 0, [255, 8] + [UInt8](repeating: 0x22, count: 8), previous: 5)
        #expect(try latest(written) == 1_700_000_000_000_001, "a record that follows another one")

        for (place, value) in [(0, 0xD110), (8, 0x1234)] as [(Int, UInt16)] {
            written = Written()
            for number in 1...100 { written.end(0, 1_700_000_000_000_000 + Int64(number)) }
            let whole = try #require(try latest(written))
            written.pages[1].store(value, at: place)
            let cut = try #require(try latest(written))
            #expect(cut < whole, "a page of another segment")
        }
    }

    @Test func garbageNeitherTrapsNorHangs() throws {
        var written = Written()
        for number in 1...100 { written.end(0, 1_700_000_000_000_000 + Int64(number), more: number) }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var damaged = written
            for _ in 0..<3 {
                let page = Int.random(in: 0..<damaged.pages.count, using: &generator)
                damaged.pages[page][Int.random(in: 0..<1024, using: &generator)] = .random(
                    in: 0...255, using: &generator)
            }
            do throws(BackupError) {
                let first = damaged.pages[0]
                var ends = try TransactionEnds(Self.segment, start: first.span.bytes)
                for page in damaged.pages where !ends.read(page.span.bytes) { break }
            } catch {
                #expect(error.code == .format)
            }
        }
        let short: [UInt8] = [1, 2, 3]
        #expect(throws: BackupError.self) { try TransactionEnds(Self.segment, start: short.span.bytes) }
    }
}
