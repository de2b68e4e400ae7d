import BackupModel
import HTTP
package import KubernetesClient

/// A `PerconaPGCluster`.
package struct PerconaCluster: Sendable {
    package let object: KubernetesObject
    var spec: ServiceJSON { object["spec"] ?? [:] }
    var status: ServiceJSON? { object["status"] }

    package init(_ object: KubernetesObject) { self.object = object }

    var hasBackups: Bool { spec[["backups", "enabled"]]?.bool != false }

    /// As they were when they were last written down, with how many backups they hold.
    private var known: [String: ServiceJSON] { status?[["permafrost", "repositories"]]?.members ?? [:] }

    /// Repositories that the manifest names no more, hold backups, and may not go.
    private var unauthorized: [ServiceJSON] {
        let names = Set((spec[["backups", "pgbackrest", "repos"]]?.elements ?? []).compactMap { $0["name"]?.string })
        let allowed = Set(
            (object.annotations[OperatorNames.repositoryRemoval] ?? "").split(whereSeparator: { ", ".contains($0) })
                .map(String.init))
        return known.sorted { $0.key < $1.key }.filter {
            !names.contains($0.key) && !allowed.contains($0.key) && ($0.value["backups"]?.integer ?? 0) > 0
        }.compactMap { $0.value["repo"] }
    }

    static let removalReason = "BackupRemovalNotAuthorized"

    package func wanted(_ find: ObjectLookup) throws(Refusal) -> DatabaseCluster {
        try refuseHarm()
        if !hasBackups, !known.isEmpty, object.annotations[Percona.authorizeRemoval] != "true" {
            throw Refusal(
                Self.removalReason,
                "spec.backups.enabled is false: nothing is changed until the cluster has the annotation "
                    + "\(Percona.authorizeRemoval): \"true\"")
        }
        let instances = try PerconaInstances(spec, object)
        var cluster = DatabaseCluster(
            key: object.key, owner: object.owner(),
            names: ClusterNames(
                labels: ["\(Percona.label)/cluster": object.name], dataClaim: "pgdata",
                primaryService: "\(object.name)-primary", replicaService: "\(object.name)-replicas",
                userSecret: userSecret, superuserPassword: "superuser-password",
                replicationPassword: "replication-password",
                userEntries: ["superuser-username": "postgres", "replication-username": "replicator"],
                additionalPasswords: []),
            instances: instances.count, major: try major(), volume: instances.volume, pods: instances.pods)
        cluster.isPaused = spec["unmanaged"]?.bool == true
        cluster.isStopped = spec["pause"]?.bool == true
        cluster.keepsVolumes = true
        cluster.unsupported = unsupported() + instances.unsupported
        let patroni = PerconaPatroni(spec["patroni"] ?? [:])
        cluster.parameters = patroni.parameters
        // The server tells the time of its last commit, which a restore to a time must not lie behind.
        if hasBackups, spec[["backups", "trackLatestRestorableTime"]]?.bool != false,
            cluster.parameters["track_commit_timestamp"] == nil
        {
            cluster.parameters["track_commit_timestamp"] = "on"
        }
        cluster.patroniSettings = patroni.settings
        cluster.archiveTimeout = patroni.archiveTimeout ?? 60
        cluster.unsupported += patroni.unsupported
        cluster.users = users(find, &cluster.unsupported)
        let files = files()
        cluster.files = files.files
        cluster.unsupported += files.unsupported
        if hasBackups {
            let repositories = try PerconaRepositories(object, removed: unauthorized)
            cluster.firstRepository = repositories.first
            cluster.repositories = repositories.repositories
            cluster.faultyRepositories = repositories.faulty
            cluster.faultySchedules = repositories.faultySchedules
            cluster.engineOptions = repositories.engineOptions
            cluster.unsupported += repositories.unsupported
        }
        cluster.standby = try PerconaStandby(self).wanted
        cluster.historyBegan = Percona.text(status, "permafrost", "historyBegan").flatMap(ServiceTime.parseISO8601)
        if !isBootstrapped {
            let source = try PerconaSource(object)
            cluster.restore = source.restore
            cluster.unsupported += source.unsupported
        }
        cluster.unsupported.sort()
        return cluster
    }

    private var userSecret: String { "\(object.name)-permafrost-users" }

    private func major() throws(Refusal) -> Int {
        let known = OperatorSettings.postgresMajors
        guard let major = spec["postgresVersion"]?.integer, known.contains(major) else {
            throw Refusal(
                "PostgresVersionUnsupported",
                "there is no image of PostgreSQL '\(spec["postgresVersion"]?.string ?? "")': spec.postgresVersion can be "
                    + known.map(String.init).joined(separator: ", "))
        }
        return major
    }

    /// What would cost secrecy or data if it were left out.
    private func refuseHarm() throws(Refusal) {
        if spec["tlsOnly"]?.bool == true {
            throw Refusal(
                "TLSOnlyUnsupported", "spec.tlsOnly: connections without TLS cannot be refused, so nothing is begun")
        }
        if let snapshots = spec[["backups", "volumeSnapshots"]], !snapshots.isEmpty {
            throw Refusal(
                "SnapshotUnsupported", "spec.backups.volumeSnapshots: backups by volume snapshot are not there")
        }
    }

    /// Has begun: where it came from is of no matter any more.
    var isBootstrapped: Bool {
        (status?["conditions"]?.elements ?? []).contains {
            $0["type"]?.string == "Bootstrapped" && $0["status"]?.string == "True"
        }
    }

    // MARK: Users

    private static let reservedUsers: Set<String> = ["postgres", "replicator", "monitor", "logicalrepl"]
    private static let roleOptions: Set<String> = Set(
        ["SUPERUSER", "CREATEDB", "CREATEROLE", "INHERIT", "LOGIN", "REPLICATION", "BYPASSRLS"].flatMap {
            [$0, "NO\($0)"]
        })

    /// The database is made with them; who comes later is told of.
    private func users(_ find: ObjectLookup, _ notes: inout [UnsupportedField]) -> [WantedUser] {
        var users: [WantedUser] = []
        for (place, json) in (spec["users"]?.elements ?? []).enumerated() {
            let path = "spec.users[\(place)]"
            guard let name = Percona.text(json, "name") else { continue }
            if Self.reservedUsers.contains(name) {
                notes.append(UnsupportedField(path, "user '\(name)' is the operator's"))
                continue
            }
            var options = (Percona.text(json, "options") ?? "").uppercased().split(separator: " ").map(String.init)
            if let other = options.first(where: { !Self.roleOptions.contains($0) }) {
                notes.append(UnsupportedField("\(path).options", "'\(other)' is no option of a role without a value"))
                options = []
            }
            users.append(
                WantedUser(
                    name: name, databases: (json["databases"]?.elements ?? []).compactMap(\.string),
                    options: options.joined(separator: " "),
                    secret: Percona.text(json, "secretName") ?? "\(object.name)-pguser-\(name)"))
        }
        if spec["users"]?.elements.isEmpty ?? true {
            users = [
                WantedUser(name: object.name, databases: [object.name], secret: "\(object.name)-pguser-\(object.name)")
            ]
        }
        if let made = find(.secrets, ClusterObjects.bootstrapName(object.name))?.annotations[OperatorNames.users] {
            let names = made.split(separator: ",").map(String.init)
            for user in users where !names.contains(user.name) {
                notes.append(
                    UnsupportedField("spec.users", "user '\(user.name)' is not made: the database is there already"))
            }
        }
        return users
    }

    // MARK: Files

    private func files() -> PerconaFiles {
        let list = hasBackups ? spec[["backups", "pgbackrest", "configuration"]] : nil
        return PerconaFiles(list, at: "\(PerconaRepositories.path).configuration")
    }

    // MARK: What nothing comes of

    private static let fields = SupportedFields([
        "crVersion", "postgresVersion", "port", "pause", "unmanaged", "metadata.labels", "metadata.annotations",
        "users[].name", "users[].databases", "users[].options", "users[].secretName", "expose.type",
        "expose.annotations", "expose.labels", "expose.loadBalancerClass", "expose.loadBalancerSourceRanges",
        "exposeReplicas.type", "exposeReplicas.annotations", "exposeReplicas.labels",
        "exposeReplicas.loadBalancerClass", "exposeReplicas.loadBalancerSourceRanges", "instances[].name",
        "instances[].replicas", "instances[].affinity", "instances[].tolerations", "instances[].resources",
        "instances[].topologySpreadConstraints", "instances[].priorityClassName", "instances[].metadata",
        "instances[].dataVolumeClaimSpec.accessModes", "instances[].dataVolumeClaimSpec.storageClassName",
        "instances[].dataVolumeClaimSpec.resources.requests.storage", "patroni.dynamicConfiguration",
        "patroni.leaderLeaseDurationSeconds", "patroni.syncPeriodSeconds", "standby.enabled", "standby.repoName",
        "standby.host", "standby.port", "tlsOnly", "dataSource.volumes",
        "dataSource.postgresCluster.clusterName", "dataSource.postgresCluster.clusterNamespace",
        "dataSource.postgresCluster.repoName", "dataSource.postgresCluster.options", "dataSource.pgbackrest.stanza",
        "dataSource.pgbackrest.configuration", "dataSource.pgbackrest.global", "dataSource.pgbackrest.options",
        "dataSource.pgbackrest.repo.name", "dataSource.pgbackrest.repo.s3", "dataSource.pgbackrest.repo.gcs",
        "dataSource.pgbackrest.repo.azure", "dataSource.pgbackrest.repo.volume",
        "backups.enabled", "backups.trackLatestRestorableTime", "backups.volumeSnapshots",
        "backups.pgbackrest.metadata",
        "backups.pgbackrest.configuration", "backups.pgbackrest.global", "backups.pgbackrest.repos[].name",
        "backups.pgbackrest.repos[].schedules.full", "backups.pgbackrest.repos[].schedules.differential",
        "backups.pgbackrest.repos[].schedules.incremental", "backups.pgbackrest.repos[].volume.volumeClaimSpec",
        "backups.pgbackrest.repos[].s3.bucket", "backups.pgbackrest.repos[].s3.endpoint",
        "backups.pgbackrest.repos[].s3.region", "backups.pgbackrest.repos[].gcs.bucket",
        "backups.pgbackrest.repos[].azure.container", "backups.pgbackrest.repoHost.affinity",
        "backups.pgbackrest.repoHost.priorityClassName", "backups.pgbackrest.repoHost.resources",
        "backups.pgbackrest.repoHost.tolerations", "backups.pgbackrest.repoHost.topologySpreadConstraints",
        "backups.pgbackrest.containers.pgbackrest.resources", "backups.pgbackrest.jobs.resources",
        "backups.pgbackrest.jobs.priorityClassName", "backups.pgbackrest.jobs.affinity",
        "backups.pgbackrest.jobs.tolerations", "backups.pgbackrest.jobs.backoffLimit",
        // The original overwrites it for each backup.
        "backups.pgbackrest.manual.repoName", "backups.pgbackrest.manual.options",
    ])
    private static let reasons = [
        "spec.image": "the images are the operator's own",
        "spec.backups.pgbackrest.image": "the images are the operator's own",
        "spec.proxy": "there is no connection pooler: clients connect to PostgreSQL",
        "spec.dataSource": "the database's own pod restores",
    ]

    private func unsupported() -> [UnsupportedField] {
        var asked = spec
        // What is turned off asks for nothing.
        for name in ["pmm", "logcollector"] where asked[[name, "enabled"]]?.bool != true { asked[name] = nil }
        if asked[["proxy", "pgBouncer", "replicas"]]?.integer == 0 { asked["proxy"] = nil }
        if asked[["standby", "enabled"]]?.bool != true { asked["standby"] = nil }
        if isBootstrapped { asked["dataSource"] = nil }
        return Self.fields.others(in: asked, at: "spec").map { path in
            let reason = Self.reasons.first { path == $0.key || path.hasPrefix($0.key + ".") }?.value
            return UnsupportedField(path, reason ?? "nothing comes of it")
        }
    }
}
