import HTTP
import KubernetesClient

/// The status of a `PerconaPGCluster`, made of what is wanted and what was seen.
struct PerconaStatus: Sendable {
    private let cluster: PerconaCluster
    private let report: ClusterReport
    private let keys: [Int]
    private let health: ClusterHealth

    init(_ cluster: PerconaCluster, _ report: ClusterReport) {
        self.cluster = cluster
        self.report = report
        let wanted = report.wanted
        let named = (cluster.spec[["backups", "pgbackrest", "repos"]]?.elements ?? []).compactMap {
            Percona.key(Percona.text($0, "name"))
        }
        let others =
            ((wanted?.repositories ?? []).map(\.key) + (wanted?.faultyRepositories ?? []).map(\.key))
            .filter { !named.contains($0) }
        var keys: [Int] = []
        for key in named + others.sorted() where !keys.contains(key) { keys.append(key) }
        self.keys = cluster.hasBackups ? keys : []
        health = ClusterHealth(report, self.keys.map { ($0, "repo\($0)") })
    }

    private var observation: ClusterObservation { report.observation }
    private var old: ServiceJSON { cluster.object["status"] ?? [:] }

    func change() -> StatusChange? {
        let kept = (old["conditions"]?.elements ?? []).filter { $0["type"]?.string != "Progressing" }
        let merged = Condition.merge(
            conditions, into: kept, generation: cluster.object.generation, now: report.now,
            ended: report.wanted == nil ? [] : ["Standby", ClusterHealth.updateType])
        var patch: ServiceJSON = [:]
        func set(_ path: [String], _ value: ServiceJSON?) {
            if let value, old[path] != value { patch[path] = value }
        }
        set(["conditions"], .array(merged.list))
        set(["observedGeneration"], ServiceJSON(cluster.object.generation))
        set(["state"], .text(state))
        if let wanted = report.wanted {
            let ready = observation.pods.count { $0.isReady }
            set(["host"], .text("\(wanted.names.primaryService).\(wanted.key.namespace ?? "default").svc"))
            set(["postgres", "size"], ServiceJSON(wanted.isStopped ? 0 : wanted.instances))
            set(["postgres", "ready"], ServiceJSON(ready))
            set(["postgres", "version"], ServiceJSON(wanted.major))
            set(["postgres", "instances"], .array(sets))
            set(
                ["pgbackrest", "repoHost"],
                ["apiVersion": "apps/v1", "kind": "Deployment", "ready": .bool(observation.isHostReady)])
            set(["pgbackrest", "repos"], .array(keys.map(repository)))
            for (name, value) in remembered(wanted) { set(["permafrost", "repositories", name], value) }
            set(["archiving"], health.archiving)
            for (name, value) in beginning(wanted) { set(["permafrost", name], value) }
        }
        return patch.isEmpty ? nil : StatusChange(patch: patch, news: merged.changed)
    }

    private var isUp: Bool { observation.primary?.isReady == true }

    /// Where the database came from, what it follows, and since when its history is its own.
    private func beginning(_ wanted: DatabaseCluster) -> [String: ServiceJSON] {
        var json: [String: ServiceJSON] = [:]
        let now = ServiceJSON.text(ServiceTime.rfc3339(report.now))
        if let restore = wanted.restore {
            var source: ServiceJSON = ["from": .text(restore.description)]
            if !restore.options.isEmpty {
                source["options"] = .text(restore.options.map { "--\($0.name)=\($0.value)" }.joined(separator: " "))
            }
            if isUp {
                source["completed"] = now
                json["historyBegan"] = now
            }
            json["dataSource"] = source
        }
        if let standby = wanted.standby {
            var state: ServiceJSON = [
                "state": standby.isFollowing ? "following" : "promoting", "repo": .text("repo\(standby.repository)"),
            ]
            let known = old[PerconaStandby.statusPath]
            if let newest = observation.status?[standby.repository]?.newestSegment,
                newest != known?["lastWal"]?.string
            {
                state["lastWal"] = .text(newest)
                state["lastWalSeen"] = now
            }
            if standby.isDecided, observation.status?.isInRecovery == false {
                state["state"] = "promoted"
                state["promoted"] = now
                json["historyBegan"] = now
            }
            json["standby"] = known?.merging(state) ?? state
        }
        return json
    }

