import BackupModel
package import HTTP

/// What is told of a cluster in whichever dialect: conditions, and how each repository is.
package struct ClusterHealth: Sendable {
    package struct Repository: Sendable, Equatable {
        package var key: Int
        /// As users know it: `SGObjectStorage 'backups'`, `repo1`.
        package var name: String
        package var state: Condition.State
        /// One word.
        package var reason: String
        package var message: String
    }

    private let wanted: DatabaseCluster?
    private let observation: ClusterObservation
    package let repositories: [Repository]

    /// - Parameter names: of the repositories that are asked for, sound or not.
    package init(_ report: ClusterReport, _ names: [(key: Int, name: String)]) {
        wanted = report.wanted
        observation = report.observation
        let (wanted, observation) = (wanted, observation)
        repositories = names.map { key, name in
            let said = Self.look(key, name, wanted, observation)
            return Repository(key: key, name: name, state: said.0, reason: said.1, message: said.2)
        }
    }

    private static func look(
        _ key: Int, _ name: String, _ wanted: DatabaseCluster?, _ seen: ClusterObservation
    ) -> (Condition.State, String, String) {
        if let fault = wanted?.faultyRepositories.first(where: { $0.key == key })?.fault {
            return (.no, fault.reason, fault.message)
        }
        if let missing = seen.missing[key] {
            return (.no, "SecretMissing", "there is no entry \(missing), which \(name) needs")
        }
        guard let status = seen.status else {
            if let error = seen.statusError { return (.unknown, "AgentSilent", error.message) }
            return (.unknown, "WaitingForPrimary", "the primary has not told of the repository yet")
        }
        guard let found = status[key] else {
            return (.unknown, "ConfigurationPending", "the agent has not taken up the repository yet")
        }
        if let error = found.error { return (.no, reason(error), error.text) }
        if found.isWithoutStanza { return (.no, "StanzaMissing", "the repository is being set up") }
        guard found.isReady else { return (.no, "RepositoryError", found.message) }
        return (.yes, "RepositoryReady", "\(name) can be read and written")
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

    // MARK: Conditions

    package var ready: Condition {
        let instances = wanted?.instances ?? 0
        let ready = observation.pods.count { $0.isReady }
        if let trouble = observation.pods.compactMap(\.trouble).first {
            return Condition("Ready", .no, "PodFailing", trouble)
        }
        if let trouble = observation.trouble { return Condition("Ready", .no, "ReconcileFailed", trouble) }
        if instances == 0 { return Condition("Ready", .no, "Stopped", "no instance is asked for") }
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

    /// Told of only while it is so.
    package static let updateType = "UpdateAvailable"

    /// nil when the pods are of the operator's version.
    package var update: Condition? {
        guard let (pods, own) = observation.outdated else { return nil }
        let ask = "\(OperatorNames.update)=\(own)"
        if let asked = wanted?.update, asked != pods {
            let message =
                asked == own
                ? "the pods are brought from version \(pods) to \(own)"
                : "the pods are of version \(pods); \(asked) is asked for, and this operator has \(own): \(ask)"
            return Condition(Self.updateType, .yes, asked == own ? "Updating" : "OtherVersionAsked", message)
        }
        return Condition(
            Self.updateType, .yes, "OtherVersion",
            "the pods are of version \(pods), the operator is of \(own): they are started again and brought to it when "
                + "the cluster has the annotation \(ask)")
    }

    package var unsupported: Condition {
        let fields = wanted?.unsupported ?? []
        guard !fields.isEmpty else {
            return Condition(
                "Unsupported", .no, "AllSupported", "everything in the manifest is carried out", isBadWhenTrue: true)
        }
        let list = fields.map { "\($0.path): \($0.reason)" }.joined(separator: "; ")
        return Condition("Unsupported", .yes, "FieldsUnsupported", list, isBadWhenTrue: true)
    }

    /// What users add to the engine's configuration.
    package var configurationAccepted: Condition {
        let type = "ConfigurationAccepted"
        let faults = observation.fileFaults
        guard let first = faults.first else {
            return Condition(type, .yes, "AllAccepted", "everything of the configuration is carried out")
        }
        return Condition(type, .no, first.reason, faults.map(\.message).joined(separator: "; "))
    }

    package var schedulesAccepted: Condition {
        let faults = wanted?.faultySchedules ?? []
        if faults.isEmpty { return Condition("SchedulesAccepted", .yes, "AllAccepted", "every schedule is kept") }
        return Condition(
            "SchedulesAccepted", .no, "ScheduleInvalid",
            faults.map { "\($0.path): \($0.reason)" }.joined(separator: "; "))
    }

    package var repositoryReady: Condition {
        let bad = repositories.first { $0.state == .no } ?? repositories.first { $0.state == .unknown }
        if let bad {
            let messages = repositories.filter { $0.state != .yes }.map { "\($0.name): \($0.message)" }
            return Condition("RepositoryReady", bad.state, bad.reason, messages.joined(separator: "; "))
        }
        return Condition(
            "RepositoryReady", .yes, "RepositoryReady", repositories.map(\.message).joined(separator: "; "))
    }

    package var continuousArchiving: Condition {
        let type = "ContinuousArchiving"
        guard let status = observation.status, let archiving = status.archiving else {
            return Condition(type, .unknown, "WaitingForPrimary", "the primary has not told of its archiving yet")
        }
        if archiving.isFailing { return Condition(type, .no, "ArchivingFailing", Self.message(archiving)) }
        guard archiving.lastSegment != nil else {
            return Condition(type, .unknown, "NothingArchived", "no WAL segment has been archived yet")
        }
        let first = wanted?.repositories.first.flatMap { status[$0.key] }
        if let first, first.error == nil, first.isWithoutStanza {
            return Condition(type, .no, "StanzaMissing", "the repository is being set up")
        }
        return Condition(type, .yes, "ContinuousArchivingSuccess", "WAL is archived as it is written")
    }

    /// - Parameter kind: of the objects: `SGBackup`.
    package func lastBackup(_ kind: String) -> Condition? {
        guard let last = observation.backups.first else { return nil }
        if let failure = last.failure {
            return Condition("LastBackupSucceeded", .no, "BackupFailed", "\(kind) '\(last.name)' failed: \(failure)")
        }
        return Condition("LastBackupSucceeded", .yes, "BackupSucceeded", "\(kind) '\(last.name)' is complete")
    }

    // MARK: What is said in fields

    /// nil when nothing is to be archived, or nothing is known of it.
    package var archiving: ServiceJSON? {
        guard let archiving = observation.status?.archiving, wanted?.isArchiving == true else { return nil }
        var json: ServiceJSON = ["failing": .bool(archiving.isFailing)]
        if let segment = archiving.lastSegment { json["lastWal"] = .text(segment) }
        if let time = archiving.lastTime { json["lastTime"] = .text(ServiceTime.rfc3339(time)) }
        json["message"] = .text(archiving.isFailing ? Self.message(archiving) : "")
        return json
    }

    private static func message(_ archiving: StanzaStatus.Archiving) -> String {
        let segment = archiving.failedSegment.map { " '\($0)'" } ?? ""
        let why = archiving.error.map { ": \($0.text)" } ?? ""
        return "WAL segment\(segment) cannot be archived, \(archiving.ready) wait\(why)"
    }

    /// What a repository holds: times between which can be restored, the newest backup, sizes, schedules.
    /// - Parameters:
    ///   - before: the same as it was told last: what was known stays while nobody can look.
    ///   - object: the field that names the object of the newest backup.
    package func content(of key: Int, before: ServiceJSON?, object: String) -> ServiceJSON {
        var json: ServiceJSON = [:]
        guard let seen = observation.status?[key], seen.error == nil else {
            for name in ["firstRestorableTime", "lastRestorableTime", "lastBackup", "size", "backups"] {
                if let value = before?[name] { json[name] = value }
            }
            return json
        }
        let sound = seen.backups.filter { !$0.hasErrors }
        json["backups"] = ServiceJSON(seen.backups.count)
        json["size"] = .number("\(seen.backups.reduce(0) { $0 + $1.repositorySize })")
        if let first = sound.map(\.stop).min() { json["firstRestorableTime"] = .text(ServiceTime.rfc3339(first)) }
        if !sound.isEmpty {
            let archiving = observation.status?.archiving
            // A moment that a restore certainly reaches; agents of old know of one only where commits are tracked.
            let isTracked = wanted?.parameters["track_commit_timestamp"] == "on"
            let archived = archiving?.restorable.map { $0 / 1_000_000 } ?? (isTracked ? nil : archiving?.lastTime)
            let last = max(sound.map(\.stop).max() ?? 0, archived ?? 0)
            json["lastRestorableTime"] = .text(ServiceTime.rfc3339(last))
        }
        if let newest = seen.backups.max(by: { $0.stop < $1.stop }) {
            var last: ServiceJSON = [
                "internalName": .text(newest.label), "time": .text(ServiceTime.rfc3339(newest.stop)),
            ]
            if let name = observation.backups.first(where: { $0.label == newest.label })?.name {
                last[object] = .text(name)
            }
            json["lastBackup"] = last
        }
        return json
    }
}
