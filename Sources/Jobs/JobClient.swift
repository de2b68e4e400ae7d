package import BackupModel
package import HTTP
import Synchronization

/// Starts and follows jobs on an agent or a repository host, over links that may break.
package final class JobClient: Sendable {
    package struct Options: Sendable {
        /// How long the other side may be out of reach.
        package var patience = Duration.seconds(600)
        /// Between attempts, doubled from one to the next.
        package var firstDelay = Duration.milliseconds(500)
        package var longestDelay = Duration.seconds(15)
        /// A watch is begun anew after so long without a line: less than what transports take for silence.
        package var silence = 20
        /// Is told why nothing comes for a while.
        package var notice: @Sendable (String) -> Void = { _ in }

        package init() {}
    }

    /// Where what is watched goes.
    package struct Watcher: Sendable {
        package var line: @Sendable (JobLogLine) -> Void
        /// What the program printed, once it has ended.
        package var output: @Sendable ([UInt8]) throws(BackupError) -> Void

        package init(
            line: @escaping @Sendable (JobLogLine) -> Void,
            output: @escaping @Sendable ([UInt8]) throws(BackupError) -> Void = { _ in }
        ) {
            self.line = line
            self.output = output
        }
    }

    private let transport: any HTTPTransport
    private let origin: HTTPOrigin
    private let options: Options
    /// Before, a certificate that is not trusted is no matter of time.
    private let hasAnswered = Atomic(false)

    private static let answerLimit = 20 << 20
    /// How long the answer to a start is waited for after the wish to end it.
    private static let startLimit = Duration.seconds(10)
    /// For the word that a job is to end.
    private static let cancelLimit = Duration.seconds(10)

    package init(_ transport: any HTTPTransport, _ origin: HTTPOrigin, _ options: Options = Options()) {
        self.transport = transport
        self.origin = origin
        self.options = options
    }

    // MARK: Calls

    /// Starts `request`, which needs a key: only then a second attempt starts no second job.
    package func start(_ request: JobRequest) async throws(BackupError) -> JobID {
        var post = HTTPRequest("POST", origin, path: "/v1/jobs")
        post.headers = ["Content-Type": "application/json"]
        post.body = Array(request.json.description.utf8)
        let answer = try await answer(post, isRepeatable: request.key != nil)
        guard let id = answer["id"]?.string.flatMap({ JobID($0) }) else { throw strange("no job") }
        return id
    }

    /// Newest first, as the service tells them.
    package func jobs(stanza: String?) async throws(BackupError) -> [ServiceJSON] {
        var request = HTTPRequest("GET", origin, path: "/v1/jobs")
        if let stanza { request.query = [("stanza", stanza)] }
        return try await answer(request)["jobs"]?.elements ?? []
    }

    /// A job as the service tells it, with its result when it has ended.
    package func job(_ id: JobID) async throws(BackupError) -> ServiceJSON {
        try await answer(HTTPRequest("GET", origin, path: "/v1/jobs/\(id)"))
    }

    /// What has become of a job; nil while it runs.
    package func result(_ id: JobID) async throws(BackupError) -> JobResult? { try await state(id).result }

    package func cancel(_ id: JobID) async throws(BackupError) {
        _ = try await answer(HTTPRequest("POST", origin, path: "/v1/jobs/\(id)/cancel"))
    }

    /// Passes the lines of a job's log on until it has ended. Where the link breaks it goes on at the next byte.
    package func follow(_ id: JobID, _ watcher: Watcher) async throws(BackupError) -> JobResult {
        var lines = LineSplitter()
        var offset: UInt64 = 0
        while true {
            let start = offset
            try await copy(id, "log", from: &offset) { lines.take($0).forEach(watcher.line) }
            // Whoever answers at once that there is nothing must not be asked at once again.
            if offset == start { try? await Task.sleep(for: options.firstDelay) }
            guard !Task.isCancelled else { throw JobAttempts.terminated }
            let state = try await state(id)
            guard let result = state.result else { continue }
            if offset < state.logSize { continue }
            lines.finish().forEach(watcher.line)
            if state.outputSize > 0 {
                var offset: UInt64 = 0
                try await copy(id, "output", from: &offset) { bytes throws(BackupError) in
                    try watcher.output(Array(bytes))
                }
            }
            return result
        }
    }

    /// Starts a job and follows it to its end.
    /// - Parameters:
    ///   - cancelsWithTask: whether the job is cancelled when the caller's task is, and then followed to its end.
    ///     Otherwise it goes on, unwatched.
    ///   - started: is told the name of the job.
    package func run(
        _ request: JobRequest, cancelsWithTask: Bool, _ watcher: Watcher,
        started: @escaping @Sendable (JobID) -> Void = { _ in }
    ) async throws(BackupError) -> JobResult {
        // Tasks of their own: what is cancelled cannot ask for anything.
        let starting = Task { () async -> Result<JobID, BackupError> in
            do throws(BackupError) { return .success(try await start(request)) } catch { return .failure(error) }
        }
        let following = Task { () async -> Result<JobResult, BackupError> in
            do throws(BackupError) {
                let id = try await starting.value.get()
                started(id)
                return .success(try await follow(id, watcher))
            } catch {
                return .failure(error)
            }
        }
        let outcome = await withTaskCancellationHandler {
            await following.value
        } onCancel: {
            guard cancelsWithTask else {
                starting.cancel()
                following.cancel()
                return
            }
            // One whose answer has not come yet may have begun.
            Task {
                try? await Task.sleep(for: Self.startLimit)
                starting.cancel()
            }
            Task {
                guard case .success(let id) = await starting.value else { return }
                let asking = Task { try await cancel(id) }
                // A host that is gone for good is not waited for: whoever cancels wants to end.
                let limit = Task {
                    try? await Task.sleep(for: Self.cancelLimit)
                    asking.cancel()
                }
                if case .failure = await asking.result { following.cancel() }
                limit.cancel()
            }
        }
        return try outcome.get()
    }

    // MARK: Answers

    private struct State {
        var result: JobResult?
        var logSize: UInt64
        var outputSize: UInt64
    }

    private func state(_ id: JobID) async throws(BackupError) -> State {
        let json = try await job(id)
        func size(_ name: String) -> UInt64 { json[name]?.string.flatMap { UInt64($0) } ?? 0 }
        var state = State(logSize: size("log-size"), outputSize: size("output-size"))
        guard let text = json["state"]?.string else { throw strange("no state of a job") }
        if text == "running" { return state }
        state.result = json["result"].flatMap { JobResult($0) }
        guard state.result != nil else {
            throw BackupError(
                .unknown, "job '\(id)' on \(origin.authority) has ended (\(text)), but its result cannot be read",
                hint: "the log of that host says why")
        }
        return state
    }

    /// What came of one attempt.
    private enum Outcome {
        case complete([UInt8])
        case refused(status: Int, [UInt8])
        case broken(TransportError)
    }

    /// One answer of JSON.
    private func answer(_ request: HTTPRequest, isRepeatable: Bool = true) async throws(BackupError) -> ServiceJSON {
        var attempts = JobAttempts(options, origin)
        while true {
            switch await attempt(request) {
            case .complete(let bytes):
                guard let json = ServiceJSON(bytes) else { throw strange("what is no JSON") }
                return json
            case .refused(let status, let bytes):
                try await attempts.refused(status, bytes)
            case .broken(let error):
                guard isRepeatable || error.kind == .notConnected else { throw attempts.failure(error) }
                try await attempts.broken(error, mayTrustLater: hasAnswered.load(ordering: .relaxed))
            }
        }
    }

    private func attempt(_ request: HTTPRequest) async -> Outcome {
        do throws(TransportError) {
            let response = try await send(request)
            let bytes = try await response.body.collect(limit: Self.answerLimit)
            return (200...299).contains(response.status)
                ? .complete(bytes) : .refused(status: response.status, bytes)
        } catch {
            return .broken(error)
        }
    }

    private func send(_ request: HTTPRequest) async throws(TransportError) -> HTTPResponse {
        let response = try await transport.send(request)
        hasAnswered.store(true, ordering: .relaxed)
        return response
    }

    /// Passes on what a file of a job has from `offset` on, until the other side says that it is all for now.
    private func copy(
        _ id: JobID, _ name: String, from offset: inout UInt64,
        to sink: (UnsafeRawBufferPointer) throws(BackupError) -> Void
    ) async throws(BackupError) {
        var attempts = JobAttempts(options, origin)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 1)
        defer { buffer.deallocate() }
        while true {
            var request = HTTPRequest("GET", origin, path: "/v1/jobs/\(id)/\(name)")
            request.query = [("from", String(offset)), ("follow", "y"), ("silence", String(options.silence))]
            let start = offset
            let outcome = try await attempt(request, buffer) { bytes throws(BackupError) in
                offset += UInt64(bytes.count)
                try sink(bytes)
            }
            if offset > start { attempts.succeeded() }
            switch outcome {
            case .complete: return
            case .refused(let status, let bytes): try await attempts.refused(status, bytes)
            case .broken(let error):
                try await attempts.broken(error, mayTrustLater: hasAnswered.load(ordering: .relaxed))
            }
        }
    }

    private func attempt(
        _ request: HTTPRequest, _ buffer: UnsafeMutableRawBufferPointer,
        to sink: (UnsafeRawBufferPointer) throws(BackupError) -> Void
    ) async throws(BackupError) -> Outcome {
        let response: HTTPResponse
        do throws(TransportError) {
            response = try await send(request)
            guard response.status == 200 else {
                return .refused(
                    status: response.status, try await response.body.collect(limit: Self.answerLimit))
            }
        } catch {
            return .broken(error)
        }
        while true {
            let count: Int
            do throws(TransportError) {
                count = try await response.body.read(into: buffer)
            } catch {
                return .broken(error)
            }
            if count == 0 { return .complete([]) }
            try sink(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    private func strange(_ what: String) -> BackupError {
        BackupError(
            .protocolError, "\(origin.authority) answers with \(what)",
            hint: "is it an agent or a repository host, and of the same version?")
    }
}
