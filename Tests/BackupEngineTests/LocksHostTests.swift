import BackupModel
import Foundation
import Glibc
import Synchronization
import Testing

@testable import BackupEngine

/// A lock directory for one test, not made yet and removed with it.
final class LockDirectory {
    let home = NSTemporaryDirectory() + "permafrost-locks-" + UUID().uuidString
    var path: String { home + "/lock" }
    deinit { try? FileManager.default.removeItem(atPath: home) }

    func acquire(
        _ types: [LockType] = [.backup], keys: [Int] = [1], execution: String = ExecutionID.new()
    ) throws(BackupError) -> HostLock {
        try HostLock.acquire(types, stanza: "main", repositoryKeys: keys, lockPath: path, executionID: execution)
    }

    func names() -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    func text(_ name: String) -> String { (try? String(contentsOfFile: path + "/" + name, encoding: .utf8)) ?? "" }
}

func errorCode(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch {
        return (error as? BackupError)?.code
    }
}

@Suite(.timeLimit(.minutes(10)))
struct LocksHostTests {
    @Test func heldUnderTheNamesOfAllVersions() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire(LockType.allCases, keys: [2, 1], execution: "7-0a0b0c0d")
        #expect(
            directory.names() == [
                "main-archive-1.lock", "main-archive-2.lock", "main-archive.lock", "main-backup-1.lock",
                "main-backup-2.lock", "main-backup.lock", "main-restore-1.lock", "main-restore-2.lock",
            ])
        for name in directory.names() {
            #expect(directory.text(name) == "{\"execId\":\"7-0a0b0c0d\",\"pid\":\(getpid())}")
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: directory.path)
        #expect(attributes[.posixPermissions] as? Int == 0o770)
        lock.release()
        lock.release()
        #expect(directory.names() == [])
    }

    @Test func droppingTheLockReleasesIt() throws {
        let directory = LockDirectory()
        _ = try directory.acquire()
        #expect(directory.names() == [])
    }

    @Test func anotherRunIsRefusedByName() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire(keys: [1, 2])
        let error = #expect(throws: BackupError.self) { _ = try directory.acquire([.archive, .backup], keys: [2]) }
        #expect(error?.code == .lockAcquire)
        #expect(error?.message.contains("main-backup-2.lock") == true)
        #expect(error?.message.contains("process \(getpid())") == true)
        #expect(error?.hint?.isEmpty == false)
        // What the refused one had got already is free again.
        _ = try directory.acquire([.archive], keys: [2])
        lock.release()
        _ = try directory.acquire(keys: [2])
    }

    @Test func repositoriesAndTypesDoNotHinderEachOther() throws {
        let directory = LockDirectory()
        let first = try directory.acquire(keys: [1])
        let second = try directory.acquire(keys: [2])
        let archive = try directory.acquire([.archive], keys: [1])
        #expect(directory.names().contains("main-backup.lock"))
        first.release()
        // Old versions are still kept out for the second.
        #expect(directory.names().contains("main-backup.lock"))
        #expect(run("flock", "-n", "-x", directory.path + "/main-backup.lock", "true") == 1)
        second.release()
        archive.release()
        #expect(directory.names() == [])
    }

    @Test func aProcessOfTheSameRunMayPass() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire(execution: "1-00000001")
        let child = try directory.acquire([.backup], keys: [1], execution: "1-00000001")
        child.release()
        #expect(directory.names() == ["main-backup-1.lock", "main-backup.lock"])
        lock.release()
    }

    @Test("another program holds one of the files", arguments: ["main-backup.lock", "main-backup-1.lock"])
    func foreignProcess(_ name: String) throws {
        let directory = LockDirectory()
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        let file = directory.path + "/" + name
        try "{\"execId\":\"99-01234567\",\"pctCplt\":2550,\"pid\":4711}".write(
            toFile: file, atomically: false, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
        process.arguments = ["-x", file, "sh", "-c", "echo held; read line"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(!output.fileHandleForReading.availableData.isEmpty)

        let error = #expect(throws: BackupError.self) { _ = try directory.acquire() }
        #expect(error?.code == .lockAcquire && error?.message.contains("process 4711") == true)
        #expect(error?.message.contains(name) == true)
        let holder = HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path)
        #expect(holder == LockHolder(processID: 4711, executionID: "99-01234567", progress: 2550))

        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        // The file is left, the lock is not: as after kill -9.
        #expect(directory.names() == [name])
        #expect(HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path) == nil)
        let lock = try directory.acquire()
        #expect(directory.text(name).contains("\"pid\":\(getpid())"))
        lock.release()
        #expect(directory.names() == [])
    }

    @Test func progressIsInTheFile() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire([.archive, .backup], execution: "5-00000005")
        lock.report(sizeTotal: 3_000_000_000_000, sizeDone: 1_000_000_000_000)
        let text =
            "{\"execId\":\"5-00000005\",\"pctCplt\":3333,\"pid\":\(getpid()),\"sz\":3000000000000,\"szCplt\":1000000000000}"
        #expect(directory.text("main-backup-1.lock") == text)
        #expect(directory.text("main-backup.lock") == text)
        #expect(!directory.text("main-archive-1.lock").contains("pctCplt"))
        // Too small a step to be written.
        lock.report(sizeTotal: 3_000_000_000_000, sizeDone: 1_000_000_000_001)
        #expect(directory.text("main-backup-1.lock") == text)
        let holder = HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path)
        #expect(holder?.progress == 3333 && holder?.sizeDone == 1_000_000_000_000)
        lock.report(sizeTotal: 10, sizeDone: 50)
        #expect(directory.text("main-backup-1.lock").contains("\"pctCplt\":10000,"))
        lock.report(sizeTotal: 0, sizeDone: 0)
        lock.release()
        lock.report(sizeTotal: 10, sizeDone: 1)
        #expect(HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path) == nil)
    }

    @Test func theLockOfAnotherRepositoryIsNotThisOnes() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire(keys: [2])
        #expect(HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path) == nil)
        #expect(HostLock.holder(.backup, stanza: "main", repositoryKey: 2, lockPath: directory.path) != nil)
        #expect(HostLock.holder(.restore, stanza: "main", repositoryKey: 2, lockPath: directory.path) == nil)
        lock.release()
    }

    @Test func releaseLeavesAFileThatIsNotItsOwn() throws {
        let directory = LockDirectory()
        let lock = try directory.acquire()
        // pgBackRest's stop --force removes lock files under their holders.
        for name in directory.names() { unlink(directory.path + "/" + name) }
        let next = try directory.acquire()
        lock.release()
        #expect(directory.names() == ["main-backup-1.lock", "main-backup.lock"])
        next.release()
    }

    @Test func oneOfManyThreadsHoldsItAtATime() async throws {
        let directory = LockDirectory()
        let path = directory.path
        let counter = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<200 {
                        let lock = try? HostLock.acquire(
                            [.archive, .backup], stanza: "main", repositoryKeys: [1], lockPath: path,
                            executionID: ExecutionID.new())
                        guard let lock else { continue }
                        counter.enter()
                        counter.leave()
                        lock.release()
                    }
                }
            }
        }
        #expect(counter.most == 1 && counter.entered > 0)
        #expect(directory.names() == [])
    }

    @Test func noDirectoryNoLock() throws {
        let directory = LockDirectory()
        try FileManager.default.createDirectory(atPath: directory.home, withIntermediateDirectories: true)
        try "".write(toFile: directory.path, atomically: false, encoding: .utf8)
        #expect(errorCode { _ = try directory.acquire() } == .lockAcquire)
    }

    @Test(
        "pgBackRest is refused",
        .enabled(if: access("/usr/bin/pgbackrest", X_OK) == 0, "pgBackRest is not installed"))
    func realPgBackRest() throws {
        let directory = LockDirectory()
        func pgbackrest(_ arguments: String...) -> (status: Int32, output: String) {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/pgbackrest")
            process.arguments =
                [
                    "--config=/dev/null", "--lock-path=\(directory.path)", "--repo1-path=\(directory.home)/repo",
                    "--log-path=\(directory.home)", "--log-level-console=error", "--log-level-file=off",
                    "--stanza=main",
                ] + arguments
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            guard (try? process.run()) != nil else { return (-1, "") }
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            return (process.terminationStatus, text)
        }
        for type in [LockType.archive, .backup] {
            let lock = try directory.acquire([type])
            let refused = pgbackrest("--pg1-path=\(directory.home)/pg", "stanza-create")
            #expect(refused.status == 50, "\(refused.output)")
            #expect(refused.output.contains("main-\(type.rawValue)"))
            lock.release()
            #expect(pgbackrest("--pg1-path=\(directory.home)/pg", "stanza-create").status != 50)
        }
    }

    private func run(_ program: String, _ arguments: String...) -> Int32 {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/" + program)
        process.arguments = arguments
        guard (try? process.run()) != nil else { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }
}

