import BackupModel
import RepositoryStorage
import Testing

@Suite(.timeLimit(.minutes(10)))
struct StorageContractTests {
    @Test("nothing shows before commit, all of it after", arguments: Driver.allCases, [WriteMode.atomic, .create])
    func visibility(_ driver: Driver, _ mode: WriteMode) async throws {
        let test = try await driver.make()
        guard test.can(mode) else { return }
        let writer = try await test.store.write("a/b/object", mode)
        try await writer.append([1, 2, 3])
        #expect(try await test.store.info("a/b/object") == nil)
        #expect(try await test.store.names("a/b") == [])
        #expect(try await storageError { _ = try await test.store.get("a/b/object") }?.isMissing == true)
        try await writer.append([4])
        try await writer.commit()
        #expect(try await test.store.get("a/b/object") == [1, 2, 3, 4])
        #expect(try await test.store.names("a/b") == ["object"])
        let info = try #require(try await test.store.info("a/b/object"))
        #expect(info.name == "a/b/object" && info.kind == .object && info.size == 4 && info.modified > 1_700_000_000)
    }

    @Test("abort and drop leave nothing", arguments: Driver.allCases, [WriteMode.atomic, .create, .inPlace])
    func abort(_ driver: Driver, _ mode: WriteMode) async throws {
        let test = try await driver.make()
        guard test.can(mode) else { return }
        var writer: (any ObjectWriter)? = try await test.store.write("d/aborted", mode)
        try await writer?.append([1, 2, 3])
        await writer?.abort()
        await writer?.abort()
        writer = try await test.store.write("d/dropped", mode)
        try await writer?.append([1, 2, 3])
        writer = nil
        #expect(try await test.store.names("d") == [])
        #expect(try await test.store.info("d/aborted") == nil)
        #expect(test.directory?.files().contains { $0.contains("aborted") || $0.contains("dropped") } != true)
    }

    @Test("abort after commit does nothing", arguments: Driver.allCases)
    func abortAfterCommit(_ driver: Driver) async throws {
        let test = try await driver.make()
        for mode in [WriteMode.atomic, .inPlace, .create] where test.can(mode) {
            let writer = try await test.store.write("x", mode)
            try await writer.append([7])
            try await writer.commit()
            await writer.abort()
            #expect(try await test.store.get("x") == [7])
            try await test.store.delete(["x"])
        }
    }

    @Test("an overwrite replaces all", arguments: Driver.allCases, [WriteMode.atomic, .inPlace])
    func overwrite(_ driver: Driver, _ mode: WriteMode) async throws {
        let test = try await driver.make()
        try await test.store.put("x", "a long first content", mode)
        try await test.store.put("x", "second", mode)
        #expect(try await test.store.text("x") == "second")
        #expect(try await test.store.names("") == ["x"])
    }

