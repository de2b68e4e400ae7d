@testable import BackupEngine
import BackupModel
import Foundation
import PostgresFormats
import RepositoryFormats
import StreamFilters
import Testing

@Suite struct NewLabelTests {
    static let time: Int64 = 1_800_000_000
    static func full(_ seconds: Int64) -> String { LocalTime.labelComponents(seconds) + "F" }

    @Test("The label is the time of the start where nothing is newer")
    func plain() throws {
        let cases: [[String]] = [
            [], [Self.full(Self.time - 1)], ["backup.history", "backup.info.copy", "latest", "zzzz-not-a-label"],
            ["\(Self.full(Self.time - 9))_\(LocalTime.labelComponents(Self.time + 50))D"],
        ]
        for existing in cases {
            let (label, time) = try NewLabel.label(existing: existing, time: Self.time)
            #expect(label == Self.full(Self.time) && time == Self.time, "\(existing)")
        }
    }

    @Test("A label of the same second moves the new one to the next")
    func sameSecond() throws {
        let (label, time) = try NewLabel.label(existing: [Self.full(Self.time)], time: Self.time)
        #expect(label == Self.full(Self.time + 1) && time == Self.time + 1)
        // A set that grew on a full of this second counts as that full.
        let dependent = "\(Self.full(Self.time))_\(LocalTime.labelComponents(Self.time + 50))I"
        #expect(try NewLabel.label(existing: [dependent], time: Self.time).time == Self.time + 1)
    }

    @Test("Within a set only its own backups count, by their time and not by their letter")
    func dependents() throws {
        let full = Self.full(Self.time - 100)
        func label(_ existing: [String]) throws -> (label: String, time: Int64) {
            try NewLabel.label(.incr, full: full, existing: [full] + existing, time: Self.time)
        }
        let plain = "\(full)_\(LocalTime.labelComponents(Self.time))I"
        #expect(try label([]).label == plain)
        #expect(try label([Self.full(Self.time + 500)]).label == plain)
        // A differential of the same second would sort before the incremental.
        #expect(try label(["\(full)_\(LocalTime.labelComponents(Self.time))D"]).time == Self.time + 1)
        #expect(
            errorCode { _ = try label(["\(full)_\(LocalTime.labelComponents(Self.time + 9))D"]) } == .clock)
    }

    @Test("A clock behind the newest label is refused")
    func clock() {
        for ahead: Int64 in [1, 2, 3600, 86400 * 400] {
            #expect(
                errorCode { _ = try NewLabel.label(existing: [Self.full(Self.time + ahead)], time: Self.time) }
                    == .clock
            )
        }
    }
}

@Suite struct CopyQueueTests {
    /// Files by name and size; those in `held` were modified in the second of the scan.
    static func queue(_ ready: [(String, UInt64)], held: [(String, UInt64)] = [], until: Int64) -> (CopyQueue, [String])
    {
        var files = ManifestFiles()
        for (list, time) in [(ready, 10), (held, 100)] as [([(String, UInt64)], Int64)] {
            for (name, size) in list {
                files.append(
                    ManifestFile(name: name, size: size, timestamp: time, mode: 0o600, user: nil, group: nil))
            }
        }
        files.sort()
        let queue = CopyQueue((0..<UInt32(files.count)).map { $0 }, of: files, heldFrom: 100, heldUntil: until)
        return (queue, (0..<files.count).map { files.name($0) })
    }
    static func now() -> Int64 { Int64(Date().timeIntervalSince1970) }
    static func rest(_ queue: CopyQueue, _ names: [String]) async throws -> [String] {
        var taken: [String] = []
        while let row = try await queue.take() { taken.append(names[row]) }
        return taken
    }

    @Test("Files come largest first, and by name where they are as large")
    func order() async throws {
        let (queue, names) = Self.queue([("b", 5), ("small", 1), ("a", 5), ("large", 9), ("empty", 0)], until: 0)
        #expect(try await Self.rest(queue, names) == ["large", "a", "b", "small", "empty"])
        #expect(try await queue.take() == nil)
    }

    @Test("Once their second is over, held files take their place by size")
    func heldAfterwards() async throws {
        let (queue, names) = Self.queue(
            [("middle", 5), ("small", 1)], held: [("large", 9), ("tiny", 0)], until: Self.now() - 1)
        #expect(try await Self.rest(queue, names) == ["large", "middle", "small", "tiny"])
    }

    @Test("Held files wait until their second is over, the others do not")
    func waiting() async throws {
        let until = Self.now() + 1
        let (queue, names) = Self.queue([("ready", 1)], held: [("held", 9)], until: until)
        #expect(try await Self.rest(queue, names) == ["ready", "held"])
        #expect(Date().timeIntervalSince1970 >= Double(until))
    }