/// How many were in at once, at most.
final class Counter: Sendable {
    private let state = Mutex((inside: 0, most: 0, entered: 0))
    var most: Int { state.withLock { $0.most } }
    var entered: Int { state.withLock { $0.entered } }
    func enter() {
        state.withLock {
            $0.inside += 1
            $0.entered += 1
            $0.most = max($0.most, $0.inside)
        }
    }
    func leave() { state.withLock { $0.inside -= 1 } }
}

@Suite(.timeLimit(.minutes(10)))
struct LocksStopFileTests {
    @Test func stopAndStart() throws {
        let directory = LockDirectory()
        let path = directory.path
        try StopFile.check(stanza: "main", lockPath: path)
        #expect(try StopFile.create(stanza: "main", lockPath: path))
        #expect(try !StopFile.create(stanza: "main", lockPath: path))
        #expect(directory.names() == ["main.stop"])
        #expect(errorCode { try StopFile.check(stanza: "main", lockPath: path) } == .stop)
        try StopFile.check(stanza: "other", lockPath: path)
        #expect(try StopFile.create(stanza: nil, lockPath: path))
        #expect(errorCode { try StopFile.check(stanza: "other", lockPath: path) } == .stop)
        #expect(try StopFile.remove(stanza: nil, lockPath: path))
        #expect(try StopFile.remove(stanza: "main", lockPath: path))
        #expect(try !StopFile.remove(stanza: "main", lockPath: path))
        try StopFile.check(stanza: "main", lockPath: path)
    }

