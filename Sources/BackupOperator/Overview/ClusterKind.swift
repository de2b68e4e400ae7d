package import BackupModel
package import KubernetesClient

/// What of a cluster, its backups and its restores is read and made for people, by the names of the API alone: what is
/// told here must not depend on how the operator goes about it.
package enum ClusterKind: Sendable, CaseIterable {
    case stackGres
    case percona

    package var clusters: ResourceType {
        switch self {
        case .stackGres: StackGres.clusters
        case .percona: Self.type("perconapgclusters", "PerconaPGCluster")
        }
    }

    package var backups: ResourceType {
        switch self {
        case .stackGres: StackGres.backups
        case .percona: Self.type("perconapgbackups", "PerconaPGBackup")
        }
    }

    /// Of a cluster in place; with StackGres a restore is a cluster.
    package var restores: ResourceType? {
        switch self {
        case .stackGres: nil
        case .percona: Self.type("perconapgrestores", "PerconaPGRestore")
        }
    }

    /// What clusters name for their repositories.
    package var storages: ResourceType? {
        switch self {
        case .stackGres: StackGres.storages
        case .percona: nil
        }
    }

    /// By a word before a cluster's name, as kubectl takes it: `sgcluster/shop`.
    package init?(word: String) {
        switch word.lowercased() {
        case "sgcluster", "sgclusters", "sgclu", "sgclusters.stackgres.io", "sgcluster.stackgres.io": self = .stackGres
        case "perconapgcluster", "perconapgclusters", "pg", "perconapgclusters.pgv2.percona.com",
            "perconapgcluster.pgv2.percona.com":
            self = .percona
        default: return nil
        }
    }

    private static func type(_ plural: String, _ kind: String) -> ResourceType {
        ResourceType("pgv2.percona.com", "v2", plural, kind: kind)
    }
}

/// Names of clusters, as Kubernetes allows them.
package enum ClusterName {
    package static func isValid(_ name: String) -> Bool {
        name.wholeMatch(of: #/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/#) != nil
    }

    /// Of one that is made: its Services and pods have it in theirs.
    static func isValidForNew(_ name: String) -> Bool {
        name.wholeMatch(of: #/[a-z]([-a-z0-9]{0,42}[a-z0-9])?/#) != nil
    }

    package static func fault(_ name: String) -> BackupError {
        BackupError(
            .parameterInvalid, "'\(name)' is no name of a cluster",
            hint: "names have small letters, digits and '-', begin with a letter, and have 44 characters at most")
    }
}
