import BackupModel
import HTTP
import KubernetesClient
import PostgresFormats

/// The steps to a restore: where it goes, to which moment, from which backup; each may refuse it.
struct RestorePlanning {
    enum Target {
        case end, immediate
        /// In microseconds since 1970.
        case time(Int64)
        case lsn(LSN)
        case name(String)
    }

    let order: RestoreOrder
    let cluster: ClusterOverview
    let object: KubernetesObject
    let now: Int64

    private var what: String { "restore \(cluster.title)" }

    func checkPlace(isTaken: Bool) throws(BackupError) {
        switch (cluster.kind, order.newName) {
        case (.percona, _?):
            throw BackupError(
                .optionInvalid, "unable to \(what): a PerconaPGCluster is restored in place, and --as names another",
                hint: "a new one begins with the backups of another by spec.dataSource.postgresCluster")
        case (.stackGres, nil):
            throw BackupError(
                .optionRequired,
                "unable to \(what): an SGCluster is restored into a new one, and --as does not name it",
                hint: "add --as=\(cluster.name)-restored")
        case (.stackGres, let name?):
            guard ClusterName.isValidForNew(name) else { throw ClusterName.fault(name) }
            guard !isTaken, name != cluster.name else {
                throw BackupError(
                    .fileExists, "unable to \(what): SGCluster '\(name)' is there already",
                    hint: "name one that is not, by --as")
            }
        case (.percona, nil):
            if let running = cluster.restores.first(where: { !$0.progress.isOver }) {
                throw BackupError(
                    .lockAcquire,
                    "unable to \(what): PerconaPGRestore '\(running.name)' is \(running.progress.rawValue)",
                    hint: "wait until it is over, or delete it")
            }
        }
    }

    // MARK: The moment

    func target() throws(BackupError) -> Target {
        switch order.target {
        case .end: return .end
        case .immediate: return .immediate
        case .name(let name):
            guard !name.isEmpty, !name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
                throw BackupError(.optionInvalidValue, "unable to \(what): --name names no restore point")
            }
            return .name(name)
        case .lsn(let text):
            guard let lsn = LSN(text) else {
                throw BackupError(
                    .optionInvalidValue, "unable to \(what): '\(text)' is no position in WAL, such as 0/5000028")
            }
            return .lsn(lsn)
        case .time(let text):
            // PostgreSQL writes zones with two digits.
            let long = text.contains(#/[0-9][+-][0-9][0-9]$/#) ? text + "00" : text
            guard let time = ServiceTime.parseMicroseconds(long) else {
                throw BackupError(
                    .optionInvalidValue, "unable to \(what): '\(text)' is no time with a zone",
                    hint: "write it as 2026-01-31T10:45:00Z or '2026-01-31 10:45:00+00'")
            }
            guard time / 1_000_000 <= now else {
                throw BackupError(
                    .optionInvalidValue,
                    "unable to \(what): \(text) lies in the future",
                    hint: "now it is \(ScreenText.moment(now))")
            }
            return .time(time)
        }
    }

    // MARK: The backup

    private func isBefore(_ target: Target, _ backup: ClusterOverview.Backup) -> Bool {
        switch target {
        case .end, .immediate, .name: true
        case .time(let time): backup.end.map { $0 * 1_000_000 <= time } ?? false
        case .lsn(let lsn): backup.stopLSN.map { $0 <= lsn.rawValue } ?? true
        }
    }

