import BackupModel
import Foundation
import RepositoryFormats
import RepositoryStorage
import Synchronization
import Testing

@testable import BackupEngine

/// A clock that stands until it is moved.
final class TestClock: Sendable {
    private let seconds = Mutex<Int64>(1_700_000_000)
    var now: @Sendable () -> Int64 { { self.seconds.withLock { $0 } } }
    func advance(_ by: Int64) { seconds.withLock { $0 += by } }
}

extension ProcessIdentity {
    /// A process of another host, always alive as far as anyone here knows.
    static func remote(_ name: String) -> ProcessIdentity {
        ProcessIdentity(host: name, boot: "b", namespace: "n", processID: 77, startTime: 5)
    }
}

enum LockStore: CaseIterable {
    case exclusive, flags, posix

    func make(_ directory: LockDirectory) -> Repository {
        let store: any RepositoryStore =
            switch self {
            case .exclusive: MemoryStore()
            case .flags: MemoryStore(capabilities: [])
            case .posix: PosixStore(root: directory.home)
            }
        return Repository(key: 1, store: store)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct LocksStanzaTests {
    private let directory = LockDirectory()
    private let clock = TestClock()

    private func acquire(_ repository: Repository, _ host: String) async throws -> StanzaLock {
        try await StanzaLock.acquire(
            repository, stanza: "main", now: clock.now, process: .remote(host), patience: .milliseconds(5))
    }

    private func refused(_ repository: Repository, _ host: String) async -> BackupError? {
        do {
            _ = try await acquire(repository, host)
            return nil
        } catch {
            return error as? BackupError
        }
    }

    /// The objects that are there, and what the only one says.
    private func body(_ repository: Repository) async throws -> StanzaLockBody? {
        let names = try await objects(repository)
        #expect(names.count <= 1, "\(names)")
        guard let name = names.first else { return nil }
        return try await repository.readWhole("permafrost/main/\(name)").flatMap { StanzaLockBody($0) }
    }

    private func objects(_ repository: Repository) async throws -> [String] {
        let flags = try await repository.listAll("permafrost/main/locks").map { "locks/\($0.name)" }
        return try await repository.listAll("permafrost/main").filter { $0.kind == .object }.map(\.name) + flags
    }

    @Test("held, renewed, released", arguments: LockStore.allCases)
    func life(_ kind: LockStore) async throws {
        let repository = kind.make(directory)
        let lock = try await acquire(repository, "one")
        #expect(try await body(repository)?.expires == clock.now() + 300)
        let error = await refused(repository, "two")
        #expect(error?.code == .lockAcquire)
        #expect(error?.message.contains("process 77 on host 'one'") == true && error?.message.contains("300s") == true)
        for _ in 0..<10 {
            clock.advance(60)
            try await lock.renew()
            #expect(await refused(repository, "two")?.code == .lockAcquire)
        }
        await lock.release()
        #expect(try await body(repository) == nil)
        let next = try await acquire(repository, "two")
        #expect(next.epoch > lock.epoch)
        // Whoever released does not take away what is another's now.
        await lock.release()
        #expect(try await body(repository)?.process.host == "two")
    }

    @Test("taken over when it has run out, and lost", arguments: LockStore.allCases)
    func expiry(_ kind: LockStore) async throws {
        let repository = kind.make(directory)
        let first = try await acquire(repository, "one")
        clock.advance(299)
        #expect(await refused(repository, "two")?.code == .lockAcquire)
        clock.advance(1)
        let second = try await acquire(repository, "two")
        #expect(second.epoch > first.epoch)
        let error = await #expect(throws: BackupError.self) { try await first.renew() }
        #expect(error?.code == .lockAcquire && error?.message.contains("host 'two'") == true)
        await first.release()
        try await second.renew()
        #expect(try await body(repository)?.process.host == "two")
    }

    @Test("late, but nobody took it", arguments: LockStore.allCases)
    func lateRenewal(_ kind: LockStore) async throws {
        let repository = kind.make(directory)
        let lock = try await acquire(repository, "one")
        clock.advance(1000)
        try await lock.renew()
        #expect(await refused(repository, "two")?.code == .lockAcquire)
        await lock.release()
        #expect(try await body(repository) == nil)
    }

    @Test func aRemovedLockIsLost() async throws {
        let repository = LockStore.exclusive.make(directory)
        let lock = try await acquire(repository, "one")
        try await repository.store.deleteTree("permafrost")
        let error = await #expect(throws: BackupError.self) { try await lock.renew() }
        #expect(error?.code == .lockAcquire && error?.message.contains("removed") == true)
    }

    @Test("of many that find it free or run out, one gets it", arguments: LockStore.allCases, [true, false])
    func race(_ kind: LockStore, _ isFree: Bool) async throws {
        let repository = kind.make(directory)
        if !isFree {
            _ = try await acquire(repository, "dead")
            clock.advance(301)
        }
        let now = clock.now
        let winners = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<12 {
                group.addTask {
                    let lock = try? await StanzaLock.acquire(
                        repository, stanza: "main", now: now, process: .remote("h\(number)"), patience: .seconds(20))
                    return lock != nil
                }
            }
            return await group.reduce(into: 0) { if $1 { $0 += 1 } }
        }
        #expect(winners == 1)
        #expect(try await body(repository)?.process.host.hasPrefix("h") == true)
    }

    /// All that the other does falls between two calls of the one.
    @Test("without conditions two never have it at once", arguments: 1...5)
    func neverTwo(_ call: Int) async throws {
        let now = clock.now
        let outcome = Mutex<[Bool]>([])
        let attempt: @Sendable (Repository, String) async -> Void = { repository, host in
            let lock = try? await StanzaLock.acquire(
                repository, stanza: "main", now: now, process: .remote(host), patience: .milliseconds(1))
            outcome.withLock { $0.append(lock != nil) }
        }
        let store = MemoryStore(capabilities: [])
        let repository = Repository(key: 1, store: store)
        let faults = FaultSwitch()
        faults.intrude(before: call) { await attempt(repository, "two") }
        await attempt(Repository(key: 1, store: FaultingStore(store: store, faults: faults)), "one")
        let winners = outcome.withLock { $0.filter { $0 }.count }
        #expect(winners <= 1 && (faults.disarm() != nil) == (outcome.withLock { $0.count } == 2))
        #expect(try await objects(repository).count == winners)
    }

    @Test("a claim whose maker died in it does not block for ever", arguments: [LockStore.exclusive, .posix])
    func staleClaim(_ kind: LockStore) async throws {
        let repository = kind.make(directory)
        _ = try await acquire(repository, "dead")
        let claim = StanzaLockBody(owner: "x", process: .remote("two"), epoch: 1, expires: clock.now() + 360)
        try await repository.writeWhole("permafrost/main/lock.claim", claim.bytes)
        clock.advance(301)
        #expect(await refused(repository, "three")?.message.contains("host 'two'") == true)
        clock.advance(60)
        _ = try await acquire(repository, "three")
        #expect(try await repository.listAll("permafrost/main").map(\.name) == ["lock"])
    }

    @Test func afterKillTheSameHostTakesItAtOnce() async throws {
        let repository = LockStore.posix.make(directory)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sleep")
        process.arguments = ["60"]
        try process.run()
        let me = ProcessIdentity.current()
        #expect(!me.boot.isEmpty && !me.namespace.isEmpty && me.startTime > 0 && !me.host.isEmpty)
        #expect(!me.knowsGone(me))

        var child = me
        child.processID = process.processIdentifier
        child.startTime = 0
        _ = try await StanzaLock.acquire(repository, stanza: "main", now: clock.now, process: child)
        #expect(!me.knowsGone(child))
        await #expect(throws: BackupError.self) {
            _ = try await StanzaLock.acquire(repository, stanza: "main", now: clock.now)
        }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(me.knowsGone(child))
        let lock = try await StanzaLock.acquire(repository, stanza: "main", now: clock.now)
        #expect(lock.epoch > UInt64(clock.now()))
        await lock.release()
    }

