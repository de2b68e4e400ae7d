package import BackupModel
package import HTTP
import Jobs

/// `GET /v1/status/STANZA`: server, archiving, volumes and repositories of a stanza as they are now. What fails is told in
/// its place.
///
/// | parameter | |
/// | --- | --- |
/// | `fresh=SECONDS` | how old what is told of repositories may be (30) |
/// | `patience=SECONDS` | how long to wait for a part (10, at most 60) |
package struct StatusService: ServerHandler {
    private let looks: StatusLooks
    private let authorize: @Sendable (ClientIdentity, String) -> BackupError?
    private let subjects: @Sendable (String) async -> StatusSubjects?

    private static let longestPatience = 60

    /// - Parameters:
    ///   - authorize: nil when the client may read the stanza; else what to tell it.
    ///   - subjects: nil for a stanza that is not configured.
    package init(
        _ looks: StatusLooks, authorize: @escaping @Sendable (ClientIdentity, String) -> BackupError?,
        subjects: @escaping @Sendable (String) async -> StatusSubjects?
    ) {
        self.looks = looks
        self.authorize = authorize
        self.subjects = subjects
    }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        guard request.path.count == 3, request.path.starts(with: ["v1", "status"]) else {
            return Self.refusal(404, BackupError(.parameterInvalid, "there is nothing at this address"))
        }
        guard ["GET", "HEAD"].contains(request.method) else {
            var response = Self.refusal(405, BackupError(.commandInvalid, "this takes GET only"))
            response.headers["Allow"] = "GET, HEAD"
            return response
        }
        let stanza = request.path[2]
        if let error = authorize(request.client, stanza) { return Self.refusal(403, error) }
        do throws(BackupError) {
            try JobRequest.checkStanza(stanza)
            let freshness = try Self.seconds(request, "fresh", 30)
            let patience = min(try Self.seconds(request, "patience", 10), Self.longestPatience)
            guard let subjects = await subjects(stanza) else {
                return Self.refusal(
                    404,
                    BackupError(
                        .parameterInvalid, "stanza '\(stanza)' is not configured on this host",
                        hint: "a section [\(stanza)] of the configuration names its pg1-path"))
            }
            let answer = await looks.answer(
                stanza, subjects, freshness: .seconds(freshness), patience: .seconds(patience))
            return Self.response(200, answer)
        } catch {
            return Self.refusal(400, error)
        }
    }

    private static func seconds(_ request: ServerRequest, _ name: String, _ usual: Int) throws(BackupError) -> Int {
        guard let text = request.parameter(name) else { return usual }
        guard let seconds = Int(text), (0...86_400).contains(seconds) else {
            throw BackupError(.parameterInvalid, "'\(name)' must be a number of seconds, not '\(text)'")
        }
        return seconds
    }

    private static func refusal(_ status: Int, _ error: BackupError) -> ServerResponse {
        response(status, .object(["error": error.json]))
    }

    private static func response(_ status: Int, _ json: ServiceJSON) -> ServerResponse {
        ServerResponse(status, headers: ["Content-Type": "application/json"], body: .bytes(Array("\(json)\n".utf8)))
    }
}
