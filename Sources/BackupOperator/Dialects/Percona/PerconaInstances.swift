import HTTP
import KubernetesClient

/// `instances`, and what else is said of pods and Services.
struct PerconaInstances: Sendable {
    private(set) var count = 0
    private(set) var volume: DatabaseCluster.Volume
    private(set) var pods = PodSettings()
    private(set) var unsupported: [UnsupportedField] = []

    /// One StatefulSet has all instances, as the first set says.
    init(_ spec: ServiceJSON, _ object: KubernetesObject) throws(Refusal) {
        let sets = spec["instances"]?.elements ?? []
        guard let first = sets.first else { throw Refusal("SpecInvalid", "spec.instances has no set") }
        count = sets.reduce(0) { $0 + max(1, $1["replicas"]?.integer ?? 1) }
        let claim = first["dataVolumeClaimSpec"]
        guard let size = claim?[["resources", "requests", "storage"]]?.string, Quantity.bytes(size) != nil else {
            throw Refusal("SpecInvalid", "spec.instances[0].dataVolumeClaimSpec asks for no storage")
        }
        volume = DatabaseCluster.Volume(size: size, storageClass: Percona.text(claim, "storageClassName"))
        for (place, set) in sets.enumerated().dropFirst() where Self.shape(set) != Self.shape(first) {
            unsupported.append(
                UnsupportedField("spec.instances[\(place)]", "its pods are as those of the first set"))
        }
        let modes = (claim?["accessModes"]?.elements ?? []).compactMap(\.string)
        if !modes.isEmpty, modes != ["ReadWriteOnce"] {
            unsupported.append(
                UnsupportedField("spec.instances[0].dataVolumeClaimSpec.accessModes", "it is ReadWriteOnce"))
        }
        setPods(first)
        setServices(spec)
        setBackups(spec[["backups", "pgbackrest"]] ?? [:])
        pods.objectLabels = spec[["metadata", "labels"]]?.texts ?? [:]
        pods.objectAnnotations = spec[["metadata", "annotations"]]?.texts ?? [:]
        // A role of a cloud is in either place.
        pods.accountAnnotations = pods.objectAnnotations.merging(pods.hostAnnotations) { _, last in last }
    }

    private static func shape(_ set: ServiceJSON) -> ServiceJSON {
        var set = set
        set["name"] = nil
        set["replicas"] = nil
        return set
    }

    private mutating func setPods(_ set: ServiceJSON) {
        pods.labels = set[["metadata", "labels"]]?.texts ?? [:]
        pods.labels["\(Percona.label)/data"] = "postgres"
        pods.labels["\(Percona.label)/instance-set"] = Percona.text(set, "name") ?? "00"
        pods.annotations = set[["metadata", "annotations"]]?.texts ?? [:]
        pods.resources = set["resources"].flatMap { $0.isEmpty ? nil : $0 }
        pods.scheduling = Self.scheduling(set)
    }

    private mutating func setServices(_ spec: ServiceJSON) {
        if let port = spec["port"]?.integer, (1...65535).contains(port) { pods.servicePort = port }
        func settings(_ expose: ServiceJSON?) -> [String: ServiceJSON] {
            var settings: [String: ServiceJSON] = [:]
            for name in ["loadBalancerClass", "loadBalancerSourceRanges"] { settings[name] = expose?[name] }
            return settings
        }
        let (primary, replicas) = (spec["expose"], spec["exposeReplicas"])
        pods.primaryServiceType = Percona.text(primary, "type") ?? "ClusterIP"
        pods.primaryServiceAnnotations = primary?["annotations"]?.texts ?? [:]
        pods.primaryServiceLabels = primary?["labels"]?.texts ?? [:]
        pods.primaryServiceSettings = settings(primary)
        pods.replicaServiceType = Percona.text(replicas, "type") ?? "ClusterIP"
        pods.replicaServiceAnnotations = replicas?["annotations"]?.texts ?? [:]
        pods.replicaServiceLabels = replicas?["labels"]?.texts ?? [:]
        pods.replicaServiceSettings = settings(replicas)
    }

