import BackupModel
import PostgresFormats
import Testing

@Suite struct TimelineHistoryTests {
    /// As PostgreSQL 15 wrote it at the second promotion, blank line included.
    static let real = "1\t0/3000000\tno recovery target specified\n\n2\t0/4000150\tno recovery target specified\n"

    @Test func readsARealFile() throws {
        let history = try parse(3, Self.real)
        #expect(
            history.switches == [
                .init(timeline: 1, end: LSN(rawValue: 0x300_0000)), .init(timeline: 2, end: LSN(rawValue: 0x400_0150)),
            ])
    }

    @Test(arguments: [
        "", "\n", "\n\n", "# note\n", "   \n", "  # note\n\t\n", "#\n#",
    ])
    func allowsCommentsAndBlankLines(text: String) throws {
        #expect(try parse(5, text).switches == [])
        #expect(
            try parse(5, text + "\n1\t0/10\tx\r\n" + text + "\n 4  A/0\tbefore 2000-01-01 00:00:00").switches == [
                .init(timeline: 1, end: LSN(rawValue: 0x10)), .init(timeline: 4, end: LSN(rawValue: 0xA_0000_0000)),
            ])
    }

    @Test(arguments: [
        "x", "1", "1\t", "1\t0", "1\t0/", "1\t0/0\tx", "0\t0/10\tx", "-1\t0/10\tx", "1.0\t0/10\tx", "1\t0/G\tx",
        "4294967296\t0/10", "99999999999999999999\t0/10", "1,0/10", "1\t0/100000000", "5\t0/10", "6\t0/10",
        "2\t0/10\n1\t0/20", "1\t0/10\n1\t0/20", "1\t0/10\nrubbish", "\u{0}\u{0}\u{0}", "<html>", "1\u{A0}0/10",
    ])
    func refusesGarbage(text: String) {
        let error = #expect(throws: BackupError.self) { try parse(5, text) }
        #expect(error?.code == .format)
        #expect(error?.message.contains("00000005.history") == true)
        #expect(error?.message.contains("\u{0}") == false)
    }

    @Test func knowsWhatIsItsOwn() throws {
        let history = try parse(3, Self.real)
        for (timeline, position, expected) in [
            (1, "0/0", true), (1, "0/2FFFFFF", true), (1, "0/3000000", false), (2, "0/2FFFFFF", false),
            (2, "0/3000000", true), (2, "0/400014F", true), (2, "0/4000150", false), (3, "0/400014F", false),
            (3, "0/4000150", true), (3, "FF/0", true), (4, "0/4000150", false), (0, "0/1", false),
        ] as [(UInt32, String, Bool)] {
            let lsn = try #require(LSN(position))
            #expect(history.contains(timeline: timeline, position: lsn) == expected, "\(timeline) at \(position)")
        }
        #expect(try parse(1, "").contains(timeline: 1, position: LSN(rawValue: 0)))
    }

    @Test func skipsTimelinesThatAreNoAncestors() throws {
        let history = try parse(7, "1\t0/100\tx\n4\t0/200\tx\n")
        #expect(history.contains(timeline: 4, position: LSN(rawValue: 0x100)))
        #expect(!history.contains(timeline: 2, position: LSN(rawValue: 0x100)))
        #expect(history.contains(timeline: 7, position: LSN(rawValue: 0x200)))
    }

    private func parse(_ timeline: UInt32, _ text: String) throws(BackupError) -> TimelineHistory {
        try TimelineHistory(timeline: timeline, parsing: Array(text.utf8).span.bytes)
    }
}

@Suite struct BackupLabelFileTests {
    /// As `pg_backup_stop` of PostgreSQL 15 returned it.
    static let real = """
        START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
        CHECKPOINT LOCATION: 0/2000060
        BACKUP METHOD: streamed
        BACKUP FROM: primary
        START TIME: 2026-11-21 04:09:21 UTC
        LABEL: two words
        START TIMELINE: 1

        """

    @Test func readsARealFile() throws {
        for text in [
            Self.real, Self.real.replacing("START TIMELINE: 1\n", with: ""), Self.real.replacing("\n", with: "\r\n"),
        ] {
            let label = try parse(text)
            #expect(label.startLocation == LSN(rawValue: 0x200_0028))
            #expect(label.startSegment == WALSegment(timeline: 1, log: 0, number: 2))
            #expect(label.checkpointLocation == LSN(rawValue: 0x200_0060))
            #expect(label.startTimeline == 1)
        }
    }

    @Test func refusesEveryTruncationOfWhatIsNeeded() {
        let needed = Self.real.prefix(
            upTo: Self.real.firstRange(of: "\nBACKUP METHOD")?.lowerBound ?? Self.real.endIndex)
        // The last digits of a position may be missing without a trace.
        for length in 0..<needed.utf8.count - "2000060".count {
            #expect(code(String(needed.prefix(length))) == .format, "\(length) bytes")
        }
        #expect(code(String(needed)) == nil)
    }

    @Test(arguments: [
        ("START WAL LOCATION: ", "START WAL LOCATION:"), ("0/2000028", "0-2000028"), (" (file ", " file "),
        ("000000010000000000000002)", "000000010000000000000002"),
        ("000000010000000000000002", "00000001000000000000000g"),
        ("000000010000000000000002", "000000010000000000000002.partial"), ("0/2000060", "x"),
        ("CHECKPOINT LOCATION", "CHECKPOINT"), ("START TIMELINE: 1", "START TIMELINE: 2"),
        ("START TIMELINE: 1", "START TIMELINE: one"), ("START TIMELINE: 1", "START TIMELINE: "),
        ("START TIMELINE: 1", "START TIMELINE: 4294967297"), ("START WAL", "\nSTART WAL"),
        ("START WAL", "\u{0}START WAL"),
    ])
    func refusesGarbage(part: String, replacement: String) {
        #expect(code(Self.real.replacing(part, with: replacement)) == .format)
    }

    private func parse(_ text: String) throws(BackupError) -> BackupLabelFile {
        try BackupLabelFile(parsing: Array(text.utf8).span.bytes)
    }

    private func code(_ text: String) -> ErrorCode? {
        do throws(BackupError) {
            _ = try parse(text)
            return nil
        } catch {
            return error.code
        }
    }
}
