import BackupModel
import Foundation
import HTTP
import Synchronization
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(3)))
struct JobServiceTests {
    private let scratch: JobScratch
    private let runner: JobRunner
    private let service: JobService

    /// Who may what: `a` everything of stanza a, `reader` reads a, `adder` adds to a, nobody anything else.
    init() throws {
        scratch = try JobScratch()
        runner = try scratch.runner()
        try scratch.program("a", "say info one; say info two; echo printed")
        try scratch.program("b", "")
        try scratch.program("slow", "while [ ! -e $dir/go ]; do sleep 0.05; done; say info last")
        service = JobService(runner) { client, stanza, verb in
            let allowed: [(String, String, AccessVerb?)] = [
                ("a", "a", nil), ("a", "slow", nil), ("b", "b", nil), ("reader", "a", .read), ("adder", "a", .add),
            ]
            if allowed.contains(where: { $0.0 == client.name && $0.1 == stanza && ($0.2 ?? verb) == verb }) {
                return nil
            }
            return BackupError(.access, "'\(client.name)' may not \(verb.rawValue) stanza '\(stanza)'")
        }
    }

    private struct Answer {
        var status: Int
        var json: ServiceJSON
        var text: String
        var errorCode: ErrorCode? {
            json["error"]?["code"]?.string.flatMap { Int32($0) }.map { ErrorCode(rawValue: $0) }
        }
    }

    private func ask(
        _ method: String, _ path: [String], query: [(name: String, value: String)] = [], body: String = "",
        as client: ClientIdentity = .certificate(commonName: "a")
    ) async throws -> Answer {
        let response = await service.respond(
            to: ServerRequest(
                method: method, path: path, query: query, client: client, body: BytesBody(Array(body.utf8))))
        switch response.body {
        case .bytes(let bytes):
            return Answer(
                status: response.status, json: ServiceJSON(bytes) ?? .null, text: String(decoding: bytes, as: UTF8.self)
            )
        case .stream(_, let write):
            let writer = Collector()
            try await write(writer)
            return Answer(status: response.status, json: .null, text: String(decoding: writer.bytes, as: UTF8.self))
        }
    }

    private final class Collector: ResponseWriter {
        private let collected = Mutex<[UInt8]>([])
        var bytes: [UInt8] { collected.withLock { $0 } }
        func write(_ bytes: RawSpan) async throws {
            let piece = bytes.withUnsafeBytes { Array($0) }
            collected.withLock { $0 += piece }
        }
    }

    private func start(_ body: String, as client: String = "a") async throws -> Answer {
        try await ask("POST", ["v1", "jobs"], body: body, as: .certificate(commonName: client))
    }

