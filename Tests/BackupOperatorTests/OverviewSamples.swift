import HTTP
import KubernetesClient

@testable import BackupOperator

/// Clusters as their objects show them, for what is read and told of them.
enum Sample {
    /// 2026-11-25T09:46:40Z.
    static let now: Int64 = 1_795_600_000
    static func time(_ ago: Int64) -> ServiceJSON { .text(ServiceTime.rfc3339(now - ago)) }

    static func zones(_ name: String?) -> TimeZone? { name == nil ? .utc : nil }

    static func object(_ type: ResourceType, _ name: String, ago: Int64 = 0, _ rest: ServiceJSON) -> KubernetesObject {
        var object = KubernetesObject(type, namespace: "demo", name: name)
        object.json[["metadata", "creationTimestamp"]] = time(ago)
        for (key, value) in rest.members { object.json[key] = value }
        return object
    }

    static func condition(_ type: String, _ status: String, _ reason: String, _ message: String) -> ServiceJSON {
        ["type": .text(type), "status": .text(status), "reason": .text(reason), "message": .text(message)]
    }

    // MARK: StackGres

    static let storage = object(
        StackGres.storages, "bucket",
        [
            "spec": [
                "type": "s3",
                "s3": [
                    "bucket": "s3://example-backups",
                    "awsCredentials": [
                        "secretKeySelectors": [
                            "accessKeyId": ["name": "bucket-key", "key": "id"],
                            "secretAccessKey": ["name": "bucket-key", "key": "secret"],
                        ]
                    ],
                ],
            ]
        ])

    static let stackGresSpec: ServiceJSON = [
        "instances": 2, "postgres": ["version": "17.6"], "pods": ["persistentVolume": ["size": "10Gi"]],
        "configurations": [
            "backups": [["sgObjectStorage": "bucket", "cronSchedule": "0 3 * * *", "retention": 6, "path": "own/path"]]
        ],
    ]

    static let path = "sgbackups.stackgres.io/demo/shop/2026-11-01-10-00-00/17"

    static let stackGres = object(
        StackGres.clusters, "shop", ago: 86_400 * 24,
        [
            "spec": stackGresSpec,
            "status": [
                "conditions": [
                    condition("Ready", "True", "ClusterReady", "2 of 2 pods are ready"),
                    condition("Failed", "False", "FalseFailed", ""),
                    condition(
                        "Unsupported", "True", "FieldsUnsupported",
                        "spec.pods.customContainers: nothing comes of it; spec.postgres.version: "
                            + "the minor version is that of the image, not 17.6"),
                ],
                "postgresVersion": "17.9", "instances": 2,
                "podStatuses": [["name": "shop-1", "primary": false], ["name": "shop-0", "primary": true]],
                "permafrost": [
                    "repositories": [
                        [
                            "key": 1, "sgObjectStorage": "bucket", "path": .text(path), "ready": true,
                            "reason": "RepositoryReady", "message": "can be read", "backups": 6, "size": 1_288_490_189,
                            "firstRestorableTime": time(518_000), "lastRestorableTime": time(35),
                            "lastBackup": ["internalName": "20261125-030003F", "time": time(24_350)],
                        ]
                    ],
                    "archiving": [
                        "failing": false, "lastWal": "00000001000000000000002A", "lastTime": time(35), "message": "",
                    ],
                ],
            ],
        ])

    static func stackGresBackup(
        _ name: String, ago: Int64, state: String, label: String? = nil, failure: String? = nil
    ) -> KubernetesObject {
        var status: ServiceJSON = ["process": ["status": .text(state)], "backupPath": .text(path)]
        if let label {
            status["internalName"] = .text(label)
            status["sgBackupConfig"] = ["storage": storage["spec"] ?? [:]]
            status[["process", "timing"]] = ["end": time(ago - 50)]
            status["backupInformation"] = [
                "size": ["uncompressed": 900_000_000, "compressed": 214_748_364], "postgresVersion": "170009",
                "lsn": ["start": "83886120", "end": "83886336"],
            ]
        }
        if let failure { status[["process", "failure"]] = .text(failure) }
        return object(
            StackGres.backups, name, ago: ago, ["spec": ["sgCluster": "shop"], "status": status])
    }

    static let stackGresBackups = [
        stackGresBackup("shop-2026-11-24-03-00-00", ago: 110_800, state: "Completed", label: "20261124-030003F"),
        stackGresBackup("shop-2026-11-25-03-00-00", ago: 24_400, state: "Completed", label: "20261125-030003F"),
        stackGresBackup("before-upgrade", ago: 40, state: "Running"),
        object(StackGres.backups, "of-another", ["spec": ["sgCluster": "other"]]),
    ]

    static func stackGres(
        _ cluster: KubernetesObject = stackGres, _ backups: [KubernetesObject] = stackGresBackups
    ) -> ClusterOverview {
        ClusterOverview(
            .stackGres, cluster, backups: backups, storages: ["bucket": storage], now: now, zones: zones)
    }

    static let brokenStackGres: KubernetesObject = {
        var cluster = stackGres
        cluster["status", "conditions"] = [
            condition("Ready", "False", "PodsMissing", "1 of 2 pods are ready"),
            condition("Failed", "False", "FalseFailed", ""),
        ]
        cluster["status", "instances"] = 1
        cluster["spec", "configurations", "backups"] = [
            ["sgObjectStorage": "bucket", "cronSchedule": "0 3 * * *", "timeZone": "Middle/Earth"],
            ["sgObjectStorage": "second"],
        ]
        cluster["status", "permafrost", "repositories"] = [
            [
                "key": 1, "sgObjectStorage": "bucket", "path": .text(path), "ready": false, "reason": "AccessDenied",
                "message": "unable to list 's3://example-backups': the key was refused; is the Secret right?",
                "backups": 6, "firstRestorableTime": time(518_000), "lastRestorableTime": time(7200),
            ]
        ]
        cluster["status", "permafrost", "archiving"] = [
            "failing": true, "lastWal": "00000001000000000000002A", "lastTime": time(7200),
            "message": "WAL segment '00000001000000000000002B' cannot be archived, 4 wait: the key was refused",
        ]
        return cluster
    }()

