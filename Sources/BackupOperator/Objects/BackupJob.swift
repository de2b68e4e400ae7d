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
        var command: [ServiceJSON] = [
            "permafrost", .text("--stanza=\(OperatorNames.stanza)"), "--job-key=$(POD_UID)",
            "--result-file=/dev/termination-log", .text("--repo=\(key)"), .text("--type=\(type.rawValue)"),
        ]
        command += options.map { .text("--\($0.name)=\($0.value)") }
        command += annotations.sorted { $0.key < $1.key }.map { .text("--annotation=\($0.key)=\($0.value)") }
        command += ["job", "backup"]
        var pod: [String: ServiceJSON] = [
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": PodParts.podSecurity, "terminationGracePeriodSeconds": 60,
            "containers": [
                [
                    "name": "backup", "image": .text(objects.settings.image), "command": .array(command),
                    "env": [PodParts.fieldVariable("POD_UID", "metadata.uid")],
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
        if let resources = objects.cluster.pods.jobResources, var container = pod["containers"]?.elements.first {
            container["resources"] = resources
            pod["containers"] = [container]
        }
        var spec: ServiceJSON = [
            "backoffLimit": ServiceJSON(retries), "completions": 1, "parallelism": 1,
            "template": [
                "metadata": ["labels": .object(job.labels.mapValues { .text($0) })], "spec": .object(pod),
            ],
        ]
        if let timeoutSeconds { spec["activeDeadlineSeconds"] = ServiceJSON(timeoutSeconds) }
        job["spec"] = spec
        return WantedObject(type: .jobs, object: job)
    }
}