    private func started(_ stanza: String, as client: String = "a", _ command: String = "backup") async throws -> String
    {
        let answer = try await start(#"{"command":"\#(command)","stanza":"\#(stanza)"}"#, as: client)
        #expect(answer.status == 201)
        return try #require(answer.json["id"]?.string)
    }

    private func end(of id: String) async throws {
        let id = try #require(JobID(id))
        try await eventually("job \(id) ends") { runner.hasEnded(id) }
    }

    @Test func `a job is started, seen, read and listed`() async throws {
        let body = #"{"command":"backup","stanza":"a","key":"k","options":{"type":"full"}}"#
        let first = try await start(body)
        #expect(first.status == 201 && first.json["state"]?.string == "running")
        let id = try #require(first.json["id"]?.string)
        let again = try await start(body)
        #expect(again.status == 200 && again.json["id"]?.string == id)
        let conflict = try await start(#"{"command":"info","stanza":"a","key":"k"}"#)
        #expect(conflict.status == 409 && conflict.errorCode == .optionInvalidValue)
        try await end(of: id)
        let job = try await ask("GET", ["v1", "jobs", id])
        #expect(job.status == 200 && job.json["state"]?.string == "completed")
        #expect(job.json["result"]?["exit-code"]?.string == "0" && job.json["client"]?.string == "a")
        let log = try await ask("GET", ["v1", "jobs", id, "log"])
        #expect(log.text == scratch.read("spool/jobs/\(id)/log") && log.text.contains("two"))
        #expect(job.json["log-size"]?.string == String(log.text.utf8.count))
        let rest = try await ask("GET", ["v1", "jobs", id, "log"], query: [("from", "10"), ("follow", "y")])
        #expect(rest.text == String(log.text.dropFirst(10)))
        #expect(try await ask("GET", ["v1", "jobs", id, "log"], query: [("from", "\(UInt64.max)")]).text == "")
        #expect(try await ask("GET", ["v1", "jobs", id, "output"]).text == "printed\n")
        let other = try await started("a")
        let list = try await ask("GET", ["v1", "jobs"])
        #expect(list.json["jobs"]?.elements.map { $0["id"]?.string } == [other, id])
        let one = try await ask("GET", ["v1", "jobs"], query: [("limit", "1"), ("stanza", "a")])
        #expect(one.json["jobs"]?.elements.map { $0["id"]?.string } == [other])
        try await end(of: other)
    }

    @Test func `who follows gets what comes, until silence or the end`() async throws {
        let id = try await started("slow")
        let short = try await ask("GET", ["v1", "jobs", id, "log"], query: [("follow", "y"), ("silence", "1")])
        #expect(short.status == 200 && short.text == "")
        async let whole = ask("GET", ["v1", "jobs", id, "log"], query: [("follow", "y")])
        try await Task.sleep(for: .milliseconds(300))
        try scratch.write("go", "")
        #expect(try await whole.text.contains("last"))
        #expect(runner.hasEnded(try #require(JobID(id))))
    }

    @Test func `a watcher that leaves stops reading`() async throws {
        let id = try await started("slow")
        let task = Task { try await ask("GET", ["v1", "jobs", id, "log"], query: [("follow", "y")]) }
        try await Task.sleep(for: .milliseconds(100))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try scratch.write("go", "")
        try await end(of: id)
    }

    @Test func `a job is cancelled`() async throws {
        let id = try await started("slow")
        let answer = try await ask("POST", ["v1", "jobs", id, "cancel"])
        #expect(answer.status == 202 && answer.json["is-cancelled"] == .bool(true))
        try await end(of: id)
        let job = try await ask("GET", ["v1", "jobs", id])
        #expect(job.json["state"]?.string == "cancelled" && job.json["result"]?["exit-code"]?.string == "63")
        #expect(try await ask("POST", ["v1", "jobs", id, "cancel"]).status == 202)
    }

    // MARK: Who may not

    @Test(arguments: [
        ("a", #"{"command":"backup","stanza":"b"}"#), ("b", #"{"command":"info","stanza":"a"}"#),
        ("reader", #"{"command":"backup","stanza":"a"}"#), ("reader", #"{"command":"expire","stanza":"a"}"#),
        ("adder", #"{"command":"restore","stanza":"a"}"#), ("adder", #"{"command":"expire","stanza":"a"}"#),
        ("stranger", #"{"command":"info","stanza":"a"}"#), ("a", #"{"command":"backup","stanza":"none"}"#),
    ])
    func `nobody starts what is not allowed`(_ client: String, _ body: String) async throws {
        let answer = try await start(body, as: client)
        #expect(answer.status == 403 && answer.errorCode == .access)
        #expect(answer.json["error"]?["message"]?.string?.contains("may not") == true)
        #expect(runner.jobs { _ in true }.isEmpty)
    }

    @Test(arguments: [
        ClientIdentity.anonymous, .local(userID: 0), .certificate(commonName: "b"), .certificate(commonName: ""),
    ])
    func `jobs of other stanzas are not there`(_ client: ClientIdentity) async throws {
        let id = try await started("slow")
        let none = try await ask("GET", ["v1", "jobs", JobID.new().text], as: client)
        #expect(none.status == 404)
        for (method, tail) in [("GET", []), ("GET", ["log"]), ("GET", ["output"]), ("POST", ["cancel"])] {
            let answer = try await ask(method, ["v1", "jobs", id] + tail, as: client)
            #expect(answer.status == 404 && answer.text == none.text)
        }
        #expect(try await ask("GET", ["v1", "jobs"], as: client).json["jobs"]?.elements == [])
        #expect(
            try await ask("GET", ["v1", "jobs"], query: [("stanza", "slow")], as: client).json["jobs"]?.elements == [])
        #expect(!runner.hasEnded(try #require(JobID(id))))
        try scratch.write("go", "")
        try await end(of: id)
    }

    @Test func `who may read sees, and does not cancel`() async throws {
        let id = try await started("a")
        for client in ["reader", "adder"] {
            let job = try await ask("GET", ["v1", "jobs", id], as: .certificate(commonName: client))
            #expect(job.status == 200)
        }
        let answer = try await ask("POST", ["v1", "jobs", id, "cancel"], as: .certificate(commonName: "reader"))
        #expect(answer.status == 403)
        try await end(of: id)
    }

    @Test func `a repository host runs what concerns repositories only`() async throws {
        let host = JobService(runner, hasCluster: false) { _, _, _ in nil }
        for command in JobCommand.all {
            let body = #"{"command":"\#(command.command.rawValue)","stanza":"a"}"#
            let response = await host.respond(
                to: ServerRequest(
                    method: "POST", path: ["v1", "jobs"], client: .anonymous, body: BytesBody(Array(body.utf8))))
            let runs = ["annotate", "expire", "info", "verify"].contains(command.command.rawValue)
            #expect(response.status == (runs ? 201 : 400), "\(command.command)")
        }
        for job in runner.jobs(where: { _ in true }) { try await end(of: job.record.id.text) }
    }

    // MARK: What is no request

    @Test(arguments: [
        "", "{", "[]", #"{"command":"backup"}"#, #"{"command":"repo-rm","stanza":"a"}"#, "\u{0}",
        #"{"command":"backup","stanza":"a","options":{"config":"/x"}}"#, #"{"command":"backup","stanza":"../a"}"#,
        String(repeating: "[", count: 60_000),
    ])
    func `bad bodies`(_ body: String) async throws {
        let answer = try await start(body)
        #expect(answer.status == 400 && answer.errorCode != nil && runner.jobs { _ in true }.isEmpty)
    }

    @Test func `huge and broken bodies`() async throws {
        let huge = try await start(String(repeating: " ", count: 1 << 20))
        #expect(huge.status == 413 && huge.errorCode == .protocolError)
        let response = await service.respond(
            to: ServerRequest(
                method: "POST", path: ["v1", "jobs"], client: .certificate(commonName: "a"),
                body: BytesBody(Array(#"{"command""#.utf8), then: TransportError(.broken, "gone"))))
        #expect(response.status == 413)
    }

    @Test(arguments: [
        ("GET", ["v1", "jobs", ".."], 404), ("GET", ["v1", "jobs", "../../etc/passwd"], 404),
        ("GET", ["v1", "jobs", "lock"], 404), ("GET", ["v1", "jobs", "ID", "request"], 404),
        ("GET", ["v1", "jobs", "ID", "../lock"], 404), ("GET", ["v1", "jobs", "ID", "log", "x"], 404),
        ("GET", ["v1", "jobs", ""], 404), ("GET", ["v2", "jobs"], 404), ("GET", [], 404),
        ("DELETE", ["v1", "jobs"], 405), ("DELETE", ["v1", "jobs", "ID"], 405),
        ("GET", ["v1", "jobs", "ID", "cancel"], 405),
        ("POST", ["v1", "jobs", "ID", "log"], 405), ("\r\n", ["v1", "jobs"], 405),
    ])
    func `bad paths and methods`(_ method: String, _ path: [String], _ status: Int) async throws {
        let id = try await started("a")
        let answer = try await ask(method, path.map { $0 == "ID" ? id : $0 })
        #expect(answer.status == status && answer.errorCode != nil)
        try await end(of: id)
    }

    @Test(arguments: [
        ("from", "-1"), ("from", "x"), ("from", ""), ("from", "99999999999999999999"), ("follow", "yes"),
        ("silence", "0"), ("silence", "99999"), ("silence", "a"),
    ])
    func `bad parameters`(_ name: String, _ value: String) async throws {
        let id = try await started("a")
        let answer = try await ask("GET", ["v1", "jobs", id, "log"], query: [(name, value)])
        #expect(answer.status == 400 && answer.errorCode == .parameterInvalid)
        try await end(of: id)
    }

    @Test(arguments: ["0", "-1", "1001", "x", ""])
    func `bad limits`(_ value: String) async throws {
        #expect(try await ask("GET", ["v1", "jobs"], query: [("limit", value)]).status == 400)
    }

    @Test func `none is started any more`() async throws {
        await runner.stop(endsJobs: false)
        let answer = try await start(#"{"command":"backup","stanza":"a"}"#)
        #expect(answer.status == 503 && answer.errorCode == .service)
    }
}
