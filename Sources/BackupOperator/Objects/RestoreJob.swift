import HTTP
import KubernetesClient

/// One attempt of a restore: a pod that has the first member's agent make it, follows it, and ends with its result.
struct RestoreJob {
    var name: String
    var restore: KubernetesObject
    var repository: Int
    var options: [(name: String, value: String)]
    /// The agent's name for the run: who comes later with the same one follows the run that is there.
    var key: String

    func object(_ objects: ClusterObjects) -> WantedObject {
        var job = objects.object(.jobs, name, .restore)
        job.ownerReferences = [restore.owner()]
        var words = [
            "--stanza=\(OperatorNames.stanza)", "--job-key=\(key)", "--result-file=/dev/termination-log",
            "--repo=\(repository)", "--in-place",
        ]
        words += options.map { "--\($0.name)=\($0.value)" }
        let pod = AgentJobPod(name: "restore", words: words + ["job", "restore"])
        job["spec"] = [
            // Pods that are killed; one that ends with an error has its result.
            "backoffLimit": 10, "completions": 1, "parallelism": 1,
            "podFailurePolicy": [
                "rules": [
                    [
                        "action": "FailJob",
                        // Not those of signals.
                        "onExitCodes": ["containerName": "restore", "operator": "NotIn", "values": [0, 137, 143]],
                    ]
                ]
            ],
            "template": [
                "metadata": ["labels": .object(job.labels.mapValues { .text($0) })], "spec": pod.spec(objects),
            ],
        ]
        return WantedObject(type: .jobs, object: job)
    }
}
