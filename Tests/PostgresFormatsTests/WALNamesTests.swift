import PostgresFormats
import Testing

@Suite struct WALNamesTests {
    @Test(
        arguments: [
            ("0/0", 0), ("0/1", 1), ("1/0", 1 << 32), ("0/DEAD", 0xDEAD), ("12/3456789A", 0x12_3456_789A),
            ("FFFFFFFF/FFFFFFFF", .max), ("A/B", 0xA_0000_000B),
        ] as [(String, UInt64)])
    func readsAndWritesPositions(text: String, value: UInt64) {
        #expect(LSN(text)?.rawValue == value)
        #expect(LSN(rawValue: value).description == text)
    }

    @Test(
        arguments: [("0/0000DEAD", 0xDEAD), ("a/b", 0xA_0000_000B), ("00000001/00000000", 1 << 32)]
            as [(String, UInt64)])
    func readsOtherSpellings(text: String, value: UInt64) {
        #expect(LSN(text)?.rawValue == value)
        #expect(LSN("x\(text)y".dropFirst().dropLast())?.rawValue == value)
    }

    @Test(arguments: [
        "", "/", "0", "0/", "/0", "0/0/0", "0 /0", " 0/0", "0/0 ", "G/0", "0/G", "-1/0", "+1/0", "0x1/0", "100000000/0",
        "0/100000000", "0/000000000", "0\\0", "١/0", "0/\u{FF11}",
    ])
    func refusesPositions(text: String) {
        #expect(LSN(text) == nil)
    }

    @Test func ordersPositions() {
        let sorted = ["0/0", "0/FFFFFFFF", "1/0", "A/0", "10/0", "FFFFFFFF/0"].compactMap { LSN($0) }
        #expect(sorted.count == 6)
        #expect(sorted == sorted.shuffled().sorted())
    }

    @Test func readsAndWritesSegments() {
        let segment = WALSegment("0000000A0000001B000000FC")
        #expect(segment == WALSegment(timeline: 0xA, log: 0x1B, number: 0xFC))
        #expect(segment?.description == "0000000A0000001B000000FC")
        #expect(segment?.directory == "0000000A0000001B")
        #expect(WALSegment("FFFFFFFFFFFFFFFFFFFFFFFF")?.description == "FFFFFFFFFFFFFFFFFFFFFFFF")
        #expect(WALSegment("x000000010000000000000001".dropFirst())?.number == 1)
    }

    @Test(arguments: [
        "", "0", "00000001000000000000000", "0000000100000000000000011", "00000001000000000000000g",
        "0000000a0000001b000000fc", "0000000100000000 0000001", "+0000001000000000000001A",
        "00000001000000000000000\u{0}",
        "000000010000000000000001.partial", "0000000100000000000000é", "000000010000000:00000001",
    ])
    func refusesSegments(name: String) {
        #expect(WALSegment(name) == nil)
    }

    /// Every segment size, at and around each boundary between segments and logs.
    @Test(arguments: 20...30 as ClosedRange<UInt64>)
    func findsTheSegmentOfAPosition(shift: UInt64) {
        let size: UInt64 = 1 << shift
        let perLog: UInt64 = 1 << (32 - shift)
        for log in [0, 1, 2, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF] as [UInt64] {
            for number in Set([0, 1, 2, perLog / 2, perLog - 1].filter { $0 < perLog }) {
                let segment = WALSegment(timeline: 3, log: UInt32(log), number: UInt32(number))
                let start = log * (1 << 32) + number * size
                #expect(segment.start(segmentSize: size).rawValue == start)
                for offset in [0, 1, size / 2, size - 1] {
                    let position = LSN(rawValue: start + offset)
                    #expect(WALSegment(timeline: 3, containing: position, segmentSize: size) == segment)
                }
                if start > 0 {
                    let before = LSN(rawValue: start - 1)
                    let previous = WALSegment(timeline: 3, containing: before, segmentSize: size)
                    #expect(segment.previous(segmentSize: size) == previous)
                    #expect(previous.next(segmentSize: size) == segment)
                    #expect(previous < segment)
                } else {
                    #expect(segment.previous(segmentSize: size) == nil)
                }
            }
        }
    }

