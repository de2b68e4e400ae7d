import BackupModel
import HTTP
import Jobs
import KubernetesClient
import Logging

/// Brings one cluster to what its manifest says. Each run begins at the beginning and does what is not done yet, so it may
/// end anywhere.
struct ClusterReconciler {
    let context: OperatorContext
    let key: ObjectKey

    /// What may change without anybody telling is looked at so often.
    private var longestPause: Duration { context.settings.second * 300 }
    private var missingPause: Duration { context.settings.second * 15 }

    func reconcile() async throws(KubernetesError) -> WorkOutcome {
        guard let object = context.caches.clusters[key], !object.isBeingDeleted else {
            context.watch.forget(key)
            return .done
        }
        let cluster = StackGresCluster(object)
        let wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try cluster.wanted(
                storage: { context.caches.storages[ObjectKey(namespace: key.namespace, name: $0)] },
                backup: { context.caches.backups[ObjectKey(namespace: key.namespace, name: $0)] })
            for schedule in wanted.repositories.flatMap(\.schedules) {
                guard context.zone(schedule.timeZone) == nil else { continue }
                throw Refusal("ScheduleInvalid", "'\(schedule.timeZone ?? "")' is no time zone")
            }
        } catch {
            try await report(
                StackGresStatus(
                    cluster, wanted: nil, refusal: error, observation: observation(cluster), now: context.now()))
            return error.isTemporary ? .again(after: missingPause) : .done
        }
        if wanted.isPaused { return .done }