    private mutating func setBackups(_ settings: ServiceJSON) {
        let host = settings["repoHost"] ?? [:]
        pods.hostLabels = settings[["metadata", "labels"]]?.texts ?? [:]
        pods.hostAnnotations = settings[["metadata", "annotations"]]?.texts ?? [:]
        pods.hostLabels["\(Percona.label)/data"] = "pgbackrest"
        pods.hostLabels["\(Percona.label)/pgbackrest"] = ""
        pods.hostLabels["\(Percona.label)/pgbackrest-dedicated"] = ""
        pods.hostResources = host["resources"].flatMap { $0.isEmpty ? nil : $0 }
        pods.hostScheduling = Self.scheduling(host)
        pods.agentResources = settings[["containers", "pgbackrest", "resources"]].flatMap { $0.isEmpty ? nil : $0 }
        pods.jobResources = settings[["jobs", "resources"]].flatMap { $0.isEmpty ? nil : $0 }
        pods.backupScheduling = Self.scheduling(settings["jobs"] ?? [:])
    }

    private static func scheduling(_ json: ServiceJSON) -> [String: ServiceJSON] {
        var result: [String: ServiceJSON] = [:]
        for name in ["affinity", "tolerations", "priorityClassName", "topologySpreadConstraints"] {
            if let value = json[name], !value.isEmpty { result[name] = value }
        }
        return result
    }
}

/// `patroni`: what all members are to have.
struct PerconaPatroni: Sendable {
    private(set) var parameters: [String: String] = [:]
    private(set) var settings: ServiceJSON = [:]
    private(set) var archiveTimeout: Int?
    private(set) var unsupported: [UnsupportedField] = []

    private static let path = "spec.patroni.dynamicConfiguration"
    /// Without these nothing is archived, or parts of a cluster do not find each other.
    private static let own: Set<String> = [
        "archive_mode", "archive_command", "archive_library", "wal_level", "wal_log_hints", "password_encryption",
        "max_wal_senders", "restore_command", "data_directory", "hba_file", "ident_file", "listen_addresses", "port",
        "unix_socket_directories", "recovery_target", "recovery_target_time", "recovery_target_timeline",
    ]
    private static let ownSettings: Set<String> = ["standby_cluster", "kubernetes", "restapi", "bootstrap"]

    init(_ json: ServiceJSON) {
        if let ttl = json["leaderLeaseDurationSeconds"] { settings["ttl"] = ttl }
        if let pause = json["syncPeriodSeconds"] { settings["loop_wait"] = pause }
        for (name, value) in (json["dynamicConfiguration"]?.members ?? [:]).sorted(by: { $0.key < $1.key }) {
            if name == "postgresql" {
                addPostgres(value)
            } else if Self.ownSettings.contains(name) {
                unsupported.append(UnsupportedField("\(Self.path).\(name)", "it is the operator's"))
            } else {
                settings[name] = value
            }
        }
    }

    private mutating func addPostgres(_ json: ServiceJSON) {
        for (name, value) in json.members.sorted(by: { $0.key < $1.key }) {
            switch name {
            case "parameters": addParameters(value)
            case "use_slots", "use_pg_rewind", "remove_data_directory_on_diverged_timelines",
                "remove_data_directory_on_rewind_failure":
                settings[["postgresql", name]] = value
            default: unsupported.append(UnsupportedField("\(Self.path).postgresql.\(name)", "it is the operator's"))
            }
        }
    }

    private mutating func addParameters(_ json: ServiceJSON) {
        for (name, value) in json.members.sorted(by: { $0.key < $1.key }) {
            let path = "\(Self.path).postgresql.parameters.\(name)"
            let text = value.bool.map { $0 ? "on" : "off" } ?? value.string
            guard let text else {
                unsupported.append(UnsupportedField(path, "it has no value"))
                continue
            }
            if name == "archive_timeout" {
                archiveTimeout = Self.seconds(text)
                if archiveTimeout == nil { unsupported.append(UnsupportedField(path, "'\(text)' is no time")) }
            } else if Self.own.contains(name) {
                unsupported.append(UnsupportedField(path, "it is the operator's: without it nothing is archived"))
            } else {
                parameters[name] = text
            }
        }
    }

    /// Of `60`, `60s`, `5min`.
    private static func seconds(_ text: String) -> Int? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let count = Int(digits), count < 1 << 30 else { return nil }
        switch text.dropFirst(digits.count).filter({ $0 != " " }) {
        case "", "s": return count
        case "min": return count * 60
        case "h": return count * 3600
        default: return nil
        }
    }
}
