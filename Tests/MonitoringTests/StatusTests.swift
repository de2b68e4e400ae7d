import BackupModel
import HTTP
import Jobs
import PostgresAccess
import Synchronization
import Testing

@testable import BackupEngine
@testable import Monitoring

struct SharedLookTests {
    private static func answer(
        _ look: SharedLook<Int>, version: Int = 0, freshness: Duration = .seconds(60), patience: Duration = .seconds(5),
        _ body: @escaping @Sendable () async -> Int
    ) async -> SharedLook<Int>.Answer {
        await look.answer(version: version, freshness: freshness, patience: patience, now: { 1000 }, look: body)
    }

    @Test func `many askers cost one look, and a fresh one is for all`() async {
        let look = SharedLook<Int>()
        let count = Counter()
        await withTaskGroup { group in
            for _ in 0..<16 {
                group.addTask {
                    let answer = await Self.answer(look) {
                        count.add()
                        try? await Task.sleep(for: .milliseconds(30))
                        return 7
                    }
                    #expect(answer.value == 7 && answer.isFresh && answer.time == 1000)
                }
            }
        }
        #expect(count.value == 1)
        #expect(await Self.answer(look) { 8 }.value == 7)
        #expect(await Self.answer(look, freshness: .zero) { 8 }.value == 8)
        look.forget()
        #expect(await Self.answer(look) { 9 }.value == 9)
        #expect(await Self.answer(look, version: 1) { 10 }.value == 10)
    }

    @Test func `one that hangs keeps nobody, and ends in the background`() async throws {
        let look = SharedLook<Int>()
        let mayEnd = Atomic(false)
        let count = Counter()
        let hang: @Sendable () async -> Int = {
            count.add()
            while !mayEnd.load(ordering: .relaxed) { try? await Task.sleep(for: .milliseconds(5)) }
            return 1
        }
        for _ in 0..<2 {
            let answer = await Self.answer(look, patience: .milliseconds(20), hang)
            #expect(answer.value == nil && !answer.isFresh)
        }
        #expect(count.value == 1)
        mayEnd.store(true, ordering: .relaxed)
        #expect(await Self.answer(look, hang).value == 1)
        #expect(count.value == 1)
        // What was seen before stands in, and says that it does.
        mayEnd.store(false, ordering: .relaxed)
        let old = await Self.answer(look, freshness: .zero, patience: .milliseconds(20), hang)
        #expect(old.value == 1 && !old.isFresh && old.isCurrent)
        let other = await Self.answer(look, version: 5, patience: .milliseconds(20), hang)
        #expect(!other.isFresh && !other.isCurrent)
        mayEnd.store(true, ordering: .relaxed)
    }
}

struct StatusServiceTests {
    private final class World: Sendable {
        let looks = StatusLooks(now: { 5000 })
        let subjects: Mutex<StatusSubjects>
        init(_ subjects: StatusSubjects) { self.subjects = Mutex(subjects) }

        var service: StatusService {
            StatusService(looks) { client, stanza in
                client == .certificate(commonName: "op") && stanza != "secret"
                    ? nil : BackupError(.access, "access denied")
            } subjects: { stanza in
                stanza == "nix" ? nil : self.subjects.withLock { $0 }
            }
        }

        func ask(
            _ path: [String], _ query: [(String, String)] = [], method: String = "GET", client: String = "op"
        ) async throws -> (status: Int, json: ServiceJSON) {
            let request = ServerRequest(
                method: method, path: ["v1", "status"] + path, query: query.map { (name: $0.0, value: $0.1) },
                client: .certificate(commonName: client), body: NoBody())
            let response = await service.respond(to: request)
            guard case .bytes(let bytes) = response.body else { return (response.status, .null) }
            return (response.status, try #require(ServiceJSON(bytes)))
        }
    }

    private struct NoBody: HTTPBody {
        func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int { 0 }
        func close() async {}
    }

    private static func repository(
        _ key: Int, _ look: @escaping @Sendable () async -> RepositoryStatus
    ) -> StatusRepository {
        StatusRepository(key: key, type: "s3", cipher: "none", place: "bucket 'b'", look: look)
    }

    @Test func `who may ask, and for what`() async throws {
        let world = World(StatusSubjects())
        #expect(try await world.ask(["db"]).status == 200)
        #expect(try await world.ask(["db"], client: "other").status == 403)
        #expect(try await world.ask(["secret"]).status == 403)
        #expect(try await world.ask(["nix"]).status == 404)
        #expect(try await world.ask([]).status == 404)
        #expect(try await world.ask(["db", "more"]).status == 404)
        #expect(try await world.ask(["db"], method: "PUT").status == 405)
        #expect(try await world.ask(["../db"]).status == 400)
        for value in ["x", "-1", "", "999999"] {
            #expect(try await world.ask(["db"], [("fresh", value)]).status == 400, "\(value)")
        }
    }