    func choose(_ target: Target) throws(BackupError) -> ClusterOverview.Backup {
        let wanted = try cluster.repository(order.repository, to: what)?.name
        let complete = cluster.backups.filter { $0.progress == .complete && $0.label != nil && !$0.isBeingDeleted }
        let kind = cluster.kind.backups.kind
        if let name = order.backup {
            let named = cluster.backups.filter { $0.name == name || $0.label == name }
            guard let first = named.first else {
                let known = complete.prefix(3).map(\.name).joined(separator: ", ")
                throw BackupError(
                    .backupSetInvalid, "unable to \(what): it has no \(kind) '\(name)'",
                    hint: known.isEmpty
                        ? "it has no complete backup" : "the newest of its complete backups: \(known)")
            }
            guard let chosen = complete.first(where: { $0.name == name || $0.label == name }) else {
                let state = first.isBeingDeleted ? "being deleted" : first.progress.rawValue
                throw BackupError(
                    .backupSetInvalid, "unable to \(what): \(kind) '\(first.name)' is \(state)",
                    hint: "name one that is complete, or none")
            }
            if let wanted, let own = chosen.repository, own != wanted {
                throw BackupError(
                    .optionInvalid, "unable to \(what): \(kind) '\(chosen.name)' is in \(own), not in \(wanted)",
                    hint: "leave --repo out")
            }
            guard isBefore(target, chosen) else {
                let end = chosen.end.map { ", at \(ScreenText.moment($0))" } ?? ""
                throw BackupError(
                    .optionInvalidValue,
                    "unable to \(what): \(described(target)) lies before the end of \(kind) '\(chosen.name)'\(end)",
                    hint: "leave --set out, and the newest backup before it is taken")
            }
            return chosen
        }
        // Those of a cluster that had the name before have to be named.
        let candidates = complete.filter {
            !$0.isOfAnother && (wanted == nil || $0.repository == nil || $0.repository == wanted)
        }
        guard !candidates.isEmpty else {
            throw BackupError(
                .backupSetInvalid,
                "unable to \(what): it has no complete backup" + (wanted.map { " in \($0)" } ?? ""),
                hint: wanted == nil ? "make one: kubectl permafrost backup \(cluster.name)" : "leave --repo out")
        }
        // Repositories that can be read come first; in each the newest backup that is old enough.
        let ready = Set(cluster.repositories.filter { $0.isReady == true }.map(\.name))
        let old = candidates.filter { isBefore(target, $0) }
            .sorted { one, other in
                let (first, second) = (ready.contains(one.repository ?? ""), ready.contains(other.repository ?? ""))
                return first == second ? (one.end ?? 0) > (other.end ?? 0) : first
            }
        guard let chosen = old.first else {
            let oldest = candidates.compactMap(\.end).min().map { ", which begin with \(ScreenText.moment($0))" } ?? ""
            throw BackupError(
                .optionInvalidValue, "unable to \(what): \(described(target)) lies before its backups\(oldest)",
                hint: "choose a later moment")
        }
        return chosen
    }

    // MARK: The window

    /// What can be restored, where it is known.
    /// - Throws: when the moment lies outside.
    func window(
        _ target: Target, _ backup: ClusterOverview.Backup
    ) throws(BackupError) -> (first: Int64, last: Int64)? {
        let repository =
            cluster.repositories.first { $0.name == backup.repository }
            ?? (cluster.repositories.count == 1 ? cluster.repositories.first : nil)
        guard let first = repository?.firstRestorable, let last = repository?.lastRestorable else { return nil }
        // The newest backup may be newer than what the status says.
        let end = max(last, backup.end ?? last)
        if case .time(let time) = target {
            let isEarly = time < first * 1_000_000
            guard !isEarly, time <= end * 1_000_000 + 999_999 else {
                let name = repository?.name ?? "the repository"
                throw BackupError(
                    .optionInvalidValue,
                    "unable to \(what): \(described(target)) lies outside of what \(name) can restore, "
                        + "\(ScreenText.moment(first)) to \(ScreenText.moment(end))",
                    hint: isEarly
                        ? "choose a later moment, or another repository by --repo"
                        : "WAL is archived that far only: wait for it, or leave --time out for all that there is")
            }
        }
        return (first, end)
    }

    // MARK: Words

    private func described(_ target: Target) -> String {
        switch target {
        case .end: "all WAL that is archived"
        case .immediate: "the end of the backup"
        case .time(let time):
            time % 1_000_000 == 0
                ? ScreenText.moment(time / 1_000_000)
                : ServiceTime.rfc3339(microseconds: time).replacing("T", with: " ")
        case .lsn(let lsn): "WAL position \(lsn)"
        case .name(let name): "restore point '\(name)'"
        }
    }

    func described(_ target: Target, _ window: (first: Int64, last: Int64)?) -> String {
        let window = window.map { "\(ScreenText.moment($0.first)) to \(ScreenText.moment($0.last))" }
        switch target {
        case .end:
            return described(target) + (window.map { " (as the status has it, \($0) can be restored)" } ?? "")
        case .immediate: return described(target)
        case .time:
            guard let window else { return described(target) + ", and nobody has told yet what can be restored" }
            return "\(described(target)), which lies in what can be restored, \(window)"
        case .lsn, .name:
            return described(target) + ", which must lie behind the end of the backup"
        }
    }

    func described(_ backup: ClusterOverview.Backup) -> String {
        var facts = [backup.type, backup.size.map { ScreenText.size($0) }].compactMap(\.self)
        if let end = backup.end { facts.append("ended \(ScreenText.moment(end)), \(ScreenText.distance(end, now))") }
        let place = backup.repository.map { " in \($0)" } ?? ""
        return "\(cluster.kind.backups.kind) '\(backup.name)', \(backup.label ?? "")\(place) "
            + "(\(facts.joined(separator: ", ")))"
    }

    func lost(_ target: Target, _ backup: ClusterOverview.Backup) -> String {
        switch target {
        case .end: return "what is not in the archived WAL"
        case .immediate:
            let time = backup.end.map { ", the last \(ScreenText.span(now - $0))" } ?? ""
            return "all that was written since the backup\(time)"
        case .time(let time):
            return "all that was written since, the last \(ScreenText.span(now - time / 1_000_000))"
        case .lsn, .name: return "all that was written behind it"
        }
    }

