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
            let (label, time) = try NewLabel.full(existing: existing, time: Self.time)
            #expect(label == Self.full(Self.time) && time == Self.time, "\(existing)")
        }
    }

    @Test("A label of the same second moves the new one to the next")
    func sameSecond() throws {
        let (label, time) = try NewLabel.full(existing: [Self.full(Self.time)], time: Self.time)
        #expect(label == Self.full(Self.time + 1) && time == Self.time + 1)
        // A set that grew on a full of this second counts as that full.
        let dependent = "\(Self.full(Self.time))_\(LocalTime.labelComponents(Self.time + 50))I"
        #expect(try NewLabel.full(existing: [dependent], time: Self.time).time == Self.time + 1)
    }

    @Test("A clock behind the newest label is refused")
    func clock() {
        for ahead: Int64 in [1, 2, 3600, 86400 * 400] {
            #expect(
                errorCode { _ = try NewLabel.full(existing: [Self.full(Self.time + ahead)], time: Self.time) } == .clock
            )
        }
    }
}

@Suite struct CopyQueueTests {
    static func file(_ name: String, _ size: UInt64) -> SourceFile {
        SourceFile(
            index: 0, name: name, path: "/\(name)", size: size, stopsAtSize: true, hasPages: false, isControlFile: false
        )
    }
    static func now() -> Int64 { Int64(Date().timeIntervalSince1970) }

    @Test("Files come largest first, and by name where they are as large")
    func order() async throws {
        let files = [("b", 5), ("small", 1), ("a", 5), ("large", 9), ("empty", 0)].map { Self.file($0.0, $0.1) }
        let queue = CopyQueue(ready: files, held: [], heldUntil: Self.now())
        var names: [String] = []
        while let file = try await queue.take() { names.append(file.name) }
        #expect(names == ["large", "a", "b", "small", "empty"])
        #expect(try await queue.take() == nil)
    }

    @Test("Once their second is over, held files take their place by size")
    func heldAfterwards() async throws {
        let queue = CopyQueue(
            ready: [Self.file("middle", 5), Self.file("small", 1)],
            held: [Self.file("large", 9), Self.file("tiny", 0)],
            heldUntil: Self.now() - 1)
        var names: [String] = []
        while let file = try await queue.take() { names.append(file.name) }
        #expect(names == ["large", "middle", "small", "tiny"])
    }

    @Test("Held files wait until their second is over, the others do not")
    func waiting() async throws {
        let until = Self.now() + 1
        let queue = CopyQueue(ready: [Self.file("ready", 1)], held: [Self.file("held", 9)], heldUntil: until)
        #expect(try await queue.take()?.name == "ready")
        #expect(try await queue.take()?.name == "held")
        #expect(Date().timeIntervalSince1970 >= Double(until))
    }

    @Test("Who waits for held files can be cancelled")
    func cancellation() async {
        let queue = CopyQueue(ready: [], held: [Self.file("held", 9)], heldUntil: Self.now() + 3600)
        let task = Task { _ = try await queue.take() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("Workers together take each file once")
    func workers() async throws {
        let queue = CopyQueue(
            ready: (0..<300).map { Self.file("r\($0)", UInt64($0 % 7)) },
            held: (0..<100).map { Self.file("h\($0)", UInt64($0 % 5)) }, heldUntil: Self.now())
        let names = try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var names: [String] = []
                    while let file = try await queue.take() { names.append(file.name) }
                    return names
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(names.count == 400 && Set(names).count == 400)
    }
}

@Suite struct CopyPlanTests {
    struct Expected: Equatable {
        var path: String
        var stopsAtSize = false
        var hasPages = false
        var isControlFile = false
        var isHeld = false
    }

    @Test("Each file is read from its place, with the rules of its kind")
    func files() throws {
        let cases: [(String, Int64, Expected)] = [
            ("pg_data/PG_VERSION", 10, Expected(path: "/pg/PG_VERSION")),
            ("pg_data/base/1/1259", 10, Expected(path: "/pg/base/1/1259", stopsAtSize: true, hasPages: true)),
            ("pg_data/base/1/PG_VERSION", 10, Expected(path: "/pg/base/1/PG_VERSION", stopsAtSize: true)),
            ("pg_data/base/1/pg_filenode.map", 10, Expected(path: "/pg/base/1/pg_filenode.map", stopsAtSize: true)),
            ("pg_data/global/1262", 10, Expected(path: "/pg/global/1262", stopsAtSize: true, hasPages: true)),
            ("pg_data/global/pg_control", 10, Expected(path: "/pg/global/pg_control", isControlFile: true)),
            ("pg_data/pg_xact/0000", 10, Expected(path: "/pg/pg_xact/0000", stopsAtSize: true)),
            ("pg_data/pg_wal/000000010000000000000001", 10, Expected(path: "/pg/pg_wal/000000010000000000000001")),
            ("pg_data/postgresql.conf", 99, Expected(path: "/pg/postgresql.conf")),
            ("pg_data/postgresql.auto.conf", 100, Expected(path: "/pg/postgresql.auto.conf", isHeld: true)),
            (
                "pg_data/global/1260", 101,
                Expected(path: "/pg/global/1260", stopsAtSize: true, hasPages: true, isHeld: true)
            ),
            (
                "pg_tblspc/16384/PG_15_202209061/5/16385", 10,
                Expected(path: "/pg/pg_tblspc/16384/PG_15_202209061/5/16385", stopsAtSize: true, hasPages: true)
            ),
        ]
        var manifest = try BackupSeries.manifest("1F")
        for (name, time, _) in cases {
            manifest.files.append(
                ManifestFile(name: name, size: 5, timestamp: time, mode: 0o600, user: nil, group: nil))
        }
        var referenced = ManifestFile(name: "pg_data/old", size: 5, timestamp: 10, mode: 0o600, user: nil, group: nil)
        referenced.reference = 0
        manifest.files.append(referenced)

        let plan = CopyPlan.files(of: manifest, dataDirectory: "/pg", scanStart: 100)
        #expect(plan.map(\.file.name) == cases.map(\.0))
        for (planned, test) in zip(plan, cases) {
            let file = planned.file
            let actual = Expected(
                path: file.path, stopsAtSize: file.stopsAtSize, hasPages: file.hasPages,
                isControlFile: file.isControlFile,
                isHeld: planned.isHeld)
            #expect(actual == test.2, "\(test.0)")
            #expect(manifest.files.name(file.index) == test.0)
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