    @Test func `what fails is told in its place`() async throws {
        var subjects = StatusSubjects()
        subjects.volumes = [StatusVolume(name: "data", path: "/"), StatusVolume(name: "spool", path: "/no/such/place")]
        subjects.server = { ServerLook(.failure(BackupError(.databaseConnect, "no connection", hint: "start it"))) }
        subjects.repositories = [
            Self.repository(2) {
                var status = RepositoryStatus()
                status.archives = [RepositoryStatus.Archive(id: "17-1", first: "a", last: "b")]
                status.lock = RepositoryStatus.Lock(host: "h", processID: 7, expires: 6000)
                return status
            },
            Self.repository(1) { RepositoryStatus(failure: BackupError(.access, "denied", hint: "the key")) },
        ]
        let world = World(subjects)
        let (status, json) = try await world.ask(["db"])
        #expect(status == 200 && json["stanza"]?.string == "db" && json["time"]?.integer == 5000)
        #expect(json[["server", "error", "code"]]?.integer == 56 && json["archiving"] == nil)
        #expect(json[["server", "error", "hint"]]?.string == "start it")
        let volumes = json["volumes"]?.elements ?? []
        #expect(volumes.count == 2 && volumes[0]["free"]?.integer != nil && volumes[0]["error"] == nil)
        #expect(volumes.last?[["error", "message"]]?.string?.contains("/no/such/place") == true)
        let repositories = json["repositories"]?.elements ?? []
        #expect(repositories.map { $0["key"]?.integer } == [1, 2])
        #expect(repositories.first?[["error", "message"]]?.string == "denied")
        #expect(repositories.first?["status"] == nil && repositories.first?["backups"] == nil)
        #expect(repositories.last?[["status", "message"]]?.string == "ok")
        #expect(repositories.last?[["lock", "host"]]?.string == "h")
        #expect(repositories.last?["archive"]?.elements.first?["max"]?.string == "b")
    }

    @Test func `archiving of a primary`() async throws {
        var status = ServerStatus(
            isInRecovery: false, version: "17", systemIdentifier: .max, timeline: 3, lsn: "0/1", started: 10)
        status.archiving = ServerStatus.Archiving(
            mode: "on", isCommandSet: true,
            counts: .init(
                archived: 4, failed: 2, lastArchived: .init(name: "s1", time: 100),
                lastFailed: .init(name: "s2", time: 200), hasFailedLast: true))
        var look = ServerLook(.success(status))
        look.lag = ArchiveLag(segments: 3, bytes: 48 << 20)
        look.pushFailure = ArchivePushFailure(error: BackupError(.access, "denied"), time: 200)
        func archiving(_ look: ServerLook) async throws -> ServiceJSON {
            var subjects = StatusSubjects()
            subjects.server = { look }
            let json = try await World(subjects).ask(["db"]).json
            #expect(json[["server", "system-id"]]?.string == "18446744073709551615")
            return try #require(json["archiving"])
        }
        let failing = try await archiving(look)
        #expect(failing["is-failing"]?.bool == true && failing["ready"]?.integer == 3)
        #expect(failing["last-failed-time"]?.integer == 200 && failing["last-archived"]?.string == "s1")
        #expect(failing[["error", "message"]]?.string == "denied")
        // What the spool says is of before the last success.
        look.pushFailure?.time = 50
        #expect(try await archiving(look)["error"] == nil)
        // Nothing is left to archive: it is over.
        look.lag = ArchiveLag(segments: 0, bytes: 0)
        #expect(try await archiving(look)["is-failing"]?.bool == false)
    }

    @Test func `a repository that hangs delays nothing else, and a job makes the next look a new one`() async throws {
        let count = Counter()
        let mayEnd = Atomic(false)
        defer { mayEnd.store(true, ordering: .relaxed) }
        var subjects = StatusSubjects()
        subjects.repositories = [
            Self.repository(1) {
                while !mayEnd.load(ordering: .relaxed) { try? await Task.sleep(for: .milliseconds(10)) }
                return RepositoryStatus()
            },
            Self.repository(2) {
                count.add()
                return RepositoryStatus()
            },
        ]
        let world = World(subjects)
        // It would never end.
        let (_, json) = try await world.ask(["db"], [("patience", "0")])
        #expect(json["repositories"]?.elements.first?[["error", "code"]]?.integer == 49)
        _ = try await world.ask(["db"], [("patience", "1")])
        #expect(count.value == 1)
        let ended: ServiceJSON = [
            "command": "expire", "end": "completed", "exit-code": 0, "stanza": "db",
            "job": "20261121-181000-123-5d1f0c9e8b7a6f5e4d3c", "timestamp": ["start": 1, "stop": 2],
        ]
        world.looks.ended(try #require(JobResult(ended)))
        _ = try await world.ask(["db"], [("patience", "1")])
        #expect(count.value == 2)
    }
}