    private func standbyCondition(_ standby: WantedStandby) -> Condition {
        if let hold = standby.hold { return Condition("Standby", .yes, hold.reason, hold.message) }
        return standby.isToEnd
            ? Condition("Standby", .yes, "Promoting", "the cluster becomes one of its own")
            : Condition(
                "Standby", .yes, "FollowsArchive",
                "the cluster follows what another archives in repo\(standby.repository); it makes no backups and "
                    + "archives nothing")
    }

    private var state: String {
        guard let wanted = report.wanted else { return "error" }
        if wanted.isStopped { return observation.pods.isEmpty ? "paused" : "stopping" }
        let isHostReady = observation.isHostReady || wanted.repositories.isEmpty
        return health.ready.isGood && isHostReady ? "ready" : "initializing"
    }

    /// All pods are in one StatefulSet: the first sets are taken to have the first pods.
    private var sets: [ServiceJSON] {
        var rest = observation.pods[...]
        return (cluster.spec["instances"]?.elements ?? []).map { set in
            let size = max(1, set["replicas"]?.integer ?? 1)
            let own = rest.prefix(size)
            rest = rest.dropFirst(size)
            return [
                "name": .text(Percona.text(set, "name") ?? "00"), "size": ServiceJSON(size),
                "ready": ServiceJSON(own.count { $0.isReady }),
            ]
        }
    }

    // MARK: Repositories

    private func before(_ key: Int) -> ServiceJSON? {
        (old[["pgbackrest", "repos"]]?.elements ?? []).first { $0["name"]?.string == "repo\(key)" }
    }

    /// While nobody can look, as it was.
    private func hasStanza(_ key: Int) -> Bool {
        guard let seen = observation.status?[key], seen.error == nil else {
            return before(key)?["stanzaCreated"]?.bool ?? false
        }
        return seen.isReady
    }

    private func hasBackup(_ key: Int) -> Bool {
        guard let seen = observation.status?[key], seen.error == nil else {
            return before(key)?["replicaCreateBackupComplete"]?.bool ?? false
        }
        return !seen.backups.isEmpty
    }

    private func repository(_ key: Int) -> ServiceJSON {
        var json: ServiceJSON = ["name": .text("repo\(key)"), "stanzaCreated": .bool(hasStanza(key))]
        if let said = health.repositories.first(where: { $0.key == key }) {
            json["ready"] = .bool(said.state == .yes)
            json["reason"] = .text(said.reason)
            json["message"] = .text(said.message)
        }
        if report.wanted?.repositories.first(where: { $0.key == key })?.volume != nil {
            json["bound"] = .bool(observation.boundClaims[key] != nil)
            if let volume = observation.boundClaims[key], !volume.isEmpty { json["volume"] = .text(volume) }
        }
        if key == report.wanted?.firstRepository { json["replicaCreateBackupComplete"] = .bool(hasBackup(key)) }
        for (name, kind) in PerconaCluster.scheduleFields {
            if let state = observation.schedules[ScheduleKey(key, kind)] { json[["schedules", name]] = state.json }
        }
        var content = health.content(of: key, before: before(key), object: "name")
        if let label = content[["lastBackup", "internalName"]] {
            content[["lastBackup", "backupName"]] = label
            content[["lastBackup", "internalName"]] = nil
        }
        return json.merging(content)
    }

