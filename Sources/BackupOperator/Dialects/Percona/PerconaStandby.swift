import HTTP
import KubernetesClient

/// `spec.standby`, and what status remembers of it: a standby that is no more asked for is one until it was promoted.
struct PerconaStandby: Sendable {
    private(set) var wanted: WantedStandby?

    static let statusPath = ["permafrost", "standby"]

    /// - Throws: what would end in two that write.
    init(_ cluster: PerconaCluster) throws(Refusal) {
        let spec = cluster.spec["standby"] ?? [:]
        let known = cluster.status?[Self.statusPath]
        let isDecided = known?["state"]?.string == "promoting"
        let wasStandby = known?["state"]?.string == "following"
        guard spec["enabled"]?.bool == true, !isDecided else {
            if wasStandby || isDecided, let key = Percona.key(Percona.text(known, "repo")) {
                wanted = WantedStandby(repository: key, isToEnd: true)
                wanted?.isDecided = isDecided
                wanted?.lastSegment = Percona.text(known, "lastWal")
                wanted?.lastTime = Percona.text(known, "lastWalSeen").flatMap(ServiceTime.parseISO8601)
            }
            return
        }
        for member in ["host", "port"] where spec[member] != nil {
            throw Refusal(
                "StandbyUnsupported",
                "spec.standby.\(member): a standby follows by the archive alone: leave it out and name a repository in "
                    + "spec.standby.repoName")
        }
        if let source = cluster.spec["dataSource"], !source.isEmpty, !cluster.isBootstrapped {
            throw Refusal(
                "StandbyInvalid", "spec.standby and spec.dataSource: a standby begins with what it follows: name one")
        }
        if !wasStandby, cluster.isBootstrapped {
            throw Refusal(
                "StandbyInvalid",
                "spec.standby: a database that was written to cannot follow another: delete the cluster with its "
                    + "volumes, and create it anew as a standby")
        }
        guard cluster.hasBackups, let name = Percona.text(spec, "repoName"), let key = Percona.key(name) else {
            throw Refusal(
                "StandbyInvalid", "spec.standby.repoName must name one of the cluster's repositories, repo1 to repo4")
        }
        let repo = (cluster.spec[["backups", "pgbackrest", "repos"]]?.elements ?? []).first {
            $0["name"]?.string == name
        }
        guard let repo else {
            throw Refusal("StandbyInvalid", "spec.standby.repoName: there is no \(name) in \(PerconaRepositories.path)")
        }
        if repo["volume"] != nil {
            throw Refusal(
                "StandbyInvalid",
                "spec.standby.repoName: \(name) is a volume, which no other cluster writes to: a standby needs a bucket "
                    + "that both reach")
        }
        wanted = WantedStandby(repository: key, isToEnd: false)
    }
}
