import BackupModel
import Foundation
import HTTP
import Synchronization
import Telemetry
import Testing

@testable import Jobs

@Suite(.timeLimit(.minutes(3)))
struct JobClientTests {
    private let scratch: JobScratch
    private let runner: JobRunner
    private let transport: ServiceTransport
    private let origin = HTTPOrigin(host: "agent", port: 8433)

    init() throws {
        scratch = try JobScratch()
        runner = try scratch.runner()
        transport = ServiceTransport(JobService(runner) { _, _, _ in nil })
    }

    private func client(patience: Duration = .seconds(20), notice: @escaping @Sendable (String) -> Void = { _ in })
        -> JobClient
    {
        var options = JobClient.Options()
        options.patience = patience
        options.firstDelay = .milliseconds(10)
        options.longestDelay = .milliseconds(50)
        options.silence = 1
        options.notice = notice
        return JobClient(transport, origin, options)
    }

    /// What was passed on.
    private final class Seen: Sendable {
        private let state = Mutex<(lines: [JobLogLine], output: [UInt8])>(([], []))
        var lines: [JobLogLine] { state.withLock { $0.lines } }
        var messages: [String] { lines.map(\.message) }
        var output: String { String(decoding: state.withLock { $0.output }, as: UTF8.self) }
        var watcher: JobClient.Watcher {
            JobClient.Watcher(
                line: { line in self.state.withLock { $0.lines.append(line) } },
                output: { bytes in self.state.withLock { $0.output += bytes } })
        }
    }

    @Test func `a job is run to its end`() async throws {
        try scratch.program("main", "say info one ',\"percent\":42'; echo not json >&2; say warn two; echo result")
        let seen = Seen()
        let result = try await client().run(request(.info, "main", key: "k"), cancelsWithTask: false, seen.watcher)
        #expect(result.exitCode == 0 && result.end == .completed)
        #expect(seen.messages == ["one", "not json", "two", "info command end: completed successfully (1ms)"])
        #expect(seen.lines.map(\.level) == [.info, nil, .warn, .info])
        #expect(seen.lines[0].facts["percent"]?.string == "42" && seen.lines[0].text.hasPrefix("{"))
        #expect(seen.output == "result\n")
        #expect(try await client().result(result.id) == result)
    }

    @Test func `a failure is the result, with its exit code`() async throws {
        try scratch.program("main", "say error 'no space' ',\"code\":64'; end 64")
        let result = try await client().run(request(.backup, "main", key: "k"), cancelsWithTask: false, Seen().watcher)
        #expect(result.exitCode == 64 && result.error?.message == "no space" && result.error?.code == .fileWrite)
    }

    @Test func `what is refused is not tried again`() async throws {
        let refusing = ServiceTransport(
            JobService(runner) { _, _, _ in BackupError(.access, "not allowed", hint: "ask") })
        do {
            _ = try await JobClient(refusing, origin).start(request(.backup, "main", key: "k"))
            Issue.record("it was started")
        } catch let error as BackupError {
            #expect(error.code == .access && error.message == "not allowed" && error.hint == "ask")
        }
        #expect(refusing.requests.count == 1)
    }

    @Test func `two watch the same job, and one that leaves is back at its byte`() async throws {
        try scratch.program(
            "main",
            "i=0; while [ $i -lt 40 ]; do say info \"line $i\"; i=$((i + 1)); sleep 0.02; done; printf 'no end' >&2")
        let id = try await client().start(request(.backup, "main", key: "k"))
        let expected = (0..<40).map { "line \($0)" }
        // Every body breaks after 333 bytes, in the middle of a line.
        transport.set { $0.breakAfter = 333 }
        let broken = ServiceTransport(JobService(runner) { _, _, _ in nil })
        let (one, other) = (Seen(), Seen())
        async let first = client().follow(id, one.watcher)
        async let second = JobClient(broken, origin).follow(id, other.watcher)
        let results = try await [first, second]
        #expect(results[0] == results[1] && results[0].exitCode == 0)
        #expect(one.messages == other.messages && Array(one.messages.prefix(40)) == expected)
        #expect(one.messages.count == 41)
        #expect(transport.requests.count { $0.hasSuffix("/log") } > 10)
    }

    @Test func `an answer that is lost starts no second job`() async throws {
        try scratch.program("main", "")
        transport.set { $0.lostAnswers = 2 }
        let notices = Mutex<[String]>([])
        let result = try await client { notice in notices.withLock { $0.append(notice) } }.run(
            request(.backup, "main", key: "k"), cancelsWithTask: false, Seen().watcher)
        #expect(result.exitCode == 0)
        #expect(scratch.read("calls").split(separator: "\n").count == 1)
        #expect(notices.withLock { $0 } == ["the connection broke; trying again"])
    }

    @Test func `without a key a job is not asked for again`() async throws {
        try scratch.program("main", "")
        transport.set { $0.lostAnswers = 1 }
        await #expect(throws: BackupError.self) { try await client().start(request(.backup, "main")) }
        #expect(runner.jobs { _ in true }.count == 1)
        // One that was not seen may be.
        transport.set { $0.refusals = 3 }
        _ = try await client().start(request(.backup, "main"))
        #expect(runner.jobs { _ in true }.count == 2)
    }

