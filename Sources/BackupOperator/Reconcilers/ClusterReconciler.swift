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
        let dialects = context.dialects(with: key)
        guard let dialect = dialects.first, let cluster = dialect.cluster(key), !cluster.object.isBeingDeleted else {
            if let dialect = dialects.first, let cluster = dialect.cluster(key), let removal = cluster.removal {
                return try await ClusterRemoval(context: context, dialect: dialect, cluster: cluster, wanted: removal)
                    .reconcile()
            }
            context.watch.forget(key)
            return .done
        }
        for other in dialects.dropFirst() { try await refuse(other, beside: cluster) }
        var wanted: DatabaseCluster
        do throws(Refusal) {
            wanted = try cluster.wanted(context.lookup(key.namespace))
            guard wanted.instances <= ClusterObjects.mostMembers else {
                throw Refusal("TooManyInstances", "there may be \(ClusterObjects.mostMembers) instances at most")
            }
            for schedule in wanted.repositories.flatMap(\.schedules) {
                guard context.zone(schedule.timeZone) == nil else { continue }
                throw Refusal("ScheduleInvalid", "'\(schedule.timeZone ?? "")' is no time zone")
            }
        } catch {
            let seen = observation(cluster, dialect)
            try await report(
                cluster, dialect, ClusterReport(wanted: nil, refusal: error, observation: seen, now: context.now()))
            return error.isTemporary ? .again(after: missingPause) : .done
        }
        if wanted.isPaused { return .done }
        wanted.update = cluster.object.annotations[OperatorNames.update]
        var trouble: KubernetesError?
        // The other members would follow what is given up.
        if context.restores(of: key, dialect).contains(where: { $0.stage.isAlone }) {
            wanted.instances = min(wanted.instances, 1)
        }

        var seen = observation(cluster, dialect, wanted)
        // Numbers and paths are written down before anything is made with them.
        if cluster.needsPlaces {
            try await report(
                cluster, dialect, ClusterReport(wanted: wanted, observation: seen, now: context.now()))
            return .again(after: .milliseconds(50))
        }
        // Nobody is stopped in the middle of a backup.
        if wanted.isStopped, context.backups(of: key, dialect).contains(where: { $0.phase == .running }) {
            wanted.isStopped = false
            wanted.unsupported.append(UnsupportedField("spec.pause", "it waits until the backup that runs has ended"))
        }
        (wanted, seen.fileFaults) = try await ClusterFiles(context: context, cluster: wanted).reconcile()
        seen.status = context.status(of: wanted)
        if let refusal = try await findSource(&wanted, &seen) {
            try await report(
                cluster, dialect, ClusterReport(wanted: nil, refusal: refusal, observation: seen, now: context.now()))
            return refusal.isTemporary ? .again(after: missingPause) : .done
        }
        let held = hold(wanted, seen)
        wanted.standby?.hold = held
        // Written down first: whoever was promoted must never be made to follow again.
        if let standby = wanted.standby, !standby.isFollowing, !standby.isDecided {
            try await report(
                cluster, dialect, ClusterReport(wanted: wanted, observation: seen, now: context.now()))
            return .again(after: .milliseconds(50))
        }
        let objects = ClusterObjects(wanted, context.settings)
        do throws(KubernetesError) {
            try await make(objects, &seen)
        } catch {
            if error.isConflict || error.isCancelled { throw error }
            // Backups go on, whatever of it is refused; and it is told.
            trouble = error
            seen.trouble = error.message
        }
        if seen.primary != nil { context.watch.add(key, unlessKnown: true) }
        await setUp(wanted, seen)
        let isQuiet = wanted.isStopped || wanted.standby != nil
        let pause = isQuiet ? longestPause : try await keepSchedules(cluster, dialect, wanted, &seen)
        try await removeExpired(dialect, wanted, seen)
        try await tellRestorable(cluster, dialect, wanted, seen)
        try await report(cluster, dialect, ClusterReport(wanted: wanted, observation: seen, now: context.now()))
        if let trouble { throw trouble }
        if !seen.missing.isEmpty || seen.fileFaults.contains(where: \.isTemporary)
            || wanted.faultyRepositories.contains(where: \.fault.isTemporary) || wanted.standby?.isToEnd == true
            || wanted.restore?.found?.claim != nil
        {
            return .again(after: min(pause, missingPause))
        }
        return .again(after: pause)
    }

    // MARK: Where it comes from

    /// A database that is up asks no source for anything any more, and it may be gone.
    private func findSource(
        _ wanted: inout DatabaseCluster, _ seen: inout ClusterObservation
    ) async throws(KubernetesError) -> Refusal? {
        guard let restore = wanted.restore, seen.primary?.isReady != true else { return nil }
        switch try await CopySource(context: context, cluster: wanted, restore: restore).find() {
        case .failure(let refusal): return refusal
        case .success(let found):
            if context.caches.statefulSets[key] == nil { try await forgetPatroni() }
            wanted.restore?.found = found
            seen.fileFaults += found.faults
            return nil
        }
    }

    /// What a cluster of this name that is gone has left of Patroni's state: its members would wait for a leader that has
    /// begun already.
    private func forgetPatroni() async throws(KubernetesError) {
        for name in [key.name, ClusterObjects.stateName(key.name)] {
            guard let left = context.caches.endpoints[ObjectKey(namespace: key.namespace, name: name)] else { continue }
            let names = ["initialize", "config", "history", "leader", "optime"].filter { left.annotations[$0] != nil }
            guard !names.isEmpty else { continue }
            let nothing = ServiceJSON.object(Dictionary(uniqueKeysWithValues: names.map { ($0, .null) }))
            _ = try await context.client.patch(
                .endpoints, namespace: key.namespace, name: name, ["metadata": ["annotations": nothing]])
        }
    }

    /// Why a standby is not promoted now, though it is asked for: two that write are worse than none.
    private func hold(_ wanted: DatabaseCluster, _ seen: ClusterObservation) -> Refusal? {
        guard let standby = wanted.standby, standby.isToEnd, !standby.isDecided else { return nil }
        guard seen.primary?.isReady == true else {
            return Refusal("NotBootstrapped", "it has not begun yet")
        }
        if let place = wanted.repositories.first(where: { $0.key == standby.repository })?.location,
            let writer = context.writer(to: place, but: key)
        {
            return Refusal(
                "RepositoryInUse",
                "cluster '\(writer)' writes to the same place: pause it or delete it, and this one is promoted")
        }
        guard let status = seen.status else {
            return Refusal("WaitingForPrimary", "its agent has not told of the archive yet")
        }
        let newest = status[standby.repository]?.newestSegment
        let since = newest == standby.lastSegment ? standby.lastTime ?? context.now() : context.now()
        if newest != nil, context.now() - since < WantedStandby.silence {
            return Refusal(
                "SourceIsWriting",
                "somebody has archived \(newest ?? "") in the last \(WantedStandby.silence) s: it is promoted when "
                    + "nothing has come for so long")
        }
        return nil
    }

    /// All objects of the cluster.
    private func make(_ objects: ClusterObjects, _ seen: inout ClusterObservation) async throws(KubernetesError) {
        let wanted = objects.cluster
        seen.missing = try await ClusterConfiguration(context: context, objects: objects).reconcile()
        try await ClusterUsers(context: context, objects: objects).reconcile()
        try await keepClaims(objects)
        // What pods may do before there are more of them.
        let access = objects.patroniAccess(pods: seen.pods.map(\.name))
        for object in [objects.patroniMap(), objects.repositoryAccount()] + access + objects.services() {
            try await context.apply(object)
        }
        let files = objects.secretFiles
        let isLacking = wanted.repositories.contains { seen.missing[$0.key] != nil }
        // A pod that waits for a file of a Secret that is not there does not start; a cluster that runs goes on.
        if !isLacking || context.caches.statefulSets[key] == nil {
            try await grow(objects)
            try await ClusterPods(context: context, objects: objects)
                .reconcile(secretFiles: isLacking ? [] : files, claim: claim(objects))
        }
        try await changePatroni(objects)
    }

    /// A StatefulSet's template for claims never changes: it stays as it was made, and the claims themselves grow.
    private func claim(_ objects: ClusterObjects) -> DatabaseCluster.Volume {
        context.caches.statefulSets[key]?.annotations[OperatorNames.volume].flatMap { DatabaseCluster.Volume($0) }
            ?? objects.cluster.volume
    }

    private func grow(_ objects: ClusterObjects) async throws(KubernetesError) {
        let size = objects.cluster.volume.size
        guard context.caches.statefulSets[key] != nil, claim(objects).size != size else { return }
        let claims = try await context.client.list(
            .persistentVolumeClaims, namespace: key.namespace,
            Selection(labels: [
                .equals(OperatorNames.cluster, key.name),
                .equals(OperatorNames.part, ClusterObjects.Part.database.rawValue),
            ])
        ).objects
        for claim in claims where claim["spec", "resources", "requests", "storage"]?.string != size {
            _ = try await context.client.patch(
                .persistentVolumeClaims, namespace: claim.namespace, name: claim.name,
                ["spec": ["resources": ["requests": ["storage": .text(size)]]]])
            if let object = context.cluster(key)?.object {
                await context.events.record(
                    .normal, "VolumeResized", "claim '\(claim.name)' is to have \(size)", about: object)
            }
        }
    }

    /// Its pods and Services would have the names of the other's.
    private func refuse(
        _ dialect: DialectCaches, beside other: any ClusterManifest
    ) async throws(KubernetesError) {
        guard let cluster = dialect.cluster(key), !cluster.object.isBeingDeleted else { return }
        let refusal = Refusal(
            "NameTaken", "there is a cluster of this name already, \(other.object.kind) '\(key)': choose another name")
        try await report(
            cluster, dialect,
            ClusterReport(wanted: nil, refusal: refusal, observation: ClusterObservation(), now: context.now()))
    }

    // MARK: Seeing

    private func observation(
        _ cluster: any ClusterManifest, _ dialect: DialectCaches, _ wanted: DatabaseCluster? = nil
    ) -> ClusterObservation {
        var seen = ClusterObservation()
        seen.pods = context.pods(of: key, .database).map(ClusterObservation.pod).sorted { $0.name < $1.name }
        let answer = context.watch[key]
        seen.status = answer.status
        seen.statusError = answer.error
        seen.schedules = cluster.schedules
        let host = ObjectKey(namespace: key.namespace, name: PodNames.repositoryHost(key.name))
        seen.outdated = context.outdated(key)
        seen.isHostReady = (context.caches.deployments[host]?["status", "readyReplicas"]?.integer ?? 0) > 0
        for repository in wanted?.repositories ?? [] {
            guard let claim = repository.volume?.claim else { continue }
            let present = context.caches.claims[ObjectKey(namespace: key.namespace, name: claim)]
            if present?["status", "phase"]?.string == "Bound" {
                seen.boundClaims[repository.key] = present?["spec", "volumeName"]?.string ?? ""
            }
        }
        let ended = context.backups(of: key, dialect).filter { $0.isFinished && $0.isMade(for: cluster.object) }
        seen.backups = ended.map { backup in
            ClusterObservation.LastBackup(
                name: backup.object.name, repository: backup.repositoryKey ?? 1, label: backup.label,
                failure: backup.phase == .failed ? backup.failure ?? "" : nil,
                time: backup.endTime ?? backup.object.creationTime ?? 0)
        }.sorted { ($0.time, $0.name) > ($1.time, $1.name) }
        return seen
    }

    // MARK: Volumes of repositories

    /// A claim is made once, and grows with what is asked for; it never shrinks and never goes.
    private func keepClaims(_ objects: ClusterObjects) async throws(KubernetesError) {
        for claim in objects.claims() {
            let place = claim.object.key
            guard let present = context.caches.claims[place] else {
                try await context.applying.apply(claim, present: nil)
                continue
            }
            let path = ["spec", "resources", "requests", "storage"]
            guard let text = claim.object.json[path]?.string, let size = Quantity.bytes(text),
                let old = present.json[path]?.string.flatMap(Quantity.bytes), size > old
            else { continue }
            _ = try await context.client.patch(
                claim.type, namespace: place.namespace, name: place.name,
                ["spec": ["resources": ["requests": ["storage": .text(text)]]]])
        }
    }

    // MARK: Patroni

    /// What Patroni has in its own store counts from the first start on.
    private func changePatroni(_ objects: ClusterObjects) async throws(KubernetesError) {
        let place = ObjectKey(namespace: key.namespace, name: ClusterObjects.stateName(key.name))
        guard let endpoints = context.caches.endpoints[place], let text = endpoints.annotations["config"],
            var present = ServiceJSON(Array(text.utf8))
        else { return }
        let wanted = PatroniConfiguration(cluster: objects.cluster).dynamic
        let before = endpoints.annotations[OperatorNames.patroni].flatMap { ServiceJSON(Array($0.utf8)) }
        var merged = (before.map { present.removing($0, but: wanted) } ?? present).merging(wanted)
        // It is promoted by what is not there any more.
        if let standby = objects.cluster.standby, !standby.isFollowing { merged["standby_cluster"] = nil }
        if endpoints.annotations["initialize"]?.isEmpty == true { try await endStaleStart(place) }
        guard merged != present || before != wanted else { return }
        present = merged
        if objects.cluster.standby?.isFollowing == false {
            context.logger.notice("cluster '\(key)': the standby is promoted")
        }
        _ = try await context.client.patch(
            .endpoints, namespace: place.namespace, name: place.name,
            [
                "metadata": [
                    "annotations": [
                        "config": .text(present.description), OperatorNames.patroni: .text(wanted.description),
                    ]
                ]
            ])
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
            // Whoever has the lock, as another operator's run, is done in a moment.
            if error.code != .lockAcquire, let object = context.cluster(key)?.object {
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

    private func report(
        _ cluster: any ClusterManifest, _ dialect: DialectCaches, _ report: ClusterReport
    ) async throws(KubernetesError) {
        guard let change = cluster.status(report) else { return }
        _ = try await context.client.patch(
            dialect.dialect.clusters, namespace: key.namespace, name: key.name, ["status": change.patch], .status)
        for condition in change.news where !condition.message.isEmpty {
            await context.events.record(
                condition.isGood || condition.state == .unknown ? .normal : .warning, condition.reason,
                condition.message, about: cluster.object)
        }
    }

    // MARK: Schedules and retention

    /// - Returns: when to look again.
    private func keepSchedules(
        _ cluster: any ClusterManifest, _ dialect: DialectCaches, _ wanted: DatabaseCluster,
        _ seen: inout ClusterObservation
    ) async throws(KubernetesError) -> Duration {
        var past = SchedulePlan.Past()
        for backup in context.backups(of: key, dialect) where backup.isMade(for: cluster.object) {
            guard let repository = backup.repositoryKey ?? wanted.firstRepository else { continue }
            let place = ScheduleKey(repository, backup.kind)
            if let time = backup.scheduledTime { past.made[place] = max(past.made[place] ?? 0, time) }
            if !backup.isFinished, backup.scheduledTime != nil { past.busy.insert(place) }
            if backup.phase != .failed { past.filled.insert(repository) }
        }
        for repository in seen.status?.repositories ?? []
        where repository.backups.contains(where: { $0.stop >= wanted.historyBegan ?? 0 }) {
            past.filled.insert(repository.key)
        }
        let plan = SchedulePlan(
            wanted.repositories, zones: context.zone, known: seen.schedules, past: past, now: context.now())
        for due in plan.due {
            let backup = dialect.dialect.scheduledBackup(of: cluster, due)
            do throws(KubernetesError) {
                _ = try await context.client.create(dialect.dialect.backups, backup)
            } catch {
                // Made before, by a run that ended before it could say so.
                if !error.isAlreadyExists { throw error }
                continue
            }
            if due.wasMissed {
                await context.events.record(
                    .normal, "MissedBackupMade",
                    "the backup of \(ServiceTime.rfc3339(due.time)) was not made then: \(backup.kind) '\(backup.name)' makes up for it",
                    about: cluster.object)
            }
        }
        seen.schedules = plan.states
        guard let next = plan.next else { return longestPause }
        return min(longestPause, .seconds(max(0, next - context.now())) + .milliseconds(20))
    }

    /// The newest backup of each repository says up to when can be restored with it: to a moment after it.
    private func tellRestorable(
        _ cluster: any ClusterManifest, _ dialect: DialectCaches, _ wanted: DatabaseCluster, _ seen: ClusterObservation
    ) async throws(KubernetesError) {
        guard wanted.parameters["track_commit_timestamp"] == "on", let time = seen.status?.archiving?.restorable else {
            return
        }
        let backups = context.backups(of: key, dialect)
            .filter { $0.phase == .completed && !$0.object.isBeingDeleted && $0.isMade(for: cluster.object) }
        for repository in wanted.repositories {
            guard
                let newest = backups.filter({ $0.repositoryKey == repository.key })
                    .max(by: { ($0.endTime ?? 0, $0.object.name) < ($1.endTime ?? 0, $1.object.name) }),
                let end = newest.endTime, time >= (end + 1) * 1_000_000
            else { continue }
            let status = newest.status(.restorable(time))
            guard !status.isEmpty else { continue }
            _ = try await context.client.patch(
                dialect.dialect.backups, namespace: newest.object.namespace, name: newest.object.name,
                ["metadata": ["uid": .text(newest.object.uid)], "status": status], .status)
        }
    }

    /// Backups that retention has removed from the repository go here too.
    private func removeExpired(
        _ dialect: DialectCaches, _ wanted: DatabaseCluster, _ seen: ClusterObservation
    ) async throws(KubernetesError) {
        guard let status = seen.status else { return }
        let type = dialect.dialect.backups
        for backup in context.backups(of: key, dialect)
        where backup.phase == .completed && !backup.object.isBeingDeleted {
            guard let label = backup.label, let end = backup.endTime,
                let place = wanted.repositories.first(where: { backup.isStored(in: $0.location) }),
                let repository = status[place.key], repository.isReady, repository.looked > end,
                !repository.backups.contains(where: { $0.label == label }),
                // Retention leaves the newest alone: a list that ends before it is older than it.
                repository.backups.contains(where: { $0.stop > end })
            else { continue }
            let object = backup.object
            if object.finalizers.contains(OperatorNames.finalizer) {
                _ = try await context.client.patch(
                    type, namespace: object.namespace, name: object.name,
                    [
                        "metadata": [
                            "resourceVersion": .text(object.resourceVersion ?? ""),
                            "annotations": [OperatorNames.expired: "true"],
                            "finalizers": ServiceJSON(object.finalizers.filter { $0 != OperatorNames.finalizer }),
                        ]
                    ])
            }
            try await context.client.delete(
                type, namespace: object.namespace, name: object.name,
                DeleteOptions(propagation: .background, uid: object.uid))
            context.logger.info("\(type.kind) '\(object.key)' goes: retention has removed \(label)")
        }
    }
}

extension ServiceJSON {
    /// Without what `old` has, and `new` has no more; what somebody else has changed since stays.
    func removing(_ old: ServiceJSON, but new: ServiceJSON?) -> ServiceJSON {
        guard case .object(var members) = self, case .object(let before) = old else { return self }
        for (name, value) in before {
            guard let present = members[name] else { continue }
            if case .object = value, case .object = present {
                let left = present.removing(value, but: new?[name])
                members[name] = left.isEmpty && new?[name] == nil ? nil : left
            } else if new?[name] == nil, present == value {
                members[name] = nil
            }
        }
        return .object(members)
    }

    /// Members of both; those of `other` count.
    func merging(_ other: ServiceJSON) -> ServiceJSON {
        guard case .object(var members) = self, case .object(let added) = other else { return other }
        for (name, value) in added { members[name] = members[name]?.merging(value) ?? value }
        return .object(members)
    }
}
