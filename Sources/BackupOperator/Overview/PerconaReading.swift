import HTTP
import KubernetesClient
import PostgresFormats

/// An overview of a `PerconaPGCluster`.
struct PerconaReading {
    private let cluster: KubernetesObject
    private let now: Int64
    private let zones: (String?) -> TimeZone?

    init(_ cluster: KubernetesObject, _ now: Int64, _ zones: @escaping (String?) -> TimeZone?) {
        self.cluster = cluster
        self.now = now
        self.zones = zones
    }

    private var status: ServiceJSON { cluster["status"] ?? [:] }
    private var named: [ServiceJSON] { cluster["spec", "backups", "pgbackrest", "repos"]?.elements ?? [] }
    private var seen: [ServiceJSON] { status[["pgbackrest", "repos"]]?.elements ?? [] }

    func overview(_ backups: [KubernetesObject], _ restores: [KubernetesObject]) -> ClusterOverview {
        let conditions = ReadConditions(cluster)
        var overview = ClusterOverview(.percona, cluster, archiving: archiving(conditions))
        overview.state = status.word("state") ?? "unknown"
        // One that follows another makes no backups, and that is as it should be.
        let isStandby = conditions.state("Standby") == .yes
        overview.troubles = conditions.troubles(isStandby ? ["Ready"] : ["Ready", "ReadyForBackup"])
        if cluster["status"] == nil { overview.troubles = ["no operator has looked at it yet"] }
        overview.version = (status[["postgres", "version"]] ?? cluster["spec", "postgresVersion"])?.string
        let sets = cluster["spec", "instances"]?.elements ?? []
        overview.podsWanted =
            status[["postgres", "size"]]?.integer
            ?? (sets.isEmpty ? nil : sets.reduce(0) { $0 + ($1["replicas"]?.integer ?? 1) })
        overview.podsReady = status[["postgres", "ready"]]?.integer
        overview.repositories = repositories
        overview.backups = backups.compactMap(backup)
        overview.restores = restores.compactMap(restore)
        overview.schedules = schedules
        overview.unsupported = conditions.unsupported
        return overview
    }

    private func archiving(_ conditions: ReadConditions) -> ClusterOverview.Archiving {
        if cluster["spec", "backups", "enabled"]?.bool == false { return .off("spec.backups.enabled is false") }
        if conditions.state("Standby") == .yes { return .off(conditions.message("Standby") ?? "it follows another") }
        guard let json = status["archiving"], !json.isEmpty else {
            return .unknown(conditions.message("ContinuousArchiving") ?? "nothing has been told of it yet")
        }
        return ClusterOverview.Archiving(json)
    }

    private var repositories: [ClusterOverview.Repository] {
        var list = named.compactMap { element -> ClusterOverview.Repository? in
            guard let name = element.word("name") else { return nil }
            let said = seen.first { $0.word("name") == name }
            var repository = ClusterOverview.Repository(name: name, status: said ?? [:])
            repository.place = place(name, element, said)
            if said == nil { repository.message = "the operator has not taken it up yet" }
            return repository
        }
        // What the cluster names no more, as long as the status has it.
        for json in seen where !named.contains(where: { $0.word("name") == json.word("name") }) {
            list.append(ClusterOverview.Repository(name: json.word("name") ?? "-", status: json))
        }
        return list
    }

    /// By the kind of the store, its bucket and the path; of `global`, which may hold secrets, the path alone.
    private func place(_ name: String, _ element: ServiceJSON, _ said: ServiceJSON?) -> String {
        let path = cluster["spec", "backups", "pgbackrest", "global", "\(name)-path"]?.string ?? ""
        let below = path.isEmpty || path.hasPrefix("/") ? path : "/\(path)"
        for (type, field) in [("s3", "bucket"), ("gcs", "bucket"), ("azure", "container")] {
            if let place = element.word(type, field) { return "\(type) \(place)\(below)" }
        }
        let size = element.word("volume", "volumeClaimSpec", "resources", "requests", "storage").map { " of \($0)" }
        return "volume \(said?.word("volume") ?? "\(cluster.name)-\(name)")\(size ?? "")"
    }

    private var schedules: [ClusterOverview.Schedule] {
        named.flatMap { element -> [ClusterOverview.Schedule] in
            [("full", "full"), ("differential", "diff"), ("incremental", "incr")].compactMap { field, type in
                guard var text = element.word("schedules", field) else { return nil }
                var zone: String?
                for prefix in ["CRON_TZ=", "TZ="] where text.hasPrefix(prefix) {
                    let words = text.dropFirst(prefix.count).split(separator: " ", maxSplits: 1)
                    zone = words.first.map(String.init)
                    text = words.count > 1 ? String(words[1]) : ""
                }
                return ClusterOverview.Schedule(
                    element.word("name") ?? "-", type, text, zone: zone, now: now, zones: zones)
            }
        }
    }

    private func backup(_ object: KubernetesObject) -> ClusterOverview.Backup? {
        guard object.json.word("spec", "pgCluster") == cluster.name else { return nil }
        let status = object["status"] ?? [:]
        let options = object["spec", "options"]?.elements.compactMap(\.string) ?? []
        let asked = options.first { $0.hasPrefix("--type=") }.map { String($0.dropFirst(7)) }
        return ClusterOverview.Backup(
            name: object.name, label: status.word("backupName"), repository: object.json.word("spec", "repoName"),
            type: status.word("backupType") ?? asked, progress: Self.progress(status), size: status.count("size"),
            created: object.creationTime ?? 0, end: status.time("completed"),
            stopLSN: status.word("lsn", "stop").flatMap { LSN($0)?.rawValue }, error: status.word("error"))
    }

    private func restore(_ object: KubernetesObject) -> ClusterOverview.Restore? {
        guard object.json.word("spec", "pgCluster") == cluster.name else { return nil }
        let status = object["status"] ?? [:]
        return ClusterOverview.Restore(
            name: object.name, progress: Self.progress(status), stage: status.word("stage"),
            target: status.word("target"), created: object.creationTime ?? 0, error: status.word("error"))
    }

    static func progress(_ status: ServiceJSON) -> ClusterOverview.Progress {
        switch status.word("state") {
        case "Starting", "Running": .running
        case "Succeeded": .complete
        case "Failed": .failed
        default: .waiting
        }
    }
}
