import Checksums

/// Names that are ours, in whichever dialect.
package enum OperatorNames {
    package static let fieldManager = "permafrost-operator"
    package static let stanza = "db"

    /// Label of all that belongs to a cluster.
    static let cluster = "permafrost.dev/cluster"
    /// Label: what of a cluster it is.
    static let part = "permafrost.dev/part"
    /// Annotation: of what we have applied.
    static let applied = "permafrost.dev/applied"
    /// Annotation of pods: of the configuration that they are to have; a change of it makes the kubelet look at once.
    static let configuration = "permafrost.dev/configuration"

    /// Annotation of what Patroni keeps for all members: what of it is from the manifest.
    static let patroni = "permafrost.dev/patroni"
    /// Annotation of a StatefulSet: of its template for claims.
    static let volume = "permafrost.dev/volume"

    static let scheduledTime = "permafrost.dev/scheduled-time"
    static let repository = "permafrost.dev/repository"
    static let missed = "permafrost.dev/missed"
    /// Label that no object has.
    static let probe = "permafrost.dev/probe"
    static let finalizer = "permafrost.dev/backup-data"
    /// Annotation of a backup: its data stays when it is deleted.
    static let keepsData = "permafrost.dev/keep-data"

    /// Annotation of a backup of a dialect in which data outlives objects: it goes with the object.
    static let deletesData = "permafrost.dev/delete-data"
    /// Annotation of a cluster: repositories that may go from its configuration though there are backups in them.
    static let repositoryRemoval = "permafrost.dev/authorize-repository-removal"
    /// Annotation of a cluster: the version of the operator to which its pods may be brought.
    static let update = "permafrost.dev/update"
    /// Annotation of the Secret that a database begins with: who is made there.
    static let users = "permafrost.dev/users"

    /// Annotation of a backup: its data is gone, by retention, and it goes too.
    static let expired = "permafrost.dev/expired"

    /// Annotation of a cluster: namespaces, or `*`, in which others may begin as copies of it.
    static let copiesTo = "permafrost.dev/copies-to"
    /// Common name of certificates with which copies read a repository of another cluster. None is a cluster's name: it
    /// would hold a dot.
    static let reader = "copies.permafrost.dev"

    /// The annotation of a backup in the repository that says which object it was made for.
    static let backupUID = "permafrost-uid"

    /// No longer than `limit` bytes; two that differ stay different.
    static func shortened(_ name: String, to limit: Int) -> String {
        guard name.utf8.count > limit, limit > 9 else { return name }
        var end = name.prefix(limit - 9)
        while let last = end.last, last == "-" || last == "." { end = end.dropLast() }
        return "\(end)-\(digest(name).prefix(8))"
    }

    static func digest(_ text: String) -> String {
        SHA1.hash(Array(text.utf8).span.bytes).hex
    }
}
