import HTTP
package import KubernetesClient

/// `pgv2.percona.com`.
package struct PerconaDialect: Dialect {
    package init() {}

    package var group: String { Percona.group }
    package var clusters: ResourceType { Percona.clusters }
    package var backups: ResourceType { Percona.backups }
    package var backupsHaveStatus: Bool { true }
    package var backupsHaveLog: Bool { true }
    package var refusesUnknownRepositories: Bool { true }
    package var backupPatience: Int64? { 120 }
    package var references: [ResourceType] { [] }
    package var labelOfOriginal: String? { Percona.originalLabel }

    package func cluster(_ object: KubernetesObject) -> any ClusterManifest { PerconaCluster(object) }
    package func backup(_ object: KubernetesObject) -> any BackupManifest { PerconaBackup(object) }

    package var restores: ResourceType? { Percona.restores }
    package func restore(_ object: KubernetesObject) -> (any RestoreManifest)? { PerconaRestore(object) }

    package func backup(after restore: any RestoreManifest) -> KubernetesObject {
        var backup = KubernetesObject(
            Percona.backups, namespace: restore.object.namespace,
            name: "\(OperatorNames.shortened(restore.object.name, to: 57))-after")
        backup.labels = [OperatorNames.cluster: restore.cluster.name]
        backup["spec"] = [
            "pgCluster": .text(restore.cluster.name), "repoName": restore.object["spec", "repoName"] ?? "",
            "options": ["--type=full"],
        ]
        return backup
    }

    package func scheduledBackup(of cluster: any ClusterManifest, _ due: SchedulePlan.Due) -> KubernetesObject {
        PerconaBackup.scheduled(of: cluster.object, due)
    }
}

extension PerconaCluster: ClusterManifest {
    static let scheduleFields: [(name: String, kind: WantedSchedule.Kind)] = [
        ("full", .full), ("differential", .diff), ("incremental", .incr),
    ]

    package var schedules: [ScheduleKey: ScheduleState] {
        var schedules: [ScheduleKey: ScheduleState] = [:]
        for entry in status?[["pgbackrest", "repos"]]?.elements ?? [] {
            guard let key = Percona.key(Percona.text(entry, "name")) else { continue }
            for (name, kind) in Self.scheduleFields {
                if let state = entry[["schedules", name]].flatMap({ ScheduleState($0) }) {
                    schedules[ScheduleKey(key, kind)] = state
                }
            }
        }
        return schedules
    }

    /// Repositories have their numbers in their names.
    package var needsPlaces: Bool { false }

    package var removal: WantedRemoval? {
        let finalizers = object.finalizers.filter(Percona.finalizers.contains)
        guard !finalizers.isEmpty else { return nil }
        var removal = WantedRemoval(finalizers: finalizers)
        // Backups of what a standby follows are another's.
        let isStandby = ["following", "promoting"].contains(status?[PerconaStandby.statusPath + ["state"]]?.string)
        if !isStandby, spec[["standby", "enabled"]]?.bool != true {
            removal.backupsFinalizer = finalizers.first { $0 == Percona.deleteBackups }
        }
        removal.removesVolumes = finalizers.contains(Percona.deleteVolumes)
        if let wanted = try? wanted({ _, _ in nil }) {
            removal.userSecrets =
                [wanted.names.userSecret, ClusterObjects.bootstrapName(object.name)]
                + (wanted.users ?? []).map(\.secret)
        }
        return removal
    }

    package func refers(to type: ResourceType, _ name: String, _ find: ObjectLookup) -> Bool {
        let member: String
        switch type {
        case .secrets: member = "secret"
        case .configMaps: member = "configMap"
        default: return false
        }
        var lists = [["backups", "pgbackrest", "configuration"]]
        if !isBootstrapped { lists.append(["dataSource", "pgbackrest", "configuration"]) }
        return lists.contains { list in
            (spec[list]?.elements ?? []).contains { $0[[member, "name"]]?.string == name }
        }
    }

    package func status(_ report: ClusterReport) -> StatusChange? { PerconaStatus(self, report).change() }
}
