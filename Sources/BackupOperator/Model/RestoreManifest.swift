package import HTTP
package import KubernetesClient

/// A restore into a cluster that is there, as a user asks for it.
package protocol RestoreManifest: Sendable {
    var object: KubernetesObject { get }
    var cluster: ObjectKey { get }
    /// Why it cannot be made, however its cluster is.
    var refusal: Refusal? { get }
    var repositoryKey: Int? { get }
    /// Options of the engine, without dashes.
    var options: [(name: String, value: String)] { get }

    var phase: RestorePhase? { get }
    /// How far it is while it runs.
    var stage: RestoreStage { get }
    /// How often the run was begun anew, since an agent was lost; from 1.
    var attempt: Int { get }
    /// Seconds since 1970.
    var startTime: Int64? { get }

    /// A merge patch of `status`.
    func status(_ progress: RestoreProgress) -> ServiceJSON
}

package enum RestorePhase: Sendable {
    case starting, running, succeeded, failed
}

/// What a restore is at; each one begins where the one before has ended, also after the operator was killed.
package enum RestoreStage: String, Sendable {
    /// The database runs, and is asked whether all that is needed is there.
    case checking = "Checking"
    /// The members but for the first go: they would follow what is given up.
    case stopping = "StoppingReplicas"
    /// The first member's agent replaces its data.
    case restoring = "Restoring"
    /// The members come back.
    case starting = "StartingReplicas"
    case done = "Done"

    /// Whether the cluster has only its first member meanwhile.
    var isAlone: Bool { self == .stopping || self == .restoring }
}

package enum RestoreProgress: Sendable {
    case waiting(String)
    case started(target: String, now: Int64)
    case stage(RestoreStage, attempt: Int, job: String?)
    case succeeded(restored: ServiceJSON?, backup: String, log: String?, now: Int64)
    case failed(String, log: String?, now: Int64)
}

extension RestoreManifest {
    package var isFinished: Bool { phase == .succeeded || phase == .failed }
    package var isActive: Bool { phase == .starting || phase == .running }
}
