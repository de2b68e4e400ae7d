import BackupModel
package import HTTP
import KubernetesClient

/// The status of an `SGCluster`, made of what is wanted and what was seen.
package struct StackGresStatus: Sendable {
    package var cluster: StackGresCluster
    /// nil when the manifest is refused.
    package var wanted: DatabaseCluster?
    package var refusal: Refusal?
    package var observation: ClusterObservation
    package var now: Int64

    package init(
        _ cluster: StackGresCluster, wanted: DatabaseCluster?, refusal: Refusal? = nil,
        observation: ClusterObservation, now: Int64
    ) {
        self.cluster = cluster
        self.wanted = wanted
        self.refusal = refusal
        self.observation = observation
        self.now = now
    }

    /// What of the status has changed, as a merge patch, and what of that is news; nil when nothing has.
    package func changes() -> (patch: ServiceJSON, news: [Condition])? {
        let old = cluster.object["status"] ?? [:]
        let merged = Condition.merge(
            conditions, into: old["conditions"]?.elements ?? [], generation: cluster.object.generation, now: now)
        var patch: ServiceJSON = [:]
        func set(_ path: [String], _ value: ServiceJSON?) {
            if let value, old[path] != value { patch[path] = value }
        }
        set(["conditions"], .array(merged.list))
        set(["observedGeneration"], ServiceJSON(cluster.object.generation))
        if let wanted {
            set(["instances"], ServiceJSON(observation.pods.count))
            set(["labelSelector"], .text("\(OperatorNames.cluster)=\(cluster.object.name)"))
            set(["postgresVersion"], .text(observation.status?.version ?? "\(wanted.major)"))
            set(["arch"], "x86_64")
            set(["os"], "linux")
            set(["podStatuses"], .array(observation.pods.map(Self.json)))
        }
        if let elements = try? cluster.elements() {
            set(["backupPaths"], .array(elements.map { .text($0.path) }))
            set(["permafrost", "repositories"], .array(elements.map(repository)))
        }
        if let archiving { set(["permafrost", "archiving"], archiving) }
        return patch.isEmpty ? nil : (patch, merged.changed)
    }

    private static func json(_ pod: ClusterObservation.Pod) -> ServiceJSON {
        [
            "name": .text(pod.name), "primary": .bool(pod.isPrimary), "replicationGroup": 0, "pendingRestart": false,
        ]
    }

    // MARK: Repositories

    private func repository(_ element: StackGresCluster.Element) -> ServiceJSON {
        let health = health(element.key, element.storage)
        var json: ServiceJSON = [
            "key": ServiceJSON(element.key), "sgObjectStorage": .text(element.storage), "path": .text(element.path),
            "ready": .bool(health.state == .yes), "reason": .text(health.reason), "message": .text(health.message),
        ]
        if let schedule = observation.schedules[element.key] { json["schedule"] = schedule.json }
        // What was known stays while nobody can look.
        let before = (cluster.object["status", "permafrost", "repositories"]?.elements ?? [])
            .first { $0["key"]?.integer == element.key }
        guard let seen = observation.status?[element.key], seen.error == nil else {
            for name in ["firstRestorableTime", "lastRestorableTime", "lastBackup", "size", "backups"] {
                json[name] = before?[name]
            }
            return json
        }
        let sound = seen.backups.filter { !$0.hasErrors }
        json["backups"] = ServiceJSON(seen.backups.count)
        json["size"] = .number("\(seen.backups.reduce(0) { $0 + $1.repositorySize })")
        if let first = sound.map(\.stop).min() { json["firstRestorableTime"] = .text(ServiceTime.rfc3339(first)) }
        if !sound.isEmpty {
            let last = max(sound.map(\.stop).max() ?? 0, observation.status?.archiving?.lastTime ?? 0)
            json["lastRestorableTime"] = .text(ServiceTime.rfc3339(last))
        }
        if let newest = seen.backups.max(by: { $0.stop < $1.stop }) {
            var last: ServiceJSON = [
                "internalName": .text(newest.label), "time": .text(ServiceTime.rfc3339(newest.stop)),
            ]
            if let name = observation.backups.first(where: { $0.label == newest.label })?.name {
                last["sgBackup"] = .text(name)
            }
            json["lastBackup"] = last
        }
        return json
    }

    private func health(_ key: Int, _ name: String) -> (state: Condition.State, reason: String, message: String) {
        if let fault = wanted?.faultyRepositories.first(where: { $0.key == key })?.fault {
            return (.no, fault.reason, fault.message)
        }
        if let missing = observation.missing[key] {
            return (.no, "SecretMissing", "there is no entry \(missing), which SGObjectStorage '\(name)' needs")
        }
        guard let status = observation.status else {
            if let error = observation.statusError { return (.unknown, "AgentSilent", error.message) }
            return (.unknown, "WaitingForPrimary", "the primary has not told of the repository yet")
        }
        guard let seen = status[key] else {
            return (.unknown, "ConfigurationPending", "the agent has not taken up the repository yet")
        }
        if let error = seen.error { return (.no, Self.reason(error), error.text) }
        if seen.isWithoutStanza { return (.no, "StanzaMissing", "the repository is being set up") }
        guard seen.isReady else { return (.no, "RepositoryError", seen.message) }
        return (.yes, "RepositoryReady", "SGObjectStorage '\(name)' can be read and written")
    }

    private static func reason(_ error: Trouble) -> String {
        switch error.code {
        case .access: "AccessDenied"
        case .hostConnect, .hostInvalid: "StoreUnreachable"
        case .crypto: "CertificateOrCipherRefused"
        case .fileMissing, .pathMissing: "NotFound"
        default: "RepositoryError"
        }
    }

    private var archiving: ServiceJSON? {
        guard let archiving = observation.status?.archiving, wanted?.isArchiving == true else { return nil }
        var json: ServiceJSON = ["failing": .bool(archiving.isFailing)]
        if let segment = archiving.lastSegment { json["lastWal"] = .text(segment) }
        if let time = archiving.lastTime { json["lastTime"] = .text(ServiceTime.rfc3339(time)) }
        json["message"] = .text(archiving.isFailing ? archivingMessage(archiving) : "")
        return json
    }

    // MARK: Conditions

    private var conditions: [Condition] {
        var conditions: [Condition] = []
        if let refusal {
            conditions.append(Condition("Ready", .no, refusal.reason, refusal.message))
            conditions.append(Condition("Failed", .yes, "ClusterConfigFailed", refusal.message, isBadWhenTrue: true))
        } else {
            conditions.append(ready)
            conditions.append(Condition("Failed", .no, "FalseFailed", "", isBadWhenTrue: true))
        }
        if observation.primary?.isReady == true || cluster.isBootstrapped {
            conditions.append(Condition("Bootstrapped", .yes, "ClusterBootstrapped", "the database has been made"))
        }
        guard let wanted else { return conditions }
        conditions.append(unsupported(wanted))
        if wanted.isArchiving {
            conditions += [repositoryReady, continuousArchiving]
            if let lastBackup { conditions.append(lastBackup) }
        }
        return conditions
    }

    private var ready: Condition {
        let instances = wanted?.instances ?? 0
        let ready = observation.pods.count { $0.isReady }
        if let trouble = observation.pods.compactMap(\.trouble).first {
            return Condition("Ready", .no, "PodFailing", trouble)
        }
        if instances == 0 { return Condition("Ready", .no, "Stopped", "spec.instances is 0") }
        guard let primary = observation.primary, primary.isReady else {
            return Condition(
                "Ready", .no, "NoPrimary", "\(ready) of \(instances) pods are ready, and none is the primary")
        }
        if let error = observation.status?.serverError {
            return Condition("Ready", .no, "PostgresUnreachable", error.message)
        }
        if let full = observation.status?.volumes.first(where: { $0.size > 0 && $0.free < $0.size / 50 }) {
            return Condition(
                "Ready", .no, "VolumeFull",
                "volume '\(full.name)' of pod '\(primary.name)' has \(full.free >> 20) MiB of \(full.size >> 20) MiB left"
            )
        }
        guard ready >= instances else {
            return Condition("Ready", .no, "PodsMissing", "\(ready) of \(instances) pods are ready")
        }
        return Condition("Ready", .yes, "ClusterReady", "\(ready) of \(instances) pods are ready")
    }

    private func unsupported(_ wanted: DatabaseCluster) -> Condition {
        guard !wanted.unsupported.isEmpty else {
            return Condition(
                "Unsupported", .no, "AllSupported", "everything in the manifest is carried out", isBadWhenTrue: true)
        }
        let list = wanted.unsupported.map { "\($0.path): \($0.reason)" }.joined(separator: "; ")
        return Condition("Unsupported", .yes, "FieldsUnsupported", list, isBadWhenTrue: true)
    }

    private var repositoryReady: Condition {
        let all = ((try? cluster.elements()) ?? []).map { element in
            let health = health(element.key, element.storage)
            return (name: element.storage, state: health.state, reason: health.reason, message: health.message)
        }
        if let bad = all.first(where: { $0.state == .no }) ?? all.first(where: { $0.state == .unknown }) {
            let messages = all.filter { $0.state != .yes }.map { "\($0.name): \($0.message)" }
            return Condition("RepositoryReady", bad.state, bad.reason, messages.joined(separator: "; "))
        }
        return Condition(
            "RepositoryReady", .yes, "RepositoryReady", all.map(\.message).joined(separator: "; "))
    }

    private func archivingMessage(_ archiving: StanzaStatus.Archiving) -> String {
        let segment = archiving.failedSegment.map { " '\($0)'" } ?? ""
        let why = archiving.error.map { ": \($0.text)" } ?? ""
        return "WAL segment\(segment) cannot be archived, \(archiving.ready) wait\(why)"
    }

    private var continuousArchiving: Condition {
        let type = "ContinuousArchiving"
        guard let status = observation.status, let archiving = status.archiving else {
            return Condition(type, .unknown, "WaitingForPrimary", "the primary has not told of its archiving yet")
        }
        if archiving.isFailing {
            return Condition(type, .no, "ArchivingFailing", archivingMessage(archiving))
        }
        guard archiving.lastSegment != nil else {
            return Condition(type, .unknown, "NothingArchived", "no WAL segment has been archived yet")
        }
        let first = wanted?.repositories.first.flatMap { status[$0.key] }
        if let first, first.error == nil, first.isWithoutStanza {
            return Condition(type, .no, "StanzaMissing", "the repository is being set up")
        }
        return Condition(type, .yes, "ContinuousArchivingSuccess", "WAL is archived as it is written")
    }

    private var lastBackup: Condition? {
        guard let last = observation.backups.first else { return nil }
        if let failure = last.failure {
            return Condition("LastBackupSucceeded", .no, "BackupFailed", "SGBackup '\(last.name)' failed: \(failure)")
        }
        return Condition("LastBackupSucceeded", .yes, "BackupSucceeded", "SGBackup '\(last.name)' is complete")
    }
}
