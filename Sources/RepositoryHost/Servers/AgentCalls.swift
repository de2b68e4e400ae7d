import BackupModel
package import HTTP
import Jobs

/// Where an agent is.
package struct AgentAddress: Sendable {
    package var transport: any HTTPTransport
    package var origin: HTTPOrigin

    package init(_ transport: any HTTPTransport, _ origin: HTTPOrigin) {
        self.transport = transport
        self.origin = origin
    }
}

/// Requests to one agent. They are made again where a link breaks: each of them may be.
struct AgentCalls: Sendable {
    let agent: AgentAddress
    /// How long the agent may be out of reach; less than its sessions live.
    var patience: Duration
    /// Is told why nothing comes for a while.
    var notice: @Sendable (String) -> Void

    private static let firstDelay = Duration.milliseconds(100)
    private static let longestDelay = Duration.seconds(5)
    private static let answerLimit = 20 << 20

    private struct Failure: Error {
        var error: BackupError
        var mayPass: Bool
    }

    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]
    }

    func request(_ method: String, _ path: [String]) -> HTTPRequest {
        HTTPRequest(
            method, agent.origin,
            path: "/v1/servers/" + path.map { PercentEncoding.encode($0) }.joined(separator: "/"))
    }

    /// A whole answer of success.
    func answer(_ request: HTTPRequest) async throws(BackupError) -> Answer {
        var start: ContinuousClock.Instant?
        var delay = Self.firstDelay
        while true {
            do throws(Failure) {
                return try await attempt(request)
            } catch {
                let now = ContinuousClock.now
                let first = start ?? now
                guard error.mayPass, now - first + delay < patience else { throw error.error }
                if start == nil { notice("\(error.error.message); trying again") }
                start = first
                do { try await Task.sleep(for: delay) } catch { throw Self.terminated }
                delay = min(delay * 2, Self.longestDelay)
            }
        }
    }

    func json(_ request: HTTPRequest) async throws(BackupError) -> (status: Int, ServiceJSON) {
        let answer = try await answer(request)
        guard let json = ServiceJSON(answer.body) else { throw strange("what is no JSON") }
        return (answer.status, json)
    }

    func strange(_ what: String) -> BackupError {
        BackupError(
            .protocolError, "the agent at \(agent.origin.authority) answers with \(what)",
            hint: "is it of the same version?")
    }

    private static let terminated = BackupError(.terminated, "terminated on signal")

    private func attempt(_ request: HTTPRequest) async throws(Failure) -> Answer {
        let response: HTTPResponse
        let body: [UInt8]
        do throws(TransportError) {
            response = try await agent.transport.send(request)
            body = try await response.body.collect(limit: Self.answerLimit)
        } catch {
            throw failure(error)
        }
        if (200...299).contains(response.status) {
            return Answer(status: response.status, headers: response.headers, body: body)
        }
        let mayPass = [429, 502, 503, 504].contains(response.status)
        guard let told = ServiceJSON(body)?["error"].flatMap({ BackupError($0) }) else {
            throw Failure(error: strange("status \(response.status)"), mayPass: mayPass)
        }
        throw Failure(
            error: BackupError(told.code, "agent \(agent.origin.authority): \(told.message)", hint: told.hint),
            mayPass: mayPass)
    }

    private func failure(_ error: TransportError) -> Failure {
        let attempt = "unable to ask the agent at \(agent.origin.authority)"
        return switch error.kind {
        case .cancelled: Failure(error: Self.terminated, mayPass: false)
        case .certificate:
            Failure(
                error: BackupError(
                    .crypto, "\(attempt): \(error.reason)",
                    hint:
                        "pgN-host-ca-file must hold the authority that signed the agent's certificate, and pgN-host-cert-file one that the agent trusts"
                ), mayPass: false)
        case .notConnected, .timeout, .broken:
            Failure(
                error: BackupError(
                    .hostConnect, "\(attempt): \(error.reason)",
                    hint: "does 'permafrost agent' run there, and is pgN-host-port its port?"), mayPass: true)
        }
    }
}
