import BackupModel
import Synchronization

/// The sessions of an agent's clients. They outlive a reading of the configuration, not the agent.
package final class ServerSessions: Sendable {
    private struct Key: Hashable {
        var client: String
        var stanza: String
        var id: String
    }
    private let sessions = Mutex<[Key: ServerSession]>([:])
    private let limit: Int
    private let lifetime: Duration
    private let spoolPath: String
    private let log: @Sendable (String) -> Void

    /// - Parameters:
    ///   - spoolPath: a directory for listings.
    ///   - lifetime: of a session that nothing is asked of. Longer than clients try to get through.
    ///   - limit: at once, of all clients.
    ///   - log: is told who begins and ends one.
    package init(
        spoolPath: String, lifetime: Duration = .seconds(300), limit: Int = 8,
        log: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.log = log
        self.spoolPath = spoolPath
        self.lifetime = lifetime
        self.limit = limit
    }

    /// That with this name, which is made where there is none.
    /// - Parameter id: the client's choice, so that it may ask again where an answer was lost.
    func open(
        _ id: String, stanza: String, client: String, connector: any ServerConnector
    ) throws(BackupError) -> ServerSession {
        endOld()
        return try sessions.withLock { sessions throws(BackupError) in
            let key = Key(client: client, stanza: stanza, id: id)
            if let session = sessions[key] { return session }
            guard sessions.count < limit else {
                throw BackupError(
                    .service, "the agent has \(limit) sessions with PostgreSQL, which is all that it opens at once",
                    hint: "wait until a backup has ended")
            }
            let session = ServerSession(stanza: stanza, client: client, spoolPath: spoolPath, connector: connector)
            sessions[key] = session
            log("client '\(client)' begins a session with PostgreSQL of stanza '\(stanza)'")
            return session
        }
    }

    /// nil also for one of another client.
    func find(_ id: String, stanza: String, client: String) -> ServerSession? {
        sessions.withLock { $0[Key(client: client, stanza: stanza, id: id)] }
    }

    func close(_ id: String, stanza: String, client: String) {
        if let session = sessions.withLock({ $0.removeValue(forKey: Key(client: client, stanza: stanza, id: id)) }) {
            end(session, "it is closed")
        }
    }

    /// Ends those that nothing was asked of for long: to be called now and then.
    package func endOld() {
        let limit = ContinuousClock.now - lifetime
        let old = sessions.withLock { sessions in
            let old = sessions.filter { $0.value.lastUsed < limit }
            for key in old.keys { sessions[key] = nil }
            return old.values
        }
        for session in old { end(session, "nothing came for \(lifetime.components.seconds)s") }
    }

    package func endAll() {
        let all = sessions.withLock { sessions in
            defer { sessions = [:] }
            return Array(sessions.values)
        }
        for session in all { end(session, "the agent stops") }
    }

    private func end(_ session: ServerSession, _ reason: String) {
        session.close()
        log("the session of client '\(session.client)' with PostgreSQL of stanza '\(session.stanza)' ends: \(reason)")
    }
}
