import BackupModel
import HTTP
import KubernetesClient

/// `backups.pgbackrest.repos` with the options of `global` that belong to them. One that cannot be used never keeps the
/// others from being.
struct PerconaRepositories: Sendable {
    static let path = "spec.backups.pgbackrest"

    private(set) var repositories: [WantedRepository] = []
    private(set) var faulty: [FaultyRepository] = []
    private(set) var faultySchedules: [UnsupportedField] = []
    private(set) var unsupported: [UnsupportedField] = []
    private(set) var engineOptions: [String: String] = [:]
    private(set) var first: Int?

    private let cluster: KubernetesObject
    private let settings: ServiceJSON

    /// - Parameter removed: repositories that the manifest names no more and that stay for now, as they were.
    init(_ cluster: KubernetesObject, removed: [ServiceJSON]) throws(Refusal) {
        self.cluster = cluster
        settings = cluster["spec", "backups", "pgbackrest"] ?? [:]
        let wanted = settings["repos"]?.elements ?? []
        let all = wanted.enumerated().map { (json: $0.element, path: "\(Self.path).repos[\($0.offset)]") }
        var places: [Int: [String: String]] = [:]
        for json in wanted + removed {
            if let key = Percona.key(Percona.text(json, "name")), places[key] == nil { places[key] = Self.place(json) }
        }
        let options = try PerconaOptions(settings["global"], places: places, at: "\(Self.path).global")
        engineOptions = options.engine
        unsupported = options.unsupported
        first = wanted.lazy.compactMap { Percona.key(Percona.text($0, "name")) }.first
        var seen: Set<Int> = []
        for (json, path) in all {
            guard let key = Percona.key(Percona.text(json, "name")), seen.insert(key).inserted else {
                unsupported.append(UnsupportedField("\(path).name", "names are repo1 to repo4, each once"))
                continue
            }
            add(json, key, path, options)
        }
        for json in removed {
            guard let key = Percona.key(Percona.text(json, "name")), seen.insert(key).inserted else { continue }
            add(json, key, "repository repo\(key)", options)
            if let place = repositories.firstIndex(where: { $0.key == key }) { repositories[place].schedules = [] }
            faulty.append(
                FaultyRepository(
                    key: key, name: "repo\(key)",
                    fault: Refusal(
                        "RemovalNotAuthorized",
                        "repo\(key) holds backups and is no more in \(Self.path).repos: it stays until the cluster has the annotation \(OperatorNames.repositoryRemoval): \"repo\(key)\"",
                        isTemporary: true)))
        }
    }

    private mutating func add(_ json: ServiceJSON, _ key: Int, _ path: String, _ options: PerconaOptions) {
        do throws(Refusal) {
            if let fault = options.faults[key] { throw fault }
            var repository = try repository(json, key, path, options.repositories[key] ?? [:])
            if let other = repositories.first(where: { Self.isSame($0, repository) }) {
                throw Refusal("RepositoryTwice", "repo\(key) and \(other.name) are the same place")
            }
            repository.schedules = schedules(json, path)
            repositories.append(repository)
        } catch {
            faulty.append(FaultyRepository(key: key, name: "repo\(key)", fault: error))
        }
    }

    /// Volumes are two unless they were mounted in one place.
    private static func isSame(_ one: WantedRepository, _ other: WantedRepository) -> Bool {
        guard one.volume == nil, other.volume == nil else { return one.volume?.directory == other.volume?.directory }
        return one.location.identity == other.location.identity
    }

    // MARK: Places

    /// Options of the engine that its own fields are, without `repoN-`.
    private static func place(_ json: ServiceJSON) -> [String: String] {
        var place: [String: String] = [:]
        if let s3 = json["s3"] {
            place["type"] = "s3"
            place["s3-bucket"] = Percona.text(s3, "bucket")
            place["s3-endpoint"] = Percona.text(s3, "endpoint")
            place["s3-region"] = Percona.text(s3, "region")
        } else if let gcs = json["gcs"] {
            place["type"] = "gcs"
            place["gcs-bucket"] = Percona.text(gcs, "bucket")
        } else if let azure = json["azure"] {
            place["type"] = "azure"
            place["azure-container"] = Percona.text(azure, "container")
        } else {
            place["type"] = "posix"
        }
        return place
    }

    private func repository(
        _ json: ServiceJSON, _ key: Int, _ path: String, _ options: [String: String]
    ) throws(Refusal) -> WantedRepository {
        let kinds = ["volume", "s3", "gcs", "azure"].filter { json[$0] != nil }
        guard kinds.count == 1, let kind = kinds.first else {
            throw Refusal(
                "RepositoryInvalid",
                "\(path) must have one of volume, s3, gcs and azure, and has "
                    + (kinds.isEmpty ? "none" : kinds.joined(separator: " and ")))
        }
        var location = RepositoryLocation(options: Self.place(json))
        let needed = ["s3": "s3-bucket", "gcs": "gcs-bucket", "azure": "azure-container"][kind]
        if let needed, location.options[needed] == nil {
            throw Refusal("RepositoryInvalid", "\(path).\(kind) names no \(kind == "azure" ? "container" : "bucket")")
        }
        location.options["path"] = "/pgbackrest/repo\(key)"
        var keeping: [String: String] = [:]
        for (name, value) in options {
            if ["retention-", "bundle", "block", "hardlink", "symlink"].contains(where: name.hasPrefix) {
                keeping[name] = value
            } else {
                location.options[name] = value
            }
        }
        var repository = WantedRepository(key: key, name: "repo\(key)", location: location)
        if kind == "volume" { repository = try volume(json, path, repository) }
        repository.keeping = keeping
        repository.beginsWithBackup = key == first
        repository.retries = max(0, settings[["jobs", "backoffLimit"]]?.integer ?? 3)
        repository.record = record(json, repository.location)
        return repository
    }

