import HTTP
import KubernetesClient

extension ClusterObjects {
    func patroniMap() -> WantedObject {
        var map = object(.configMaps, Self.patroniName(name), .database)
        map["data"] = ["patroni.yml": .text(PatroniConfiguration(cluster: cluster).json.description)]
        if cluster.users != nil { map["data", "bootstrap.sh"] = .text(PatroniConfiguration(cluster: cluster).script) }
        if cluster.standby != nil {
            map["data", "promoted.sh"] = .text(PatroniConfiguration(cluster: cluster).promotedScript)
        }
        return WantedObject(type: .configMaps, object: map)
    }

    /// PostgreSQL under Patroni, with the agent beside it.
    /// - Parameters:
    ///   - made: its pods.
    ///   - volume: as the template for claims has it, which cannot change.
    func statefulSet(_ made: MadeTemplate, claim volume: DatabaseCluster.Volume) -> WantedObject {
        var set = object(.statefulSets, name, .database)
        set.annotations = [OperatorNames.volume: volume.text, MadeTemplate.annotation: made.text]
        set["spec"] = [
            "replicas": ServiceJSON(cluster.isStopped ? 0 : cluster.instances),
            "serviceName": .text(PodNames.service(name)),
            // All at once: Patroni alone knows who must come first.
            "podManagementPolicy": "Parallel", "updateStrategy": ["type": "RollingUpdate"],
            "selector": ["matchLabels": .object(selector.mapValues { .text($0) })],
            "template": made.template,
            "volumeClaimTemplates": [claim(volume)],
            // A cluster that comes later by the same name begins anew; what is to outlive this one is in its backups.
            "persistentVolumeClaimRetentionPolicy": [
                "whenDeleted": cluster.keepsVolumes ? "Retain" : "Delete", "whenScaled": "Retain",
            ],
        ]
        return WantedObject(type: .statefulSets, object: set)
    }

    /// - Parameter secretFiles: of the configuration's Secret, beyond those that are always there.
    func podTemplate(secretFiles: [String]) -> ServiceJSON {
        [
            "metadata": [
                "labels": .object(
                    cluster.pods.objectLabels.merging(cluster.pods.labels) { _, own in own }
                        .merging(labels(.database)) { _, own in own }.merging(identityLabels) { own, _ in own }
                        .mapValues { .text($0) }),
                "annotations": .object(
                    cluster.pods.objectAnnotations.merging(cluster.pods.annotations) { _, own in own }
                        .mapValues { .text($0) }),
            ],
            "spec": podSpec(secretFiles: secretFiles),
        ]
    }

