import BackupModel
import HTTP
import KubernetesTestServer
import RepositoryStorage
import Synchronization
import Testing

@testable import KubernetesClient

/// A server, and a client of it; the server ends with the test.
func withServer(
    _ change: (inout KubernetesClient.Options) -> Void = { _ in },
    _ body: (APITestServer, KubernetesClient) async throws -> Void
) async throws {
    let server = APITestServer()
    let port = try await server.start()
    do {
        try await body(server, try client(port, change))
    } catch {
        await server.stop()
        throw error
    }
    await server.stop()
}

func client(_ port: Int, _ change: (inout KubernetesClient.Options) -> Void = { _ in }) throws -> KubernetesClient {
    var options = KubernetesClient.Options(fieldManager: "tests")
    options.retry = RetryPolicy(attempts: 3, shortest: .milliseconds(1), longest: .milliseconds(5))
    change(&options)
    let access = ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port))
    return try KubernetesClient(access, options)
}

func eventually(
    _ what: String, _ limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else { throw BackupError(.unknown, "waited in vain: \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// Time that goes on when the test says so.
final class ManualTime: WaitingTime {
    private struct State: Sendable {
        var now = Duration.zero
        var sleepers: [Int: (due: Duration, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var last = 0
        var cancelled: Set<Int> = []
    }

    private let state = Mutex(State())

    var now: Duration { state.withLock { $0.now } }
    var sleepers: Int { state.withLock { $0.sleepers.count } }

    func sleep(for duration: Duration) async throws {
        let id = state.withLock { state in
            state.last += 1
            return state.last
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.cancelled.remove(id) != nil || Task.isCancelled { return true }
                    state.sleepers[id] = (state.now + duration, continuation)
                    return false
                }
                if isOver { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            let sleeper = state.withLock { state in
                state.cancelled.insert(id)
                return state.sleepers.removeValue(forKey: id)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    func advance(by duration: Duration) {
        let awake = state.withLock { state in
            state.now += duration
            let due = state.sleepers.filter { $0.value.due <= state.now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in awake { continuation.resume() }
    }
}

func configMap(_ name: String, _ data: [String: String] = [:], labels: [String: String] = [:]) -> KubernetesObject {
    var object = KubernetesObject(.configMaps, namespace: "default", name: name)
    object.labels = labels
    object["data"] = ServiceJSON(data)
    return object
}

func failure(_ body: () async throws(KubernetesError) -> Void) async -> KubernetesError? {
    do throws(KubernetesError) {
        try await body()
        return nil
    } catch {
        return error
    }
}
