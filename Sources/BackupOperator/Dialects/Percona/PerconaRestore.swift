import BackupModel
package import HTTP
import Jobs
package import KubernetesClient

/// A `PerconaPGRestore`: a restore into a cluster that is there.
package struct PerconaRestore: RestoreManifest {
    package let object: KubernetesObject
    private let read: Result<[(name: String, value: String)], Refusal>

    package init(_ object: KubernetesObject) {
        self.object = object
        do throws(Refusal) {
            read = .success(try Self.options(try PerconaWords.options(of: object["spec"])))
        } catch {
            read = .failure(error)
        }
    }

    static func options(
        _ words: [OptionName: [String]]
    ) throws(Refusal) -> [(name: String, value: String)] {
        let asked = words.sorted { $0.key.rawValue < $1.key.rawValue }
        do throws(BackupError) {
            _ = try JobRequest(
                .restore, stanza: OperatorNames.stanza,
                options: asked.map { JobRequest.Option($0.key, .texts($0.value)) })
        } catch {
            throw PerconaWords.refusal(error.message + (error.hint.map { "; \($0)" } ?? ""))
        }
        return asked.flatMap { name, values in values.map { (name.rawValue, $0) } }
    }

    private var status: ServiceJSON? { object["status"] }

    package var cluster: ObjectKey {
        ObjectKey(namespace: object.namespace, name: Percona.text(object["spec"], "pgCluster") ?? "")
    }
    package var repositoryKey: Int? { Percona.key(Percona.text(object["spec"], "repoName")) }
    package var options: [(name: String, value: String)] { (try? read.get()) ?? [] }

    package var refusal: Refusal? {
        if let name = Percona.text(object["spec"], "volumeSnapshotBackupName") {
            return Refusal(
                "MethodUnsupported", "spec.volumeSnapshotBackupName '\(name)': volume snapshots are not there")
        }
        if case .failure(let refusal) = read { return refusal }
        return nil
    }

    package var phase: RestorePhase? {
        switch Percona.text(status, "state") {
        case "Starting": .starting
        case "Running": .running
        case "Succeeded": .succeeded
        case "Failed": .failed
        default: nil
        }
    }
    package var stage: RestoreStage {
        Percona.text(status, "stage").flatMap { RestoreStage(rawValue: $0) } ?? .checking
    }
    package var attempt: Int { max(1, min(100, status?[["permafrost", "attempt"]]?.integer ?? 1)) }
    package var startTime: Int64? { Percona.text(status, "startTime").flatMap(ServiceTime.parseISO8601) }

    package func status(_ progress: RestoreProgress) -> ServiceJSON {
        switch progress {
        case .waiting(let message):
            return Percona.text(status, "error") == message ? [:] : ["error": .text(message)]
        case .started(let target, let now):
            return [
                "state": "Starting", "error": .null, "stage": .text(RestoreStage.checking.rawValue),
                "startTime": .text(ServiceTime.rfc3339(now)), "target": .text(target),
            ]
        case .stage(let stage, let attempt, let job):
            var status: ServiceJSON = [
                "state": "Running", "error": .null, "stage": .text(stage.rawValue),
                "permafrost": ["attempt": ServiceJSON(attempt)],
            ]
            if let job { status["jobName"] = .text(job) }
            return status
        case .succeeded(let restored, let backup, let log, let now):
            var status: ServiceJSON = [
                "state": "Succeeded", "error": .null, "stage": .text(RestoreStage.done.rawValue),
                "completed": .text(ServiceTime.rfc3339(now)), "newBackupName": .text(backup),
            ]
            if let label = restored?["label"]?.string ?? restored?["set"]?.string {
                status["backupName"] = .text(label)
            }
            if let restored { status[["permafrost", "restored"]] = restored }
            if let log { status["log"] = .text(log) }
            return status
        case .failed(let message, let log, let now):
            var status: ServiceJSON = [
                "state": "Failed", "error": .text(message), "completed": .text(ServiceTime.rfc3339(now)),
            ]
            if let log { status["log"] = .text(log) }
            return status
        }
    }
}
