package import BackupModel
import HTTP
package import KubernetesClient

/// What was seen of a cluster, for its status.
package struct ClusterObservation: Sendable {
    package struct Pod: Sendable, Equatable {
        package var name: String
        package var node: String?
        package var isPrimary: Bool
        package var isReady: Bool
        /// Why it does not run; nil when it does.
        package var trouble: String?
    }

    package struct LastBackup: Sendable, Equatable {
        package var name: String
        package var repository: Int
        package var label: String?
        /// Nil: it succeeded.
        package var failure: String?
        package var time: Int64
    }

    package var pods: [Pod] = []
    package var status: StanzaStatus?
    package var statusError: BackupError?
    /// Entries of Secrets that are not there, by repository.
    package var missing: [Int: SecretKey] = [:]
    /// Why not all objects are as they are to be.
    package var trouble: String?
    /// What of users' files is not there, or is left out.
    package var fileFaults: [Refusal] = []
    /// Newest first.
    package var backups: [LastBackup] = []
    package var schedules: [ScheduleKey: ScheduleState] = [:]
    /// Further objects of the cluster that are looked at: the repository host's Deployment, claims of its volumes.
    package var isHostReady = false
    package var boundClaims: [Int: String] = [:]
    /// The version of the pods, where it is not that of the operator, and the operator's.
    package var outdated: (pods: String, operator: String)?

    package init() {}

    package var primary: Pod? { pods.first { $0.isPrimary } }

    /// Of a database.
    package static func pod(_ pod: KubernetesObject) -> Pod {
        let conditions = pod["status", "conditions"]?.elements ?? []
        let isReady = conditions.contains { $0["type"]?.string == "Ready" && $0["status"]?.string == "True" }
        var trouble: String?
        for container in pod["status", "containerStatuses"]?.elements ?? [] {
            let name = container["name"]?.string ?? ""
            if let waiting = container[["state", "waiting"]], let reason = waiting["reason"]?.string,
                !["ContainerCreating", "PodInitializing"].contains(reason)
            {
                let last = container[["lastState", "terminated", "message"]]?.string
                trouble = "container \(name): \(reason): \(last ?? waiting["message"]?.string ?? "")"
            }
        }
        if trouble == nil,
            let unscheduled = conditions.first(where: {
                $0["type"]?.string == "PodScheduled" && $0["status"]?.string == "False"
            })
        {
            trouble = unscheduled["message"]?.string
        }
        let role = pod.labels["role"]
        return Pod(
            name: pod.name, node: nil, isPrimary: (role == "primary" || role == "master") && !pod.isBeingDeleted,
            isReady: isReady && !pod.isBeingDeleted, trouble: trouble)
    }
}