    /// What is not to be lost by a change of the manifest: where repositories are that hold backups.
    private func remembered(_ wanted: DatabaseCluster) -> [String: ServiceJSON] {
        var result: [String: ServiceJSON] = [:]
        for (name, _) in old[["permafrost", "repositories"]]?.members ?? [:] { result[name] = .null }
        for repository in wanted.repositories {
            guard let entry = repository.record["repo"] else { continue }
            let known = old[["permafrost", "repositories", repository.name, "backups"]]?.integer ?? 0
            let seen = observation.status?[repository.key]
            let count = seen?.error == nil ? seen?.backups.count ?? known : known
            result[repository.name] = ["repo": entry, "backups": ServiceJSON(count)]
        }
        // One that cannot be used now is still where it was.
        for faulty in wanted.faultyRepositories where result[faulty.name] == .null { result[faulty.name] = nil }
        return result
    }

    // MARK: Conditions

    private var conditions: [Condition] {
        if let refusal = report.refusal {
            var conditions = [Condition("Ready", .no, refusal.reason, refusal.message)]
            if refusal.reason == PerconaCluster.removalReason {
                conditions.append(Condition("Progressing", .no, "Paused", refusal.message))
            }
            return conditions
        }
        guard let wanted = report.wanted else { return [] }
        var conditions = [health.unsupported]
        if let update = health.update { conditions.append(update) }
        conditions.insert(
            wanted.isStopped ? Condition("Ready", .no, "Paused", "spec.pause is true") : health.ready, at: 0)
        if isUp || cluster.isBootstrapped {
            let from = wanted.restore?.description ?? old[["permafrost", "dataSource", "from"]]?.string
            conditions.append(
                Condition(
                    "Bootstrapped", .yes, "ClusterBootstrapped",
                    from.map { "the database has begun with \($0)" } ?? "the database has been made"))
        }
        if let standby = wanted.standby {
            conditions += [
                standbyCondition(standby), health.repositoryReady, health.configurationAccepted,
                Condition("ReadyForBackup", .no, "Standby", "the cluster that this one follows makes the backups"),
            ]
            return conditions
        }
        guard wanted.isArchiving else {
            return conditions + [
                Condition("ReadyForBackup", .no, "BackupsDisabled", "there is no repository that backups could go to")
            ]
        }
        conditions += [
            health.repositoryReady, health.continuousArchiving, health.configurationAccepted, health.schedulesAccepted,
        ]
        if let last = health.lastBackup(Percona.backups.kind) {
            conditions.append(last)
            conditions.append(
                last.state == .yes
                    ? Condition("PGBackRestManualBackupSuccessful", .yes, "ManualBackupComplete", last.message)
                    : Condition("PGBackRestManualBackupSuccessful", .no, "ManualBackupFailed", last.message))
        }
        return conditions + readiness(wanted)
    }

    /// What must hold before backups can be made, as the original names it.
    private func readiness(_ wanted: DatabaseCluster) -> [Condition] {
        let host = Condition(
            "PGBackRestRepoHostReady", observation.isHostReady ? .yes : .no,
            observation.isHostReady ? "RepoHostReady" : "RepoHostNotReady",
            observation.isHostReady ? "the repository host is ready" : "the repository host is not ready yet")
        let first = wanted.firstRepository
        let isMade = first.map(hasStanza) ?? false
        let stanza = Condition(
            "PGBackRestReplicaRepoReady", isMade ? .yes : .no, isMade ? "StanzaCreated" : "StanzaNotCreated",
            isMade
                ? "the first repository has a stanza"
                : health.repositories.first { $0.key == first }?.message ?? "the first repository has no stanza yet")
        let isFilled = first.map(hasBackup) ?? false
        let backup = Condition(
            "PGBackRestReplicaCreate", isFilled ? .yes : .no,
            isFilled ? "RepoBackupComplete" : "RepoBackupNotComplete",
            isFilled ? "the first backup is complete" : "the first backup is not complete yet")
        let missing = [host, stanza, backup].first { $0.state != .yes }
        let all = Condition(
            "ReadyForBackup", missing == nil ? .yes : .no, missing?.type ?? "AllConditionsAreTrue",
            missing?.message ?? "backups can be made")
        return [host, stanza, backup, all]
    }
}
