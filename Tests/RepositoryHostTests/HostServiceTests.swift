import BackupModel
import Foundation
import Glibc
import HTTP
import ObjectStorage
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Synchronization
import Testing

@testable import BackupEngine
@testable import RepositoryHost

struct HostServiceTests {
    /// With backups of these labels; everything else is as pgBackRest wrote it.
    private func info(_ labels: [String]) throws -> BackupInfo {
        let fixture = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../RepositoryFormatsTests/Fixtures/backup.info")
        var info = try BackupInfo(parsing: [UInt8](Data(contentsOf: fixture)).span.bytes)
        let entry = try #require(info.backups.first)
        info.backups = labels.map { label in
            var entry = entry
            entry.label = label
            return entry
        }
        return info
    }

    private static let calls: [@Sendable (any RepositoryStore, String) async throws -> Void] = [
        { store, path in _ = try await store.get(path) },
        { store, path in _ = try await store.info(path) },
        { store, path in _ = try await store.names(path) },
        { store, path in try await store.put(path + "/y", "y") },
        { store, path in try await store.delete([path]) },
        { store, path in try await store.deleteTree(path) },
        { store, path in try await store.makeDirectory(path) },
        { store, path in try await store.syncAll(under: path) },
        { store, path in try await store.link(path, to: "y") },
        { store, path in try await store.hardLink(path, to: "archive/main/archive.info") },
        { store, path in try await store.hardLink("permafrost/main/x", to: path) },
    ]

