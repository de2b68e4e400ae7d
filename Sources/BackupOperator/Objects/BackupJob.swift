import BackupModel
import HTTP
import KubernetesClient

/// One run of a backup: a pod that has the primary's agent make it, follows it, and ends with its result.
struct BackupJob {
    var name: String
    var backup: KubernetesObject
    var key: Int
    var type: WantedSchedule.Kind
    /// Annotations of the backup in the repository.
    var annotations: [String: String]
    /// Limits and compression of this repository, and what this run alone is to have.
    var options: [(name: String, value: String)]
    var retries: Int
    var timeoutSeconds: Int?
    var labels: [String: String]

    func object(_ objects: ClusterObjects) -> WantedObject {
        var job = objects.object(.jobs, name, .backup)
        job.labels.merge(labels) { _, own in own }
        job.ownerReferences = [backup.owner()]
        var words = [
            "--stanza=\(OperatorNames.stanza)", "--job-key=$(POD_UID)", "--result-file=/dev/termination-log",
            "--repo=\(key)", "--type=\(type.rawValue)",
        ]
        words += options.map { "--\($0.name)=\($0.value)" }
        words += annotations.sorted { $0.key < $1.key }.map { "--annotation=\($0.key)=\($0.value)" }
        let pod = AgentJobPod(
            name: "backup", words: words + ["job", "backup"],
            variables: [PodParts.fieldVariable("POD_UID", "metadata.uid")])
        var spec: ServiceJSON = [
            "backoffLimit": ServiceJSON(retries), "completions": 1, "parallelism": 1,
            // Whoever has the lock of the stanza is waited for: a member that crashed has it for minutes yet.
            "podFailurePolicy": [
                "rules": [
                    [
                        "action": "Ignore",
                        "onExitCodes": [
                            "containerName": "backup", "operator": "In",
                            "values": [ServiceJSON(Int(ErrorCode.lockAcquire.rawValue))],
                        ],
                    ]
                ]
            ],
            "template": [
                "metadata": ["labels": .object(job.labels.mapValues { .text($0) })], "spec": pod.spec(objects),
            ],
        ]
        if let timeoutSeconds { spec["activeDeadlineSeconds"] = ServiceJSON(timeoutSeconds) }
        job["spec"] = spec
        return WantedObject(type: .jobs, object: job)
    }
}
