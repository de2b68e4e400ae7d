import HTTP
import KubernetesClient

/// A Job that removes one backup from one repository, by itself.
struct BackupRemoval {
    var name: String
    var backup: KubernetesObject
    var cluster: String
    var label: String
    var location: RepositoryLocation
    /// Of the service account by which a store is reached: what a cloud knows it by.
    var identity: [String: String] = [:]

    func objects(_ credentials: Credentials, _ settings: OperatorSettings) -> [WantedObject] {
        func object(_ type: ResourceType) -> KubernetesObject {
            var object = KubernetesObject(type, namespace: backup.namespace, name: name)
            object.labels = [
                OperatorNames.cluster: cluster, OperatorNames.part: "removal",
                "app.kubernetes.io/managed-by": "permafrost",
            ]
            object.ownerReferences = [backup.owner()]
            return object
        }
        var secret = object(.secrets)
        var data: [String: ServiceJSON] = [
            "pgbackrest.conf": ClusterObjects.encoded(
                EngineConfiguration.repositoryText(
                    location, in: EngineConfiguration.directory,
                    hasTrustedCertificates: settings.trustedCertificates != nil)),
            "repo.conf": ClusterObjects.encoded(credentials.text),
        ]
        var items: [ServiceJSON] = [
            ["key": "pgbackrest.conf", "path": "pgbackrest.conf"], ["key": "repo.conf", "path": "conf.d/repo.conf"],
        ]
        if let text = settings.trustedCertificates {
            data[EngineConfiguration.trustedFile] = ClusterObjects.encoded(text)
            items.append([
                "key": .text(EngineConfiguration.trustedFile), "path": .text(EngineConfiguration.trustedFile),
            ])
        }
        for (file, bytes) in credentials.files.sorted(by: { $0.key < $1.key }) {
            data[file] = .text(Base64.encode(bytes))
            items.append(["key": .text(file), "path": .text("files/\(file)")])
        }
        secret["data"] = .object(data)
        var job = object(.jobs)
        var pod: ServiceJSON = [
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": PodParts.podSecurity,
            "containers": [
                container(
                    "expire",
                    ["expire", "--stanza=\(OperatorNames.stanza)", "--repo=1", "--set=\(label)", "--force"],
                    settings)
            ],
            "volumes": [
                [
                    "name": "configuration",
                    "secret": ["secretName": .text(name), "defaultMode": 0o440, "items": .array(items)],
                ],
                PodParts.emptyDirectory("tmp"),
            ],
        ]
        if !identity.isEmpty { pod["serviceAccountName"] = .text(ClusterObjects.accountName(cluster)) }
        let labels = job.labels.merging(ClusterObjects.identityLabels(identity)) { own, _ in own }
        job["spec"] = [
            "backoffLimit": 2, "completions": 1, "parallelism": 1,
            "template": ["metadata": ["labels": .object(labels.mapValues { .text($0) })], "spec": pod],
        ]
        return [WantedObject(type: .secrets, object: secret), WantedObject(type: .jobs, object: job)]
    }

    /// The cluster's account, where the cluster is gone: it is nobody's, and a later cluster of the name takes it over.
    var account: WantedObject {
        var account = KubernetesObject(
            .serviceAccounts, namespace: backup.namespace, name: ClusterObjects.accountName(cluster))
        account.labels = [
            OperatorNames.cluster: cluster, OperatorNames.part: ClusterObjects.Part.access.rawValue,
            "app.kubernetes.io/managed-by": "permafrost",
        ]
        account.annotations = identity
        return WantedObject(type: .serviceAccounts, object: account, isKept: true)
    }

    private func container(_ name: String, _ words: [String], _ settings: OperatorSettings) -> ServiceJSON {
        [
            "name": .text(name), "image": .text(settings.image),
            "command": .array((["permafrost"] + words).map { .text($0) }),
            "securityContext": PodParts.containerSecurity,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                PodParts.mount("configuration", EngineConfiguration.directory, readOnly: true),
                PodParts.mount("tmp", "/tmp"),
            ],
        ]
    }
}
