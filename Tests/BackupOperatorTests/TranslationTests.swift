import HTTP
import KubernetesClient
import Testing

@testable import BackupOperator

/// What StackGres' manifests mean, without a server.
@Suite struct TranslationTests {
    static let keys: ServiceJSON = [
        "secretKeySelectors": [
            "accessKeyId": ["name": "s", "key": "id"], "secretAccessKey": ["name": "s", "key": "secret"],
        ]
    ]

    @Test("storages are options of the engine")
    func storages() throws {
        let s3 = try StackGresStorage([
            "type": "s3", "s3": ["bucket": "s3://b/some/path/", "region": "eu-west-1", "awsCredentials": Self.keys],
        ]).location(path: "p/q")
        #expect(
            s3.options == ["type": "s3", "s3-bucket": "b", "s3-region": "eu-west-1", "path": "/some/path/p/q"])
        #expect(s3.secrets["s3-key"] == SecretKey(name: "s", key: "id"))
        #expect(s3.secretNames == ["s"])
        var compatible: ServiceJSON = [
            "type": "s3Compatible",
            "s3Compatible": [
                "bucket": "b", "endpoint": "https://minio:9000", "enablePathStyleAddressing": true,
                "awsCredentials": Self.keys,
            ],
        ]
        compatible[["s3Compatible", "awsCredentials", "secretKeySelectors", "caCertificate"]] = [
            "name": "ca", "key": "ca.crt",
        ]
        let minio = try StackGresStorage(compatible).location(path: "p")
        #expect(minio.options["s3-uri-style"] == "path" && minio.options["s3-endpoint"] == "https://minio:9000")
        #expect(minio.files == ["storage-ca-file": SecretKey(name: "ca", key: "ca.crt")])
        let role = try StackGresStorage(["type": "s3", "s3": ["bucket": "b", "awsCredentials": ["useIAMRole": true]]])
            .location(path: "p")
        #expect(role.options["s3-key-type"] == "auto" && role.secrets.isEmpty)
        let gcs = try StackGresStorage([
            "type": "gcs",
            "gcs": ["bucket": "gs://b", "gcpCredentials": ["fetchCredentialsFromMetadataService": true]],
        ]).location(path: "p")
        #expect(gcs.options == ["type": "gcs", "gcs-bucket": "b", "gcs-key-type": "auto", "path": "/p"])
        let azure = try StackGresStorage([
            "type": "azureBlob",
            "azureBlob": [
                "bucket": "c/x",
                "azureCredentials": [
                    "secretKeySelectors": [
                        "storageAccount": ["name": "a", "key": "account"], "accessKey": ["name": "a", "key": "key"],
                    ]
                ],
            ],
        ]).location(path: "p")
        #expect(azure.options == ["type": "azure", "azure-container": "c", "path": "/x/p"])
        #expect(azure.secrets["azure-account"] == SecretKey(name: "a", key: "account"))
    }

    static let refusedCases: [(json: ServiceJSON, said: String)] = [
        ([:], "no section"), (["type": "s3"], "no section"), (["type": "nfs", "nfs": [:]], "no type"),
        (["type": "s3", "s3": ["awsCredentials": [:]]], "no bucket"),
        (["type": "s3", "s3": ["bucket": "//", "awsCredentials": [:]]], "no bucket"),
        (["type": "s3", "s3": ["bucket": "b", "awsCredentials": [:]]], "accessKeyId"),
        (["type": "s3Compatible", "s3Compatible": ["bucket": "b"]], "endpoint"),
        (["type": "gcs", "gcs": ["bucket": "b"]], "serviceAccountJSON"),
        (["type": "azureBlob", "azureBlob": ["bucket": "b"]], "storageAccount"),
        (["type": "s3", "encryption": ["method": "sodium"], "s3": ["bucket": "b"]], "sodium"),
        (["type": "s3", "encryption": ["openpgp": ["key": [:]]], "s3": ["bucket": "b"]], "openpgp"),
    ]

    @Test("storages that nothing is uploaded to", arguments: refusedCases)
    func refused(_ spec: ServiceJSON, _ said: String) {
        #expect { try StackGresStorage(spec).location(path: "p") } throws: { error in
            (error as? Refusal)?.message.contains(said) ?? false
        }
    }

    private func cluster(_ backups: ServiceJSON, status: ServiceJSON? = nil, restore: ServiceJSON? = nil)
        -> StackGresCluster
    {
        var object = KubernetesObject(StackGres.clusters, namespace: "demo", name: "pg")
        object["metadata", "creationTimestamp"] = "2026-11-22T01:02:03Z"
        object["spec"] = [
            "instances": 2, "postgres": ["version": "17.2"], "pods": ["persistentVolume": ["size": "1Gi"]],
            "configurations": ["backups": backups],
        ]
        if let restore { object["spec", "initialData", "restore"] = restore }
        object["status"] = status
        return StackGresCluster(object)
    }

    private func storage(_ bucket: String) -> KubernetesObject {
        var object = KubernetesObject(StackGres.storages, namespace: "demo", name: "x")
        object["spec"] = ["type": "s3", "s3": ["bucket": .text(bucket), "awsCredentials": Self.keys]]
        return object
    }

    @Test("numbers and paths of repositories stay with their storages")
    func places() throws {
        let path = "sgbackups.stackgres.io/demo/pg/2026-11-22-01-02-03/17"
        let first = try cluster([["sgObjectStorage": "a"], ["sgObjectStorage": "b"]]).elements()
        #expect(first.map(\.key) == [1, 2] && first.map(\.path) == [path, path + "-repo2"])
        let status: ServiceJSON = [
            "permafrost": [
                "repositories": [
                    ["key": 2, "sgObjectStorage": "b", "path": "elsewhere"],
                    ["key": 1, "sgObjectStorage": "a", "path": "p"],
                ]
            ]
        ]
        let turned = try cluster([["sgObjectStorage": "b"], ["sgObjectStorage": "c"]], status: status).elements()
        #expect(turned.map(\.key) == [2, 3] && turned[0].path == "elsewhere")
        let own = try cluster([["sgObjectStorage": "a", "path": "/mine/"]]).elements()
        #expect(own.map(\.path) == ["mine"])
        #expect(throws: Refusal.self) { try cluster([["sgObjectStorage": "a"], ["sgObjectStorage": "a"]]).elements() }
        #expect(throws: Refusal.self) {
            try cluster(.array((0..<5).map { ["sgObjectStorage": .text("s\($0)")] })).elements()
        }
    }

    @Test("what a cluster asks for, and what it cannot have")
    func wanted() throws {
        let wanted = try cluster([
            [
                "sgObjectStorage": "a", "cronSchedule": "@daily", "timeZone": "Europe/Berlin", "retention": 9,
                "compression": "brotli", "performance": ["maxNetworkBandwidth": 1_000_000, "uploadDiskConcurrency": 2],
                "maxRetries": 0, "timeout": 60, "retainWalsForUnmanagedLifecycle": true,
            ],
            ["sgObjectStorage": "gone"], ["sgObjectStorage": "snapshots", "useVolumeSnapshot": true],
        ]).wanted { type, name in type == StackGres.backups || name == "gone" ? nil : storage(name) }
        let repository = try #require(wanted.repositories.first)
        #expect(wanted.repositories.count == 1 && repository.retention == 9 && repository.retries == 0)
        #expect(repository.timeoutSeconds == 60 && repository.keepsArchiveOfHeld)
        #expect(
            repository.settings == ["compress-type": "zst", "rate-limit-network": "1000000", "process-max": "2"])
        #expect(wanted.faultyRepositories.map(\.fault.reason) == ["StorageNotFound", "SnapshotUnsupported"])
        #expect(wanted.isArchiving && wanted.major == 17 && wanted.instances == 2)
        #expect(
            wanted.unsupported.map(\.path) == ["spec.configurations.backups[0].compression", "spec.postgres.version"])
        let text = ClusterObjects(wanted, OperatorSettings()).configuration.agentText()
        #expect(text.contains("repo1-retention-hold-archive=y\n") && text.contains("compress-type=zst\n"))
    }

    private func backup(_ phase: String, major: String = "170002", end: String = "2026-11-22T10:00:00Z")
        -> KubernetesObject
    {
        var object = KubernetesObject(StackGres.backups, namespace: "demo", name: "b")
        object["spec"] = ["sgCluster": "pg"]
        object["status"] = [
            "internalName": "20261122-100000F", "backupPath": "p",
            "backupInformation": ["postgresVersion": .text(major)],
            "process": ["status": .text(phase), "timing": ["end": .text(end)]],
            "sgBackupConfig": ["storage": storage("bucket")["spec"] ?? [:]],
        ]
        return object
    }

    static let targetCases: [(json: ServiceJSON, target: RestoreTarget)] = [
        ([:], RestoreTarget(.default)),
        (
            ["pointInTimeRecovery": ["restoreToTimestamp": "2026-11-22T12:30:00.5+02:00"]],
            RestoreTarget(.time, "2026-11-22 10:30:00.500000+00")
        ),
        (["targetLsn": "0/5000000", "targetInclusive": false], RestoreTarget(.lsn, "0/5000000", isInclusive: false)),
        (["targetXid": "77", "targetTimeline": "3"], RestoreTarget(.xid, "77", timeline: "3")),
        (["targetName": "before 'it'"], RestoreTarget(.name, "before 'it'")),
        (["target": "immediate"], RestoreTarget(.immediate)),
    ]

    @Test("where recovery ends", arguments: targetCases)
    func targets(_ target: ServiceJSON, _ expected: RestoreTarget) throws {
        var from = target
        from["name"] = "b"
        let wanted = try cluster([], restore: ["fromBackup": from]).wanted { type, _ in
            type == StackGres.backups ? backup("Completed") : nil
        }
        let restore = try #require(wanted.restore)
        #expect(restore.target == expected && restore.label == "20261122-100000F")
        let command = PatroniConfiguration.command(restore, major: 17)
        #expect(command.hasPrefix("bash -o pipefail -c '"))
    }

    static let badRestoreCases: [(json: ServiceJSON, said: String)] = [
        (["name": "none"], "does not exist"), (["targetXid": "1"], "names no backup"),
        (["name": "running"], "it is running"), (["name": "old"], "is of PostgreSQL 15"),
        (
            ["name": "b", "pointInTimeRecovery": ["restoreToTimestamp": "2026-11-22T09:59:59Z"]], "before the end"
        ),
        (["name": "b", "pointInTimeRecovery": ["restoreToTimestamp": "yesterday"]], "is no time"),
        (["name": "b", "target": "latest"], "only immediate"),
        (["name": "b", "targetXid": "1", "targetLsn": "0/1"], "several targets"),
    ]

    @Test("restores that are refused before anything is made", arguments: badRestoreCases)
    func badRestores(_ from: ServiceJSON, _ said: String) {
        let cluster = cluster([], restore: ["fromBackup": from])
        #expect {
            try cluster.wanted { type, name in
                guard type == StackGres.backups else { return nil }
                switch name {
                case "b": return backup("Completed")
                case "running": return backup("Running")
                case "old": return backup("Completed", major: "150004")
                default: return nil
                }
            }
        } throws: { error in
            (error as? Refusal)?.message.contains(said) ?? false
        }
    }

    @Test("a cluster that has begun asks for no backup any more")
    func begun() throws {
        let status: ServiceJSON = ["conditions": [["type": "Bootstrapped", "status": "True"]]]
        let cluster = cluster([], status: status, restore: ["fromBackup": ["name": "gone"]])
        #expect(try cluster.wanted { _, _ in nil }.restore == nil)
    }

    @Test("the major of a database that is there stays")
    func major() throws {
        let status: ServiceJSON = [
            "postgresVersion": "15.14", "conditions": [["type": "Bootstrapped", "status": "True"]],
        ]
        let wanted = try cluster([], status: status).wanted { _, _ in nil }
        #expect(wanted.major == 15)
        #expect(wanted.unsupported.contains { $0.path == "spec.postgres.version" && $0.reason.contains("stays") })
    }

    @Test("what would cost secrecy is refused, replication is as synchronous as is asked")
    func replication() throws {
        var object = cluster([]).object
        object["spec", "postgres", "ssl"] = ["enabled": true]
        #expect { try StackGresCluster(object).wanted { _, _ in nil } } throws: { error in
            (error as? Refusal)?.reason == "SSLUnsupported"
        }
        object["spec", "postgres", "ssl"] = nil
        object["spec", "instances"] = 3
        object["spec", "replication"] = ["mode": "strict-sync-all"]
        let wanted = try StackGresCluster(object).wanted { _, _ in nil }
        #expect(wanted.synchronous == DatabaseCluster.Synchronous(members: 2, isStrict: true))
        let dynamic = PatroniConfiguration(cluster: wanted).dynamic
        #expect(dynamic["synchronous_node_count"]?.integer == 2 && dynamic["synchronous_mode_strict"]?.bool == true)
    }

    @Test("storages that are not named any more keep their numbers")
    func forsaken() throws {
        let status: ServiceJSON = [
            "permafrost": ["repositories": [["key": 1, "sgObjectStorage": "a", "path": "p"]]]
        ]
        let without = cluster([], status: status)
        let report = ClusterReport(
            wanted: try without.wanted { _, _ in nil }, observation: ClusterObservation(), now: 1)
        let told = try #require(without.status(report)?.patch[["permafrost", "repositories"]])
        #expect(told.elements.first?["sgObjectStorage"]?.string == "a")
        let again = cluster(
            [["sgObjectStorage": "b"], ["sgObjectStorage": "a"]], status: ["permafrost": ["repositories": told]])
        #expect(try again.elements().map(\.key) == [2, 1])
    }

    @Test("names stay apart when they are cut")
    func names() {
        let long = String(repeating: "a", count: 44)
        let one = StackGresBackup.scheduled(
            cluster: ObjectKey(namespace: "d", name: long + "1"), repository: 2, at: 0, wasMissed: false)
        let other = StackGresBackup.scheduled(
            cluster: ObjectKey(namespace: "d", name: long + "2"), repository: 2, at: 0, wasMissed: false)
        #expect(one.name.utf8.count <= 56 && one.name != other.name)
        let short = StackGresBackup.scheduled(
            cluster: ObjectKey(namespace: "d", name: "pg"), repository: 1, at: 1_795_284_600, wasMissed: true)
        #expect(short.name == "pg-2026-11-21-18-10-00" && StackGresBackup(short).scheduledTime == 1_795_284_600)
    }

    @Test("a Secret's content stays one value")
    func credentials() {
        var location = RepositoryLocation(options: [:])
        location.secrets = ["s3-key": SecretKey(name: "s", key: "k")]
        let (credentials, missing) = Credentials.collect([(1, location)]) { _ in
            Array(" AKIA\nrepo1-type=posix\n".utf8)
        }
        #expect(credentials.text == "[global]\nrepo1-s3-key=AKIA\n" && missing.isEmpty)
        #expect(Credentials.collect([(1, location)]) { _ in nil }.missing[1] == SecretKey(name: "s", key: "k"))
    }
}
