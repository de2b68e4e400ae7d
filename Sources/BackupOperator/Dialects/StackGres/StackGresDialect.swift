import HTTP
package import KubernetesClient

/// `stackgres.io`.
package struct StackGresDialect: Dialect {
    package init() {}

    package var group: String { StackGres.group }
    package var clusters: ResourceType { StackGres.clusters }
    package var backups: ResourceType { StackGres.backups }
    /// As the original: who copies a backup with `kubectl apply` copies its status.
    package var backupsHaveStatus: Bool { false }
    package var backupsHaveLog: Bool { false }
    package var refusesUnknownRepositories: Bool { false }
    package var backupPatience: Int64? { nil }
    package var references: [ResourceType] { [StackGres.storages] }

    package func cluster(_ object: KubernetesObject) -> any ClusterManifest { StackGresCluster(object) }
    package func backup(_ object: KubernetesObject) -> any BackupManifest { StackGresBackup(object) }

    package func scheduledBackup(of cluster: any ClusterManifest, _ due: SchedulePlan.Due) -> KubernetesObject {
        StackGresBackup.scheduled(
            cluster: cluster.object.key, repository: due.key.repository, at: due.time, wasMissed: due.wasMissed)
    }
}

extension StackGresCluster: ClusterManifest {
    package var schedules: [ScheduleKey: ScheduleState] {
        var schedules: [ScheduleKey: ScheduleState] = [:]
        for entry in object["status", "permafrost", "repositories"]?.elements ?? [] {
            if let number = entry["key"]?.integer, let state = entry["schedule"].flatMap({ ScheduleState($0) }) {
                schedules[ScheduleKey(number, .full)] = state
            }
        }
        return schedules
    }

    /// Numbers and paths of repositories stay as they are written down first.
    package var needsPlaces: Bool {
        guard let elements = try? elements() else { return false }
        let known = object["status", "permafrost", "repositories"]?.elements ?? []
        return elements.contains { element in
            !known.contains {
                $0["key"]?.integer == element.key && $0["sgObjectStorage"]?.string == element.storage
                    && $0["path"]?.string == element.path
            }
        }
    }

    package func refers(to type: ResourceType, _ name: String, _ find: ObjectLookup) -> Bool {
        let storages = (object["spec", "configurations", "backups"]?.elements ?? []).compactMap {
            $0["sgObjectStorage"]?.string
        }
        let beginning = isBootstrapped ? nil : object["spec", "initialData", "restore", "fromBackup", "name"]?.string
        switch type {
        case StackGres.storages: return storages.contains(name)
        case StackGres.backups: return beginning == name
        case .secrets:
            if let beginning, let backup = find(StackGres.backups, beginning),
                let place = try? StackGresBackup(backup).location(), place.secretNames.contains(name)
            {
                return true
            }
            return storages.contains { storage in
                guard let object = find(StackGres.storages, storage),
                    let place = try? StackGresStorage(object["spec"] ?? [:]).location(path: "")
                else { return false }
                return place.secretNames.contains(name)
            }
        default: return false
        }
    }

    package func status(_ report: ClusterReport) -> StatusChange? { StackGresStatus(self, report).change() }
}