    @Test func whoIsKnownToBeGone() {
        let me = ProcessIdentity.current()
        func changed(_ change: (inout ProcessIdentity) -> Void) -> ProcessIdentity {
            var other = me
            change(&other)
            return other
        }
        // The id of this process, but of an earlier holder of it.
        #expect(me.knowsGone(changed { $0.startTime += 1 }))
        // No process can have this id.
        #expect(me.knowsGone(changed { $0.processID = 1 << 30 }))
        for unknown in [
            changed { $0.startTime = 0 },
            changed {
                $0.host = "elsewhere"
                $0.processID = 1 << 30
            },
            changed {
                $0.boot = "another"
                $0.processID = 1 << 30
            },
            changed {
                $0.namespace = "pid:[1]"
                $0.processID = 1 << 30
            },
            changed { $0.processID = 0 },
            changed { $0.processID = -1 },
        ] {
            #expect(!me.knowsGone(unknown))
        }
    }

    @Test(
        "what is no lock is not taken for none",
        arguments: ["", "{}", "[]", "{\"owner\":\"x\"}", "{\"owner\":1,\"pid\":-1}"])
    func damage(_ text: String) async throws {
        let repository = LockStore.exclusive.make(directory)
        try await repository.writeWhole("permafrost/main/lock", Array(text.utf8))
        let error = await refused(repository, "one")
        #expect(error?.code == .lockAcquire && error?.hint?.contains("remove it") == true)
    }

    @Test func lockObjectsAreReadAsWritten() {
        for body in [
            StanzaLockBody(
                owner: "a\"b\\c",
                process: ProcessIdentity(host: "hö", boot: "", namespace: "", processID: 1, startTime: 0),
                epoch: .max, expires: .max),
            StanzaLockBody(owner: "", process: .remote("x"), epoch: 0, expires: 0),
        ] {
            #expect(StanzaLockBody(body.bytes) == body)
        }
    }

    @Test(
        "flat JSON",
        arguments: [
            ("{}", true), (" { \"a\" : 1 , \"b\":\"c\" }", true), ("{\"a\":1}}", true), ("{\"a\":1", false),
            ("{\"a\"}", false),
            ("{\"a\":18446744073709551616}", false), ("{\"a\":-1}", false), ("{\"a\":\"\\u0041\"}", false),
            ("{\"a\":\"x", false),
            ("{\"a\":{}}", false), ("{a:1}", false), ("x", false), ("{,}", false), ("{\"a\":1,}", false),
        ])
    func json(_ text: String, _ isValid: Bool) {
        #expect((FlatJSON(Array(text.utf8)) != nil) == isValid)
    }
}