    private func volume(
        _ json: ServiceJSON, _ path: String, _ repository: WantedRepository
    ) throws(Refusal) -> WantedRepository {
        let at = "\(path).volume.volumeClaimSpec"
        guard let spec = json[["volume", "volumeClaimSpec"]],
            let size = spec[["resources", "requests", "storage"]]?.string, Quantity.bytes(size) != nil
        else { throw Refusal("RepositoryInvalid", "\(at) asks for no storage") }
        var repository = repository
        let directory = repository.location.options["path"] ?? ""
        let parts = directory.split(separator: "/")
        guard parts.first == "pgbackrest", parts.count > 1, !parts.contains("..") else {
            throw Refusal(
                "RepositoryInvalid",
                "repo\(repository.key)-path: a volume is mounted at a path below /pgbackrest, not at '\(directory)'")
        }
        let own = "/pgbackrest/repo\(repository.key)"
        let claim = "\(cluster.name)-repo\(repository.key)"
        repository.location.claim = claim
        repository.volume = RepositoryVolume(
            claim: claim, spec: spec, directory: directory == own || directory.hasPrefix(own + "/") ? own : directory)
        return repository
    }

    /// What the status of a backup keeps of it.
    private func record(_ json: ServiceJSON, _ location: RepositoryLocation) -> ServiceJSON {
        var record: ServiceJSON = [
            "repo": json, "storageType": .text(PerconaLocation.storageType(location)),
            "permafrost": ["location": ServiceJSON(location.options)],
        ]
        if let claim = location.claim { record[["permafrost", "claim"]] = .text(claim) }
        if let destination = PerconaLocation.destination(location) { record["destination"] = .text(destination) }
        if let version = Percona.text(cluster["spec"], "crVersion") { record["crVersion"] = .text(version) }
        return record
    }

    // MARK: Schedules

    private mutating func schedules(_ json: ServiceJSON, _ path: String) -> [WantedSchedule] {
        var schedules: [WantedSchedule] = []
        for (field, type) in [("full", WantedSchedule.Kind.full), ("differential", .diff), ("incremental", .incr)] {
            guard let text = Percona.text(json, "schedules", field) else { continue }
            do throws(Refusal) {
                schedules.append(try Self.schedule(text, type))
            } catch {
                faultySchedules.append(UnsupportedField("\(path).schedules.\(field)", error.message))
            }
        }
        return schedules
    }

    /// Five fields, before which a time zone may be: `CRON_TZ=Europe/Berlin 0 1 * * *`.
    private static func schedule(_ text: String, _ type: WantedSchedule.Kind) throws(Refusal) -> WantedSchedule {
        var rest = text.trimmingSpaces
        var zone: String?
        for prefix in ["CRON_TZ=", "TZ="] where zone == nil && rest.hasPrefix(prefix) {
            let name = rest.dropFirst(prefix.utf8.count).prefix { $0 != " " && $0 != "\t" }
            rest = String(rest[name.endIndex...]).trimmingSpaces
            zone = String(name)
        }
        if let zone {
            do throws(BackupError) {
                _ = try TimeZone.named(zone)
            } catch {
                throw Refusal("ScheduleInvalid", error.message)
            }
        }
        do throws(CronSchedule.Fault) {
            return WantedSchedule(type: type, text: text, cron: try CronSchedule(rest), timeZone: zone)
        } catch {
            throw Refusal("ScheduleInvalid", error.message)
        }
    }
}

/// Places of backups as this dialect tells of them.
enum PerconaLocation {
    static func storageType(_ location: RepositoryLocation) -> String {
        let type = location.options["type"] ?? "posix"
        return type == "posix" ? "filesystem" : type
    }

    /// nil for a volume.
    static func destination(_ location: RepositoryLocation) -> String? {
        let path = location.options["path"] ?? ""
        switch location.options["type"] {
        case "s3": return "s3://\(location.options["s3-bucket"] ?? "")\(path)"
        case "gcs": return "gs://\(location.options["gcs-bucket"] ?? "")\(path)"
        case "azure": return "azure://\(location.options["azure-container"] ?? "")\(path)"
        default: return nil
        }
    }

    /// As a backup's status has it; what the original wrote says less, and enough.
    static func stored(_ status: ServiceJSON?, cluster: String) -> RepositoryLocation? {
        if let options = status?[["permafrost", "location"]]?.texts, !options.isEmpty {
            var location = RepositoryLocation(options: options)
            location.claim = Percona.text(status, "permafrost", "claim")
            return location
        }
        guard let repo = status?["repo"], let key = Percona.key(Percona.text(repo, "name")) else { return nil }
        var location = RepositoryLocation(options: ["path": "/pgbackrest/repo\(key)"])
        if let destination = Percona.text(status, "destination"), let scheme = destination.firstRange(of: "://") {
            let rest = destination[scheme.upperBound...]
            if let slash = rest.firstIndex(of: "/") { location.options["path"] = String(rest[slash...]) }
        }
        if let s3 = repo["s3"] {
            location.options["type"] = "s3"
            location.options["s3-bucket"] = Percona.text(s3, "bucket")
            location.options["s3-endpoint"] = Percona.text(s3, "endpoint")
            location.options["s3-region"] = Percona.text(s3, "region")
        } else if let gcs = repo["gcs"] {
            location.options["type"] = "gcs"
            location.options["gcs-bucket"] = Percona.text(gcs, "bucket")
        } else if let azure = repo["azure"] {
            location.options["type"] = "azure"
            location.options["azure-container"] = Percona.text(azure, "container")
        } else {
            location.options["type"] = "posix"
            location.claim = "\(cluster)-repo\(key)"
        }
        return location
    }
}
