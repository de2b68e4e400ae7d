import HTTP
package import KubernetesClient

/// The names of `pgv2.percona.com`.
package enum Percona {
    package static let group = "pgv2.percona.com"
    package static let clusters = ResourceType(group, "v2", "perconapgclusters", kind: "PerconaPGCluster")
    package static let backups = ResourceType(group, "v2", "perconapgbackups", kind: "PerconaPGBackup")

    package static let restores = ResourceType(group, "v2", "perconapgrestores", kind: "PerconaPGRestore")

    /// Before labels of all that belongs to a cluster.
    static let label = "postgres-operator.crunchydata.com"
    /// Of the Deployment of the original operator.
    static let originalLabel = "pgv2.percona.com/control-plane"
    /// Annotation of a cluster: its backups may be turned off.
    static let authorizeRemoval = "pgv2.percona.com/authorizeBackupRemoval"

    static let deleteBackups = "percona.com/delete-backups"
    static let deleteVolumes = "percona.com/delete-pvc"
    /// On clusters of the original too, so that those can go.
    static let finalizers = [
        deleteBackups, deleteVolumes, "percona.com/delete-ssl", "internal.percona.com/stop-watchers",
        "percona.com/stop-watchers",
    ]

    /// Annotations of a backup in the repository.
    static let storedName = "percona.com/backup-name"
    static let storedJob = "percona.com/backup-job-name"
    static let storedJobType = "percona.com/backup-job-type"

    static let repositoryLimit = 4

    /// 1 of `repo1`; nil for what names no repository.
    package static func key(_ name: String?) -> Int? {
        guard let name, name.hasPrefix("repo"), name.utf8.count == 5, let key = Int(name.dropFirst(4)),
            (1...repositoryLimit).contains(key)
        else { return nil }
        return key
    }

    /// A path of members, as `spec.s3.bucket`.
    static func text(_ json: ServiceJSON?, _ path: String...) -> String? {
        guard case .text(let text)? = json?[path], !text.isEmpty else { return nil }
        return text
    }
}
