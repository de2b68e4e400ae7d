import HTTP
import KubernetesClient

/// The status of an `SGCluster`, made of what is wanted and what was seen.
struct StackGresStatus: Sendable {
    private let cluster: StackGresCluster
    private let report: ClusterReport
    private let elements: [StackGresCluster.Element]
    private let health: ClusterHealth

    init(_ cluster: StackGresCluster, _ report: ClusterReport) {
        self.cluster = cluster
        self.report = report
        elements = (try? cluster.elements()) ?? []
        health = ClusterHealth(report, elements.map { ($0.key, "SGObjectStorage '\($0.storage)'") })
    }

    private var observation: ClusterObservation { report.observation }

    func change() -> StatusChange? {
        let old = cluster.object["status"] ?? [:]
        let merged = Condition.merge(
            conditions, into: old["conditions"]?.elements ?? [], generation: cluster.object.generation,
            now: report.now,
            ended: report.wanted == nil
                ? []
                : [
                    "RepositoryReady", "ContinuousArchiving", "LastBackupSucceeded", ClusterHealth.updateType,
                ])
        var patch: ServiceJSON = [:]
        func set(_ path: [String], _ value: ServiceJSON?) {
            if let value, old[path] != value { patch[path] = value }
        }
        set(["conditions"], .array(merged.list))
        set(["observedGeneration"], ServiceJSON(cluster.object.generation))
        if let wanted = report.wanted {
            set(["instances"], ServiceJSON(observation.pods.count))
            set(["labelSelector"], .text("\(OperatorNames.cluster)=\(cluster.object.name)"))
            set(["postgresVersion"], .text(observation.status?.version ?? "\(wanted.major)"))
            set(["arch"], "x86_64")
            set(["os"], "linux")
            set(["podStatuses"], .array(observation.pods.map(Self.json)))
        }
        if (try? cluster.elements()) != nil {
            set(["backupPaths"], .array(elements.map { .text($0.path) }))
            set(["permafrost", "repositories"], .array(elements.map(repository) + forsaken))
        }
        if report.wanted?.isArchiving == false, old[["permafrost", "archiving"]] != nil {
            patch[["permafrost", "archiving"]] = .null
        }
        set(["permafrost", "archiving"], health.archiving)
        return patch.isEmpty ? nil : StatusChange(patch: patch, news: merged.changed)
    }

    private static func json(_ pod: ClusterObservation.Pod) -> ServiceJSON {
        [
            "name": .text(pod.name), "primary": .bool(pod.isPrimary), "replicationGroup": 0, "pendingRestart": false,
        ]
    }

    private func repository(_ element: StackGresCluster.Element) -> ServiceJSON {
        var json: ServiceJSON = [
            "key": ServiceJSON(element.key), "sgObjectStorage": .text(element.storage), "path": .text(element.path),
        ]
        if let said = health.repositories.first(where: { $0.key == element.key }) {
            json["ready"] = .bool(said.state == .yes)
            json["reason"] = .text(said.reason)
            json["message"] = .text(said.message)
        }
        if let schedule = observation.schedules[ScheduleKey(element.key, .full)] { json["schedule"] = schedule.json }
        let before = (cluster.object["status", "permafrost", "repositories"]?.elements ?? [])
            .first { $0["key"]?.integer == element.key }
        return json.merging(health.content(of: element.key, before: before, object: "sgBackup"))
    }

    /// Storages that are not named any more keep their numbers and paths, unless another has taken the number.
    private var forsaken: [ServiceJSON] {
        (cluster.object["status", "permafrost", "repositories"]?.elements ?? []).compactMap { old in
            guard let name = old["sgObjectStorage"], let key = old["key"], let path = old["path"],
                !elements.contains(where: { .text($0.storage) == name || ServiceJSON($0.key) == key })
            else { return nil }
            return [
                "key": key, "sgObjectStorage": name, "path": path, "ready": false, "reason": "NotNamed",
                "message": "the cluster does not name it any more",
            ]
        }
    }

    private var conditions: [Condition] {
        var conditions: [Condition] = []
        if let refusal = report.refusal {
            conditions.append(Condition("Ready", .no, refusal.reason, refusal.message))
            conditions.append(Condition("Failed", .yes, "ClusterConfigFailed", refusal.message, isBadWhenTrue: true))
        } else {
            conditions.append(health.ready)
            conditions.append(Condition("Failed", .no, "FalseFailed", "", isBadWhenTrue: true))
        }
        if observation.primary?.isReady == true || cluster.isBootstrapped {
            conditions.append(Condition("Bootstrapped", .yes, "ClusterBootstrapped", "the database has been made"))
        }
        guard let wanted = report.wanted else { return conditions }
        conditions.append(health.unsupported)
        if let update = health.update { conditions.append(update) }
        if wanted.isArchiving {
            conditions += [health.repositoryReady, health.continuousArchiving]
            if let lastBackup = health.lastBackup(StackGres.backups.kind) { conditions.append(lastBackup) }
        }
        return conditions
    }
}