    static let emptyStackGres = object(
        StackGres.clusters, "new", ["spec": ["instances": 1, "postgres": ["version": "17"]]])

    // MARK: Percona

    static let percona = object(
        ClusterKind.percona.clusters, "shop", ago: 86_400 * 24,
        [
            "spec": [
                "postgresVersion": 17, "instances": [["name": "instance1", "replicas": 3]],
                "backups": [
                    "pgbackrest": [
                        "global": ["repo2-path": "/shop", "repo2-cipher-pass": "sekretPassphrase"],
                        "repos": [
                            [
                                "name": "repo1", "schedules": ["full": "0 1 * * 0", "incremental": "0 1 * * 1-6"],
                                "volume": ["volumeClaimSpec": ["resources": ["requests": ["storage": "20Gi"]]]],
                            ],
                            [
                                "name": "repo2",
                                "s3": ["bucket": "example", "endpoint": "s3.example.com", "region": "eu"],
                            ],
                        ],
                    ]
                ],
            ],
            "status": [
                "state": "ready", "host": "shop-primary.demo.svc",
                "postgres": ["size": 3, "ready": 3, "version": 17],
                "conditions": [
                    condition("Ready", "True", "ClusterReady", "3 of 3 pods are ready"),
                    condition("ReadyForBackup", "True", "ReadyForBackup", ""),
                ],
                "pgbackrest": [
                    "repos": [
                        [
                            "name": "repo1", "volume": "pvc-1", "ready": true, "reason": "RepositoryReady",
                            "backups": 3, "size": 3_221_225_472, "firstRestorableTime": time(259_200),
                            "lastRestorableTime": time(20),
                            "lastBackup": ["backupName": "20261122-010005F_20261125-010004I", "type": "incr"],
                        ],
                        [
                            "name": "repo2", "ready": true, "reason": "RepositoryReady", "backups": 1,
                            "size": 1_048_576, "firstRestorableTime": time(3000), "lastRestorableTime": time(20),
                        ],
                    ]
                ],
                "archiving": ["lastWal": "00000002000000010000004F", "lastTime": time(20), "failing": false],
            ],
        ])

    static func perconaBackup(
        _ name: String, ago: Int64, _ state: String, _ repository: String = "repo1", type: String = "full",
        label: String? = nil, error: String? = nil
    ) -> KubernetesObject {
        var status: ServiceJSON = ["state": .text(state), "backupType": .text(type)]
        if let label {
            status["backupName"] = .text(label)
            status["completed"] = time(ago - 60)
            status["size"] = 1_073_741_824
            status["lsn"] = ["start": "0/5000028", "stop": "0/5000100"]
        }
        if let error { status["error"] = .text(error) }
        return object(
            ClusterKind.percona.backups, name, ago: ago,
            ["spec": ["pgCluster": "shop", "repoName": .text(repository)], "status": status])
    }

    static let perconaBackups = [
        perconaBackup("shop-full", ago: 259_300, "Succeeded", label: "20261122-010005F"),
        perconaBackup(
            "shop-incr", ago: 31_600, "Succeeded", type: "incr", label: "20261122-010005F_20261125-010004I"),
        perconaBackup("shop-other", ago: 3100, "Succeeded", "repo2", label: "20261125-085500F"),
    ]

    static func perconaRestore(_ name: String, ago: Int64, _ state: String) -> KubernetesObject {
        object(
            ClusterKind.percona.restores ?? StackGres.backups, name, ago: ago,
            [
                "spec": ["pgCluster": "shop", "repoName": "repo1"],
                "status": ["state": .text(state), "stage": "copying", "target": "all WAL"],
            ])
    }

    static func percona(
        _ cluster: KubernetesObject = percona, _ backups: [KubernetesObject] = perconaBackups,
        _ restores: [KubernetesObject] = []
    ) -> ClusterOverview {
        ClusterOverview(.percona, cluster, backups: backups, restores: restores, now: now, zones: zones)
    }

    static let brokenPercona: KubernetesObject = {
        var cluster = percona
        cluster["status", "state"] = "error"
        cluster["status", "conditions"] = [
            condition("Ready", "False", "VolumeFull", "volume 'pgdata' of pod 'shop-0' has 3 MiB of 1024 MiB left"),
            condition("ReadyForBackup", "False", "RepositoryError", "repo1: no space is left"),
        ]
        cluster["status", "postgres", "ready"] = 2
        cluster["status", "pgbackrest", "repos"] = [
            [
                "name": "repo1", "ready": false, "reason": "RepositoryError",
                "message": "unable to write to '/pgbackrest/repo1': no space is left on the device",
            ]
        ]
        cluster["status", "archiving"] = [
            "lastWal": "00000002000000010000004F", "lastTime": time(3600), "failing": true,
            "message": "WAL segment '000000020000000100000050' cannot be archived",
        ]
        return cluster
    }()

    static let emptyPercona = object(
        ClusterKind.percona.clusters, "new",
        ["spec": ["postgresVersion": 17, "instances": [["replicas": 1]], "backups": ["enabled": false]]])
}
