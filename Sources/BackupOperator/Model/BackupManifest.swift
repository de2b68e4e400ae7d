package import HTTP
package import KubernetesClient

/// A backup as a user or a schedule asks for it.
package protocol BackupManifest: Sendable {
    var object: KubernetesObject { get }
    var cluster: ObjectKey { get }
    /// The user asks us to leave it alone.
    var isLeftAlone: Bool { get }
    /// A copy of another backup's object: nothing is run for it.
    var isCopy: Bool { get }

    var phase: BackupPhase? { get }
    var failure: String? { get }
    /// The engine's name of it.
    var label: String? { get }
    /// Seconds since 1970.
    var endTime: Int64? { get }
    var jobPod: String? { get }

    /// When it was due, in seconds since 1970; nil for one that somebody asked for.
    var scheduledTime: Int64? { get }
    /// Since when it has waited for a good repository, where the status says so.
    var waitingSince: Int64? { get }
    /// Where it goes; nil: to the first repository.
    var repositoryKey: Int? { get }
    var kind: WantedSchedule.Kind { get }
    /// Options of the engine for this run, without dashes; what is not allowed is in ``refusal``.
    var options: [(name: String, value: String)] { get }
    /// Why it cannot be made, however its cluster is.
    var refusal: Refusal? { get }
    /// nil: as the repository says; 0: none.
    var timeoutSeconds: Int? { get }
    var retries: Int? { get }
    /// Whether retention leaves it alone, and the same as the repository has it; nil before it is there.
    var isHeld: Bool { get }
    var isStoredHeld: Bool? { get }
    /// Whether its data goes with the object.
    var isOwnerOfData: Bool { get }
    /// Whether its data can only be removed by a cluster that has the repository.
    var needsClusterForRemoval: Bool { get }
    /// Of the service account by which its repository was reached.
    var accountAnnotations: [String: String] { get }
    /// Annotations of the backup in the repository, beside ours.
    func storedAnnotations(job: String) -> [String: String]
    /// Of the Job that makes it, and of its pods.
    var jobLabels: [String: String] { get }

    /// Where its data is; nil before its status says so.
    func location() throws(Refusal) -> RepositoryLocation?
    /// A merge patch of `status`.
    func status(_ progress: BackupProgress) -> ServiceJSON
}

package enum BackupPhase: Sendable {
    case pending, running, completed, failed
}

/// What has become of a backup.
package enum BackupProgress: Sendable {
    /// - Parameter now: nil where it waits for its turn alone.
    case waiting(reason: String, message: String, now: Int64?)
    case begun(WantedRepository, cluster: DatabaseCluster, now: Int64)
    case running(job: String, pod: String?)
    case completed(BackupFacts)
    case failed(String, pod: String?, log: String?)
    /// By which retention leaves it alone, or not.
    case held(Bool)
    /// Up to when can be restored with it, in microseconds since 1970.
    case restorable(Int64)
}

/// What is known of a backup that is complete.
package struct BackupFacts: Sendable {
    package var stored: StoredBackup
    package var status: StanzaStatus?
    /// Of the Job.
    package var jobPod: String?
    /// Of the server.
    package var sourcePod: String?
    /// The last lines of what the Job said.
    package var log: String?
}

extension BackupManifest {
    package var needsClusterForRemoval: Bool { false }
    package var accountAnnotations: [String: String] { [:] }
    package func storedAnnotations(job: String) -> [String: String] { [:] }

    package var isFinished: Bool { phase == .completed || phase == .failed }

    /// Not for one before it that had the same name.
    package func isMade(for cluster: KubernetesObject) -> Bool {
        !isCopy && object.creationTime ?? 0 >= cluster.creationTime ?? 0
    }

    /// Whether both are the same backup in the same place.
    package func isSameData(as other: any BackupManifest) -> Bool {
        guard label != nil, label == other.label, let place = try? other.location() else { return false }
        return isStored(in: place)
    }

    /// Whether its data is there; how the place is reached is of no matter.
    package func isStored(in place: RepositoryLocation) -> Bool {
        guard let own = try? location() else { return false }
        return own.place == place.place
    }
}
