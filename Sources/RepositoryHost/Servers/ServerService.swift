package import BackupEngine
import BackupModel
package import HTTP
import Jobs

/// The server of PostgreSQL beside an agent, for a backup that a standby's host makes.
///
/// | request | right | answer |
/// | --- | --- | --- |
/// | `GET /v1/servers/STANZA` | read | what it is: primary or standby, version, system id |
/// | `PUT …/sessions/ID` | add | a session with it: facts and pg_control |
/// | `GET …/sessions/ID` | add | 204: it is still there, and will be for a while |
/// | `PUT …/sessions/ID/operations/N`, a ``ServerOperation`` | add | its result |
/// | `GET …/sessions/ID/listing?from=BYTE` | add | the lines of the last listing, a mebibyte at once |
/// | `GET …/sessions/ID/files/NAME?from=BYTE` | add | a listed file that WAL does not cover, likewise; 204: it is gone |
/// | `DELETE …/sessions/ID` | add | |
///
/// What takes long is answered by 202 and asked for again (`wait=MILLISECONDS`): no time limit of a network ends it.
package struct ServerService: Sendable {
    private let sessions: ServerSessions
    private let authorization: HostAuthorization
    private let connector: any ServerConnector
    /// Where calls block.
    private let threads: WorkerThreads

    /// - Parameter threads: for questions and files; sessions have their own.
    package init(
        _ sessions: ServerSessions, _ authorization: HostAuthorization, threads: WorkerThreads,
        connector: any ServerConnector
    ) {
        self.sessions = sessions
        self.authorization = authorization
        self.threads = threads
        self.connector = connector
    }

    /// - Parameter path: what follows `/v1/servers` in the address.
    package func respond(to request: ServerRequest, _ path: ArraySlice<String>) async -> ServerResponse {
        await withTaskExecutorPreference(threads) {
            do throws(BackupError) {
                return try await answer(request, path)
            } catch {
                return Self.response(Self.status(error), .object(["error": error.json]))
            }
        }
    }

    private static func status(_ error: BackupError) -> Int {
        switch error.code {
        case .access: 403
        case .parameterInvalid: 400
        case .service: 503
        default: 500
        }
    }

    private static func response(_ status: Int, _ json: ServiceJSON) -> ServerResponse {
        ServerResponse(status, headers: ["Content-Type": "application/json"], body: .bytes(Array("\(json)\n".utf8)))
    }

    private static let nothing = BackupError(.parameterInvalid, "there is nothing at this address")

    private func answer(_ request: ServerRequest, _ path: ArraySlice<String>) async throws(BackupError)
        -> ServerResponse
    {
        try authorization.requireKnown(request.client)
        guard let stanza = path.first else { throw Self.nothing }
        let rest = Array(path.dropFirst())
        try authorization.require(rest.isEmpty ? .read : .add, of: request.client, stanza: stanza)
        try JobRequest.checkStanza(stanza)
        if rest.isEmpty {
            guard request.method == "GET" else { throw Self.nothing }
            let server = try await connector.connect(stanza)
            let status = RemoteServerStatus(server)
            await server.close()
            return Self.response(200, status.json)
        }
        guard rest.count >= 2, rest[0] == "sessions", Self.isID(rest[1]) else { throw Self.nothing }
        let (id, client) = (rest[1], try HostAuthorization.name(request.client))
        if rest.count == 2 {
            switch request.method {
            case "PUT":
                let session = try sessions.open(id, stanza: stanza, client: client, connector: connector)
                let progress = try await session.perform(0, .open, wait: Self.wait(request))
                if case .failed = progress { sessions.close(id, stanza: stanza, client: client) }
                return try Self.response(progress)
            case "DELETE":
                sessions.close(id, stanza: stanza, client: client)
                return ServerResponse(204)
            case "GET": break
            default: throw Self.nothing
            }
        }
        guard let session = sessions.find(id, stanza: stanza, client: client) else {
            let error = BackupError(
                .databaseConnect, "there is no such session with PostgreSQL",
                hint: "it ends when the agent does, and when nothing comes for five minutes: run the backup again")
            return Self.response(404, .object(["error": error.json]))
        }
        session.touch()
        if rest.count == 2 { return ServerResponse(204) }
        switch (request.method, rest[2], rest.count) {
        case ("PUT", "operations", 4):
            guard let number = Int(rest[3]), number > 0 else { throw Self.nothing }
            let operation = try ServerOperation(try await Self.body(request))
            return try Self.response(await session.perform(number, operation, wait: Self.wait(request)))
        case ("GET", "listing", 3):
            return try await piece(request, session) { (listing, offset, buffer) throws(BackupError) in
                (try listing.read(at: offset, into: buffer), "listing")
            }
        case ("GET", "files", 4...):
            let name = rest.dropFirst(3).joined(separator: "/")
            return try await piece(request, session) { (listing, offset, buffer) throws(BackupError) in
                try listing.read(name, at: offset, into: buffer)
            }
        default: throw Self.nothing
        }
    }

    private static func response(_ progress: ServerSession.Progress) throws(BackupError) -> ServerResponse {
        switch progress {
        case .running: response(202, .object([:]))
        case .done(let result): response(200, .object(["result": result]))
        case .failed(let error): throw error
        }
    }

    private func piece(
        _ request: ServerRequest, _ session: ServerSession,
        _ read: (ServerListing, UInt64, UnsafeMutableRawBufferPointer) throws(BackupError) -> (
            count: Int, version: String
        )?
    ) async throws(BackupError) -> ServerResponse {
        guard let from = request.parameter("from").map({ UInt64($0) }) ?? 0 else {
            throw BackupError(.parameterInvalid, "'from' must be a number of bytes")
        }
        guard let listing = await session.listing() else {
            throw BackupError(.parameterInvalid, "nothing was listed in this session")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: ServerWire.pieceSize, alignment: 4096)
        defer { buffer.deallocate() }
        guard let (count, version) = try read(listing, from, buffer) else { return ServerResponse(204) }
        return ServerResponse(
            200, headers: ["Content-Type": "application/octet-stream", ServerWire.versionHeader: version],
            body: .bytes(Array(UnsafeRawBufferPointer(rebasing: buffer[..<count]))))
    }

    private static func wait(_ request: ServerRequest) -> Duration {
        let asked = request.parameter("wait").flatMap { Int64($0) } ?? 0
        return min(.milliseconds(max(0, asked)), ServerWire.longestWait)
    }

    private static func body(_ request: ServerRequest) async throws(BackupError) -> [UInt8] {
        let limit = ServerOperation.requestLimit
        if let size = request.headers["Content-Length"].flatMap({ UInt64($0) }), size > limit {
            throw BackupError(.parameterInvalid, "an operation has \(limit) bytes at most")
        }
        do throws(TransportError) {
            return try await request.body.collect(limit: limit)
        } catch {
            throw BackupError(.service, "the operation did not arrive: \(error.reason)")
        }
    }

    private static func isID(_ text: String) -> Bool {
        (16...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) }
    }
}
