package import BackupModel
package import HTTP

/// Jobs over HTTP, the same on an agent and on a repository host.
///
/// | request | answer |
/// | --- | --- |
/// | `POST /v1/jobs`, a ``JobRequest`` | 201 and the job; 200 when the same request with the same key was made before |
/// | `GET /v1/jobs[?stanza=NAME&limit=100]` | the jobs, newest first |
/// | `GET /v1/jobs/ID` | the job, with its result when it has ended |
/// | `GET /v1/jobs/ID/log?from=BYTE` | its log from that byte on, lines of JSON; `output` likewise: what it printed |
/// | …`&follow=y` | also what is still to come, until the job has ended |
/// | …`&silence=SECONDS` | but not after nothing came for so long |
/// | `POST /v1/jobs/ID/cancel` | the job, which was told to end |
///
/// What fails is answered by `{"error":{"code":…,"message":…,"hint":…}}`.
package struct JobService: ServerHandler {
    /// nil when the client may; else what to tell it.
    package typealias Authorization = @Sendable (ClientIdentity, String, AccessVerb) -> BackupError?

    let runner: JobRunner
    private let hasCluster: Bool
    private let authorize: Authorization

    static let followInterval = Duration.milliseconds(200)
    private static let listLimit = 1000

    /// - Parameter hasCluster: false on a repository host, which runs only what concerns repositories.
    package init(_ runner: JobRunner, hasCluster: Bool = true, authorize: @escaping Authorization) {
        self.runner = runner
        self.hasCluster = hasCluster
        self.authorize = authorize
    }

    /// Whether a request with this path is one for jobs.
    package static func handles(_ path: [String]) -> Bool { path.starts(with: ["v1", "jobs"]) }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        do throws(Refusal) {
            return try await answer(request)
        } catch {
            var headers: HTTPHeaders = ["Content-Type": "application/json"]
            if let allowed = error.allowedMethod { headers["Allow"] = allowed }
            return ServerResponse(
                error.status, headers: headers,
                body: .bytes(Array("\(ServiceJSON.object(["error": error.error.json]))\n".utf8)))
        }
    }

    /// An answer that is an error.
    private struct Refusal: Error {
        var status: Int
        var error: BackupError
        var allowedMethod: String?

        init(_ status: Int, _ error: BackupError, allowedMethod: String? = nil) {
            self.status = status
            self.error = error
            self.allowedMethod = allowedMethod
        }

        /// Also of a job that the client may not see: who may not know of it learns nothing.
        static let unknown = Refusal(404, BackupError(.fileMissing, "there is no such job"))
    }

    private func answer(_ request: ServerRequest) async throws(Refusal) -> ServerResponse {
        guard Self.handles(request.path), request.path.count <= 4 else {
            throw Refusal(404, BackupError(.fileMissing, "there is nothing of that name"))
        }
        guard request.path.count > 2 else {
            switch request.method {
            case "POST": return try await start(request)
            case "GET", "HEAD": return try list(request)
            default: throw Self.wrongMethod("GET, POST")
            }
        }
        let job = try await job(request)
        switch request.path.dropFirst(3).first {
        case nil:
            try Self.require(request, ["GET", "HEAD"])
            return Self.response(200, job.json)
        case "log"?:
            try Self.require(request, ["GET"])
            return try stream(runner.store.logPath(job.record.id), job.record.id, request, type: "application/x-ndjson")
        case "output"?:
            try Self.require(request, ["GET"])
            return try stream(runner.store.outputPath(job.record.id), job.record.id, request, type: "text/plain")
        case "cancel"?:
            try Self.require(request, ["POST"])
            return try await cancel(job, request)
        default: throw Refusal(404, BackupError(.fileMissing, "there is nothing of that name"))
        }
    }

    // MARK: Requests

    private func start(_ request: ServerRequest) async throws(Refusal) -> ServerResponse {
        let bytes: [UInt8]
        do throws(TransportError) {
            bytes = try await request.body.collect(limit: JobRequest.sizeLimit)
        } catch {
            let error = BackupError(.protocolError, "the request for a job did not arrive: \(error.reason)")
            throw Refusal(413, error)
        }
        let wanted: JobRequest
        do throws(BackupError) {
            wanted = try JobRequest(bytes)
        } catch {
            throw Refusal(400, error)
        }
        if let error = authorize(request.client, wanted.stanza, wanted.command.verb) { throw Refusal(403, error) }
        guard hasCluster || !wanted.command.needsCluster else {
            throw Refusal(
                400,
                BackupError(
                    .commandInvalid, "a repository host does not run '\(wanted.command.command.rawValue)'",
                    hint: "ask the agent beside PostgreSQL"))
        }
        do throws(BackupError) {
            let (job, isNew) = try await runner.start(wanted, client: request.client.name)
            return Self.response(isNew ? 201 : 200, job.json)
        } catch {
            let status = [.service: 503, .optionInvalidValue: 409][error.code] ?? 500
            throw Refusal(status, error)
        }
    }

    private func list(_ request: ServerRequest) throws(Refusal) -> ServerResponse {
        var limit = 100
        if let text = request.parameter("limit") {
            guard let number = Int(text), (1...Self.listLimit).contains(number) else {
                throw Self.malformed("limit", "1 to \(Self.listLimit)")
            }
            limit = number
        }
        let stanza = request.parameter("stanza")
        let jobs = runner.jobs { record in
            (stanza == nil || record.request.stanza == stanza) && maySee(request.client, record)
        }
        return Self.response(200, .object(["jobs": .array(jobs.prefix(limit).map(\.json))]))
    }

    private func cancel(_ job: JobRunner.Job, _ request: ServerRequest) async throws(Refusal) -> ServerResponse {
        let record = job.record
        if let error = authorize(request.client, record.request.stanza, record.request.command.verb) {
            throw Refusal(403, error)
        }
        do throws(BackupError) {
            try await runner.cancel(record.id, by: request.client.name)
        } catch {
            throw Refusal(503, error)
        }
        return Self.response(202, (await runner.job(record.id) ?? job).json)
    }

    private func stream(
        _ path: String, _ id: JobID, _ request: ServerRequest, type: String
    ) throws(Refusal) -> ServerResponse {
        var follow = Follow()
        if let text = request.parameter("from") {
            guard let from = UInt64(text) else { throw Self.malformed("from", "a number of bytes") }
            follow.offset = from
        }
        switch request.parameter("follow") {
        case nil, "n"?: break
        case "y"?: follow.isFollowed = true
        default: throw Self.malformed("follow", "y or n")
        }
        if let text = request.parameter("silence") {
            guard let seconds = Int(text), (1...3600).contains(seconds) else {
                throw Self.malformed("silence", "1 to 3600 seconds")
            }
            follow.silence = .seconds(seconds)
        }
        let reader: JobFileReader
        do throws(BackupError) {
            reader = try JobFileReader(path)
        } catch {
            throw Refusal(500, error)
        }
        return ServerResponse(
            200, headers: ["Content-Type": type],
            body: .stream(length: nil) { [runner, follow] writer in
                try await follow.run(reader, to: writer) { runner.hasEnded(id) }
            })
    }

    // MARK: Who may

    private func job(_ request: ServerRequest) async throws(Refusal) -> JobRunner.Job {
        guard let id = JobID(request.path[2]), let job = await runner.job(id), maySee(request.client, job.record) else {
            throw Refusal.unknown
        }
        return job
    }

    /// Who may start a job may watch it.
    private func maySee(_ client: ClientIdentity, _ record: JobRecord) -> Bool {
        let request = record.request
        return authorize(client, request.stanza, .read) == nil
            || authorize(client, request.stanza, request.command.verb) == nil
    }

    private static func require(_ request: ServerRequest, _ methods: [String]) throws(Refusal) {
        guard methods.contains(request.method) else { throw wrongMethod(methods.joined(separator: ", ")) }
    }

    private static func wrongMethod(_ allowed: String) -> Refusal {
        Refusal(405, BackupError(.protocolError, "this takes \(allowed) only"), allowedMethod: allowed)
    }

    private static func malformed(_ name: String, _ allowed: String) -> Refusal {
        Refusal(400, BackupError(.parameterInvalid, "'\(name)' must be \(allowed)"))
    }

    private static func response(_ status: Int, _ json: ServiceJSON) -> ServerResponse {
        ServerResponse(
            status, headers: ["Content-Type": "application/json"], body: .bytes(Array("\(json)\n".utf8)))
    }
}

