import BackupModel
import HTTP
package import KubernetesClient

/// An `SGCluster`.
package struct StackGresCluster: Sendable {
    package let object: KubernetesObject
    private var spec: ServiceJSON { object["spec"] ?? [:] }

    package init(_ object: KubernetesObject) { self.object = object }

    // MARK: Repositories

    /// What `spec.configurations.backups` names, with the keys and paths that are in status, or come there now.
    package struct Element: Sendable, Equatable {
        package var key: Int
        package var storage: String
        /// In the bucket, without slashes around it.
        package var path: String
        var json: ServiceJSON
    }

    package static let limit = 4

    /// Of each element. A key and a path stay with the storage that they were given to, also while it is not named.
    package func elements() throws(Refusal) -> [Element] {
        let wanted = spec[["configurations", "backups"]]?.elements ?? []
        guard wanted.count <= Self.limit else {
            throw Refusal(
                "TooManyRepositories",
                "spec.configurations.backups has \(wanted.count) elements, and \(Self.limit) are the most")
        }
        let names = wanted.map { StackGres.text($0, "sgObjectStorage") ?? "" }
        for (place, name) in names.enumerated() {
            if name.isEmpty {
                throw Refusal("StorageInvalid", "spec.configurations.backups[\(place)] names no sgObjectStorage")
            }
            if names[..<place].contains(name) {
                throw Refusal(
                    "StorageTwice", "spec.configurations.backups names sgObjectStorage '\(name)' twice")
            }
        }
        var known: [String: (key: Int, path: String)] = [:]
        for entry in object["status", "permafrost", "repositories"]?.elements ?? [] {
            guard let name = StackGres.text(entry, "sgObjectStorage"), let key = entry["key"]?.integer,
                (1...Self.limit).contains(key), let path = StackGres.text(entry, "path")
            else { continue }
            known[name] = (key, path)
        }
        var elements: [Element] = []
        for (name, json) in zip(names, wanted) {
            if known[name] == nil {
                let taken = Set(known.values.map(\.key))
                let named = Set(names.compactMap { known[$0]?.key })
                // Four storages that were there before take all keys: one that is not named any more gives way.
                guard
                    let key = (1...Self.limit).first(where: { !taken.contains($0) })
                        ?? (1...Self.limit).first(where: { !named.contains($0) })
                else { throw Refusal("TooManyRepositories", "there is no number left for '\(name)'") }
                known = known.filter { $0.value.key != key }
                known[name] = (key, path(key))
            }
            guard let (key, path) = known[name] else { continue }
            let own = StackGres.text(json, "path").map { $0.split(separator: "/").joined(separator: "/") }
            elements.append(Element(key: key, storage: name, path: own ?? path, json: json))
        }
        return elements
    }

    /// Its own for each cluster that ever had this name, and for each repository: storages may share a bucket.
    private func path(_ key: Int) -> String {
        let created = CivilTime(object.creationTime ?? 0)
        let stamp = [created.year, created.month, created.day, created.hour, created.minute, created.second]
            .map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: "-")
        let major = (try? major()).map { "\($0)" } ?? "0"
        return "sgbackups.stackgres.io/\(object.namespace ?? "")/\(object.name)/\(stamp)/\(major)"
            + (key == 1 ? "" : "-repo\(key)")
    }

    // MARK: Translation

    package func wanted(_ find: ObjectLookup) throws(Refusal) -> DatabaseCluster {
        let labels = StackGres.labels(cluster: object.name, uid: object.uid)
        let major = try major()
        guard let size = StackGres.text(spec, "pods", "persistentVolume", "size") else {
            throw Refusal("SpecInvalid", "spec.pods.persistentVolume.size is missing")
        }
        var cluster = DatabaseCluster(
            key: object.key, owner: object.owner(),
            names: ClusterNames(
                labels: labels, dataClaim: "\(object.name)-data", primaryService: object.name,
                replicaService: "\(object.name)-replicas", userSecret: object.name,
                superuserPassword: "superuser-password", replicationPassword: "replication-password",
                userEntries: [
                    "superuser-username": "postgres", "superuser-database": "postgres",
                    "replication-username": "replicator", "authenticator-username": "authenticator",
                ], additionalPasswords: ["authenticator-password"]),
            instances: spec["instances"]?.integer ?? 1, major: major,
            volume: DatabaseCluster.Volume(
                size: size, storageClass: StackGres.text(spec, "pods", "persistentVolume", "storageClass")))
        cluster.pods = pods()
        cluster.isPaused = object.annotations[StackGres.reconciliationPause] == "true"
        cluster.unsupported = unsupported(major)
        cluster.synchronous = synchronous(cluster.instances)
        if spec[["postgres", "ssl", "enabled"]]?.bool == true {
            throw Refusal(
                "SSLUnsupported",
                "spec.postgres.ssl.enabled: encrypted connections are not there, and nothing is served in the clear instead"
            )
        }
        let elements = try elements()
        cluster.firstRepository = elements.first?.key
        for (place, element) in elements.enumerated() {
            let fault: Refusal
            do throws(Refusal) {
                var (repository, notes) = try repository(element, at: place, find(StackGres.storages, element.storage))
                if let other = cluster.repositories.first(where: {
                    $0.location.identity == repository.location.identity
                }) {
                    throw Refusal(
                        "RepositoryTwice",
                        "SGObjectStorage '\(element.storage)' and '\(other.name)' are the same path of the same bucket")
                }
                let identity = cluster.pods.accountAnnotations
                if !identity.isEmpty {
                    repository.record[["permafrost", "accountAnnotations"]] = ServiceJSON(identity)
                }
                cluster.repositories.append(repository)
                cluster.unsupported += notes
                continue
            } catch {
                fault = error
            }
            cluster.faultyRepositories.append(
                FaultyRepository(key: element.key, name: element.storage, fault: fault))
        }
        if !isBootstrapped {
            cluster.restore = try restore(backup: { find(StackGres.backups, $0) }, major: major)
        }
        cluster.unsupported.sort()
        return cluster
    }

    /// Has begun: where it came from is of no matter any more.
    package var isBootstrapped: Bool {
        (object["status", "conditions"]?.elements ?? []).contains {
            $0["type"]?.string == "Bootstrapped" && $0["status"]?.string == "True"
        }
    }

    package func major() throws(Refusal) -> Int {
        let text = StackGres.text(spec, "postgres", "version") ?? "latest"
        // Another major does not start on the data that is there.
        if let running { return running }
        if text == "latest", let newest = StackGres.majors.last { return newest }
        let wanted = text.split(separator: ".").first.flatMap { Int($0) }
        guard let wanted, StackGres.majors.contains(wanted) else {
            let known = StackGres.majors.map(String.init).joined(separator: ", ")
            throw Refusal(
                "PostgresVersionUnsupported",
                "there is no image of PostgreSQL '\(text)': spec.postgres.version can be \(known) or latest")
        }
        return wanted
    }

    /// Of the database that is there; nil before there is one.
    private var running: Int? {
        guard isBootstrapped, let version = StackGres.text(object["status"], "postgresVersion"),
            let major = version.split(separator: ".").first.flatMap({ Int($0) }), StackGres.majors.contains(major)
        else { return nil }
        return major
    }

    private func synchronous(_ instances: Int) -> DatabaseCluster.Synchronous? {
        let mode = StackGres.text(spec, "replication", "mode") ?? "async"
        guard mode != "async" else { return nil }
        let members = mode.hasSuffix("-all") ? instances - 1 : spec[["replication", "syncInstances"]]?.integer ?? 1
        return DatabaseCluster.Synchronous(members: max(1, members), isStrict: mode.hasPrefix("strict"))
    }

    private func repository(
        _ element: Element, at place: Int, _ storage: KubernetesObject?
    ) throws(Refusal) -> (WantedRepository, [UnsupportedField]) {
        guard let storage else {
            throw Refusal(
                "StorageNotFound",
                "SGObjectStorage '\(element.storage)' does not exist in namespace '\(object.namespace ?? "")'",
                isTemporary: true)
        }
        let json = element.json
        let at = "spec.configurations.backups[\(place)]"
        var notes: [UnsupportedField] = []
        let stored = StackGresStorage(storage["spec"] ?? [:])
        notes += stored.unsupported(at: "SGObjectStorage \(element.storage).spec")
        for name in ["useVolumeSnapshot", "volumeSnapshotClass", "fastVolumeSnapshot"] {
            if case .bool(true)? = json[name] {
                throw Refusal("SnapshotUnsupported", "\(at).\(name): backups by volume snapshot are not there")
            }
        }
        var repository = WantedRepository(
            key: element.key, name: element.storage, location: try stored.location(path: element.path),
            retention: max(1, json["retention"]?.integer ?? 5))
        repository.settings["compress-type"] = compression(StackGres.text(json, "compression"), at, &notes)
        repository.keepsArchiveOfHeld = json["retainWalsForUnmanagedLifecycle"]?.bool ?? false
        repository.retries = max(0, json["maxRetries"]?.integer ?? 3)
        repository.timeoutSeconds = json["timeout"]?.integer.flatMap { $0 > 0 ? $0 : nil }
        for (name, option) in [
            ("maxNetworkBandwidth", "rate-limit-network"), ("maxDiskBandwidth", "rate-limit-disk"),
            ("uploadDiskConcurrency", "process-max"), ("uploadConcurrency", "storage-upload-concurrency"),
            ("downloadConcurrency", "storage-download-concurrency"),
        ] {
            guard let value = json[["performance", name]]?.integer, value > 0 else { continue }
            repository.settings[option] = "\(value)"
        }
        if let text = StackGres.text(json, "cronSchedule") {
            repository.schedules = [try schedule(text, StackGres.text(json, "timeZone"), at)]
            repository.beginsWithBackup = true
        }
        repository.record = [
            "backupPath": .text(element.path),
            "sgBackupConfig": [
                "storage": storage["spec"] ?? [:],
                "baseBackups": [
                    "compression": repository.settings["compress-type"] == "zst" ? "zstd" : "lz4"
                ],
            ],
        ]
        return (repository, notes)
    }

    private func schedule(_ text: String, _ timeZone: String?, _ at: String) throws(Refusal) -> WantedSchedule {
        do throws(CronSchedule.Fault) {
            return WantedSchedule(type: .full, text: text, cron: try CronSchedule(text), timeZone: timeZone)
        } catch {
            throw Refusal("ScheduleInvalid", "\(at).cronSchedule: \(error.message)")
        }
    }

    private func compression(_ name: String?, _ at: String, _ notes: inout [UnsupportedField]) -> String {
        switch name {
        case "zstd": return "zst"
        case "lzma", "brotli":
            notes.append(UnsupportedField("\(at).compression", "\(name ?? "") is not there: zstd is used in its place"))
            return "zst"
        default: return "lz4"
        }
    }

    // MARK: Beginning as a copy

    private func restore(
        backup find: (String) -> KubernetesObject?, major: Int
    ) throws(Refusal) -> WantedRestore? {
        guard let json = spec[["initialData", "restore"]], !json.isEmpty else { return nil }
        guard let from = json["fromBackup"], let name = StackGres.text(from, "name") else {
            throw Refusal("RestoreInvalid", "spec.initialData.restore names no backup: fromBackup.name")
        }
        guard let object = find(name) else {
            throw Refusal(
                "BackupNotFound", "SGBackup '\(name)' does not exist in namespace '\(self.object.namespace ?? "")'",
                isTemporary: true)
        }
        let backup = StackGresBackup(object)
        guard backup.phase == .completed, let label = backup.label, let location = try backup.location() else {
            throw Refusal(
                "BackupNotCompleted",
                "SGBackup '\(name)' cannot be restored: it is \(backup.phase.map { "\($0)" } ?? "not begun")",
                isTemporary: true)
        }
        if let other = backup.major, other != major {
            throw Refusal(
                "PostgresVersionDiffers",
                "SGBackup '\(name)' is of PostgreSQL \(other), and the cluster is to be of PostgreSQL \(major)")
        }
        var restore = WantedRestore(
            source: .place(SourcePlace(location: location)), label: label, target: try target(from, backup, name),
            description: "SGBackup '\(name)'")
        if let count = json["downloadDiskConcurrency"]?.integer, count > 1 {
            restore.settings["process-max"] = "\(count)"
        }
        return restore
    }

    private func target(
        _ from: ServiceJSON, _ backup: StackGresBackup, _ name: String
    ) throws(Refusal) -> RestoreTarget {
        var targets: [RestoreTarget] = []
        if let text = StackGres.text(from, "pointInTimeRecovery", "restoreToTimestamp") {
            guard let time = ServiceTime.parseMicroseconds(text) else {
                throw Refusal("RestoreInvalid", "restoreToTimestamp '\(text)' is no time such as 2026-01-15T10:30:00Z")
            }
            if let end = backup.endTime, time < end * 1_000_000 {
                throw Refusal(
                    "RestoreTimeOutside",
                    "restoreToTimestamp '\(text)' lies before the end of SGBackup '\(name)', \(ServiceTime.rfc3339(end)): "
                        + "choose an older backup or a later time")
            }
            targets.append(RestoreTarget(.time, Self.recoveryTime(time)))
        }
        for (field, kind) in [("targetName", RestoreTarget.Kind.name), ("targetXid", .xid), ("targetLsn", .lsn)] {
            if let text = StackGres.text(from, field) { targets.append(RestoreTarget(kind, text)) }
        }
        if let text = StackGres.text(from, "target") {
            guard text == "immediate" else {
                throw Refusal("RestoreInvalid", "fromBackup.target '\(text)' is not known: only immediate is")
            }
            targets.append(RestoreTarget(.immediate))
        }
        guard targets.count <= 1 else {
            throw Refusal(
                "RestoreInvalid", "spec.initialData.restore.fromBackup has several targets, and one is the most")
        }
        var target = targets.first ?? RestoreTarget(.default)
        target.timeline = StackGres.text(from, "targetTimeline")
        target.isInclusive = from["targetInclusive"]?.bool ?? true
        return target
    }

    /// With its zone: the server's own need not be UTC.
    static func recoveryTime(_ microseconds: Int64) -> String {
        let text = ServiceTime.rfc3339(microseconds: microseconds)
        return String(text.dropLast()).replacing("T", with: " ") + "+00"
    }

    // MARK: Pods

    private func pods() -> PodSettings {
        var pods = PodSettings()
        let settings = spec["pods"] ?? [:]
        pods.resources = settings[["resources", "containers", "patroni"]].flatMap { $0.isEmpty ? nil : $0 }
        if case .object(let scheduling)? = settings["scheduling"] {
            pods.scheduling = Self.scheduling(scheduling)
            if case .object(let own)? = scheduling["backup"] { pods.backupScheduling = Self.scheduling(own) }
        }
        pods.labels = spec[["metadata", "labels", "clusterPods"]]?.texts ?? [:]
        pods.annotations = spec[["metadata", "annotations", "allResources"]]?.texts ?? [:]
        pods.accountAnnotations = pods.annotations
            .merging(spec[["metadata", "annotations", "serviceAccount"]]?.texts ?? [:]) { _, last in last }
        pods.annotations.merge(spec[["metadata", "annotations", "clusterPods"]]?.texts ?? [:]) { _, last in last }
        let services = spec["postgresServices"]
        pods.primaryServiceType = StackGres.text(services, "primary", "type") ?? "ClusterIP"
        pods.replicaServiceType = StackGres.text(services, "replicas", "type") ?? "ClusterIP"
        pods.primaryServiceAnnotations = services?[["primary", "annotations"]]?.texts ?? [:]
        pods.replicaServiceAnnotations = services?[["replicas", "annotations"]]?.texts ?? [:]
        pods.hasReplicaService = services?[["replicas", "enabled"]]?.bool ?? true
        pods.spreads = spec[["nonProductionOptions", "disableClusterPodAntiAffinity"]]?.bool != true
        return pods
    }

    private static func scheduling(_ json: [String: ServiceJSON]) -> [String: ServiceJSON] {
        var result: [String: ServiceJSON] = [:]
        for name in ["nodeSelector", "tolerations", "priorityClassName", "topologySpreadConstraints"] {
            if let value = json[name], !value.isEmpty { result[name] = value }
        }
        for name in ["nodeAffinity", "podAffinity", "podAntiAffinity"] {
            if let value = json[name], !value.isEmpty { result["affinity", default: [:]][name] = value }
        }
        return result
    }

    // MARK: What nothing comes of

    private static let fields = SupportedFields([
        "instances", "postgres.version", "postgres.flavor", "pods.persistentVolume.size",
        "pods.persistentVolume.storageClass", "pods.resources.containers.patroni", "replication.mode",
        "replication.syncInstances", "metadata.annotations.serviceAccount", "postgres.ssl.enabled",
        "pods.scheduling.nodeSelector",
        "pods.scheduling.tolerations", "pods.scheduling.nodeAffinity", "pods.scheduling.podAffinity",
        "pods.scheduling.podAntiAffinity", "pods.scheduling.priorityClassName",
        "pods.scheduling.topologySpreadConstraints", "pods.scheduling.backup", "metadata.labels.clusterPods",
        "metadata.annotations.allResources", "metadata.annotations.clusterPods", "postgresServices.primary.type",
        "postgresServices.primary.annotations", "postgresServices.primary.enabled", "postgresServices.replicas.type",
        "postgresServices.replicas.annotations", "postgresServices.replicas.enabled",
        "configurations.backups[].sgObjectStorage", "configurations.backups[].cronSchedule",
        "configurations.backups[].timeZone", "configurations.backups[].retention",
        "configurations.backups[].compression", "configurations.backups[].performance",
        "configurations.backups[].path", "configurations.backups[].timeout", "configurations.backups[].maxRetries",
        "configurations.backups[].retainWalsForUnmanagedLifecycle",
        "configurations.backups[].useVolumeSnapshot", "configurations.backups[].fastVolumeSnapshot",
        "initialData.restore", "nonProductionOptions.disableClusterPodAntiAffinity",
    ])

    private func unsupported(_ major: Int) -> [UnsupportedField] {
        var found = Self.fields.others(in: spec, at: "spec").map { UnsupportedField($0, "nothing comes of it") }
        if let flavor = StackGres.text(spec, "postgres", "flavor"), flavor != "vanilla" {
            found.append(UnsupportedField("spec.postgres.flavor", "\(flavor) is not there: PostgreSQL itself is used"))
        }
        let version = StackGres.text(spec, "postgres", "version") ?? "latest"
        if let wanted = version.split(separator: ".").first.flatMap({ Int($0) }), wanted != major {
            found.append(
                UnsupportedField(
                    "spec.postgres.version",
                    "the database is of PostgreSQL \(major) and stays so: for \(wanted) "
                        + "make another cluster and move the data"))
        } else if version.contains(".") {
            found.append(
                UnsupportedField("spec.postgres.version", "the minor version is that of the image, not \(version)"))
        }
        return found
    }
}