    @Test(
        "only the stanza's own locks",
        arguments: [
            ("main-backup.lock", true), ("main-backup-1.lock", true), ("main-restore-4.lock", true),
            ("main-2-backup.lock", false), ("main-2-backup-1.lock", false), ("main-backup-x.lock", false),
            ("main-backup-1.stop", false), ("mainbackup.lock", false), ("main-.lock", false),
            ("other-archive.lock", false),
        ])
    func names(_ name: String, _ isOwn: Bool) {
        #expect(StopFile.isLock(name, of: "main") == isOwn)
        #expect(StopFile.isLock(name, of: nil) == name.hasSuffix(".lock"))
    }

    @Test func holdersAreAskedToEnd() throws {
        let directory = LockDirectory()
        try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
        let file = directory.path + "/main-backup-1.lock"
        // Tells its own id; what comes after holds the lock under the same.
        let script = "echo \"{\\\"execId\\\":\\\"1-0\\\",\\\"pid\\\":$$}\" > \(file); exec sleep 60"
        let child = try spawn(["/usr/bin/flock", "--no-fork", "-x", file, "sh", "-c", script])
        while HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: directory.path)?.processID != child {
            usleep(10_000)
        }
        #expect(try StopFile.terminateHolders(stanza: "other", lockPath: directory.path) == [])
        #expect(try StopFile.terminateHolders(stanza: "main", lockPath: directory.path) == [child])
        var status: Int32 = 0
        #expect(waitpid(child, &status, 0) == child)
        #expect(status & 0x7f == SIGTERM)
    }

    /// With no signal blocked: threads of tests block all, and children inherit that.
    private func spawn(_ arguments: [String]) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var strings: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for string in strings { free(string) } }
        var child: pid_t = 0
        try #require(posix_spawn(&child, arguments[0], nil, &attributes, &strings, environ) == 0)
        return child
    }
}