/// What a watcher wants of a file that grows.
private struct Follow: Sendable {
    var offset: UInt64 = 0
    var isFollowed = false
    var silence: Duration?

    func run(
        _ reader: JobFileReader, to writer: any ResponseWriter, until hasEnded: @Sendable () -> Bool
    ) async throws {
        var offset = offset
        var last = ContinuousClock.now
        while true {
            // Asked first: what is written before the end is read after it.
            let isLast = !isFollowed || hasEnded()
            let bytes = try await reader.read(at: offset)
            if !bytes.isEmpty {
                try await writer.write(bytes.span.bytes)
                offset += UInt64(bytes.count)
                last = .now
            } else if isLast {
                return
            } else {
                if let silence, .now - last >= silence { return }
                try await Task.sleep(for: JobService.followInterval)
            }
        }
    }
}

extension JobRunner.Job {
    /// As the service tells it, and the client reads it.
    package var json: ServiceJSON {
        guard case .object(var members) = record.json else { return record.json }
        members["state"] = .text(end?.rawValue ?? "running")
        if isCancelled { members["is-cancelled"] = .bool(true) }
        if logSize > 0 { members["log-size"] = .number(String(logSize)) }
        if outputSize > 0 { members["output-size"] = .number(String(outputSize)) }
        members["result"] = result?.json
        return .object(members)
    }
}
