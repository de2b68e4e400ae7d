package import BackupModel
import HTTP
package import KubernetesClient

/// A backup that somebody asks for, as the object that asks for it.
package struct BackupOrder: Sendable, Equatable {
    /// `repo2`, or the name of an object storage.
    package var repository: String?
    /// full, diff or incr.
    package var type: String?

    package init(repository: String? = nil, type: String? = nil) {
        self.repository = repository
        self.type = type
    }

    /// - Throws: what cannot be asked of this cluster.
    package func manifest(of cluster: ClusterOverview) throws(BackupError) -> KubernetesObject {
        let what = "back up \(cluster.title)"
        guard !cluster.repositories.isEmpty else {
            throw BackupError(
                .optionInvalid, "unable to \(what): its manifest names no repository",
                hint: cluster.kind == .stackGres
                    ? "name an SGObjectStorage in spec.configurations.backups"
                    : "name a repository in spec.backups.pgbackrest.repos")
        }
        if case .off(let why) = cluster.archiving {
            throw BackupError(.archiveDisabled, "unable to \(what): WAL is not archived, for \(why)")
        }
        let chosen = try cluster.repository(repository, to: what)
        var object = KubernetesObject(cluster.kind.backups, namespace: cluster.namespace, name: "")
        object.json[["metadata", "name"]] = nil
        object.generateName = "\(cluster.name)-"
        switch cluster.kind {
        case .stackGres:
            if let type, type != "full" {
                throw BackupError(
                    .optionInvalidValue, "unable to \(what): its backups are full ones, and '\(type)' was asked for",
                    hint: "leave --type out")
            }
            object["spec"] = ["sgCluster": .text(cluster.name)]
            if let chosen { object.annotations = [OperatorNames.repository: String(chosen.name.dropFirst(4))] }
        case .percona:
            guard let name = chosen?.name ?? cluster.repositories.first?.name else { break }
            object["spec"] = ["pgCluster": .text(cluster.name), "repoName": .text(name)]
            if let type { object["spec", "options"] = [.text("--type=\(type)")] }
        }
        return object
    }
}

extension ClusterOverview {
    /// - Parameter name: `repo2`, or that of an object storage; nil for no choice.
    func repository(_ name: String?, to what: String) throws(BackupError) -> Repository? {
        guard let name else { return nil }
        let usable = repositories.filter { $0.reason != "NotNamed" }
        if let found = usable.first(where: { $0.name == name || $0.storage == name }) {
            guard found.name.hasPrefix("repo") else {
                throw BackupError(
                    .optionInvalidValue, "unable to \(what): the operator has not taken up repository '\(name)' yet",
                    hint: "wait until 'kubectl permafrost status' shows its number")
            }
            return found
        }
        let known = usable.map { one in one.storage.map { "\(one.name) (\($0))" } ?? one.name }
        throw BackupError(
            .optionInvalidValue, "unable to \(what): it has no repository '\(name)'",
            hint: known.isEmpty ? "it has none at all" : "it has \(known.joined(separator: ", "))")
    }
}

/// How far a backup or a restore is, from its object.
package struct RunProgress: Sendable, Equatable {
    package var progress: ClusterOverview.Progress
    /// What it is doing, what it waits for, why it failed, or what came of it.
    package var message: String?

    package init(backup object: KubernetesObject, _ kind: ClusterKind) {
        let status = object["status"] ?? [:]
        var facts: [String?]
        switch kind {
        case .stackGres:
            switch status.word("process", "status") {
            case "Running": progress = .running
            case "Completed": progress = .complete
            case "Failed": progress = .failed
            default: progress = .waiting
            }
            facts = [
                status.word("internalName"),
                status.count("backupInformation", "size", "compressed").map(ScreenText.size),
            ]
            message = status.word("process", "failure")
        case .percona:
            progress = PerconaReading.progress(status)
            facts = [status.word("backupName"), status.word("backupType"), status.count("size").map(ScreenText.size)]
            message = status.word("error")
        }
        if progress == .complete { message = facts.compactMap(\.self).joined(separator: ", ") }
    }

    package init(restore object: KubernetesObject) {
        let status = object["status"] ?? [:]
        progress = PerconaReading.progress(status)
        message = status.word("error")
        if message == nil { message = progress == .running ? status.word("stage") : status.word("target") }
    }

    /// Of a cluster that begins with a backup: over when it serves, or when its manifest is refused.
    package init(newCluster object: KubernetesObject) {
        let conditions = ReadConditions(object)
        message = conditions.message("Ready") ?? conditions.message("Failed")
        if conditions.state("Failed") == .yes {
            progress = .failed
        } else if conditions.state("Ready") == .yes {
            progress = .complete
        } else {
            progress = object["status"] == nil ? .waiting : .running
        }
    }
}
