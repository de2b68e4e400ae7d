import BackupEngine
import BackupModel
import Foundation
import PostgresFormats
import Testing

@Suite struct SpoolStatusTests {
    @Test(
        "what status files say",
        arguments: [
            ("a.ok", "", .done(warning: nil)), ("a.ok", "0\ndropped\nHINT: b", .done(warning: "dropped\nHINT: b")),
            // pgBackRest tells an error in an .ok file as a warning.
            ("a.ok", "45\nduplicate", .done(warning: "[45] duplicate")),
            ("a.error", "45\nduplicate", .failed(code: .archiveDuplicate, message: "duplicate")),
            ("global.error", "103\na\nb", .failed(code: .repositoryInvalid, message: "a\nb")),
        ] as [(String, String, SpoolStatus)])
    func read(name: String, text: String, status: SpoolStatus) throws {
        #expect(try SpoolStatus(fileName: name, Array(text.utf8)) == status)
    }

    @Test(
        "what they cannot say",
        arguments: [
            ("a.error", ""), ("a.error", "45"), ("a.error", "45\n"), ("a.error", "x\ny"), ("a.ok", "0"), ("a.ok", "\n"),
            ("a.ok", "0\n"), ("a.ok", "99999999999\nx"),
        ])
    func refuse(name: String, text: String) {
        #expect(throws: BackupError.self) { try SpoolStatus(fileName: name, Array(text.utf8)) }
    }

    @Test func comeBackAsTheyWereWritten() throws {
        for (name, status) in [
            ("a.ok", .done(warning: nil)), ("a.ok", .done(warning: "w\nx")),
            ("a.error", .failed(code: .archiveTimeout, message: "m")),
        ] as [(String, SpoolStatus)] {
            #expect(try SpoolStatus(fileName: name, status.bytes) == status)
        }
    }
}

@Suite struct ArchivePushQueueTests {
    private static let size: UInt64 = 16 << 20

    private static func name(_ number: Int) -> String {
        WALSegment(timeline: 1, log: 0, number: UInt32(number)).description
    }

    private static func queue(
        _ ready: [String], spooled: [String] = [], batch: UInt64 = 16 << 30
    ) -> ArchivePushQueue {
        ArchivePushQueue(
            ready: ready.map { "\($0).ready" }, spooled: spooled, segmentSize: size, batchSize: batch)
    }

    @Test func goesByName() {
        let names = (1...300).map { Self.name($0) }
        #expect(Self.queue(names.shuffled()).files == names)
    }

    @Test func historiesGoFirstAndCostNothing() {
        let queue = Self.queue(
            [
                "000000010000000000000009", "00000002.history", "000000010000000000000009.00000028.backup",
                "000000010000000000000009.partial", "0000000A.history",
            ], batch: 2 * Self.size)
        #expect(
            queue.files == [
                "00000002.history", "0000000A.history", "000000010000000000000009",
                "000000010000000000000009.00000028.backup", "000000010000000000000009.partial",
            ])
        #expect(queue.waiting == 2 * Self.size)
    }

    @Test func namesOfNoWALAreLeft() {
        let queue = ArchivePushQueue(
            ready: ["x.ready", ".ready", "\(Self.name(1)).done", Self.name(2), "\(Self.name(3)).ready"], spooled: [],
            segmentSize: Self.size, batchSize: 1)
        #expect(queue.files == [Self.name(3)], "one is taken however small the batch")
    }

    @Test func whatIsPushedIsNotPushedAgain() {
        let queue = Self.queue([1, 2, 3].map(Self.name), spooled: ["\(Self.name(2)).ok"])
        #expect(queue.files == [Self.name(1), Self.name(3)])
        #expect(queue.stale == [])
    }

    @Test func whatTellsNothingAnyMoreGoes() {
        let spooled = [
            "global.error", "\(Self.name(1)).error", "\(Self.name(9)).ok", "\(Self.name(1)).ok",
            "\(Self.name(3)).ok.pgbackrest.tmp",
        ]
        let queue = Self.queue([1, 2].map(Self.name), spooled: spooled)
        #expect(queue.files == [Self.name(2)])
        #expect(Set(queue.stale) == Set(spooled).subtracting(["\(Self.name(1)).ok"]))
    }

    @Test func takesNoMoreThanABatch() {
        let names = (1...10).map { Self.name($0) }
        let queue = Self.queue(names, batch: 3 * Self.size + 1)
        #expect(queue.files == Array(names[..<3]))
        #expect(queue.waiting == 10 * Self.size)
    }
}