    @Test("Who waits for held files can be cancelled")
    func cancellation() async {
        let (queue, _) = Self.queue([], held: [("held", 9)], until: Self.now() + 3600)
        let task = Task { _ = try await queue.take() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("Workers together take each file once")
    func workers() async throws {
        let (queue, _) = Self.queue(
            (0..<300).map { ("r\($0)", UInt64($0 % 7)) }, held: (0..<100).map { ("h\($0)", UInt64($0 % 5)) },
            until: Self.now())
        let rows = try await withThrowingTaskGroup(of: [Int].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var rows: [Int] = []
                    while let row = try await queue.take() { rows.append(row) }
                    return rows
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(rows.sorted() == Array(0..<400))
    }
}

@Suite struct CopyPlanTests {
    struct Expected: Equatable {
        var path: String
        var stopsAtSize = false
        var hasPages = false
        var isControlFile = false
    }

    @Test("Each file is read from its place, with the rules of its kind")
    func files() throws {
        let cases: [(String, Expected)] = [
            ("pg_data/PG_VERSION", Expected(path: "/pg/PG_VERSION")),
            ("pg_data/base/1/1259", Expected(path: "/sb/base/1/1259", stopsAtSize: true, hasPages: true)),
            ("pg_data/base/1/PG_VERSION", Expected(path: "/sb/base/1/PG_VERSION", stopsAtSize: true)),
            ("pg_data/base/1/pg_filenode.map", Expected(path: "/sb/base/1/pg_filenode.map", stopsAtSize: true)),
            ("pg_data/global/1262", Expected(path: "/sb/global/1262", stopsAtSize: true, hasPages: true)),
            ("pg_data/global/pg_control", Expected(path: "/pg/global/pg_control", isControlFile: true)),
            ("pg_data/pg_xact/0000", Expected(path: "/sb/pg_xact/0000", stopsAtSize: true)),
            ("pg_data/pg_wal/000000010000000000000001", Expected(path: "/pg/pg_wal/000000010000000000000001")),
            ("pg_data/postgresql.conf", Expected(path: "/pg/postgresql.conf")),
            (
                "pg_tblspc/16384/PG_15_202209061/5/16385",
                Expected(path: "/sb/pg_tblspc/16384/PG_15_202209061/5/16385", stopsAtSize: true, hasPages: true)
            ),
        ]
        var files = ManifestFiles()
        for (name, _) in cases {
            files.append(ManifestFile(name: name, size: 5, timestamp: 1, mode: 0o600, user: nil, group: nil))
        }
        for standby in ["/sb", nil] {
            let plan = CopyPlan(dataDirectory: "/pg", standbyDirectory: standby)
            for (row, test) in cases.enumerated() {
                let file = plan.source(row, of: files)
                var expected = test.1
                if standby == nil { expected.path = expected.path.replacingOccurrences(of: "/sb/", with: "/pg/") }
                let actual = Expected(
                    path: file.path, stopsAtSize: file.stopsAtSize, hasPages: file.hasPages,
                    isControlFile: file.isControlFile)
                #expect(actual == expected, "\(test.0)")
                #expect(file.name == test.0 && file.index == row && file.size == 5)
            }
        }
    }
}

@Suite struct LinkRulesTests {
    static func link(_ name: String, _ path: String) -> ManifestTarget {
        ManifestTarget(name: "pg_data/\(name)", kind: .link, path: path)
    }
    static func file(_ name: String, _ path: String, _ file: String) -> ManifestTarget {
        ManifestTarget(name: "pg_data/\(name)", kind: .link, path: path, file: file)
    }
    static func tablespace(_ oid: UInt32, _ path: String) -> ManifestTarget {
        ManifestTarget(name: "pg_tblspc/\(oid)", kind: .link, path: path, tablespaceID: oid, tablespaceName: "ts")
    }

    @Test(
        "Links that lead out and apart are fine",
        arguments: [
            [link("pg_wal", "/wal"), link("log", "/wal2")],
            [link("pg_wal", "../wal"), link("log", "/data/log")],
            [file("a.conf", "/etc/pg", "a.conf"), file("b.conf", "/etc/pg", "b.conf")],
            [file("a.conf", "../..", "a.conf")],
            [file("a.conf", "/etc/pg", "a.conf"), link("log", "/etc/pg/log")],
            [tablespace(1, "/ts/1"), tablespace(2, "/ts/2"), tablespace(3, "../../ts")],
            [tablespace(1, "/data")], [link("log", "/data/pg2")], [link("log", "/data/pg/../log")],
        ])
    func fine(_ links: [ManifestTarget]) throws {
        var rules = LinkRules(dataDirectory: "/data/pg/")
        for link in links { try rules.accept(link) }
    }

    @Test(
        "Links into the data directory, above it, or into each other are refused",
        arguments: [
            [link("log", "/data/pg/base")], [link("log", "/data/pg")], [link("log", "base")],
            [link("log", "/data/x/../pg/")],
            [tablespace(1, "/data/pg/ts")], [tablespace(1, "../ts")], [file("a.conf", "/data/pg", "b.conf")],
            [file("a.conf", "", "b.conf")], [file("a.conf", "/data/pg/conf", "a.conf")],
            [link("log", "/data")], [link("log", "/")], [link("log", "..")],
            [link("pg_wal", "/x"), link("log", "/x")], [link("pg_wal", "/x"), link("log", "/x/")],
            [link("pg_wal", "/x"), link("log", "/x/log")], [link("pg_wal", "/x/wal"), link("log", "/x")],
            [tablespace(1, "/ts"), tablespace(2, "/ts/2")], [tablespace(1, "/ts"), link("log", "/ts")],
            [file("a.conf", "/etc", "a"), file("b.conf", "/etc/", "a")],
            [link("conf", "/etc/pg"), file("a.conf", "/etc/pg", "a.conf")],
            [file("a.conf", "/etc/pg", "a.conf"), link("conf", "/etc/pg")],
        ])
    func refused(_ links: [ManifestTarget]) throws {
        var rules = LinkRules(dataDirectory: "/data/pg/")
        for link in links.dropLast() { try rules.accept(link) }
        let last = try #require(links.last)
        #expect(errorCode { try rules.accept(last) } == .linkDestination)
    }
}

@Suite struct FilePageCheckerTests {
    static let pageSize = 8192
    static let rules = PageCheckRules(pageSize: pageSize, checksHeader: true)

    /// A page with some content and its checksum as absolute block `block`.
    static func page(_ block: UInt32, fill: UInt8 = 7) -> [UInt8] {
        var page = [UInt8](repeating: fill, count: pageSize)
        let checksum = page.withUnsafeBytes { PageCheck.checksum(of: $0, block: block) }
        page[8] = UInt8(checksum & 0xFF)
        page[9] = UInt8(checksum >> 8)
        return page
    }

    static func bad(_ block: UInt32) -> [UInt8] {
        var page = page(block)
        page[100] ^= 1
        return page
    }

    /// Checks `seen` as what was read while the file holds `onDisk`.
    static func check(
        _ seen: [UInt8], onDisk: [UInt8]? = nil, name: String = "16384", chunk: Int = 3 * pageSize
    ) throws -> PageCheckResult {
        let path = NSTemporaryDirectory() + "/permafrost-pages-" + UUID().uuidString
        try Data(onDisk ?? seen).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? file.close() }
        var checker = FilePageChecker(rules: rules, fileName: name)
        var position = 0
        while position < seen.count {
            let end = min(position + chunk, seen.count)
            seen[position..<end].withUnsafeBytes { checker.check($0, file.fileDescriptor) }
            position = end
        }
        return checker.finish(file.fileDescriptor)
    }

    @Test("Whole and empty pages are valid, in chunks of any size")
    func valid() throws {
        let zero = [UInt8](repeating: 0, count: Self.pageSize)
        for chunk in [1000, Self.pageSize, 3 * Self.pageSize, 1 << 20] {
            #expect(try Self.check(Self.page(0) + zero + Self.page(2), chunk: chunk) == .valid)
        }
        #expect(try Self.check([]) == .valid)
    }

    @Test("Damaged pages are listed by their number, neighbours together")
    func damaged() throws {
        let pages = Self.page(0) + Self.bad(1) + Self.bad(2) + Self.page(3) + Self.bad(4)
        for chunk in [1000, Self.pageSize, 2 * Self.pageSize, 1 << 20] {
            #expect(try Self.check(pages, chunk: chunk) == .invalid([1...2, 4...4]))
        }
        // A page in another's place.
        #expect(try Self.check(Self.page(1) + Self.page(1)) == .invalid([0...0]))
    }

    @Test("Numbers go on in the later segments of a relation")
    func segments() throws {
        let first: UInt32 = 2 * 131_072
        #expect(try Self.check(Self.page(first), name: "pg_data/base/5/16384.2") == .valid)
        #expect(try Self.check(Self.bad(first), name: "pg_data/base/5/16384_fsm.2") == .invalid([first...first]))
        #expect(try Self.check(Self.page(0), name: "pg_data/base/5/16384.2") == .invalid([first...first]))
    }

    @Test("A page that was being written while it was read is accepted")
    func changed() throws {
        let seen = Self.page(0) + Self.bad(1) + Self.bad(2)
        #expect(try Self.check(seen, onDisk: Self.page(0) + Self.page(1) + Self.bad(2)) == .invalid([2...2]))
        // What it became is not judged, and neither is a file that was cut.
        #expect(try Self.check(seen, onDisk: Self.page(0) + Self.bad(7) + Self.bad(8)) == .valid)
        #expect(try Self.check(seen, onDisk: Self.page(0)) == .valid)
    }

    @Test("A tail of a page is bad, one of a few bytes makes the whole file suspect")
    func tails() throws {
        #expect(try Self.check(Self.page(0) + Self.page(1)[..<512]) == .invalid([1...1]))
        #expect(try Self.check(Self.bad(0) + Self.page(1)[..<4096]) == .invalid([0...1]))
        #expect(try Self.check(Self.page(0) + Self.page(1)[..<511]) == .invalid([]))
        #expect(try Self.check(Self.bad(0) + [1]) == .invalid([]))
    }
}