    @Test func `who is out of reach for too long is given up, and the job goes on`() async throws {
        try scratch.program("main", "while [ ! -e $dir/go ]; do sleep 0.05; done")
        let id = try await client().start(request(.backup, "main", key: "k"))
        transport.set { $0.refusals = .max }
        do {
            _ = try await client(patience: .milliseconds(300)).follow(id, Seen().watcher)
            Issue.record("it was followed")
        } catch {
            #expect(error.code == .hostConnect && error.hint?.contains("goes on") == true)
        }
        transport.set { $0.refusals = 0 }
        try scratch.write("go", "")
        #expect(try await client().follow(id, Seen().watcher).exitCode == 0)
    }

    @Test func `an agent that is started again is followed on`() async throws {
        try scratch.program("main", "say info one; while [ ! -e $dir/go ]; do sleep 0.05; done; say info two")
        let seen = Seen()
        let wanted = try request(.backup, "main", key: "k")
        async let result = client().run(wanted, cancelsWithTask: false, seen.watcher)
        try await eventually("it has begun") { seen.messages == ["one"] }
        transport.set { $0.refusals = 5 }
        await runner.stop(endsJobs: false)
        runner.store.release()
        let next = try scratch.runner()
        try await next.recover()
        transport.replace(JobService(next) { _, _, _ in nil })
        try scratch.write("go", "")
        #expect(try await result.end == .completed)
        #expect(seen.messages.prefix(2) == ["one", "two"] && seen.messages.count == 3)
    }

    @Test func `the end of the watcher ends the job, if that is wanted`() async throws {
        try scratch.program(
            "main",
            """
            trap 'say error "terminated on signal" ",\\"code\\":63"; end 63' TERM
            say info one; while :; do sleep 0.05; done
            """)
        for isWanted in [true, false] {
            let seen = Seen()
            let wanted = try request(.backup, "main", key: "\(isWanted)")
            let started = Mutex<JobID?>(nil)
            let task = Task {
                try await client().run(wanted, cancelsWithTask: isWanted, seen.watcher) { id in
                    started.withLock { $0 = id }
                }
            }
            try await eventually("it has begun") { seen.messages == ["one"] }
            task.cancel()
            let id = try #require(started.withLock { $0 })
            if isWanted {
                let result = try await task.value
                #expect(result.end == .cancelled && result.exitCode == 63 && result.id == id)
                #expect(seen.messages.contains("terminated on signal"))
            } else {
                do {
                    _ = try await task.value
                    Issue.record("it was followed")
                } catch let error as BackupError {
                    #expect(error.code == .terminated)
                }
                #expect(await runner.job(id)?.end == nil)
                try await runner.cancel(id, by: "the test")
                _ = try await runner.outcome(id)
            }
        }
    }

    @Test func `a job that is cancelled while it is asked for does not stay`() async throws {
        try scratch.program("main", "while :; do sleep 0.05; done")
        let wanted = try request(.backup, "main", key: "k")
        transport.set { $0.lostAnswers = 3 }
        let task = Task { try await client().run(wanted, cancelsWithTask: true, Seen().watcher) }
        task.cancel()
        let result = try await task.value
        #expect(result.end == .cancelled && result.exitCode == 63)
        #expect(runner.jobs { _ in true }.map(\.end) == [.cancelled])
    }

    @Test(arguments: [(404, "nothing"), (200, "no json"), (200, "{}"), (500, "{")])
    func `what is no agent is told of`(_ status: Int, _ text: String) async throws {
        struct Other: ServerHandler {
            var response: ServerResponse
            func respond(to request: ServerRequest) async -> ServerResponse { response }
        }
        let other = ServiceTransport(Other(response: ServerResponse(status, body: .bytes(Array(text.utf8)))))
        do {
            _ = try await JobClient(other, origin).start(request(.backup, "main", key: "k"))
            Issue.record("it was started")
        } catch let error as BackupError {
            #expect(error.code == .protocolError && error.message.contains("agent:8433"))
        }
    }

    @Test(arguments: [true, false])
    func `a certificate that was never trusted is an error at once`(_ wasTrusted: Bool) async throws {
        struct Distrusting: HTTPTransport {
            let next: ServiceTransport
            let left: CountDown
            func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
                if left.take() { throw TransportError(.certificate, "expired") }
                return try await next.send(request)
            }
        }
        try scratch.program("main", "")
        let id = try await client().start(request(.backup, "main", key: "k"))
        _ = try await runner.outcome(id)
        let countDown = CountDown(after: wasTrusted ? 1 : 0, times: 2)
        var options = JobClient.Options()
        options.firstDelay = .milliseconds(10)
        let client = JobClient(Distrusting(next: transport, left: countDown), origin, options)
        do {
            _ = try await client.result(id)
            let result = try await client.result(id)
            #expect(wasTrusted && result?.exitCode == 0)
        } catch {
            #expect(!wasTrusted && error.code == .crypto && error.message == "expired")
        }
    }

    private final class CountDown: Sendable {
        private let state: Mutex<(after: Int, times: Int)>
        init(after: Int, times: Int) { state = Mutex((after, times)) }
        func take() -> Bool {
            state.withLock { state in
                if state.after > 0 {
                    state.after -= 1
                    return false
                }
                state.times -= 1
                return state.times >= 0
            }
        }
    }

    /// A log that is larger than all buffers together.
    @Test func `a long log comes whole`() async throws {
        try scratch.program(
            "main", "i=0; x=$(printf '%02000d' 0); while [ $i -lt 500 ]; do say info \"$i $x\"; i=$((i + 1)); done")
        let seen = Seen()
        let result = try await client().run(request(.backup, "main", key: "k"), cancelsWithTask: false, seen.watcher)
        #expect(result.exitCode == 0 && seen.lines.count == 501)
        #expect(seen.messages.prefix(500).enumerated().allSatisfy { $1.hasPrefix("\($0) ") })
    }
}