@Suite struct ArchiveGetQueueTests {
    private static func segment(_ number: Int, log: UInt32 = 0, timeline: UInt32 = 1) -> WALSegment {
        WALSegment(timeline: timeline, log: log, number: UInt32(number))
    }

    private static func queue(
        from first: WALSegment, _ spooled: [String], size: UInt64 = 64 << 20, segment: UInt64 = 16 << 20
    ) -> ArchiveGetQueue {
        ArchiveGetQueue(from: first, spooled: spooled, queueSize: size, segmentSize: segment)
    }

    @Test func isAsLongAsAsked() {
        let queue = Self.queue(from: Self.segment(7), [])
        #expect(queue.missing == [7, 8, 9, 10].map { Self.segment($0) })
        #expect(Self.queue(from: Self.segment(7), [], size: 0).missing.count == 2)
        #expect(Self.queue(from: Self.segment(7), [], size: 1 << 52, segment: 1 << 20).missing.count == 65_536)
    }

    @Test func goesOnInTheNextLog() {
        #expect(
            Self.queue(from: Self.segment(254), []).missing
                == [Self.segment(254), Self.segment(255), Self.segment(0, log: 1), Self.segment(1, log: 1)])
        #expect(
            Self.queue(from: Self.segment(3, log: .max), [], segment: 1 << 30, ).missing.count == 2)
    }

    @Test func keepsWhatIsThereAndDropsTheRest() {
        let names = [8, 10].map { Self.segment($0).description }
        let stale = [
            Self.segment(6).description, "\(Self.segment(8)).ok", "\(Self.segment(9)).error", "global.error",
            Self.segment(8, timeline: 2).description, "\(Self.segment(9)).pgbackrest.tmp",
        ]
        let queue = Self.queue(from: Self.segment(7), names + stale)
        #expect(queue.missing == [Self.segment(7), Self.segment(9)])
        #expect(queue.stale == stale.sorted())
    }

    @Test func anotherTimelineIsAnotherQueue() {
        let spooled = (7...10).map { Self.segment($0).description }
        let queue = Self.queue(from: Self.segment(8, timeline: 2), spooled)
        #expect(queue.missing == (8...11).map { Self.segment($0, timeline: 2) })
        #expect(queue.stale == spooled)
    }

    @Test func isRefilledWhenLessThanHalfIsLeft() {
        let left = (0...4).map {
            ArchiveGetQueue.isHalfFull($0, queueSize: 64 << 20, segmentSize: 16 << 20)
        }
        #expect(left == [false, false, true, true, true])
    }
}

@Suite struct ArchiveSpoolTests {
    private func withSpool(_ body: (ArchiveSpool, String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "spool-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        let spool = ArchiveSpool(directory: "\(root)/archive/main/out")
        try spool.prepare()
        try body(spool, root)
    }

    @Test func doneCountsBeforeFailed() throws {
        try withSpool { spool, _ in
            #expect(try spool.status(of: "a") == nil)
            try spool.write(.failed(code: .fileOpen, message: "all"), for: "global")
            #expect(try spool.status(of: "a") == .failed(code: .fileOpen, message: "all"))
            try spool.write(.failed(code: .fileRead, message: "one"), for: "a")
            #expect(try spool.status(of: "a") == .failed(code: .fileRead, message: "one"))
            try spool.write(.done(warning: "w"), for: "a")
            #expect(try spool.status(of: "a") == .done(warning: "w"))
            try spool.write(.done(warning: nil), for: "b")
            try spool.clearErrors(of: "a")
            #expect(Set(try spool.names()) == ["a.ok", "b.ok"])
        }
    }

    @Test func doneOfAnEarlierFileOfThatNameGoes() throws {
        try withSpool { spool, root in
            func touch(_ path: String, _ seconds: Double) throws {
                _ = FileManager.default.createFile(atPath: path, contents: nil)
                try FileManager.default.setAttributes(
                    [.modificationDate: Date(timeIntervalSince1970: seconds)], ofItemAtPath: path)
            }
            try touch("\(root)/a.ready", 1000)
            for (time, isOutdated) in [(999.0, true), (1000, false), (1001, false)] {
                try touch(spool.path("a.ok"), time)
                #expect(try spool.removeOutdated("a", statusDirectory: root) == isOutdated)
                #expect(try spool.holds("a.ok") == !isOutdated)
            }
            #expect(try !spool.removeOutdated("none", statusDirectory: root))
        }
    }
}
