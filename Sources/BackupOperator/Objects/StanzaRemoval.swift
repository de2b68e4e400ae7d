import HTTP
import KubernetesClient

extension ClusterObjects {
    static func removalName(_ cluster: String, _ repository: Int) -> String {
        "\(OperatorNames.shortened(cluster, to: 48))-delete-repo\(repository)"
    }

    /// A Job that removes the stanza from one repository, with all backups and WAL: as the repository host reaches it, and
    /// by itself, so that it needs no pod of the cluster.
    func stanzaRemoval(_ repository: WantedRepository, secretFiles: [String]) -> WantedObject {
        var job = object(.jobs, Self.removalName(name, repository.key), .removal)
        let volumes = repository.volume.map { [$0] } ?? []
        func container(_ name: String, _ words: [String]) -> ServiceJSON {
            var container: ServiceJSON = [
                "name": .text(name), "image": .text(settings.image),
                "command": ServiceJSON(["permafrost", "--stanza=\(OperatorNames.stanza)"] + words),
                "securityContext": PodParts.containerSecurity, "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": .array(
                    [
                        PodParts.mount("run", EngineConfiguration.runDirectory),
                        PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                        PodParts.mount("tmp", "/tmp"),
                    ] + PodParts.filesMount(self) + volumes.map { PodParts.mount($0.claim, $0.directory) }),
            ]
            if !identityVariables.isEmpty { container["env"] = .array(identityVariables) }
            return container
        }
        var pod: [String: ServiceJSON] = [
            "serviceAccountName": .text(Self.accountName(name)), "automountServiceAccountToken": false,
            "restartPolicy": "Never", "enableServiceLinks": false, "securityContext": PodParts.podSecurity,
            // Nothing is removed from a stanza that is not stopped.
            "initContainers": [container("stop", ["stop"])],
            "containers": [container("delete", ["--repo=\(repository.key)", "--force", "stanza-delete"])],
            "volumes": .array(
                [
                    PodParts.configurationVolume("host.conf", self, secretFiles: secretFiles),
                    PodParts.emptyDirectory("run"), PodParts.emptyDirectory("tmp"),
                ] + (PodParts.filesVolume(self).map { [$0] } ?? [])
                    + volumes.map {
                        ["name": .text($0.claim), "persistentVolumeClaim": ["claimName": .text($0.claim)]]
                    }),
        ]
        pod.merge(cluster.pods.hostScheduling ?? cluster.pods.backupScheduling) { _, user in user }
        let labels = job.labels.merging(identityLabels) { own, _ in own }
        job["spec"] = [
            "backoffLimit": 2, "completions": 1, "parallelism": 1,
            "template": ["metadata": ["labels": .object(labels.mapValues { .text($0) })], "spec": .object(pod)],
        ]
        return WantedObject(type: .jobs, object: job)
    }
}