    @Test("a reader that was open keeps the old object", arguments: Driver.allCases, [WriteMode.atomic, .inPlace])
    func readerBeforeOverwrite(_ driver: Driver, _ mode: WriteMode) async throws {
        if driver.isUnreliable { return }
        let test = try await driver.make()
        let old = [UInt8](repeating: 1, count: 300_000)
        let new = [UInt8](repeating: 2, count: 200_000)
        try await test.store.put("x", old, mode)
        let reader = try await test.store.read("x", range: nil)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 10, alignment: 1)
        defer { buffer.deallocate() }
        #expect(try await reader.read(into: buffer) == 10)
        try await test.store.put("x", new, mode)
        #expect(try await reader.rest() == Array(old.dropFirst(10)))
        await reader.close()
        #expect(try await test.store.get("x") == new)
    }

    @Test("create fails when the object is there", arguments: Driver.allCases)
    func create(_ driver: Driver) async throws {
        let test = try await driver.make()
        guard test.has.contains(.createIfAbsent) else {
            let error = try await storageError { try await test.store.put("lock", "one", .create) }
            #expect(error?.error.code == .featureNotSupported)
            #expect(try await test.store.names("") == [])
            return
        }
        try await test.store.put("lock", "one", .create)
        let error = try await storageError { try await test.store.put("lock", "two", .create) }
        #expect(error?.isAlreadyThere == true && error?.isRetryable == false)
        #expect(try await test.store.text("lock") == "one")
        try await test.store.delete(["lock"])
        try await test.store.put("lock", "three", .create)
        #expect(try await test.store.text("lock") == "three")
        #expect(try await test.store.names("") == ["lock"])
    }

    @Test("one of many concurrent creators wins", arguments: Driver.allCases)
    func createRace(_ driver: Driver) async throws {
        let test = try await driver.make()
        guard test.has.contains(.createIfAbsent) else { return }
        let store = test.store
        let winners = try await withThrowingTaskGroup(of: Int?.self) { group in
            for writer in 0..<16 {
                group.addTask {
                    let error = try await storageError { try await store.put("d/lock", "\(writer)", .create) }
                    if let error { #expect(error.isAlreadyThere, "\(error)") }
                    return error == nil ? writer : nil
                }
            }
            return try await group.reduce(into: []) { if let winner = $1 { $0.append(winner) } }
        }
        #expect(winners.count == 1)
        #expect(try await store.text("d/lock") == "\(winners.first ?? -1)")
    }

    @Test("concurrent writers of one name: one of them, whole", arguments: Driver.allCases)
    func concurrentWriters(_ driver: Driver) async throws {
        let test = try await driver.make()
        let store = test.store
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in UInt8(0)..<16 {
                group.addTask {
                    let open = try await store.write("d/x", .atomic)
                    for _ in 0..<10 { try await open.append([UInt8](repeating: writer, count: 5000)) }
                    try await open.commit()
                }
            }
            try await group.waitForAll()
        }
        let content = try await store.get("d/x")
        #expect(content.count == 50_000 && Set(content).count == 1)
        #expect(test.directory?.files().filter { $0.contains("d/x") }.count ?? 1 == 1)
    }

    @Test("ranges", arguments: Driver.allCases)
    func ranges(_ driver: Driver) async throws {
        let test = try await driver.make()
        try await test.store.put("x", "0123456789")
        let cases: [(Range<UInt64>?, String)] = [
            (nil, "0123456789"), (0..<10, "0123456789"), (0..<3, "012"), (3..<7, "3456"), (9..<10, "9"),
            (5..<100, "56789"), (0..<UInt64.max, "0123456789"), (4..<4, ""), (10..<20, ""), (50..<60, ""),
            (UInt64.max - 1..<UInt64.max, ""),
        ]
        for (range, expected) in cases {
            #expect(try await test.store.text("x", range) == expected, "\(String(describing: range))")
        }
    }

    @Test("empty objects", arguments: Driver.allCases, [WriteMode.atomic, .inPlace, .create])
    func empty(_ driver: Driver, _ mode: WriteMode) async throws {
        let test = try await driver.make()
        guard test.can(mode) else { return }
        let writer = try await test.store.write("d/empty", mode)
        try await writer.commit()
        #expect(try await test.store.get("d/empty") == [])
        #expect(try await test.store.get("d/empty", 0..<10) == [])
        #expect(try await test.store.info("d/empty")?.size == 0)
    }

    @Test("objects of many MiB", arguments: Driver.allCases, [WriteMode.atomic, .inPlace])
    func large(_ driver: Driver, _ mode: WriteMode) async throws {
        if driver.isUnreliable { return }
        let test = try await driver.make()
        let chunk = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        let writer = try await test.store.write("d/large", mode)
        // Three parts of an object store.
        for _ in 0..<12 { try await writer.append(chunk) }
        try await writer.commit()
        #expect(try await test.store.info("d/large")?.size == 12_000_036)
        #expect(try await test.store.get("d/large") == Array(repeatElement(chunk, count: 12).joined()))
        #expect(
            try await test.store.get("d/large", 1_000_000..<2_000_006) == Array((chunk + chunk)[1_000_000..<2_000_006]))
    }

    @Test("list: many names by bytes, prefix, one level", arguments: Driver.allCases)
    func list(_ driver: Driver) async throws {
        let test = try await driver.make()
        let store = test.store
        let count = driver.manyObjects
        let names = (0..<count).map { "\($0 % 7)-\($0)" }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for part in 0..<10 {
                group.addTask {
                    for name in names[(part * count / 10)..<((part + 1) * count / 10)] {
                        try await store.put("d/\(name)", "", .inPlace)
                    }
                }
            }
            try await group.waitForAll()
        }
        try await store.put("d/sub/deeper/x", "1")
        try await store.put("dd", "1")
        let sorted = (names + ["sub"]).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(try await store.names("d") == sorted)
        #expect(try await store.names("d", prefix: "3-") == sorted.filter { $0.hasPrefix("3-") })
        #expect(try await store.names("d", prefix: "none") == [])
        #expect(try await store.names("") == ["d", "dd"])
        let kinds = try await store.list("d", prefix: "sub", from: nil).entries.map(\.kind)
        #expect(kinds == [.directory])
        #expect(try await store.info("d/sub")?.kind == .directory)

        try await store.delete(names.map { "d/\($0)" })
        #expect(try await store.names("d") == ["sub"])
    }

    @Test("absent things", arguments: Driver.allCases)
    func absent(_ driver: Driver) async throws {
        let test = try await driver.make()
        let store = test.store
        #expect(try await store.names("none") == [])
        #expect(try await store.names("") == [])
        #expect(try await store.info("none/at/all") == nil)
        try await store.delete(["none", "none/at/all"])
        try await store.delete([])
        try await store.deleteTree("none/at/all")
        try await store.syncAll(under: "none")
        let error = try await storageError { _ = try await store.read("none/at/all", range: 0..<1) }
        #expect(error?.isMissing == true && error?.isRetryable == false && error?.error.code == .fileMissing)
        #expect(error?.error.message.contains("none/at/all") == true)

        // A name under an object is absent as well, and an object is no directory.
        try await store.put("object", "1")
        #expect(try await store.info("object/below") == nil)
        #expect(try await storageError { _ = try await store.get("object/below") }?.isMissing == true)
        if driver.deletesOnlyWhatIsNamed { try await store.delete(["object/below"]) }
        #expect(try await store.names("object") == [])
        try await store.deleteTree("object")
        #expect(try await store.text("object") == "1")
    }

    @Test("odd names", arguments: Driver.allCases)
    func oddNames(_ driver: Driver) async throws {
        let test = try await driver.make()
        let names = [
            "with space", "it's \"quoted\"", "a=b", "new\nline", "tab\t", "per%20cent", "back\\slash", "ünï", "日本語",
            "e\u{301}", "\u{e9}", "..dots", "...", ".hidden", "-dash", "plus+", "star*?[]", "ends.", "\u{1F40B}", "~",
            ":",
            "\u{301}combining",
        ].filter(driver.takes)
        for name in names { try await test.store.put("odd dir=\u{e9}/\(name)", name) }
        let listed = try await test.store.names("odd dir=\u{e9}").map { Array($0.utf8) }
        #expect(listed == names.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
        for name in names {
            #expect(Array(try await test.store.get("odd dir=\u{e9}/\(name)")) == Array(name.utf8))
            #expect(try await test.store.info("odd dir=\u{e9}/\(name)")?.size == UInt64(name.utf8.count))
        }
        #expect(try await test.store.names("odd dir=\u{e9}", prefix: "e") == ["ends.", "e\u{301}"])
        try await test.store.delete(names.map { "odd dir=\u{e9}/\($0)" })
        #expect(try await test.store.names("odd dir=\u{e9}") == [])
    }

    @Test("paths that leave the store are refused", arguments: Driver.allCases)
    func badPaths(_ driver: Driver) async throws {
        let test = try await driver.make()
        for path in ["/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", "", ".", "a/./b", "a\0b", "/"] {
            for call: (any RepositoryStore) async throws -> Void in [
                { _ = try await $0.read(path, range: nil) }, { _ = try await $0.write(path, .atomic) },
                { try await $0.delete([path]) },
                { _ = try await $0.list(path.isEmpty ? "/" : path, prefix: "", from: nil) },
                { _ = try await $0.info(path.isEmpty ? "/" : path) },
                { try await $0.deleteTree(path.isEmpty ? "/" : path) },
            ] {
                let error = try await storageError { try await call(test.store) }
                #expect(error?.error.code == .parameterInvalid, "\(path)")
            }
        }
    }

    @Test("deleteTree takes all below and nothing beside", arguments: Driver.allCases)
    func deleteTree(_ driver: Driver) async throws {
        let test = try await driver.make()
        for path in ["t/a", "t/b/c/d", "t/b/e", "t2", "u/t/x"] { try await test.store.put(path, path) }
        try await test.store.deleteTree("t")
        #expect(try await test.store.names("") == ["t2", "u"])
        #expect(try await test.store.info("t") == nil)
        #expect(try await storageError { _ = try await test.store.get("t/b/c/d") }?.isMissing == true)
        #expect(try await test.store.text("u/t/x") == "u/t/x")
        try await test.store.deleteTree("")
        #expect(try await test.store.names("") == [])
    }

    @Test("list after delete does not show", arguments: Driver.allCases)
    func deleteSome(_ driver: Driver) async throws {
        let test = try await driver.make()
        for path in ["d/a", "d/b", "d/c"] { try await test.store.put(path, path) }
        try await test.store.delete(["d/a", "d/none", "d/c"])
        #expect(try await test.store.names("d") == ["b"])
    }

    @Test("directories, where there are any", arguments: Driver.allCases)
    func directories(_ driver: Driver) async throws {
        let test = try await driver.make()
        try await test.store.makeDirectory("p/q/r")
        try await test.store.makeDirectory("p/q/r")
        let expected = test.has.contains(.directories) ? ["r"] : []
        #expect(try await test.store.names("p/q") == expected)
        try await test.store.put("p/q/r/x", "1")
        #expect(try await test.store.names("p/q/r") == ["x"])
        try await test.store.deleteTree("p")
        #expect(try await test.store.info("p/q/r") == nil)
    }

    @Test("links, where there are any", arguments: Driver.allCases)
    func links(_ driver: Driver) async throws {
        let test = try await driver.make()
        guard test.has.contains(.symlinks) else {
            let error = try await storageError { try await test.store.link("d/latest", to: "x") }
            #expect(error?.error.code == .featureNotSupported)
            return
        }
        try await test.store.link("d/latest", to: "one")
        try await test.store.link("d/latest", to: "two")
        let entries = try await test.store.list("d", prefix: "", from: nil).entries
        #expect(entries.map(\.name) == ["latest"] && entries.map(\.kind) == [.link])
        #expect(try await test.store.info("d/latest")?.kind == .link)
        try await test.store.delete(["d/latest"])
        #expect(try await test.store.names("d") == [])
    }

    @Test("in-place objects are there after syncAll", arguments: Driver.allCases)
    func inPlace(_ driver: Driver) async throws {
        let test = try await driver.make()
        for number in 0..<20 { try await test.store.put("b/l/\(number % 3)/\(number)", "\(number)", .inPlace) }
        try await test.store.syncAll(under: "b/l")
        for number in 0..<20 { #expect(try await test.store.text("b/l/\(number % 3)/\(number)") == "\(number)") }
    }
}
