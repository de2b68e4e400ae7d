import BackupEngine
import BackupModel
import HTTP
package import Jobs
import Synchronization

/// What was last seen of each stanza; it outlives a reading of the configuration.
package final class StatusLooks: Sendable {
    /// Of one stanza.
    private final class Looks: Sendable {
        let server = SharedLook<ServerLook>()
        let volumes = SharedLook<[ServiceJSON]>()
        private let byRepository = Mutex<[Int: SharedLook<RepositoryStatus>]>([:])

        func repository(_ key: Int) -> SharedLook<RepositoryStatus> {
            byRepository.withLock { looks in
                if let look = looks[key] { return look }
                let look = SharedLook<RepositoryStatus>()
                looks[key] = look
                return look
            }
        }

        func forgetRepositories() { byRepository.withLock { Array($0.values) }.forEach { $0.forget() } }

        var isLooking: Bool {
            server.isLooking || volumes.isLooking || byRepository.withLock { $0.values.contains { $0.isLooking } }
        }
    }

    private let stanzas = Mutex<[String: Looks]>([:])
    private let now: @Sendable () -> Int64

    /// Stanzas that are remembered: a repository host is asked for any name.
    private static let limit = 256
    /// The server and volumes of this host cost little.
    private static let localFreshness = Duration.seconds(1)
    /// Seconds for which the last look stands in for one that does not end.
    private static let standIn: Int64 = 60

    /// - Parameter now: seconds since 1970.
    package init(now: @escaping @Sendable () -> Int64) { self.now = now }

    /// It may have changed what is in the repositories.
    package func ended(_ result: JobResult) { stanzas.withLock { $0[result.stanza] }?.forgetRepositories() }

    private func looks(_ stanza: String) -> Looks {
        stanzas.withLock { stanzas in
            if let looks = stanzas[stanza] { return looks }
            if stanzas.count >= Self.limit { stanzas = stanzas.filter { $0.value.isLooking } }
            let looks = Looks()
            stanzas[stanza] = looks
            return looks
        }
    }

    /// - Parameters:
    ///   - freshness: how long ago a repository may have been looked at.
    ///   - patience: how long a part may take; then it is answered with what was seen before, or an error.
    func answer(
        _ stanza: String, _ subjects: StatusSubjects, freshness: Duration, patience: Duration
    ) async -> ServiceJSON {
        let looks = looks(stanza)
        async let server = self.server(subjects, looks, patience)
        async let volumes = self.volumes(subjects, looks, patience)
        let repositories = await withTaskGroup(of: (Int, ServiceJSON).self) { group in
            for repository in subjects.repositories {
                group.addTask {
                    let look = looks.repository(repository.key)
                    return (
                        repository.key,
                        await self.json(repository, look, subjects.version, freshness, patience)
                    )
                }
            }
            var found: [(Int, ServiceJSON)] = []
            while let next = await group.next() { found.append(next) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
        var answer: ServiceJSON = [
            "stanza": .text(stanza), "time": StatusJSON.number(now()), "repositories": .array(repositories),
        ]
        for (name, value) in await server { answer[name] = value }
        answer["volumes"] = await volumes
        answer["error"] = subjects.failure?.json
        return answer
    }

    private func server(
        _ subjects: StatusSubjects, _ looks: Looks, _ patience: Duration
    ) async -> [String: ServiceJSON] {
        guard let server = subjects.server else { return [:] }
        let answer = await looks.server.answer(freshness: Self.localFreshness, patience: patience, now: now) {
            await Self.onThread(server)
        }
        guard answer.isFresh, let look = answer.value else {
            let error = BackupError(
                .databaseConnect, "PostgreSQL has not answered for \(patience.components.seconds)s",
                hint: "is its host overloaded, or a disk of it hanging?")
            return ["server": ["error": error.json]]
        }
        switch look.result {
        case .failure(let error): return ["server": ["error": error.json]]
        case .success(let status):
            var members = ["server": StatusJSON.server(status)]
            members["archiving"] = status.archiving.map { StatusJSON.archiving($0, look) }
            return members
        }
    }

    private func volumes(_ subjects: StatusSubjects, _ looks: Looks, _ patience: Duration) async -> ServiceJSON {
        let answer = await looks.volumes.answer(freshness: Self.localFreshness, patience: patience, now: now) {
            await Self.onThread { subjects.volumes.map(StatusJSON.volume) }
        }
        if answer.isFresh, let value = answer.value { return .array(value) }
        let error = BackupError(
            .fileInfo, "the file system has not answered for \(patience.components.seconds)s",
            hint: "is a network file system down?")
        return .array(
            subjects.volumes.map { ["name": .text($0.name), "path": .text($0.path), "error": error.json] })
    }

    private func json(
        _ repository: StatusRepository, _ look: SharedLook<RepositoryStatus>, _ version: Int,
        _ freshness: Duration, _ patience: Duration
    ) async -> ServiceJSON {
        let answer = await look.answer(version: version, freshness: freshness, patience: patience, now: now) {
            await Self.onThread(repository.look)
        }
        var members: [String: ServiceJSON] = [
            "key": .init(repository.key), "type": .text(repository.type), "cipher": .text(repository.cipher),
            "place": .text(repository.place), "identity": .text(repository.identity),
        ]
        if let account = repository.account { members["account"] = .text(account) }
        if let value = answer.value, answer.isFresh || answer.isCurrent && now() - answer.time < Self.standIn {
            members["looked"] = StatusJSON.number(answer.time)
            members.merge(StatusJSON.repository(value)) { first, _ in first }
        } else {
            let error = BackupError(
                .hostConnect,
                "repo\(repository.key), \(repository.place), has not answered for \(patience.components.seconds)s",
                hint: "is it reachable from this host, or very slow?")
            members["error"] = error.json
        }
        return .object(members)
    }

    /// One of its own: what blocks must keep nobody else waiting.
    private static func onThread<Value: Sendable>(_ look: @escaping @Sendable () async -> Value) async -> Value {
        await withTaskExecutorPreference(WorkerThreads(count: 1)) { await look() }
    }
}
