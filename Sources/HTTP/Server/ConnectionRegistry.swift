import NIOCore
import Synchronization

/// The connections of a server.
final class ConnectionRegistry: Sendable {
    private struct Entry: Sendable {
        var connection: ServerConnection
        /// Counts up.
        var number: UInt64
        /// It has shown who it is, or at least that it speaks HTTP.
        var isProven = false
        var client: ClientIdentity?
    }

    private struct State: Sendable {
        var entries: [ObjectIdentifier: Entry] = [:]
        var accepted: UInt64 = 0
        var isStopping = false
    }

    private let state = Mutex(State())
    private let limit: Int
    private let limitOfClient: Int

    init(limit: Int, limitOfClient: Int) {
        self.limit = limit
        self.limitOfClient = limitOfClient
    }

    enum Admission: Sendable {
        case admitted
        /// In the place of another, which has to be cut.
        case replaced(ServerConnection)
        case refused
    }

    func admit(_ connection: ServerConnection) -> Admission {
        state.withLock { state in
            guard !state.isStopping else { return .refused }
            var replaced: ServerConnection?
            if state.entries.count >= limit {
                let unproven = state.entries.lazy.filter { !$0.value.isProven }
                guard let oldest = unproven.min(by: { $0.value.number < $1.value.number }) else { return .refused }
                state.entries[oldest.key] = nil
                replaced = oldest.value.connection
            }
            state.accepted += 1
            state.entries[ObjectIdentifier(connection)] = Entry(connection: connection, number: state.accepted)
            return replaced.map(Admission.replaced) ?? .admitted
        }
    }

    func prove(_ connection: ServerConnection) {
        state.withLock { $0.entries[ObjectIdentifier(connection)]?.isProven = true }
    }

    /// - Returns: false when there are as many connections of this client as there may be.
    func prove(_ connection: ServerConnection, as client: ClientIdentity) -> Bool {
        state.withLock { state in
            guard state.entries.values.count(where: { $0.client == client }) < limitOfClient else { return false }
            state.entries[ObjectIdentifier(connection)]?.isProven = true
            state.entries[ObjectIdentifier(connection)]?.client = client
            return true
        }
    }

    func remove(_ connection: ServerConnection) {
        state.withLock { $0.entries[ObjectIdentifier(connection)] = nil }
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }
    var connections: [ServerConnection] { state.withLock { $0.entries.values.map(\.connection) } }

    /// From now on nobody is admitted.
    func stop() { state.withLock { $0.isStopping = true } }
}
