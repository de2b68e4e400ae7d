import BackupModel
import Foundation
import HTTP
import Logging
import Synchronization
import Testing

@testable import Jobs

let testLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A directory of a test's own, with a program that does what the test says.
final class JobScratch: Sendable {
    let path: String
    var program: String { path + "/program" }
    var jobs: String { path + "/spool/jobs" }

    init() throws {
        path = "/tmp/pf-jobs-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: program, withDestinationPath: try Self.sharedScript.get())
    }

    deinit {
        // A test that failed has not ended its jobs, and what ends just now still writes.
        for _ in 0..<20 {
            killJobs()
            try? FileManager.default.removeItem(atPath: path)
            if !FileManager.default.fileExists(atPath: path) { return }
            usleep(50_000)
        }
    }

    private func killJobs() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let id = Int32(name), let words = FileManager.default.contents(atPath: "/proc/\(id)/cmdline"),
                words.range(of: Data("\(program)\0".utf8)) != nil
            else { continue }
            kill(-id, SIGKILL)
        }
    }

    func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }

    func read(_ name: String) -> String {
        (try? String(contentsOf: URL(filePath: "\(path)/\(name)"), encoding: .utf8)) ?? ""
    }

    func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }

    /// What the program does for a stanza; `say LEVEL MESSAGE FACTS` logs.
    func program(_ stanza: String, _ body: String) throws { try write("program.\(stanza)", body) }

    /// Written once, before anything is started: what is open for writing in a process that is just being started cannot
    /// be run.
    private static let sharedScript = Result {
        let path = "/tmp/pf-jobs-program-\(getpid())"
        try Data(script.utf8).write(to: URL(filePath: path))
        chmod(path, 0o755)
        atexit { unlink("/tmp/pf-jobs-program-\(getpid())") }
        return path
    }

    private static let script = #"""
        #!/bin/sh
        for word; do
            case $word in --stanza=*) stanza=${word#*=} ;; --log-level-stderr=*) level=${word#*=} ;; esac
            command=$word
        done
        dir=${0%/*}
        say() {
            printf '{"ts":"2026-11-21T18:00:00.000Z","level":"%s","logger":"%s","msg":"%s"%s}\n' \
                "$1" "$command" "$2" "$3" >&2
        }
        end() {
            if [ "$1" = 0 ]; then how='completed successfully (1ms)'; else how="aborted with exception [$1]"; fi
            say info "$command command end: $how" ",\"code\":$1"
            exit "$1"
        }
        printf '%s\n' "$*" >> "$dir/calls"
        [ "$command" != info ] || [ ! -e "$dir/info" ] || { cat "$dir/info"; exit 0; }
        . "$dir/program.$stanza"
        end 0
        """#

    func runner(_ change: (inout JobRunner.Options) -> Void = { _ in }) throws -> JobRunner {
        var options = JobRunner.Options(program: program)
        options.words = ["--config=/etc/fixed.conf"]
        change(&options)
        return JobRunner(
            try JobStore(path: jobs), options, logger: testLogger)
    }
}

func request(_ stanza: String, key: String? = nil) throws -> JobRequest { try request(.check, stanza, key: key) }

func request(
    _ command: Command, _ stanza: String, _ options: [JobRequest.Option] = [], key: String? = nil
) throws -> JobRequest { try JobRequest(command, stanza: stanza, options: options, key: key) }

extension JobRunner {
    func begin(_ request: JobRequest, client: String = "client") async throws -> JobID {
        try await start(request, client: client).job.record.id
    }

    /// Waits for a job to end.
    func outcome(_ id: JobID, within limit: Duration = .seconds(60)) async throws -> JobResult {
        try await eventually("job \(id) ends", limit) { await self.job(id)?.result != nil }
        return try #require(await job(id)?.result)
    }
}

func eventually(
    _ what: String, _ limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw BackupError(.unknown, "waited in vain: \(what)") }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// A body that is there.
final class BytesBody: HTTPBody {
    private let rest: Mutex<ArraySlice<UInt8>>
    private let failure: TransportError?

    init(_ bytes: [UInt8], then failure: TransportError? = nil) {
        rest = Mutex(bytes[...])
        self.failure = failure
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        let piece = rest.withLock { rest in
            let piece = rest.prefix(buffer.count)
            rest = rest.dropFirst(piece.count)
            return Array(piece)
        }
        if piece.isEmpty, let failure { throw failure }
        buffer.copyBytes(from: piece)
        return piece.count
    }

    func close() async {}
}

/// Hands what one task writes to another that reads, with room for one piece.
actor Pipe {
    private var piece: [UInt8] = []
    private var isEnded = false
    private var failure: TransportError?
    /// Everybody who waits looks again after any change.
    private var waiting: [CheckedContinuation<Void, Never>] = []

    private func change() {
        let all = waiting
        waiting = []
        for one in all { one.resume() }
    }

    private func wait() async { await withCheckedContinuation { waiting.append($0) } }

    func write(_ bytes: [UInt8]) async throws {
        while !piece.isEmpty, failure == nil { await wait() }
        if let failure { throw failure }
        piece = bytes
        change()
    }

    func end(_ error: TransportError? = nil) {
        isEnded = true
        if failure == nil { failure = error }
        change()
    }

    func read(_ most: Int) async throws(TransportError) -> [UInt8] {
        while piece.isEmpty, !isEnded { await wait() }
        if let failure { throw failure }
        let part = Array(piece.prefix(most))
        piece.removeFirst(part.count)
        change()
        return part
    }
}

struct PipeWriter: ResponseWriter {
    let pipe: Pipe
    func write(_ bytes: RawSpan) async throws { try await pipe.write(bytes.withUnsafeBytes { Array($0) }) }
}

final class PipeBody: HTTPBody {
    private let pipe: Pipe
    private let task: Task<Void, Never>
    private let left: Mutex<Int>

    /// Breaks after `limit` bytes.
    init(_ pipe: Pipe, _ task: Task<Void, Never>, limit: Int) {
        self.pipe = pipe
        self.task = task
        left = Mutex(limit)
    }

    deinit { task.cancel() }

    func read(into buffer: UnsafeMutableRawBufferPointer) async throws(TransportError) -> Int {
        let most = min(buffer.count, left.withLock { $0 })
        guard most > 0 else {
            await close()
            throw TransportError(.broken, "the connection broke")
        }
        let piece: [UInt8] = try await pipe.read(most)
        buffer.copyBytes(from: piece)
        left.withLock { $0 -= piece.count }
        return piece.count
    }

    func close() async {
        task.cancel()
        await pipe.end(TransportError(.broken, "closed"))
    }
}

/// A service without a network between, but with faults.
final class ServiceTransport: HTTPTransport {
    private let handler: Mutex<any ServerHandler>
    private let client: ClientIdentity
    private let faults = Mutex(Faults())

    struct Faults {
        /// Requests that are not connected, from now on.
        var refusals = 0
        /// Answers that are lost after the request was carried out.
        var lostAnswers = 0
        /// After so many bytes a body breaks; 0 for never.
        var breakAfter = 0
        var requests: [String] = []
    }

    init(_ handler: any ServerHandler, as client: ClientIdentity = .certificate(commonName: "client")) {
        self.handler = Mutex(handler)
        self.client = client
    }

    var requests: [String] { faults.withLock { $0.requests } }
    func set(_ change: @Sendable (inout Faults) -> Void) { faults.withLock { change(&$0) } }
    func replace(_ handler: any ServerHandler) { self.handler.withLock { $0 = handler } }

    func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        let (isRefused, isLost, breakAfter) = faults.withLock { faults in
            faults.requests.append("\(request.method) \(request.path)")
            if faults.refusals > 0 {
                faults.refusals -= 1
                return (true, false, 0)
            }
            if faults.lostAnswers > 0 {
                faults.lostAnswers -= 1
                return (false, true, 0)
            }
            return (false, false, faults.breakAfter)
        }
        if isRefused { throw TransportError(.notConnected, "no connection to host") }
        let incoming = ServerRequest(
            method: request.method, path: request.path.split(separator: "/").map(String.init), query: request.query,
            headers: request.headers, client: client, body: BytesBody(request.body))
        let handler = handler.withLock { $0 }
        let response = await handler.respond(to: incoming)
        if isLost { throw TransportError(.broken, "the connection broke") }
        switch response.body {
        case .bytes(let bytes):
            return HTTPResponse(status: response.status, headers: response.headers, body: BytesBody(bytes))
        case .stream(_, let write):
            let pipe = Pipe()
            let task = Task {
                do {
                    try await write(PipeWriter(pipe: pipe))
                    await pipe.end()
                } catch {
                    await pipe.end(TransportError(.broken, "\(error)"))
                }
            }
            return HTTPResponse(
                status: response.status, headers: response.headers,
                body: PipeBody(pipe, task, limit: breakAfter == 0 ? .max : breakAfter))
        }
    }
}
