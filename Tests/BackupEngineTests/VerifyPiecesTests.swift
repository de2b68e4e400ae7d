import BackupModel
import PostgresFormats
import RepositoryFormats
import Testing

@testable import BackupEngine

/// The parts of a verification that are pure.
struct VerifyPiecesTests {
    private static let size: UInt64 = 16 << 20

    private static func segment(_ number: Int, _ timeline: Int = 1) -> WALSegment {
        WALSegment(timeline: UInt32(timeline), log: UInt32(number >> 8), number: UInt32(number & 0xFF))
    }

    private static func ranges(_ numbers: [(timeline: Int, numbers: [Int])]) -> SegmentRanges {
        var ranges = SegmentRanges(segmentSize: size)
        for (timeline, numbers) in numbers { for number in numbers { ranges.append(segment(number, timeline)) } }
        return ranges
    }

    // MARK: Segments

    @Test func segmentsBecomeRangesAcrossLogs() {
        let ranges = Self.ranges([(1, [1, 2, 3, 5, 255, 256, 257]), (2, [258, 259])])
        #expect(
            ranges.ranges.map(\.description) == [
                "000000010000000000000001 to 000000010000000000000003", "000000010000000000000005",
                "0000000100000000000000FF to 000000010000000100000001",
                "000000020000000100000002 to 000000020000000100000003",
            ])
        #expect(
            ranges.gaps.map(\.gap.description) == [
                "000000010000000000000004", "000000010000000000000006 to 0000000100000000000000FE",
            ])
    }

    @Test(
        arguments: [
            (1, 3, []), (3, 5, ["000000010000000000000004"]),
            (4, 7, ["000000010000000000000004", "000000010000000000000006 to 000000010000000000000007"]),
            (300, 301, ["00000001000000010000002C to 00000001000000010000002D"]),
            (0, 1, ["000000010000000000000000"]), (5, 5, []),
        ] as [(Int, Int, [String])])
    func missingSegments(start: Int, stop: Int, expected: [String]) {
        let ranges = Self.ranges([(1, [1, 2, 3, 5]), (2, Array(0..<400))])
        let missing = ranges.missing(from: Self.segment(start), to: Self.segment(stop))
        #expect(missing.map(\.description) == expected)
    }

    @Test(
        arguments: [
            ([], ["1 to 3", "5", "7 to 9"]), ([1], ["2 to 3", "5", "7 to 9"]), ([2, 5, 9], ["1", "3", "7 to 8"]),
            ([7, 8], ["1 to 3", "5", "9"]), ([4], ["1 to 3", "5", "7 to 9"]),
        ] as [([Int], [String])])
    func rangesWithoutSomeSegments(gone: [Int], expected: [String]) {
        let rest = Self.ranges([(1, [1, 2, 3, 5, 7, 8, 9])]).removing(Set(gone.map { Self.segment($0) }))
        #expect(
            rest.ranges.map { $0.description.replacing(#/0{7}10{14}0/#, with: "") } == expected)
    }

    // MARK: Recovery

    private static func start(_ label: String, _ first: Int, _ last: Int, timeline: Int = 1) throws -> RecoveryStart {
        var manifest = try BackupSeries.manifest(label)
        manifest.archiveStart = segment(first, timeline).description
        manifest.archiveStop = segment(last, timeline).description
        manifest.lsnStop = "0/\(String(last * 0x1000000 + 0x100, radix: 16).uppercased())"
        return try #require(RecoveryStart(BackupInfoEntry(manifest)))
    }

    private static func history(_ timeline: UInt32, _ text: String) throws -> TimelineHistory {
        try TimelineHistory(timeline: timeline, parsing: Array(text.utf8).span.bytes)
    }

    @Test func windowsEndWhereSegmentsAreMissing() throws {
        let segments = Self.ranges([(1, [2, 3, 4, 6, 7, 9])])
        let starts = [try Self.start("1F", 2, 3), try Self.start("2F", 3, 3), try Self.start("3F", 6, 7)]
        let windows = RecoveryWindow.windows(archiveID: "14-1", segments: segments, histories: [:], starts: starts)
        #expect(windows.map(\.label) == [BackupSeries.label("1F"), BackupSeries.label("3F")])
        #expect(windows.map(\.lastSegment) == [Self.segment(4), Self.segment(7)])
        #expect(windows.map(\.end.description) == ["0/5000000", "0/8000000"])
        #expect(windows[0].start.description == "0/3000100")
    }

    @Test(
        arguments: [
            // Timeline 2 leaves 1 within segment 5; 3 leaves 2 within segment 8.
            ([(1, [2, 3, 4, 5]), (2, [5, 6, 7, 8]), (3, [8, 9])], [5, 8, 9]),
            // The last segment of the old timeline need not be there: the new one begins with a copy.
            ([(1, [2, 3, 4]), (2, [5, 6, 7]), (3, [8, 9])], [4, 7, 9]),
            ([(1, [2, 3]), (2, [5, 6, 7]), (3, [8, 9])], [3]),
            ([(1, [2, 3, 4]), (2, [5, 6]), (3, [8, 9])], [4, 6]),
            ([(1, [2, 3, 4]), (2, [6, 7]), (3, [8, 9])], [4]),
        ] as [([(Int, [Int])], [Int])])
    func windowsFollowTimelines(segments: [(Int, [Int])], ends: [Int]) throws {
        let histories: [UInt32: TimelineHistory] = [
            2: try Self.history(2, "1\t0/5800000\tno recovery target specified\n"),
            3: try Self.history(3, "1\t0/5800000\tx\n2\t0/8800000\ty\n"),
        ]
        let windows = RecoveryWindow.windows(
            archiveID: "14-1", segments: Self.ranges(segments), histories: histories,
            starts: [try Self.start("1F", 2, 3)])
        #expect(windows.map { Int($0.lastSegment.number) } == ends)
        #expect(windows.map { Int($0.timeline) } == Array(1...3).prefix(ends.count).map { $0 })
    }

    @Test func backupsBehindTheSwitchDoNotServeTheNewTimeline() throws {
        let histories: [UInt32: TimelineHistory] = [2: try Self.history(2, "1\t0/3800000\tx\n")]
        let windows = RecoveryWindow.windows(
            archiveID: "14-1", segments: Self.ranges([(1, [2, 3, 4, 5]), (2, [3, 4, 5])]), histories: histories,
            starts: [try Self.start("1F", 4, 5)])
        #expect(windows.map(\.timeline) == [1])
    }

    // MARK: State

    private static var state: VerifyState {
        var state = VerifyState()
        state.position = VerifyState.Position(part: "backup/20260101-000000F", object: "a b/c\td", since: 5)
        state.parts["archive/15-1/0000000100000000"] = VerifyState.Part(time: 1_767_139_200, through: "x.lz4")
        state.parts["backup/20260101-000000F"] = VerifyState.Part(time: 7, through: "")
        state.findings["backup/20260101-000000F"] = [
            VerifyState.Remembered(
                finding: VerifyFinding(.size, "o", file: "pg_data/a\\b\tc\nd", files: 3, "end\tdetail"), time: 9)
        ]
        return state
    }

    @Test func stateIsReadAsItWasWritten() {
        #expect(VerifyState(Self.state.serialized()) == Self.state)
        #expect(VerifyState(VerifyState().serialized()) == VerifyState())
    }

    @Test func aTornOrChangedStateIsNone() {
        let bytes = Self.state.serialized()
        for count in 0..<bytes.count { #expect(VerifyState(Array(bytes.prefix(count))) == nil, "\(count)") }
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            #expect(VerifyState(changed) == nil, "\(index)")
        }
        #expect(VerifyState([]) == nil)
        #expect(VerifyState([0xff, 0xfe]) == nil)
    }

    @Test func turnsBeginWithWhatWasNeverRead() {
        let parts: [VerifyPart] =
            (0..<5).map { .wal(archiveID: "15-1", directory: "\($0)") } + [.backup(label: "B")]
        var state = VerifyState()
        #expect(VerifyTurn.order(parts, state, through: [:]) == parts)
        for (index, part) in parts.enumerated() where index != 3 {
            state.parts[part.key] = VerifyState.Part(time: Int64(100 - index), through: "b")
        }
        #expect(
            VerifyTurn.order(parts, state, through: [:])
                == [parts[3], parts[5], parts[4], parts[2], parts[1], parts[0]])
        state.position = VerifyState.Position(part: parts[0].key, object: "", since: 0)
        // One that has grown has something that was never read.
        #expect(
            VerifyTurn.order(parts, state, through: [parts[1].key: "c", parts[2].key: "b"])
                == [parts[0], parts[3], parts[1], parts[5], parts[4], parts[2]])
    }

    @Test(
        arguments: [
            ([], nil), ([.missing], .fileMissing), ([.checksum], .checksum), ([.missing, .size], .checksum),
            ([.other], .checksum),
        ] as [([VerifyFinding.Kind], ErrorCode?)])
    func exitCodes(kinds: [VerifyFinding.Kind], code: ErrorCode?) {
        var report = VerifyReport.Repository(key: 2)
        for kind in kinds { report.tally.add(VerifyFinding(kind, "x", "y")) }
        #expect(report.failure(stanza: "main")?.code == code)
        var remembered = VerifyReport.Repository(key: 2)
        remembered.remembered = kinds.map { .init(finding: VerifyFinding($0, "x", "y"), time: 1) }
        #expect(remembered.failure(stanza: "main")?.code == code)
    }

    // MARK: Regular expressions and block maps

    @Test(
        arguments: [
            ("info$", "backup.info", true), ("info$", "backup.info.copy", false), ("^a|b+$", "xbb", true),
            ("", "x", true), ("(F|D)$", "20260101-000000F", true), ("\\.info", "ainfo", false),
        ])
    func expressions(pattern: String, text: String, expected: Bool) throws {
        #expect(try RegularExpression(pattern).matches(text) == expected)
    }

    @Test(arguments: ["(", "[", "a{2", "*("])
    func brokenExpressions(pattern: String) {
        #expect(throws: BackupError.self) { try RegularExpression(pattern) }
    }
}
