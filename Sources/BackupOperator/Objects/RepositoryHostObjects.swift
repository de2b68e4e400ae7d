import HTTP
import KubernetesClient

extension ClusterObjects {
    /// Runs what touches repositories only.
    func repositoryHost(secretFiles: [String]) -> [WantedObject] {
        let host = PodNames.repositoryHost(name)
        let own = [OperatorNames.cluster: name, OperatorNames.part: Part.repositoryHost.rawValue]
        let selector = ServiceJSON.object(own.mapValues { .text($0) })
        var service = object(.services, host, .repositoryHost)
        service["spec"] = [
            "selector": selector,
            "ports": [["name": "repository", "port": ServiceJSON(EngineConfiguration.hostPort)]],
        ]
        var deployment = object(.deployments, host, .repositoryHost)
        var pod: [String: ServiceJSON] = [
            "automountServiceAccountToken": false, "enableServiceLinks": false, "securityContext": PodParts.podSecurity,
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
                    "volumeMounts": [
                        PodParts.mount("run", EngineConfiguration.runDirectory),
                        PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                        PodParts.mount("tmp", "/tmp"),
                    ],
                ]
            ],
            "volumes": [
                PodParts.configurationVolume("host.conf", self, secretFiles: secretFiles),
                PodParts.emptyDirectory("run"), PodParts.emptyDirectory("tmp"),
            ],
        ]
        pod.merge(cluster.pods.backupScheduling) { _, user in user }
        deployment["spec"] = [
            "replicas": 1, "strategy": ["type": "Recreate"], "selector": ["matchLabels": selector],
            "template": [
                "metadata": ["labels": .object(labels(.repositoryHost).mapValues { .text($0) })], "spec": .object(pod),
            ],
        ]
        return [
            WantedObject(type: .services, object: service), WantedObject(type: .deployments, object: deployment),
        ]
    }
}