    @Test("a client sees its stanzas and no others")
    func stanzas() async throws {
        let host = try HostUnderTest(auth: [("db", "main"), ("admin", "*")])
        let admin = host.store(as: "admin")
        for stanza in ["main", "other"] { try await admin.put("archive/\(stanza)/archive.info", "x") }
        let store = host.store()
        #expect(try await store.names("archive") == ["main"])
        #expect(try await store.text("archive/main/archive.info") == "x")
        for path in ["archive/other/archive.info", "archive/other", "x"] {
            for (number, call) in Self.calls.enumerated() {
                let error = try await storageError { try await call(store, path) }
                #expect(error?.error.code == .access && error?.isDenied == true, "\(number) \(path)")
                #expect(error?.error.message.contains("'db'") == true)
            }
        }
        let stranger = try #require(try await storageError { _ = try await host.store(as: "who").names("archive") })
        #expect(
            stranger.error.message.contains("'who' is not known")
                && stranger.error.hint?.contains("tls-server-auth") == true)
    }

    @Test("a client that may only add changes and removes nothing that is complete")
    func append() async throws {
        let host = try HostUnderTest(auth: [("db", "main"), ("pusher", "main")], allow: [("pusher", "add")])
        let owner = host.store()
        let pusher = host.store(as: "pusher")
        let old = "20260101-000000F"
        let new = "20260102-000000F"
        let wal = "archive/main/16-1/0000000100000000/000000010000000000000001-x"
        try await owner.put("backup/main/backup.info", try info([old]).serialized())
        try await owner.put("backup/main/\(old)/backup.manifest", "m")
        try await pusher.put(wal, "wal")
        try await pusher.put("backup/main/\(new)/pg_data/x", "1", .inPlace)
        try await pusher.put("backup/main/\(new)/pg_data/x", "2", .inPlace)
        try await pusher.delete(["backup/main/\(new)/pg_data/x"])
        try await pusher.put("backup/main/\(new)/backup.manifest", "m")
        try await pusher.put("backup/main/backup.info", try info([old, new]).serialized())
        try await pusher.link("backup/main/latest", to: new)

        func refused(_ call: () async throws -> Void) async throws -> Bool {
            guard let error = try await storageError(call) else { return false }
            return error.error.code == .access && error.isDenied
        }
        for mode in [WriteMode.atomic, .inPlace] {
            #expect(try await refused { try await pusher.put(wal, "other", mode) })
            #expect(try await refused { try await pusher.put("backup/main/\(old)/backup.manifest", "x", mode) })
            #expect(try await refused { try await pusher.put("backup/main/\(new)/backup.manifest", "x", mode) })
            // By parts too.
            let large = [UInt8](repeating: 1, count: 3 << 20)
            #expect(try await refused { try await pusher.put(wal, large, mode) })
        }
        for path in [wal, "backup/main/\(old)/backup.manifest", "backup/main/backup.info", "backup/main/latest"] {
            #expect(try await refused { try await pusher.delete([path]) })
        }
        for path in ["backup/main/\(old)", "archive/main", "backup/main", "archive/main/16-1", "", "archive"] {
            #expect(try await refused { try await pusher.deleteTree(path) }, "\(path)")
        }
        #expect(try await refused { try await pusher.link("backup/main/\(old)/x", to: "y") })
        #expect(try await refused { try await pusher.hardLink(wal, to: "backup/main/\(new)/backup.manifest") })
        for labels in [[], [old], [new]] {
            let bytes = try info(labels).serialized()
            #expect(try await refused { try await pusher.put("backup/main/backup.info", bytes) })
        }
        for garbage in ["garbage", "", "Salted__12345678and what looks like an encrypted file"] {
            #expect(try await storageError { try await pusher.put("backup/main/backup.info", garbage) } != nil)
        }
        #expect(try await owner.text(wal) == "wal")
        let kept = try await owner.get("backup/main/backup.info")
        #expect(try BackupInfo(parsing: kept.span.bytes).backups.count == 2)
        // A stranger to the format keeps nothing of it back.
        let leftovers = host.directory.files().filter { $0.hasSuffix(StoragePath.temporarySuffix) }
        #expect(leftovers == [])
    }

    @Test("of an info file that the host cannot read the old one is kept")
    func encryptedInfo() async throws {
        let host = try HostUnderTest(auth: [("db", "main"), ("pusher", "main")], allow: [("pusher", "add")])
        let repository = Repository(key: 1, store: host.store(as: "pusher"), cipherPass: Secret("pass"))
        try await repository.saveBackupInfo(try info(["20260101-000000F"]), stanza: "main")
        let old = try await host.store().get("backup/main/backup.info")
        let empty = StoredForm(compress: .none, cipherPass: Secret("pass"))
        let new = try empty.encode(try info([]).serialized())
        let pusher = host.store(as: "pusher")
        try await pusher.put("backup/main/backup.info", new)
        let kept = try await host.store().names("permafrost/main/replaced")
        #expect(kept.count == 1)
        let path = "permafrost/main/replaced/\(kept.first ?? "")"
        #expect(try await host.store().get(path) == old)
        #expect(try await storageError { try await pusher.delete([path]) }?.isDenied == true)
        #expect(try await storageError { try await pusher.put(path, "x") }?.isDenied == true)
    }

    @Test("links lead nowhere else")
    func links() async throws {
        let host = try HostUnderTest()
        let store = host.store()
        for target in ["/etc/passwd", "../../etc", "..", "a/b"] {
            #expect(try await storageError { try await store.link("backup/main/latest", to: target) }?.isDenied == true)
        }
    }

    @Test("what was never all there never shows", arguments: [100, 3 << 20])
    func halfAnUpload(_ size: Int) async throws {
        let host = try HostUnderTest()
        let bytes = [UInt8](repeating: 7, count: size)
        for mode in [WriteMode.atomic, .inPlace, .create] {
            let broken = host.store(patience: .milliseconds(100)) { request, _ in
                request.method == "PUT" ? .half : .none
            }
            #expect(try await storageError { try await broken.put("d/x", bytes, mode) } != nil)
            #expect(try await host.store().names("d") == [])
        }
    }

    @Test("an answer that is lost does no harm", arguments: [WriteMode.atomic, .inPlace, .create])
    func lostAnswers(_ mode: WriteMode) async throws {
        let host = try HostUnderTest()
        for size in [0, 100, 3 << 20] {
            let bytes = [UInt8](repeating: 9, count: size)
            let store = host.store { _, number in number % 2 == 1 ? .answer : .none }
            try await store.put("d/\(size)", bytes, mode)
            #expect(try await host.store().get("d/\(size)") == bytes)
        }
    }

    @Test("an upload ends with the run of the kernel that it began in")
    func foreignUploads() async throws {
        let host = try HostUnderTest()
        let store = host.store { request, _ in .none }
        let writer = try await store.write("d/x", .atomic)
        try await writer.append([UInt8](repeating: 1, count: 3 << 20))
        await writer.abort()
        #expect(host.directory.files().allSatisfy { !$0.hasSuffix(StoragePath.temporarySuffix) })
        for id in ["0-abc", "abc", "", "../../x-y", "\(String(repeating: "a", count: 50))-b"] {
            var request = HTTPRequest("PUT", HTTPOrigin(host: "h"), path: HostWire.path(.upload, repository: 1, "d/x"))
            request.query = [("id", id), ("offset", "0")]
            let answer = try await LoopbackTransport(host.service).send(request)
            #expect(answer.status == 500 || answer.status == 400)
        }
    }

    @Test(
        "requests that are none",
        arguments: [
            ("GET", "/v1/repo"), ("GET", "/v1/repo/1"), ("GET", "/v1/repo/x/object/y"), ("GET", "/v1/repo/2/object/y"),
            ("POST", "/v1/repo/1/object/y"), ("GET", "/v1/repo/1/nothing/y"), ("PUT", "/v1/repo/1/object/y"),
            ("PUT", "/v1/repo/1/object/../x"), ("GET", "/v1/repo/1/object/a%2F..%2F..%2Fetc"),
            ("GET", "/v1/repo/1/object//x"),
            ("POST", "/v1/repo/1/complete/x"), ("PUT", "/v1/repo/1/upload/x"),
            ("PUT", "/v1/repo/1/link/backup/m/latest"),
        ])
    func badRequests(_ method: String, _ path: String) async throws {
        let host = try HostUnderTest()
        let answer = try await LoopbackTransport(host.service).send(
            HTTPRequest(method, HTTPOrigin(host: "h"), path: path))
        #expect((400...500).contains(answer.status))
        let body = try #require(ServiceJSON(try await answer.body.collect(limit: 10_000)))
        #expect(body["code"]?.string.flatMap { Int($0) } != nil && body["message"]?.string?.isEmpty == false)
    }

    @Test("the host's own lock files follow the lock object")
    func locks() async throws {
        let clock = Clock()
        let host = try HostUnderTest(now: { clock.now })
        let repository = Repository(key: 1, store: host.store())
        let lockPath = host.directory.path + "/lock"
        func isHeld() -> Bool {
            HostLock.holder(.backup, stanza: "main", repositoryKey: 1, lockPath: lockPath) != nil
        }
        let lock = try await StanzaLock.acquire(repository, stanza: "main", now: { clock.now })
        #expect(isHeld())
        await #expect(throws: BackupError.self) {
            _ = try await StanzaLock.acquire(repository, stanza: "main", now: { clock.now })
        }
        await lock.release()
        #expect(!isHeld())

        let local = try HostLock.acquire(
            [.backup], stanza: "main", repositoryKeys: [1], lockPath: lockPath, executionID: "1-x")
        let refusal = await #expect(throws: BackupError.self) {
            _ = try await StanzaLock.acquire(repository, stanza: "main", now: { clock.now })
        }
        #expect(refusal?.code == .lockAcquire && refusal?.message.contains("repository host") == true)
        local.release()
        let next = try await StanzaLock.acquire(repository, stanza: "main", now: { clock.now })
        #expect(isHeld())
        // A client that is never heard of again.
        clock.add(StanzaLock.validity + 1)
        host.service.endOldLocks()
        #expect(!isHeld())
        _ = next
    }
}

private final class Clock: Sendable {
    private let seconds = Atomic<Int64>(1_000_000)
    var now: Int64 { seconds.load(ordering: .relaxed) }
    func add(_ more: Int64) { seconds.add(more, ordering: .relaxed) }
}