    private func claim(_ volume: DatabaseCluster.Volume) -> ServiceJSON {
        var spec: ServiceJSON = [
            "accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": .text(volume.size)]],
        ]
        if let storageClass = volume.storageClass { spec["storageClassName"] = .text(storageClass) }
        return [
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": [
                "name": .text(cluster.names.dataClaim),
                "labels": .object(labels(.database).mapValues { .text($0) }),
            ],
            "spec": spec,
        ]
    }

    private func podSpec(secretFiles: [String]) -> ServiceJSON {
        var spec: [String: ServiceJSON] = [
            "serviceAccountName": .text(Self.patroniName(name)),
            "securityContext": PodParts.podSecurity, "enableServiceLinks": false,
            // PostgreSQL ends with a checkpoint.
            "terminationGracePeriodSeconds": 120,
            "containers": [patroniContainer, agentContainer],
            "volumes": .array(volumes(secretFiles: secretFiles)),
        ]
        spec.merge(cluster.pods.scheduling) { _, user in user }
        // Whatever their number is: with it the pods that are there would change.
        if cluster.pods.spreads, spec["affinity"]?[["podAntiAffinity"]] == nil {
            var affinity = spec["affinity"] ?? [:]
            affinity["podAntiAffinity"] = [
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    [
                        "weight": 100,
                        "podAffinityTerm": [
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": ["matchLabels": .object(selector.mapValues { .text($0) })],
                        ],
                    ]
                ]
            ]
            spec["affinity"] = affinity
        }
        return .object(spec)
    }

    private var mounts: [ServiceJSON] {
        [
            PodParts.mount(cluster.names.dataClaim, "/var/lib/postgresql"),
            PodParts.mount("run", EngineConfiguration.socketDirectory, subPath: "postgresql"),
            PodParts.mount("run", EngineConfiguration.runDirectory, subPath: "permafrost"),
            PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
        ] + PodParts.filesMount(self)
    }

    private var patroniContainer: ServiceJSON {
        let users = cluster.names.userSecret
        var container: ServiceJSON = [
            "name": "patroni", "image": .text(settings.postgresImage(cluster.major)),
            "command": ["sh", "-c", .text(PatroniConfiguration.start)],
            "env": .array(
                [
                    PodParts.variable("PGDATA", EngineConfiguration.dataDirectory),
                    PodParts.fieldVariable("PATRONI_NAME", "metadata.name"),
                    PodParts.fieldVariable("PATRONI_KUBERNETES_POD_IP", "status.podIP"),
                    PodParts.variable("PATRONI_POSTGRESQL_CONNECT_ADDRESS", "$(PATRONI_KUBERNETES_POD_IP):5432"),
                    PodParts.variable(
                        "PATRONI_RESTAPI_CONNECT_ADDRESS",
                        "$(PATRONI_KUBERNETES_POD_IP):\(PatroniConfiguration.restPort)"),
                    PodParts.variable("PATRONI_RESTAPI_USERNAME", "patroni"),
                    PodParts.secretVariable("PATRONI_RESTAPI_PASSWORD", users, PatroniConfiguration.restPassword),
                    PodParts.secretVariable("PATRONI_SUPERUSER_PASSWORD", users, cluster.names.superuserPassword),
                    PodParts.secretVariable("PATRONI_REPLICATION_PASSWORD", users, cluster.names.replicationPassword),
                ] + identityVariables),
            "ports": [["name": "postgres", "containerPort": 5432], ["name": "patroni", "containerPort": 8008]],
            "readinessProbe": [
                "httpGet": ["path": "/readiness", "port": 8008], "periodSeconds": 5, "timeoutSeconds": 3,
                "failureThreshold": 3,
            ],
            // A database that recovers for hours is alive.
            "livenessProbe": [
                "exec": ["command": ["bash", "-c", .text(PatroniConfiguration.isAlive)]], "periodSeconds": 5,
                "timeoutSeconds": 4,
                "failureThreshold": 4, "initialDelaySeconds": 3,
                // A primary that hangs must be gone before another writes for long.
                "terminationGracePeriodSeconds": 5,
            ],
            "securityContext": PodParts.containerSecurity,
            "volumeMounts": .array(
                mounts + bootstrapMount + [
                    PodParts.mount("patroni", PatroniConfiguration.directory, readOnly: true),
                    PodParts.mount("restore", PatroniConfiguration.restoreDirectory, readOnly: true),
                    PodParts.mount("shm", "/dev/shm"), PodParts.mount("tmp", "/tmp"),
                ]),
        ]
        if let resources = cluster.pods.resources { container["resources"] = resources }
        return container
    }

    private var bootstrapMount: [ServiceJSON] {
        cluster.users == nil
            ? [] : [PodParts.mount("bootstrap", PatroniConfiguration.bootstrapDirectory, readOnly: true)]
    }

    private var agentContainer: ServiceJSON {
        var container: ServiceJSON = [
            "name": "agent", "image": .text(settings.postgresImage(cluster.major)),
            "command": ["permafrost", "agent"],
            "ports": [
                ["name": "agent", "containerPort": ServiceJSON(EngineConfiguration.agentPort)],
                ["name": "monitor", "containerPort": ServiceJSON(EngineConfiguration.monitorPort)],
            ],
            "livenessProbe": [
                "httpGet": ["path": "/healthz", "port": ServiceJSON(EngineConfiguration.monitorPort)],
                "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
            ],
            "securityContext": PodParts.containerSecurity,
            "volumeMounts": .array(mounts + [PodParts.mount("agent-tmp", "/tmp")]),
        ]
        if !identityVariables.isEmpty { container["env"] = .array(identityVariables) }
        if let resources = cluster.pods.agentResources { container["resources"] = resources }
        return container
    }

    private func volumes(secretFiles: [String]) -> [ServiceJSON] {
        let restore = ServiceJSON.text(Self.restoreName(name))
        var restoreItems: [ServiceJSON] = [["key": "repo.conf", "path": "conf.d/repo.conf"]]
        // All that there can be: what a cluster began with changes no pod later.
        restoreItems += (1...4).flatMap { key in
            ["gcs-key", "storage-ca-file"].map { EngineConfiguration.fileName(key, $0) }
        }.map { ["key": .text($0), "path": .text("files/\($0)")] }
        var further = PodParts.filesVolume(self).map { [$0] } ?? []
        if cluster.users != nil {
            let name = ServiceJSON.text(Self.bootstrapName(name))
            // Always named, so that its end changes no pod.
            further.append([
                "name": "bootstrap", "secret": ["secretName": name, "optional": true, "defaultMode": 0o440],
            ])
        }
        return further + [
            PodParts.configurationVolume("agent.conf", self, secretFiles: secretFiles),
            ["name": "patroni", "configMap": ["name": .text(Self.patroniName(name))]],
            // Only there while a cluster begins as a copy; always named, so that its end changes no pod.
            [
                "name": "restore",
                "projected": [
                    "defaultMode": 0o440,
                    "sources": [
                        ["configMap": ["name": restore, "optional": true]],
                        ["secret": ["name": restore, "optional": true, "items": .array(restoreItems)]],
                        // Users' files and certificates, whatever their names.
                        ["secret": ["name": restore, "optional": true]],
                    ],
                ],
            ],
            PodParts.emptyDirectory("run"), PodParts.emptyDirectory("tmp"), PodParts.emptyDirectory("agent-tmp"),
            ["name": "shm", "emptyDir": ["medium": "Memory"]],
        ]
    }
}
