import HTTP
import KubernetesClient

extension ClusterObjects {
    /// Runs what touches repositories only.
    /// - Parameters:
    ///   - made: its pod.
    ///   - isNeeded: a pod of the database is there yet, which archives its last WAL when it ends.
    func repositoryHost(_ made: MadeTemplate, isNeeded: Bool) -> [WantedObject] {
        let host = PodNames.repositoryHost(name)
        let own = [OperatorNames.cluster: name, OperatorNames.part: Part.repositoryHost.rawValue]
        let selector = ServiceJSON.object(own.mapValues { .text($0) })
        var service = object(.services, host, .repositoryHost)
        service["spec"] = [
            "selector": selector,
            "ports": [["name": "repository", "port": ServiceJSON(EngineConfiguration.hostPort)]],
        ]
        var deployment = object(.deployments, host, .repositoryHost)
        deployment.annotations[MadeTemplate.annotation] = made.text
        deployment["spec"] = [
            "replicas": cluster.isStopped && !isNeeded ? 0 : 1, "strategy": ["type": "Recreate"],
            "selector": ["matchLabels": selector], "template": made.template,
        ]
        return [
            WantedObject(type: .services, object: service), WantedObject(type: .deployments, object: deployment),
        ]
    }

    /// - Parameter secretFiles: of the configuration's Secret, beyond those that are always there.
    func repositoryHostTemplate(secretFiles: [String]) -> ServiceJSON {
        let volumes = cluster.repositories.compactMap(\.volume)
        let source = cluster.restore?.found?.claim
        var pod: [String: ServiceJSON] = [
            "serviceAccountName": .text(Self.accountName(name)), "automountServiceAccountToken": false,
            "enableServiceLinks": false, "securityContext": PodParts.podSecurity,
            "terminationGracePeriodSeconds": 40,
            "containers": [
                [
                    "name": "repository-host", "image": .text(settings.image), "command": ["permafrost", "server"],
                    "ports": [
                        ["name": "repository", "containerPort": ServiceJSON(EngineConfiguration.hostPort)],
                        ["name": "monitor", "containerPort": ServiceJSON(EngineConfiguration.monitorPort)],
                    ],
                    "readinessProbe": [
                        "httpGet": ["path": "/readyz", "port": ServiceJSON(EngineConfiguration.monitorPort)],
                        "periodSeconds": 5, "timeoutSeconds": 5,
                    ],
                    "livenessProbe": [
                        "httpGet": ["path": "/healthz", "port": ServiceJSON(EngineConfiguration.monitorPort)],
                        "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
                    ],
                    "securityContext": PodParts.containerSecurity,
                    "volumeMounts": .array(
                        [
                            PodParts.mount("run", EngineConfiguration.runDirectory),
                            PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                            PodParts.mount("tmp", "/tmp"),
                        ] + PodParts.filesMount(self) + volumes.map { PodParts.mount($0.claim, $0.directory) }
                            + (source.map { _ in
                                [
                                    PodParts.mount("source", EngineConfiguration.sourceDirectory, readOnly: true)
                                ]
                            } ?? [])),
                ]
            ],
            "volumes": .array(
                [
                    PodParts.configurationVolume("host.conf", self, secretFiles: secretFiles),
                    PodParts.emptyDirectory("run"), PodParts.emptyDirectory("tmp"),
                ] + (PodParts.filesVolume(self).map { [$0] } ?? [])
                    + volumes.map {
                        ["name": .text($0.claim), "persistentVolumeClaim": ["claimName": .text($0.claim)]]
                    }
                    + (source.map { [["name": "source", "persistentVolumeClaim": ["claimName": .text($0)]]] } ?? [])),
        ]
        if var container = pod["containers"]?.elements.first {
            if let resources = cluster.pods.hostResources { container["resources"] = resources }
            if !identityVariables.isEmpty { container["env"] = .array(identityVariables) }
            pod["containers"] = [container]
        }
        pod.merge(cluster.pods.hostScheduling ?? cluster.pods.backupScheduling) { _, user in user }
        let podLabels = cluster.pods.objectLabels.merging(cluster.pods.hostLabels) { _, own in own }
            .merging(labels(.repositoryHost)) { _, own in own }.merging(identityLabels) { own, _ in own }
        var metadata: ServiceJSON = ["labels": .object(podLabels.mapValues { .text($0) })]
        let annotations = cluster.pods.objectAnnotations.merging(cluster.pods.hostAnnotations) { _, own in own }
        if !annotations.isEmpty { metadata["annotations"] = .object(annotations.mapValues { .text($0) }) }
        return ["metadata": metadata, "spec": .object(pod)]
    }

    /// Volumes of repositories belong to nobody, so that they outlive the cluster.
    func claims() -> [WantedObject] {
        cluster.repositories.compactMap { repository in
            guard let volume = repository.volume else { return nil }
            var claim = object(.persistentVolumeClaims, volume.claim, .repositoryHost)
            claim.ownerReferences = []
            claim["spec"] = volume.spec
            return WantedObject(type: .persistentVolumeClaims, object: claim, isKept: true)
        }
    }
}
