package import HTTP
import Synchronization

/// `/healthz`, `/readyz` and `/metrics` of the operator.
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
        case ["metrics"]: return Self.text(200, metrics)
        default: return Self.text(404, "there is nothing at this address\n")
        }
    }

    private var metrics: String {
        let counts = work?.counts ?? (clusters: 0, queued: 0)
        return """
            # HELP permafrost_operator_leads Whether this operator works; others wait.
            # TYPE permafrost_operator_leads gauge
            permafrost_operator_leads \(work == nil ? 0 : 1)
            # HELP permafrost_operator_clusters Clusters that it looks after.
            # TYPE permafrost_operator_clusters gauge
            permafrost_operator_clusters \(counts.clusters)
            # HELP permafrost_operator_queued Clusters and backups that wait to be looked at.
            # TYPE permafrost_operator_queued gauge
            permafrost_operator_queued \(counts.queued)

            """
    }

    private static func text(_ status: Int, _ text: String) -> ServerResponse {
        ServerResponse(status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
    }
}