    @Test(arguments: 20...30 as ClosedRange<UInt64>)
    func walksThroughLogsWithoutGap(shift: UInt64) {
        let size: UInt64 = 1 << shift
        var segment = WALSegment(timeline: 1, log: 0, number: 0)
        for step in 0..<(3 << (32 - shift)) as Range<UInt64> {
            guard segment.start(segmentSize: size).rawValue == step * size else {
                Issue.record("\(segment) is not step \(step)")
                return
            }
            let next = segment.next(segmentSize: size)
            guard next > segment, next.previous(segmentSize: size) == segment else {
                Issue.record("\(segment) and \(next)")
                return
            }
            segment = next
        }
        #expect(segment == WALSegment(timeline: 1, log: 3, number: 0))
    }

    @Test(
        arguments: [
            ("0000000100000000000000FE", 16 << 20, "0000000100000000000000FF"),
            ("0000000100000000000000FF", 16 << 20, "000000010000000100000000"),
            ("000000010000000000000FFF", 1 << 20, "000000010000000100000000"),
            ("000000010000000000000FFE", 1 << 20, "000000010000000000000FFF"),
            ("000000010000000000000003", 1 << 30, "000000010000000100000000"),
            ("00000001000000000000003F", 64 << 20, "000000010000000100000000"),
        ] as [(String, UInt64, String)])
    func countsByName(name: String, size: UInt64, next: String) throws {
        let segment = try #require(WALSegment(name))
        #expect(segment.next(segmentSize: size).description == next)
        #expect(WALSegment(next)?.previous(segmentSize: size) == segment)
    }

    @Test func survivesNamesThatNoServerWrites() throws {
        let last = try #require(WALSegment("FFFFFFFFFFFFFFFFFFFFFFFF"))
        for size in [1 << 20, 1 << 30] as [UInt64] {
            #expect(last.next(segmentSize: size).log == 0)
            #expect(last.previous(segmentSize: size)?.number == 0xFFFF_FFFE)
            _ = last.start(segmentSize: size)
        }
    }

    @Test(
        arguments: [
            ("000000010000000000000001", .segment(WALSegment(timeline: 1, log: 0, number: 1))),
            ("0000000200000001000000FF.partial", .partial(WALSegment(timeline: 2, log: 1, number: 255))),
            ("0000000A.history", .history(timeline: 10)),
            (
                "000000010000000000000002.00000028.backup",
                .backupLabel(WALSegment(timeline: 1, log: 0, number: 2), offset: 0x28)
            ),
        ] as [(String, WALFileName)])
    func readsAndWritesFileNames(name: String, expected: WALFileName) {
        #expect(WALFileName(name) == expected)
        #expect(expected.name == name)
    }

    @Test(arguments: [
        "", "archive_status", "0000000A.History", "0000000a.history", "0000000A.histor", "0000000A.history2",
        "0000000Ahistory1", "000000010000000000000001.Partial", "000000010000000000000001.partia",
        "000000010000000000000001_partial", "00000001000000000000000x.partial",
        "000000010000000000000002.00000028.backuq",
        "000000010000000000000002.0000002g.backup", "000000010000000000000002-00000028.backup",
        "000000010000000000000002.00000028xbackup", "../000000010000000000001", "000000010000000000000001\n",
        "\u{E9}\u{E9}\u{E9}\u{E9}\u{E9}\u{E9}\u{E9}\u{E9}", "\u{E9}\u{E9}\u{E9}\u{E9}.history",
    ])
    func refusesFileNames(name: String) {
        #expect(WALFileName(name) == nil)
    }
}
