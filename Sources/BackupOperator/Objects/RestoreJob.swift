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
        var command: [ServiceJSON] = [
            "permafrost", .text("--stanza=\(OperatorNames.stanza)"), .text("--job-key=\(key)"),
            "--result-file=/dev/termination-log", .text("--repo=\(repository)"), "--in-place",
        ]
        command += options.map { .text("--\($0.name)=\($0.value)") }
        command += ["job", "restore"]
        var pod: [String: ServiceJSON] = [
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": PodParts.podSecurity, "terminationGracePeriodSeconds": 60,
            "containers": [
                [
                    "name": "restore", "image": .text(objects.settings.image), "command": .array(command),
                    "securityContext": PodParts.containerSecurity,
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                        PodParts.mount("tmp", "/tmp"),
                    ],
                ]
            ],
            "volumes": [
                PodParts.configurationVolume("job.conf", objects, secretFiles: []),
                PodParts.emptyDirectory("tmp"),
            ],
        ]
        pod.merge(objects.cluster.pods.backupScheduling) { _, user in user }
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
                "metadata": ["labels": .object(job.labels.mapValues { .text($0) })], "spec": .object(pod),
            ],
        ]
        return WantedObject(type: .jobs, object: job)
    }
}
