import HTTP

/// The pod of a Job that has an agent do something, follows it, and ends with its result. No store is its matter: it has no
/// identity of a cloud and no user's file.
struct AgentJobPod {
    /// Of its one container.
    var name: String
    /// After the name of the program.
    var words: [String]
    var variables: [ServiceJSON] = []

    func spec(_ objects: ClusterObjects) -> ServiceJSON {
        var container: ServiceJSON = [
            "name": .text(name), "image": .text(objects.settings.image),
            "command": .array((["permafrost"] + words).map { .text($0) }),
            "securityContext": PodParts.containerSecurity, "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                PodParts.mount("tmp", "/tmp"),
            ],
        ]
        if !variables.isEmpty { container["env"] = .array(variables) }
        if let resources = objects.cluster.pods.jobResources { container["resources"] = resources }
        var pod: [String: ServiceJSON] = [
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": PodParts.podSecurity, "terminationGracePeriodSeconds": 60, "containers": [container],
            "volumes": [
                PodParts.configurationVolume("job.conf", objects, secretFiles: []), PodParts.emptyDirectory("tmp"),
            ],
        ]
        pod.merge(objects.cluster.pods.backupScheduling) { _, user in user }
        return .object(pod)
    }
}
