package import BackupModel
import HTTP
package import KubernetesClient

/// A restore that somebody asks for: from what, to where, to which moment.
package struct RestoreOrder: Sendable, Equatable {
    package enum Target: Sendable, Equatable {
        /// All WAL that there is.
        case end
        case immediate
        /// As it was written.
        case time(String)
        case lsn(String)
        case name(String)
    }

    /// Of an object, or in the repository.
    package var backup: String?
    package var repository: String?
    package var target = Target.end
    /// Of the cluster that is made; nil in place.
    package var newName: String?

    package init(
        backup: String? = nil, repository: String? = nil, target: Target = .end, newName: String? = nil
    ) {
        self.backup = backup
        self.repository = repository
        self.target = target
        self.newName = newName
    }
}

/// What a restore would do: shown, asked about, and then carried out as the object says.
package struct RestoreOutlook: Sendable, Equatable {
    package var title: String
    package var facts: [(name: String, text: String)]
    package var manifest: KubernetesObject
    package var backup: ClusterOverview.Backup

    package static func == (one: RestoreOutlook, other: RestoreOutlook) -> Bool {
        one.text == other.text && one.manifest == other.manifest && one.backup == other.backup
    }

    /// 80 columns wide.
    package var text: String {
        let lines = facts.flatMap { fact in
            Help.columns(fact.name, ScreenText.plain(fact.text), indent: 2, column: 14)
        }
        return ([title, ""] + lines).joined(separator: "\n") + "\n"
    }

    /// - Parameters:
    ///   - object: the cluster's.
    ///   - taken: whether there is a cluster already that has the new one's name.
    /// - Throws: why it cannot be done, before anything is made.
    package init(
        _ order: RestoreOrder, _ cluster: ClusterOverview, _ object: KubernetesObject, isTaken: Bool = false, now: Int64
    ) throws(BackupError) {
        let planning = RestorePlanning(order: order, cluster: cluster, object: object, now: now)
        try planning.checkPlace(isTaken: isTaken)
        let target = try planning.target()
        let backup = try planning.choose(target)
        let window = try planning.window(target, backup)
        self.backup = backup
        switch cluster.kind {
        case .stackGres:
            let name = order.newName ?? ""
            let made = try planning.newCluster(name, backup, target)
            title = "Restore of \(cluster.title) into the new SGCluster '\(name)'"
            manifest = made.object
            facts = [
                ("replaced", "nothing: '\(cluster.name)' stays as it is, and goes on"),
                ("made", made.description), ("from", planning.described(backup)),
                ("to", planning.described(target, window)),
                ("lost", "nothing; what came later in '\(cluster.name)' is not in '\(name)'"),
            ]
            facts += made.notes.map { ("note", $0) }
        case .percona:
            title = "Restore of \(cluster.title), in place"
            manifest = planning.restore(backup, target)
            let pods = cluster.podsWanted.map { " (\(ScreenText.count($0, "instance")))" } ?? ""
            facts = [
                (
                    "replaced",
                    "all databases of '\(cluster.name)'\(pods); clients have no server until it is done"
                ),
                ("from", planning.described(backup)), ("to", planning.described(target, window)),
                ("lost", planning.lost(target, backup)),
            ]
        }
        facts += planning.warnings(backup).map { ("note", $0) }
    }
}
