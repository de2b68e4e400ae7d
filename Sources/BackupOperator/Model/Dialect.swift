package import HTTP
package import KubernetesClient

/// A way to write clusters and backups down, and to be told what became of them. Reconcilers know no more of it.
package protocol Dialect: Sendable {
    /// Of the API.
    var group: String { get }
    var clusters: ResourceType { get }
    var backups: ResourceType { get }
    /// Whether the status of a backup is changed apart from the rest of it.
    var backupsHaveStatus: Bool { get }
    /// Whether it has the last lines of what was said while it was made.
    var backupsHaveLog: Bool { get }
    /// Whether a backup for a repository that its cluster does not name fails, or waits for it.
    var refusesUnknownRepositories: Bool { get }
    /// Seconds after which a backup on demand fails that its cluster has no good repository for; nil: it waits.
    var backupPatience: Int64? { get }
    /// What clusters refer to by name, beside Secrets and backups.
    var references: [ResourceType] { get }
    /// A label of Deployments that only the original operator of this dialect has.
    var labelOfOriginal: String? { get }

    func cluster(_ object: KubernetesObject) -> any ClusterManifest
    func backup(_ object: KubernetesObject) -> any BackupManifest
    /// A backup that is due by a schedule. Those of one time have one name: to make it twice is impossible.
    func scheduledBackup(of cluster: any ClusterManifest, _ due: SchedulePlan.Due) -> KubernetesObject

    /// Restores into clusters that are there; nil where a dialect has none.
    var restores: ResourceType? { get }
    func restore(_ object: KubernetesObject) -> (any RestoreManifest)?
    /// A full backup of what was restored.
    func backup(after restore: any RestoreManifest) -> KubernetesObject
}

extension Dialect {
    package var restores: ResourceType? { nil }
    package func restore(_ object: KubernetesObject) -> (any RestoreManifest)? { nil }
    package func backup(after restore: any RestoreManifest) -> KubernetesObject {
        KubernetesObject(backups, namespace: restore.object.namespace, name: "\(restore.object.name)-after")
    }
}

extension Dialect {
    package var labelOfOriginal: String? { nil }
}

/// An object of a type and a name in the namespace of whoever asks.
package typealias ObjectLookup = (ResourceType, String) -> KubernetesObject?

/// A cluster as a user wrote it down.
package protocol ClusterManifest: Sendable {
    var object: KubernetesObject { get }
    /// What is remembered of its schedules.
    var schedules: [ScheduleKey: ScheduleState] { get }
    /// Whether something must be written into its status before anything is made.
    var needsPlaces: Bool { get }

    /// - Throws: what is wrong with all of it; of single repositories it is in the answer.
    func wanted(_ find: ObjectLookup) throws(Refusal) -> DatabaseCluster
    /// What is to be done before a cluster that is being deleted goes; nil: nothing.
    var removal: WantedRemoval? { get }
    /// Whether a change of an object changes what is wanted.
    func refers(to type: ResourceType, _ name: String, _ find: ObjectLookup) -> Bool
    /// What of the status has changed; nil when nothing has.
    func status(_ report: ClusterReport) -> StatusChange?
}

extension ClusterManifest {
    package var removal: WantedRemoval? { nil }
}

/// What goes with a cluster because its user says so.
package struct WantedRemoval: Sendable, Equatable {
    /// That are ours to take off when all is done.
    package var finalizers: [String]
    /// The one of them that asks for the removal of all backups, and of their objects.
    package var backupsFinalizer: String?
    /// Claims of the database and of repositories, and the Secrets of users.
    package var removesVolumes = false
    package var userSecrets: [String] = []
}

/// What there is to tell of a cluster.
package struct ClusterReport: Sendable {
    /// nil when the manifest is refused.
    package var wanted: DatabaseCluster?
    package var refusal: Refusal?
    package var observation: ClusterObservation
    /// Seconds since 1970.
    package var now: Int64

    package init(
        wanted: DatabaseCluster?, refusal: Refusal? = nil, observation: ClusterObservation, now: Int64
    ) {
        self.wanted = wanted
        self.refusal = refusal
        self.observation = observation
        self.now = now
    }
}

package struct StatusChange: Sendable, Equatable {
    /// A merge patch of `status`.
    package var patch: ServiceJSON
    /// What of it is worth an event.
    package var news: [Condition]
}
