package import HTTP
import Synchronization

/// `/healthz` and `/readyz` of the operator.
package final class OperatorHealth: ServerHandler {
    private struct State: Sendable {
        var isWaiting = false
        var work: Operator?
    }

    private let state = Mutex(State())

    package init() {}

    /// Others may lead: that is as good as work.
    package var isWaiting: Bool {
        get { state.withLock { $0.isWaiting } }
        set { state.withLock { $0.isWaiting = newValue } }
    }

    package var work: Operator? {
        get { state.withLock { $0.work } }
        set { state.withLock { $0.work = newValue } }
    }

    package func respond(to request: ServerRequest) async -> ServerResponse {
        switch request.path {
        case ["healthz"]: return Self.text(200, "ok\n")
        case ["readyz"]:
            let state = state.withLock { $0 }
            let isReady = state.work?.isReady ?? state.isWaiting
            return isReady ? Self.text(200, "ok\n") : Self.text(503, "the API server has not told of all objects yet\n")
        default: return Self.text(404, "there is nothing at this address\n")
        }
    }

    private static func text(_ status: Int, _ text: String) -> ServerResponse {
        ServerResponse(status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
    }
}