    func warnings(_ backup: ClusterOverview.Backup) -> [String] {
        var notes: [String] = []
        if let repository = cluster.repositories.first(where: { $0.name == backup.repository }),
            repository.isReady != true
        {
            let why = repository.message.isEmpty ? repository.reason : repository.message
            notes.append("\(repository.name) is not ready" + (why.isEmpty ? "" : ": \(why)"))
        }
        if case .failing(_, _, let message) = cluster.archiving, case .end = order.target {
            notes.append("archiving fails, so that the newest changes may be missing: \(message)")
        }
        if cluster.kind == .percona, let busy = cluster.backups.first(where: { $0.progress == .running }) {
            notes.append("it waits for PerconaPGBackup '\(busy.name)', which is running")
        }
        return notes
    }

    // MARK: Manifests

    func restore(_ backup: ClusterOverview.Backup, _ target: Target) -> KubernetesObject {
        var object = KubernetesObject(
            ResourceType("pgv2.percona.com", "v2", "perconapgrestores", kind: "PerconaPGRestore"),
            namespace: cluster.namespace, name: "")
        object.json[["metadata", "name"]] = nil
        object.generateName = "\(cluster.name)-restore-"
        var options = ["--set=\(backup.label ?? "")"]
        switch target {
        case .end: break
        case .immediate: options.append("--type=immediate")
        case .time(let time): options += ["--type=time", "--target=\(Self.quoted(Self.recoveryTime(time)))"]
        case .lsn(let lsn): options += ["--type=lsn", "--target=\(lsn)"]
        case .name(let name): options += ["--type=name", "--target=\(Self.quoted(name))"]
        }
        let repository = backup.repository ?? cluster.repositories.first?.name ?? "repo1"
        object["spec"] = [
            "pgCluster": .text(cluster.name), "repoName": .text(repository), "options": ServiceJSON(options),
        ]
        return object
    }

    /// Options are taken apart as by a shell.
    private static func quoted(_ value: String) -> String {
        let isPlain = value.contains(#/^[-+.:_\/0-9A-Za-z]+$/#)
        return isPlain ? value : "'" + value.replacing("'", with: "'\\''") + "'"
    }

    /// With its zone: the server's own need not be UTC.
    private static func recoveryTime(_ microseconds: Int64) -> String {
        let text = ServiceTime.rfc3339(microseconds: microseconds)
        return String(text.dropLast()).replacing("T", with: " ") + "+00"
    }

    func newCluster(
        _ name: String, _ backup: ClusterOverview.Backup, _ target: Target
    ) throws(BackupError) -> (object: KubernetesObject, description: String, notes: [String]) {
        var object = KubernetesObject(cluster.kind.clusters, namespace: cluster.namespace, name: name)
        var spec = self.object["spec"] ?? [:]
        var notes: [String] = []
        var from: ServiceJSON = ["name": .text(backup.name)]
        switch target {
        case .end: break
        case .immediate: from["target"] = "immediate"
        case .time(let time):
            from[["pointInTimeRecovery", "restoreToTimestamp"]] = .text(ServiceTime.rfc3339(microseconds: time))
        case .lsn(let lsn): from["targetLsn"] = .text("\(lsn)")
        case .name(let point): from["targetName"] = .text(point)
        }
        // What the source itself began with is not what this one begins with.
        spec["initialData"] = ["restore": ["fromBackup": from]]
        let version = spec.word("postgres", "version")
        let major = backup.major ?? cluster.version.flatMap { Int($0.prefix { $0 != "." }) }
        if let major, version.flatMap({ Int($0.prefix { $0 != "." }) }) != major {
            spec[["postgres", "version"]] = .text("\(major)")
        }
        // Two clusters that write to one path would spoil each other's backups.
        var elements = spec[["configurations", "backups"]]?.elements ?? []
        let hasPaths = elements.contains { $0["path"] != nil }
        for place in elements.indices { elements[place]["path"] = nil }
        if !elements.isEmpty { spec[["configurations", "backups"]] = .array(elements) }
        if hasPaths {
            notes.append("spec.configurations.backups[].path is left out: its backups have a path of their own")
        }
        if elements.contains(where: { $0["cronSchedule"] != nil }) {
            notes.append("'\(name)' has the schedules of '\(cluster.name)', and begins with a backup of its own")
        }
        object["spec"] = spec
        let size = spec.word("pods", "persistentVolume", "size").map { ", a volume of \($0) each" } ?? ""
        let instances = ScreenText.count(spec["instances"]?.integer ?? 1, "instance")
        return (
            object,
            "SGCluster '\(name)' with the spec of '\(cluster.name)': \(instances) of PostgreSQL "
                + "\(spec.word("postgres", "version") ?? "")\(size)",
            notes
        )
    }
}
