import BackupModel
import KubernetesClient
import RepositoryStorage
import Synchronization

/// Asks the agents of primaries for their status, each once in a while, and remembers the answers.
final class ClusterWatch: Sendable {
    struct Answer: Sendable {
        var status: StanzaStatus?
        var error: BackupError?
    }

    private let agents: any ClusterAgents
    /// The pod of a cluster's primary; nil while there is none.
    private let primary: @Sendable (ObjectKey) -> String?
    /// Is told when an answer says something else than the one before.
    private let changed: @Sendable (ObjectKey) -> Void
    private let interval: Duration
    private let seconds: Int
    private let answers = Mutex<[ObjectKey: Answer]>([:])
    private let queue: KeyedWorkQueue<ObjectKey>

    /// While something is wrong, or about to change, it is asked for so often.
    private let urgent: Duration

    init(
        _ agents: any ClusterAgents, _ settings: OperatorSettings, primary: @escaping @Sendable (ObjectKey) -> String?,
        changed: @escaping @Sendable (ObjectKey) -> Void
    ) {
        self.agents = agents
        interval = settings.second * settings.interval
        urgent = settings.second * 5
        seconds = settings.interval
        self.primary = primary
        self.changed = changed
        queue = KeyedWorkQueue(workers: 8)
    }

    /// Ask soon.
    /// - Parameter unlessKnown: only when nobody has answered yet; else it comes by itself.
    func add(_ cluster: ObjectKey, unlessKnown: Bool = false) {
        if unlessKnown, answers.withLock({ $0[cluster] }) != nil { return }
        queue.add(cluster)
    }

    func forget(_ cluster: ObjectKey) {
        queue.forget(cluster)
        answers.withLock { $0[cluster] = nil }
    }

    subscript(cluster: ObjectKey) -> Answer { answers.withLock { $0[cluster] ?? Answer() } }

    func run() async {
        await queue.run { [self] cluster in
            guard let pod = primary(cluster) else {
                answers.withLock { $0[cluster] = nil }
                return .done
            }
            let answer = await ask(cluster, pod)
            let old = answers.withLock { answers in
                let old = answers[cluster]
                answers[cluster] = answer
                return old
            }
            if Self.differ(old, answer) { changed(cluster) }
            return .again(after: answer.isWell ? interval : urgent)
        }
    }

    private func ask(_ cluster: ObjectKey, _ pod: String) async -> Answer {
        do throws(BackupError) {
            let fresh = answers.withLock { $0[cluster]?.isWell ?? false } ? seconds : 3
            return Answer(status: try await agents.status(of: cluster, pod: pod, fresh: fresh))
        } catch {
            return Answer(error: error)
        }
    }

    /// But for what always changes.
    private static func differ(_ old: Answer?, _ new: Answer) -> Bool {
        func still(_ status: StanzaStatus?) -> StanzaStatus? {
            guard var status else { return nil }
            status.time = 0
            for place in status.repositories.indices { status.repositories[place].looked = 0 }
            for place in status.volumes.indices {
                // Nearly full is what matters of them.
                let volume = status.volumes[place]
                status.volumes[place].free = volume.free < volume.size / 50 ? volume.free >> 26 : 0
            }
            return status
        }
        guard let old else { return true }
        return still(old.status) != still(new.status) || old.error?.message != new.error?.message
    }
}

extension ClusterWatch.Answer {
    var isWell: Bool {
        guard let status, status.serverError == nil, status.archiving?.isFailing != true else { return false }
        return status.repositories.allSatisfy(\.isReady)
    }
}
