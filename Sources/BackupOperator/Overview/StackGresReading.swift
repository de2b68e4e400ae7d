import HTTP
import KubernetesClient
import PostgresFormats

/// An overview of an `SGCluster`.
struct StackGresReading {
    private let cluster: KubernetesObject
    private let storages: [String: KubernetesObject]
    private let now: Int64
    private let zones: (String?) -> TimeZone?

    init(
        _ cluster: KubernetesObject, _ storages: [String: KubernetesObject], _ now: Int64,
        _ zones: @escaping (String?) -> TimeZone?
    ) {
        self.cluster = cluster
        self.storages = storages
        self.now = now
        self.zones = zones
    }

    private var status: ServiceJSON { cluster["status"] ?? [:] }
    private var named: [ServiceJSON] { cluster["spec", "configurations", "backups"]?.elements ?? [] }
    private var seen: [ServiceJSON] { status[["permafrost", "repositories"]]?.elements ?? [] }

    func overview(_ backups: [KubernetesObject]) -> ClusterOverview {
        let conditions = ReadConditions(cluster)
        var overview = ClusterOverview(.stackGres, cluster, archiving: archiving(conditions))
        switch conditions.state("Ready") {
        case .yes: overview.state = "ready"
        case .no: overview.state = conditions.state("Failed") == .yes ? "refused" : "not ready"
        case .unknown, nil: overview.state = "unknown"
        }
        overview.troubles = conditions.troubles(["Ready", "Failed"])
        if cluster["status"] == nil { overview.troubles = ["no operator has looked at it yet"] }
        overview.version = status.word("postgresVersion") ?? cluster.json.word("spec", "postgres", "version")
        overview.podsWanted = cluster["spec", "instances"]?.integer
        overview.podsReady = status["instances"]?.integer
        overview.primary = status["podStatuses"]?.elements.first { $0["primary"]?.bool == true }?.word("name")
        overview.repositories = repositories
        overview.backups = backups.compactMap(backup)
        overview.schedules = schedules
        overview.unsupported = conditions.unsupported
        return overview
    }

    private func archiving(_ conditions: ReadConditions) -> ClusterOverview.Archiving {
        if named.isEmpty { return .off("spec.configurations.backups names no object storage") }
        guard let json = status[["permafrost", "archiving"]] else {
            return .unknown(conditions.message("ContinuousArchiving") ?? "nothing has been told of it yet")
        }
        return ClusterOverview.Archiving(json)
    }

    /// `repo1`, by the storage that has this number; nil before it has one.
    private func number(_ storage: String) -> String? {
        seen.first { $0.word("sgObjectStorage") == storage }?.count("key").map { "repo\($0)" }
    }

    private var repositories: [ClusterOverview.Repository] {
        var list = seen.map { json in
            var repository = ClusterOverview.Repository(name: "repo\(json["key"]?.integer ?? 0)", status: json)
            repository.storage = json.word("sgObjectStorage")
            repository.place = repository.storage.flatMap { place($0, json.word("path")) } ?? json.word("path")
            return repository
        }
        for element in named {
            guard let name = element.word("sgObjectStorage"), number(name) == nil else { continue }
            list.append(
                ClusterOverview.Repository(
                    name: "-", storage: name, place: place(name, element.word("path")),
                    message: "the operator has not taken it up yet"))
        }
        return list
    }

    /// By the kind of the store, its bucket and the path; nothing else of it may show.
    private func place(_ storage: String, _ path: String?) -> String? {
        guard let spec = storages[storage]?["spec"], let type = spec.word("type"),
            let bucket = spec.word(type, "bucket")
        else { return nil }
        let kind = ["s3Compatible": "s3", "azureBlob": "azure"][type] ?? type
        let name = bucket.firstRange(of: "://").map { String(bucket[$0.upperBound...]) } ?? bucket
        return "\(kind) " + ([name] + [path].compactMap(\.self)).joined(separator: "/")
    }

    private var schedules: [ClusterOverview.Schedule] {
        named.compactMap { element in
            guard let text = element.word("cronSchedule"), let storage = element.word("sgObjectStorage") else {
                return nil
            }
            return ClusterOverview.Schedule(
                number(storage) ?? storage, "full", text, zone: element.word("timeZone"), now: now, zones: zones)
        }
    }

    private func backup(_ object: KubernetesObject) -> ClusterOverview.Backup? {
        guard object.json.word("spec", "sgCluster") == cluster.name else { return nil }
        let status = object["status"] ?? [:]
        let progress: ClusterOverview.Progress
        switch status.word("process", "status") {
        case "Running": progress = .running
        case "Completed": progress = .complete
        case "Failed": progress = .failed
        default: progress = .waiting
        }
        let key =
            status.count("permafrost", "repository").map { "\($0)" } ?? object.annotations[OperatorNames.repository]
        let path = status.word("backupPath")
        let place = path.flatMap { path in seen.first { $0.word("path") == path }?.count("key") }
        return ClusterOverview.Backup(
            name: object.name, label: status.word("internalName"),
            repository: place.map { "repo\($0)" } ?? key.map { "repo\($0)" } ?? (seen.count == 1 ? "repo1" : nil),
            type: status.word("permafrost", "type") ?? "full", progress: progress,
            size: status.count("backupInformation", "size", "compressed"), created: object.creationTime ?? 0,
            end: status.time("process", "timing", "end"),
            stopLSN: status[["backupInformation", "lsn", "end"]]?.string.flatMap { UInt64($0) ?? LSN($0)?.rawValue },
            major: status.count("backupInformation", "postgresVersion").map { Int($0 >= 10_000 ? $0 / 10_000 : $0) },
            error: status.word("process", "failure"))
    }
}

extension ClusterOverview.Archiving {
    /// As both kinds of clusters have it in their status.
    init(_ json: ServiceJSON) {
        let (segment, time) = (json.word("lastWal"), json.time("lastTime"))
        self =
            json["failing"]?.bool == true
            ? .failing(segment: segment, time: time, message: json.word("message") ?? "no reason was told")
            : .working(segment: segment, time: time)
    }
}

extension ClusterOverview.Repository {
    /// As both kinds of clusters have it in their status.
    init(name: String, status: ServiceJSON) {
        self.init(name: name)
        isReady = status["ready"]?.bool
        reason = status.word("reason") ?? ""
        message = status.word("message") ?? ""
        firstRestorable = status.time("firstRestorableTime")
        lastRestorable = status.time("lastRestorableTime")
        backups = status["backups"]?.integer
        size = status.count("size")
        newest = status.word("lastBackup", "internalName") ?? status.word("lastBackup", "backupName")
    }
}