        var seen = observation(cluster)
        // Numbers and paths are written down before anything is made with them.
        if StackGresStatus(cluster, wanted: wanted, observation: seen, now: context.now()).givesPlaces {
            try await report(StackGresStatus(cluster, wanted: wanted, observation: seen, now: context.now()))
            return .again(after: .milliseconds(50))
        }
        // An agent that has not read its new configuration yet tells of other repositories.
        seen.status?.leave(only: wanted.repositories)
        let objects = ClusterObjects(wanted, context.settings)
        seen.missing = try await ClusterConfiguration(context: context, objects: objects).reconcile()
        for object in [objects.patroniMap()] + objects.patroniAccess() + objects.services() {
            try await context.apply(object)
        }
        let files = wanted.repositories.flatMap { repository in
            repository.location.files.keys.map { EngineConfiguration.fileName(repository.key, $0) }
        }.sorted()
        let isLacking = wanted.repositories.contains { seen.missing[$0.key] != nil }
        let restoreFiles = (wanted.restore?.location.files.keys.map { EngineConfiguration.fileName(1, $0) } ?? [])
            .sorted()
        // A pod that waits for a file of a Secret that is not there does not start; a cluster that runs goes on.
        if !isLacking || context.caches.statefulSets[key] == nil {
            let present = isLacking ? [] : files
            try await context.apply(objects.statefulSet(secretFiles: present, restoreFiles: restoreFiles))
            for object in objects.repositoryHost(secretFiles: present) { try await context.apply(object) }
        }
        try await changePatroni(objects)
        if seen.primary != nil { context.watch.add(key, unlessKnown: true) }
        await setUp(wanted, seen)
        let pause = try await keepSchedules(cluster, wanted, &seen)
        try await removeExpired(cluster, seen)
        try await report(StackGresStatus(cluster, wanted: wanted, observation: seen, now: context.now()))
        if !seen.missing.isEmpty || wanted.faultyRepositories.contains(where: \.fault.isTemporary) {
            return .again(after: min(pause, missingPause))
        }
        return .again(after: pause)
    }

    // MARK: Seeing

    private func observation(_ cluster: StackGresCluster) -> ClusterObservation {
        var seen = ClusterObservation()
        seen.pods = context.pods(of: key, .database).map(ClusterObservation.pod).sorted { $0.name < $1.name }
        let answer = context.watch[key]
        seen.status = answer.status
        seen.statusError = answer.error
        for entry in cluster.object["status", "permafrost", "repositories"]?.elements ?? [] {
            if let number = entry["key"]?.integer, let state = entry["schedule"].flatMap({ ScheduleState($0) }) {
                seen.schedules[number] = state
            }
        }
        let ended = context.backups(of: key).filter { $0.isFinished && !$0.isCopy }
        seen.backups = ended.map { backup in
            ClusterObservation.LastBackup(
                name: backup.object.name, repository: backup.repositoryKey ?? 1, label: backup.label,
                failure: backup.phase == .failed ? backup.failure ?? "" : nil,
                time: backup.endTime ?? backup.object.creationTime ?? 0)
        }.sorted { ($0.time, $0.name) > ($1.time, $1.name) }
        return seen
    }

    // MARK: Patroni

    /// What Patroni has in its own store counts from the first start on.
    private func changePatroni(_ objects: ClusterObjects) async throws(KubernetesError) {
        let place = ObjectKey(namespace: key.namespace, name: ClusterObjects.stateName(key.name))
        guard let endpoints = context.caches.endpoints[place], let text = endpoints.annotations["config"],
            var present = ServiceJSON(Array(text.utf8))
        else { return }
        let wanted = PatroniConfiguration(cluster: objects.cluster).dynamic
        let merged = present.merging(wanted)
        if endpoints.annotations["initialize"]?.isEmpty == true { try await endStaleStart(place) }
        guard merged != present else { return }
        present = merged
        _ = try await context.client.patch(
            .endpoints, namespace: place.namespace, name: place.name,
            ["metadata": ["annotations": ["config": .text(present.description)]]])
    }

    /// A member that is killed while it makes the database leaves a mark for which all others wait. It is stale when
    /// every member that runs has started after it was written.
    private func endStaleStart(_ place: ObjectKey) async throws(KubernetesError) {
        let pods = context.pods(of: key, .database)
        let starts = pods.compactMap { pod in
            pod["status", "containerStatuses"]?.elements.first { $0["name"]?.string == "patroni" }?[
                ["state", "running", "startedAt"]]?.string.flatMap(ServiceTime.parseISO8601)
        }
        guard !pods.isEmpty, starts.count == pods.count, let first = starts.min() else { return }
        let endpoints = try await context.client.get(.endpoints, namespace: place.namespace, name: place.name)
        let written = (endpoints["metadata", "managedFields"]?.elements ?? []).filter {
            $0[["fieldsV1", "f:metadata", "f:annotations", "f:initialize"]] != nil
        }.compactMap { $0["time"]?.string.flatMap(ServiceTime.parseISO8601) }.max()
        guard let written, written < first, endpoints.annotations["initialize"] == "" else { return }
        _ = try await context.client.patch(
            .endpoints, namespace: place.namespace, name: place.name,
            [
                "metadata": [
                    "resourceVersion": .text(endpoints.resourceVersion ?? ""), "annotations": ["initialize": .null],
                ]
            ])
        context.logger.notice("cluster '\(key)': the mark of a start that was cut off is gone")
    }

    // MARK: Stanza

    /// Where a repository has no stanza yet, the primary's agent makes it.
    private func setUp(_ wanted: DatabaseCluster, _ seen: ClusterObservation) async {
        guard let status = seen.status, let primary = seen.primary, primary.isReady, status.isInRecovery == false else {
            return
        }
        let lacking = wanted.repositories.filter { status[$0.key]?.isWithoutStanza == true }
        guard !lacking.isEmpty else { return await proveArchiving(wanted, status, primary.name) }
        do throws(BackupError) {
            let name = OperatorNames.digest(lacking.map(\.location.identity).joined()).prefix(16)
            // Another key each time: one that has failed is to be tried again.
            let request = try JobRequest(
                .stanzaCreate, stanza: OperatorNames.stanza, key: "stanza-\(name)-\(context.now() / 10)")
            guard let result = try await context.agents.run(request, of: key, pod: primary.name) else { return }
            if let error = result.error { throw error }
            context.logger.notice("cluster '\(key)': stanza '\(OperatorNames.stanza)' was made")
        } catch {
            context.logger.warning("cluster '\(key)': the stanza could not be made: \(error.message)")
            if let object = context.caches.clusters[key] {
                await context.events.record(.warning, "StanzaFailed", error.message, about: object)
            }
        }
        context.watch.add(key)
    }

    /// A database in which nothing happens archives nothing: the first segment is asked for.
    private func proveArchiving(_ wanted: DatabaseCluster, _ status: StanzaStatus, _ pod: String) async {
        guard !wanted.repositories.isEmpty, wanted.repositories.allSatisfy({ status[$0.key]?.isReady == true }),
            let archiving = status.archiving, archiving.lastSegment == nil, !archiving.isFailing
        else { return }
        do throws(BackupError) {
            let request = try JobRequest(
                .check, stanza: OperatorNames.stanza, key: "check-\(key.name)-\(context.now() / 60)")
            _ = try await context.agents.run(request, of: key, pod: pod)
        } catch {
            context.logger.warning("cluster '\(key)': archiving could not be checked: \(error.message)")
        }
        context.watch.add(key)
    }

    // MARK: Telling

    private func report(_ status: StackGresStatus) async throws(KubernetesError) {
        guard let changes = status.changes() else { return }
        _ = try await context.client.patch(
            StackGres.clusters, namespace: key.namespace, name: key.name, ["status": changes.patch], .status)
        for condition in changes.news where !condition.message.isEmpty {
            await context.events.record(
                condition.isGood || condition.state == .unknown ? .normal : .warning, condition.reason,
                condition.message, about: status.cluster.object)
        }
    }

    // MARK: Schedules and retention

    /// - Returns: when to look again.
    private func keepSchedules(
        _ cluster: StackGresCluster, _ wanted: DatabaseCluster, _ seen: inout ClusterObservation
    ) async throws(KubernetesError) -> Duration {
        let own = context.backups(of: key).filter { !$0.isCopy }
        let first = wanted.repositories.first?.key ?? 1
        var made: [Int: Int64] = [:]
        var busy: Set<Int> = []
        var filled: Set<Int> = []
        for backup in own {
            let repository = backup.repositoryKey ?? first
            if let time = backup.scheduledTime { made[repository] = max(made[repository] ?? 0, time) }
            if !backup.isFinished, backup.scheduledTime != nil { busy.insert(repository) }
            if backup.phase != .failed { filled.insert(repository) }
        }
        for repository in seen.status?.repositories ?? [] where !repository.backups.isEmpty {
            filled.insert(repository.key)
        }
        let now = context.now()
        let plan = SchedulePlan(
            wanted.repositories, zones: context.zone, known: seen.schedules, made: made, busy: busy, filled: filled,
            now: now)
        for due in plan.due {
            let backup = StackGresBackup.scheduled(
                cluster: key, repository: due.repository, at: due.time, wasMissed: due.wasMissed)
            do throws(KubernetesError) {
                _ = try await context.client.create(StackGres.backups, backup)
            } catch {
                // Made before, by a run that ended before it could say so.
                if !error.isAlreadyExists { throw error }
                continue
            }
            if due.wasMissed {
                await context.events.record(
                    .normal, "MissedBackupMade",
                    "the backup of \(ServiceTime.rfc3339(due.time)) was not made then: SGBackup '\(backup.name)' makes up for it",
                    about: cluster.object)
            }
        }
        seen.schedules = plan.states
        guard let next = plan.next else { return longestPause }
        return min(longestPause, .seconds(max(0, next - context.now())) + .milliseconds(20))
    }

    /// Backups that retention has removed from the repository go here too.
    private func removeExpired(
        _ cluster: StackGresCluster, _ seen: ClusterObservation
    ) async throws(KubernetesError) {
        guard let status = seen.status, let elements = try? cluster.elements() else { return }
        for backup in context.backups(of: key) where backup.phase == .completed && !backup.object.isBeingDeleted {
            guard let label = backup.label, let end = backup.endTime,
                let element = elements.first(where: { $0.path == backup.path }),
                let repository = status[element.key], repository.isReady, repository.looked > end,
                let storage = context.caches.storages[ObjectKey(namespace: key.namespace, name: element.storage)],
                backup.isStored(in: storage["spec"] ?? [:]), !repository.backups.contains(where: { $0.label == label })
            else { continue }
            let object = backup.object
            if object.finalizers.contains(OperatorNames.finalizer) {
                _ = try await context.client.patch(
                    StackGres.backups, namespace: object.namespace, name: object.name,
                    [
                        "metadata": [
                            "resourceVersion": .text(object.resourceVersion ?? ""),
                            "annotations": [OperatorNames.expired: "true"],
                            "finalizers": ServiceJSON(object.finalizers.filter { $0 != OperatorNames.finalizer }),
                        ]
                    ])
            }
            try await context.client.delete(
                StackGres.backups, namespace: object.namespace, name: object.name,
                DeleteOptions(propagation: .background, uid: object.uid))
            context.logger.info("SGBackup '\(object.key)' goes: retention has removed \(label)")
        }
    }
}

extension StackGresStatus {
    /// Whether a number or a path of a repository is not in the status yet.
    var givesPlaces: Bool {
        guard let elements = try? cluster.elements() else { return false }
        let known = cluster.object["status", "permafrost", "repositories"]?.elements ?? []
        return elements.contains { element in
            !known.contains {
                $0["key"]?.integer == element.key && $0["sgObjectStorage"]?.string == element.storage
                    && $0["path"]?.string == element.path
            }
        }
    }
}

extension ServiceJSON {
    /// Members of both; those of `other` count.
    func merging(_ other: ServiceJSON) -> ServiceJSON {
        guard case .object(var members) = self, case .object(let added) = other else { return other }
        for (name, value) in added { members[name] = members[name]?.merging(value) ?? value }
        return .object(members)
    }
}
