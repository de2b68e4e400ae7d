import BackupModel
import Foundation
import Glibc
import RepositoryStorage
import Testing

/// What a directory can do that other stores cannot, and how disks fail.
@Suite(.timeLimit(.minutes(10)))
struct PosixStoreTests {
    @Test("modes are the ones asked for", arguments: [(0o640, 0o750), (0o600, 0o700), (0o666, 0o777)])
    func modes(file: Int, directory: Int) async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path + "/r", fileMode: UInt32(file), directoryMode: UInt32(directory))
        try await store.put("a/atomic", "1")
        try await store.put("a/created", "1", .create)
        try await store.put("b/c/inPlace", "1", .inPlace)
        try await store.makeDirectory("d/e")
        for path in ["a/atomic", "a/created", "b/c/inPlace"] {
            #expect(try mode(home.path + "/r/" + path) == file, "\(path)")
        }
        for path in ["", "a", "b", "b/c", "d", "d/e"] {
            #expect(try mode(home.path + "/r/" + path) == directory, "\(path)")
        }
    }

    @Test func linksAboveTheRepositoryAreFollowed() async throws {
        let home = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: home.path + "/real", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: home.path + "/alias", withDestinationPath: "real")
        let store = PosixStore(root: home.path + "/alias///")
        #expect(store.location == "posix:\(home.path)/alias")
        try await store.put("x/y", "1")
        #expect(home.files() == ["alias", "real", "real/x", "real/x/y"])
        try await store.deleteTree("")
        #expect(home.files() == ["alias", "real"])
    }

    @Test func treesAreNotLeftThroughLinks() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path + "/r")
        let outside = PosixStore(root: home.path + "/outside")
        try await outside.put("precious", "1")
        try await store.put("t/x", "1")
        try await store.link("t/link", to: home.path + "/outside")
        try await store.syncAll(under: "t")
        try await store.deleteTree("t/link")
        try await store.deleteTree("t")
        #expect(try await outside.text("precious") == "1")
        #expect(try await store.names("") == [])
    }

    @Test func anInPlaceWriteLeavesOtherNamesOfTheFileAlone() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path)
        try await store.put("old/file", "old", .inPlace)
        try await store.makeDirectory("new")
        try FileManager.default.linkItem(atPath: home.path + "/old/file", toPath: home.path + "/new/file")
        try await store.put("new/file", "new", .inPlace)
        #expect(try await store.text("old/file") == "old")
        #expect(try await store.text("new/file") == "new")
    }

    @Test func temporaryFilesAreNotListed() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path)
        try await store.put("d/archive.info", "1")
        try Data("half".utf8).write(to: URL(fileURLWithPath: home.path + "/d/archive.info.pgbackrest.tmp"))
        let writer = try await store.write("d/archive.info", .atomic)
        try await writer.append([1])
        let temporary = home.files().filter { $0.hasSuffix(".pgbackrest.tmp") }
        #expect(temporary.count == 2)
        #expect(try await store.names("d") == ["archive.info"])
        try await writer.commit()
        #expect(try await store.get("d/archive.info") == [1])
        #expect(try await storageError { try await writer.commit() } != nil)
        try await store.deleteTree("d")
        #expect(home.files() == [])
    }

    @Test func namesOfFullLengthCanBeWritten() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path)
        let name = String(repeating: "n", count: 255)
        try await store.put("d/\(name)", "1")
        #expect(try await store.names("d") == [name])
        let error = try await storageError { try await store.put("d/n\(name)", "1") }
        #expect(error?.error.message.contains("file name too long") == true && error?.isMissing == false)
        #expect(try await store.names("d") == [name])
    }

    @Test func whatIsNoFileIsNotRead() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path)
        try await store.makeDirectory("d")
        #expect(mkfifo(home.path + "/fifo", 0o600) == 0)
        let before = openDescriptors()
        for path in ["d", "fifo"] {
            let error = try await storageError { _ = try await store.read(path, range: nil) }
            #expect(error?.error.code == .fileOpen && error?.isMissing == false, "\(path)")
        }
        #expect(
            try await storageError { _ = try await store.get("d") }?.error.message.contains("is a directory") == true)
        #expect(try await store.info("fifo")?.kind == .special)
        #expect(openDescriptors() <= before + 2)

        try await store.put("object", "1")
        #expect(try await storageError { try await store.put("object/below", "1") }?.error.code == .fileOpen)
        #expect(try await storageError { try await store.put("d", "1") }?.error.code == .fileMove)
        #expect(try await storageError { try await store.delete(["d"]) }?.error.code == .fileRemove)
        #expect(try await storageError { try await store.makeDirectory("object") }?.error.code == .pathCreate)
        #expect(try await storageError { try await store.makeDirectory("object/below") }?.error.code == .pathCreate)
    }

    @Test func aNameThatIsNoUnicodeIsListedAsSpecial() async throws {
        let home = try TemporaryDirectory()
        let descriptor = open(home.path + "/x", O_WRONLY | O_CREAT, 0o600)
        close(descriptor)
        let bad: [CChar] = Array((home.path + "/b").utf8CString.dropLast()) + [-1, 0]
        #expect(rename(home.path + "/x", bad) == 0)
        let store = PosixStore(root: home.path)
        let entries = try await store.list("", prefix: "", from: nil).entries
        #expect(entries.map(\.kind) == [.special])
        try await store.deleteTree("")
        #expect(home.files() == [])
    }

    @Test(
        "a full file system: a clear error, nothing left, and room again after",
        arguments: [WriteMode.atomic, .inPlace])
    func full(_ mode: WriteMode) async throws {
        let home = try TemporaryDirectory()
        guard try mountSmall(home.path) else { return }
        defer { umount2(home.path, Int32(MNT_DETACH)) }
        let store = PosixStore(root: home.path)
        try await store.put("d/first", [UInt8](repeating: 1, count: 300_000), mode)
        var writer: (any ObjectWriter)? = try await store.write("d/second", mode)
        let error = try await storageError {
            for _ in 0..<10 { try await writer?.append([UInt8](repeating: 2, count: 200_000)) }
            try await writer?.commit()
        }
        let failure = try #require(error)
        #expect(failure.error.code == .fileWrite && !failure.isRetryable)
        #expect(failure.error.message.contains("the repository is full"))
        #expect(failure.error.message.contains(" more bytes are needed"))
        #expect(failure.error.hint?.contains("expire") == true)
        await writer?.abort()
        writer = nil
        #expect(home.files() == ["d", "d/first"])
        try await store.put("d/third", [UInt8](repeating: 3, count: 300_000), mode)
        #expect(try await store.get("d/first") == [UInt8](repeating: 1, count: 300_000))
    }

    @Test func aReadOnlyFileSystemIsToldAsSuch() async throws {
        let home = try TemporaryDirectory()
        guard try mountSmall(home.path) else { return }
        defer { umount2(home.path, Int32(MNT_DETACH)) }
        let store = PosixStore(root: home.path)
        try await store.put("x", "1")
        #expect(mount("none", home.path, "tmpfs", UInt(MS_REMOUNT | MS_RDONLY), nil) == 0)
        for error in [
            try await storageError { try await store.put("y", "1") },
            try await storageError { try await store.delete(["x"]) },
            try await storageError { try await store.makeDirectory("d") },
        ] {
            #expect(error?.error.message.contains("read-only") == true && error?.isRetryable == false)
        }
        #expect(try await store.text("x") == "1")
    }

    @Test("what the user may not do says so", .enabled(if: geteuid() != 0, "root may do everything"))
    func permission() async throws {
        let home = try TemporaryDirectory()
        let store = PosixStore(root: home.path + "/r")
        try await store.put("d/x", "1")
        chmod(home.path + "/r/d", 0o000)
        defer { chmod(home.path + "/r/d", 0o700) }
        #expect(try await storageError { _ = try await store.get("d/x") }?.error.code == .fileOpen)
        #expect(try await storageError { try await store.put("d/y", "1") }?.error.code == .fileOpen)
        #expect(try await storageError { _ = try await store.names("d") }?.error.code == .pathOpen)
    }

    @Test func localFilesAreReplacedWhole() throws {
        let home = try TemporaryDirectory()
        let path = home.path + "/f"
        try LocalFile.writeDurably(path, Array("one".utf8), mode: 0o604)
        try LocalFile.writeDurably(path, Array("two".utf8), mode: 0o604)
        #expect(try LocalFile.readAll(path, limit: 3) == Array("two".utf8))
        #expect(try mode(path) == 0o604)
        #expect { try LocalFile.writeDurably(path, Array("three".utf8), isNew: true) } throws: {
            ($0 as? BackupError)?.code == .fileExists
        }
        #expect(try LocalFile.readAll(path, limit: 3) == Array("two".utf8))
        #expect(home.files() == ["f"])
        try LocalFile.writeDurably(home.path + "/g", Array("one".utf8), mode: 0o600, isNew: true)
        #expect(try mode(home.path + "/g") == 0o600)
        #expect(home.files() == ["f", "g"])
        #expect { try LocalFile.readAll(path, limit: 2) } throws: { ($0 as? BackupError)?.code == .fileInvalid }
        #expect { try LocalFile.readAll(path + "2", limit: 2) } throws: { ($0 as? BackupError)?.code == .fileMissing }
        #expect { try LocalFile.readAll(home.path, limit: 2) } throws: { ($0 as? BackupError)?.code == .fileRead }
        #expect { try LocalFile.writeDurably(home.path + "/no/f", [1]) } throws: {
            ($0 as? BackupError)?.code == .pathMissing
        }
    }

    private func mode(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func openDescriptors() -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
    }

    /// A file system of 1 MiB; false where mounting is not allowed, which continuous integration does not accept.
    private func mountSmall(_ path: String) throws -> Bool {
        if mount("none", path, "tmpfs", 0, "size=1m") == 0 { return true }
        let reason = "mount: " + String(cString: strerror(errno))
        try #require(ProcessInfo.processInfo.environment["CI"] != "true", Comment(rawValue: reason))
        print("skipped, file systems cannot be mounted here: \(reason)")
        return false
    }
}
