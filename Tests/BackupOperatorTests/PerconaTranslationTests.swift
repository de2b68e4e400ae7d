import BackupModel
import HTTP
import KubernetesClient
import Testing

@testable import BackupOperator

/// What Percona's manifests mean, without a server.
@Suite struct PerconaTranslationTests {
    static let volume: ServiceJSON = [
        "volumeClaimSpec": ["accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "1Gi"]]]
    ]
    static let s3: ServiceJSON = ["bucket": "b", "endpoint": "s3.example.com", "region": "eu-west-1"]

    static func object(
        _ backups: ServiceJSON, _ more: ServiceJSON = [:], replicas: Int = 2
    ) -> KubernetesObject {
        var object = KubernetesObject(Percona.clusters, namespace: "demo", name: "pg")
        let spec: ServiceJSON = [
            "crVersion": "3.1.0", "postgresVersion": 17,
            "instances": [
                [
                    "name": "instance1", "replicas": ServiceJSON(replicas),
                    "dataVolumeClaimSpec": [
                        "accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": "1Gi"]],
                    ],
                ]
            ],
            "backups": ["pgbackrest": backups],
        ]
        object["spec"] = spec.merging(more)
        return object
    }

    private func wanted(_ backups: ServiceJSON, _ more: ServiceJSON = [:]) throws -> DatabaseCluster {
        try PerconaCluster(Self.object(backups, more)).wanted { _, _ in nil }
    }

    private func text(_ cluster: DatabaseCluster) -> String {
        EngineConfiguration(cluster: cluster, hasTrustedCertificates: false).agentText()
    }

    @Test("four repositories of four kinds, with the options that belong to them")
    func kinds() throws {
        let cluster = try wanted([
            "repos": [
                ["name": "repo2", "s3": Self.s3], ["name": "repo1", "volume": Self.volume],
                ["name": "repo3", "gcs": ["bucket": "g"]], ["name": "repo4", "azure": ["container": "a"]],
            ],
            "global": [
                "repo1-retention-full": "2", "repo2-retention-full": "14", "repo2-retention-full-type": "time",
                "repo2-path": "/old/path", "repo2-cipher-type": "aes-256-cbc", "repo2-s3-uri-style": "path",
                "repo2-storage-verify-tls": "n", "repo2-bundle": "n", "repo3-gcs-key": "/etc/pgbackrest/conf.d/g.json",
                "process-max": "4", "compress-type": "zst", "log-level-console": "debug", "repo2-type": "s3",
            ],
        ])
        #expect(cluster.faultyRepositories.isEmpty && cluster.unsupported.isEmpty, "\(cluster.unsupported)")
        #expect(cluster.repositories.map(\.key) == [2, 1, 3, 4] && cluster.firstRepository == 2)
        #expect(cluster.repositories.map(\.beginsWithBackup) == [true, false, false, false])
        let text = text(cluster)
        for line in [
            "repo1-host=pg-repo-host.demo.svc", "repo1-host-type=tls", "repo1-host-port=8432", "repo1-type=posix",
            "repo1-bundle=y", "repo1-retention-full=2", "repo2-type=s3", "repo2-s3-bucket=b", "repo2-path=/old/path",
            "repo2-s3-endpoint=s3.example.com", "repo2-s3-uri-style=path", "repo2-storage-verify-tls=n",
            "repo2-bundle=n", "repo2-retention-full-type=time", "repo2-cipher-type=aes-256-cbc", "repo3-type=gcs",
            "repo3-path=/pgbackrest/repo3", "repo4-azure-container=a", "process-max=4", "compress-type=zst",
            "log-level-console=debug",
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        #expect(!text.contains("repo1-path") && !text.contains("repo3-retention-full"))
        #expect(!text.contains("[global]\nlog-level-console=info"))
        let host = EngineConfiguration(cluster: cluster, hasTrustedCertificates: false).hostText()
        #expect(host.contains("\nrepo1-path=/pgbackrest/repo1\n") && !host.contains("repo1-host"))
        // The engine itself is content with both.
        for text in [text, host] {
            let secrets = """
                [global]
                repo2-s3-key=k
                repo2-s3-key-secret=s
                repo2-cipher-pass=p
                repo3-gcs-key-type=auto
                repo4-azure-account=a
                repo4-azure-key=a
                """
            _ = try Configuration.parse(
                arguments: ["--stanza=db", "--repo=1", "expire"],
                files: [ConfigFile(path: "a", text: text), ConfigFile(path: "b", text: secrets)])
        }
        #expect(cluster.repositories[0].record["destination"] == "s3://b/old/path")
        #expect(cluster.repositories[1].record["storageType"] == "filesystem")
    }

    @Test("two volumes are two places, unless they are mounted in one")
    func volumes() throws {
        let repos: ServiceJSON = [["name": "repo1", "volume": Self.volume], ["name": "repo2", "volume": Self.volume]]
        let cluster = try wanted(["repos": repos])
        #expect(cluster.repositories.map(\.location.claim) == ["pg-repo1", "pg-repo2"])
        #expect(cluster.faultyRepositories.isEmpty, "\(cluster.faultyRepositories)")
        let one = try wanted(["repos": repos, "global": ["repo2-path": "/pgbackrest/repo1"]])
        #expect(one.faultyRepositories.map(\.fault.reason) == ["RepositoryTwice"])
    }

    @Test("a backup waits for the lock that a member which crashed has yet")
    func locked() throws {
        let cluster = try wanted(["repos": [["name": "repo1", "volume": Self.volume]]])
        let job = BackupJob(
            name: "b", backup: KubernetesObject(Percona.backups, namespace: "demo", name: "b"), key: 1, type: .full,
            annotations: [:], options: [], retries: 2, timeoutSeconds: nil, labels: [:]
        ).object(ClusterObjects(cluster, OperatorSettings())).object
        let rules = job["spec", "podFailurePolicy", "rules"]?.elements ?? []
        #expect(rules.count == 1 && rules.first?["action"] == "Ignore")
        #expect(rules.first?[["onExitCodes", "values"]] == [50])
        let container = job["spec", "template", "spec", "containers"]?.elements.first
        #expect(rules.first?[["onExitCodes", "containerName"]] == container?["name"])
    }

    @Test("the repository host of a cluster that stops goes when no pod archives any more")
    func stopped() throws {
        let cluster = try wanted(["repos": [["name": "repo1", "volume": Self.volume]]], ["pause": true])
        let objects = ClusterObjects(cluster, OperatorSettings())
        let template = objects.hostTemplate(nil, secretFiles: [])
        func replicas(_ isNeeded: Bool) -> ServiceJSON? {
            objects.repositoryHost(template, isNeeded: isNeeded).last?.object["spec", "replicas"]
        }
        #expect(replicas(true) == 1 && replicas(false) == 0)
    }

    static let refusedRepositories: [(json: ServiceJSON, said: String)] = [
        (["name": "repo2"], "has none"),
        (["name": "repo2", "s3": Self.s3, "gcs": ["bucket": "g"]], "s3 and gcs"),
        (["name": "repo2", "s3": ["endpoint": "e"]], "names no bucket"),
        (["name": "repo2", "azure": [:]], "names no container"),
        (["name": "repo2", "volume": ["volumeClaimSpec": [:]]], "asks for no storage"),
        (["name": "repo2", "volume": Self.volume], "below /pgbackrest"),
        (["name": "repo2", "s3": ["bucket": "same"]], "the same place"),
        (["name": "repo2", "gcs": ["bucket": "g"]], "repo2-retention-full"),
    ]

    @Test("a repository that cannot be used never keeps the others from it", arguments: refusedRepositories)
    func refused(_ json: ServiceJSON, _ said: String) throws {
        var global: ServiceJSON = ["repo1-path": "/p", "repo2-path": "/p"]
        if said.hasPrefix("repo2-") { global["repo2-retention-full"] = "many" }
        let cluster = try wanted([
            "repos": [["name": "repo1", "s3": ["bucket": "same"]], json, ["name": "repo3", "gcs": ["bucket": "g"]]],
            "global": global,
        ])
        #expect(cluster.repositories.map(\.key) == [1, 3])
        #expect(cluster.faultyRepositories.map(\.key) == [2])
        #expect(cluster.faultyRepositories.first?.fault.message.contains(said) == true, "\(cluster.faultyRepositories)")
    }

    static let leftOut: [(key: String, value: ServiceJSON, said: String)] = [
        ("pg1-path", "/x", "where PostgreSQL is"), ("pg1-host", "h", "where PostgreSQL is"),
        ("repo1-host", "h", "the operator's"), ("repo1-host-type", "tls", "the operator's"),
        ("tls-server-auth", "a=b", "the operator's"), ("tls-server-port", "1", "the operator's"),
        ("lock-path", "/x", "the operator's"), ("spool-path", "/x", "the operator's"),
        ("log-path", "/x", "the operator's"), ("stanza", "x", "command line"), ("config", "/x", "command line"),
        ("repo1-type", "posix", "say otherwise"), ("repo1-s3-bucket", "other", "say otherwise"),
        ("repo3-path", "/x", "there is no repo3"), ("repo7-path", "/x", "repo1 to repo4"),
        ("repo1-retention-fulls", "3", "did you mean 'repo1-retention-full'"), ("bogus", "1", "there is no option"),
        ("repo1-s3-key", "AKIA", "put it into a Secret"), ("repo1-s3-process-cmd", "/x", "no such program"),
        ("process-max", "lots", "not valid"), ("process-max", 4, "quotation marks"),
        ("archive-async", "yes", "'y' or 'n'"), ("log-level-console", "loud", "not allowed"),
    ]

    @Test("options that nothing comes of are listed by name", arguments: leftOut)
    func options(_ key: String, _ value: ServiceJSON, _ said: String) throws {
        var global: ServiceJSON = ["repo1-retention-full": "7"]
        global[key] = value
        let cluster = try wanted(["repos": [["name": "repo1", "s3": Self.s3]], "global": global])
        let note = try #require(cluster.unsupported.first { $0.path == "spec.backups.pgbackrest.global.\(key)" })
        #expect(note.reason.contains(said), "\(note.reason)")
        #expect(cluster.repositories.first?.keeping["retention-full"] == "7")
        if let value = value.string { #expect(!text(cluster).contains("\n\(key)=\(value)\n")) }
    }

    static let refusedClusters: [(more: ServiceJSON, reason: String)] = [
        (["postgresVersion": 16], "PostgresVersionUnsupported"),
        (["tlsOnly": true], "TLSOnlyUnsupported"), (["instances": []], "SpecInvalid"),
        (["backups": ["volumeSnapshots": ["className": "c"]]], "SnapshotUnsupported"),
        (["backups": ["pgbackrest": ["global": ["cipher-type": "aes-256-cbc"]]]], "OptionInvalid"),
        (["backups": ["pgbackrest": ["global": ["repo1-cipher-type": "aes"]]]], "OptionInvalid"),
    ]

    @Test("what would cost data or secrecy is refused as a whole", arguments: refusedClusters)
    func refusedCluster(_ more: ServiceJSON, _ reason: String) {
        #expect { try wanted(["repos": [["name": "repo1", "volume": Self.volume]]], more) } throws: { error in
            (error as? Refusal)?.reason == reason
        }
    }

    @Test("schedules of three types, in time zones; a bad one is told of and blocks nothing")
    func schedules() throws {
        let cluster = try wanted([
            "repos": [
                [
                    "name": "repo1", "volume": Self.volume,
                    "schedules": [
                        "full": "0 0 * * 6", "differential": "CRON_TZ=Europe/Berlin 0 1 * * 1-6",
                        "incremental": "@every 5m",
                    ],
                ],
                [
                    "name": "repo2", "s3": Self.s3,
                    "schedules": ["full": "TZ=Mars/Olympus 0 0 * * *", "incremental": "@daily"],
                ],
            ]
        ])
        #expect(cluster.repositories[0].schedules.map(\.type) == [.full, .diff])
        #expect(cluster.repositories[0].schedules.map(\.timeZone) == [nil, "Europe/Berlin"])
        #expect(cluster.repositories[1].schedules.map(\.type) == [.incr])
        #expect(
            cluster.faultySchedules.map(\.path) == [
                "spec.backups.pgbackrest.repos[0].schedules.incremental",
                "spec.backups.pgbackrest.repos[1].schedules.full",
            ])
        #expect(
            cluster.faultySchedules[0].reason.contains("@daily") && cluster.faultySchedules[1].reason.contains("Mars"))
    }

    @Test("a repository that holds backups goes from the configuration only when the cluster says so")
    func removal() throws {
        var object = Self.object(["repos": [["name": "repo1", "volume": Self.volume]]])
        object["status"] = [
            "permafrost": [
                "repositories": [
                    "repo1": ["repo": ["name": "repo1", "volume": Self.volume], "backups": 1],
                    "repo2": [
                        "repo": ["name": "repo2", "s3": Self.s3, "schedules": ["full": "@daily"]], "backups": 3,
                    ],
                    "repo3": ["repo": ["name": "repo3", "gcs": ["bucket": "g"]], "backups": 0],
                ]
            ]
        ]
        let kept = try PerconaCluster(object).wanted { _, _ in nil }
        #expect(kept.repositories.map(\.key) == [1, 2] && kept.repositories[1].schedules.isEmpty)
        #expect(kept.faultyRepositories.map(\.fault.reason) == ["RemovalNotAuthorized"])
        object.annotations = [OperatorNames.repositoryRemoval: "repo4, repo2"]
        #expect(try PerconaCluster(object).wanted { _, _ in nil }.repositories.map(\.key) == [1])
        object["spec", "backups", "enabled"] = false
        #expect { try PerconaCluster(object).wanted { _, _ in nil } } throws: {
            ($0 as? Refusal)?.reason == PerconaCluster.removalReason
        }
        object.annotations[Percona.authorizeRemoval] = "true"
        let off = try PerconaCluster(object).wanted { _, _ in nil }
        #expect(off.repositories.isEmpty && !off.isArchiving)
    }

    @Test("pods, Services, users and parameters")
    func cluster() throws {
        let cluster = try wanted(
            ["repos": [["name": "repo1", "volume": Self.volume]], "jobs": ["backoffLimit": 7]],
            [
                "port": 5433, "expose": ["type": "LoadBalancer", "loadBalancerClass": "nlb"],
                "metadata": ["labels": ["team": "a"]],
                "users": [
                    ["name": "rhino", "databases": ["zoo", "lake"], "options": "superuser nocreatedb"],
                    ["name": "postgres"], ["name": "odd", "options": "valid until 'now'", "secretName": "s"],
                ],
                "patroni": [
                    "leaderLeaseDurationSeconds": 40,
                    "dynamicConfiguration": [
                        "synchronous_mode": true,
                        "postgresql": [
                            "parameters": [
                                "shared_buffers": "1GB", "max_connections": 50, "wal_level": "minimal",
                                "archive_timeout": "5min", "jit": false,
                            ], "pg_hba": ["host all all all trust"],
                        ],
                    ],
                ], "pause": true,
            ])
        #expect(cluster.instances == 2 && cluster.isStopped && cluster.keepsVolumes && cluster.archiveTimeout == 300)
        #expect(
            cluster.parameters == [
                "shared_buffers": "1GB", "max_connections": "50", "jit": "off", "track_commit_timestamp": "on",
            ])
        #expect(cluster.users?.map(\.secret) == ["pg-pguser-rhino", "s"])
        #expect(cluster.users?.map(\.options) == ["SUPERUSER NOCREATEDB", ""])
        #expect(cluster.repositories.first?.retries == 7)
        let paths = cluster.unsupported.map(\.path)
        #expect(
            paths == [
                "spec.patroni.dynamicConfiguration.postgresql.parameters.wal_level",
                "spec.patroni.dynamicConfiguration.postgresql.pg_hba", "spec.users[1]", "spec.users[2].options",
            ], "\(paths)")
        let patroni = PatroniConfiguration(cluster: cluster).dynamic
        #expect(patroni["ttl"] == 40 && patroni["synchronous_mode"] == true && patroni["loop_wait"] == 10)
        #expect(patroni[["postgresql", "parameters", "wal_level"]] == "logical")
        #expect(patroni[["postgresql", "parameters", "shared_buffers"]] == "1GB")
        let objects = ClusterObjects(cluster, OperatorSettings())
        let services = objects.services().map(\.object)
        let primary = try #require(services.first { $0.name == "pg-primary" })
        #expect(primary["spec", "type"] == "LoadBalancer" && primary["spec", "loadBalancerClass"] == "nlb")
        #expect(primary["spec", "selector", "role"] == "primary" && primary.labels["team"] == "a")
        #expect(primary["spec", "ports"]?.elements.first?["port"] == 5433)
        let leader = try #require(services.first { $0.name == "pg" })
        #expect(leader["spec", "selector"] == nil)
        let made = objects.databaseTemplate(nil, secretFiles: [])
        let set = objects.statefulSet(made, claim: objects.cluster.volume).object
        #expect(set["spec", "replicas"] == 0)
        #expect(set["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"] == "Retain")
        let script = objects.bootstrapSecret(
            [WantedUser(name: "o'x", databases: ["d\"b"], secret: "s")], passwords: ["o'x": "p'w"]
        ).object.data("users.sql").map { String(decoding: $0, as: UTF8.self) }
        #expect(script?.contains("ALTER ROLE \"o'x\" LOGIN  PASSWORD 'p''w';") == true)
        #expect(script?.contains("'CREATE DATABASE \"d\"\"b\" OWNER \"o''x\"'") == true)
        #expect(!(set.json.description + objects.patroniMap().object.json.description).contains("p'w"))
    }

    static let goodOptions: [(texts: [String], kind: WantedSchedule.Kind, options: [String])] = [
        ([], .incr, []), (["--type=full"], .full, []), (["--type", "diff"], .diff, []), (["--type diff"], .diff, []),
        (["--type='full' --start-fast"], .full, ["start-fast=y"]), (["--no-resume"], .incr, ["resume=n"]),
        (["--process-max=4", "--log-level-stderr=debug"], .incr, ["process-max=4"]),
        (["--annotation=\"a=b c\"", "--annotation=d='$x'"], .incr, ["annotation=a=b c", "annotation=d=$x"]),
        (["--annotation=a=\"\\\"\\x\""], .incr, ["annotation=a=\"\\x"]),
        (["--backup-standby"], .incr, ["backup-standby=y"]),
        (["--compress-type=zst\t--compress-level=3"], .incr, ["compress-level=3", "compress-type=zst"]),
    ]

    @Test("options of a backup are read as a shell would, and nothing is expanded", arguments: goodOptions)
    func backupOptions(_ texts: [String], _ kind: WantedSchedule.Kind, _ options: [String]) throws {
        let read = try PerconaBackupOptions(texts)
        #expect(read.kind == kind)
        #expect(read.options.map { "\($0.name)=\($0.value)" } == options)
    }

    static let badOptions: [(text: String, said: String)] = [
        ("--repo=2", "spec.repoName"), ("--stanza=x", "always db"), ("--pg1-path=/x", "not allowed"),
        ("--type='full", "not closed"), ("--type=\"full", "not closed"), ("--type=full\\", "backslash"),
        ("--type=full\n--x", "line feed"), ("--type=full\0", "null byte"), ("--type=big", "not allowed"),
        ("full", "is no option"), ("--", "is no option"), ("--bogus=1", "there is no option"), ("--type", "no value"),
        ("--type=full --type=diff", "twice"), ("--no-type", "no such form"), ("--process-max=x", "not valid"),
        ("--repo1-path=/x", "not allowed"), ("--annotation=x", "key=value"),
        ("--annotation=permafrost-uid=1", "operator's"),
        ("--annotation=percona.com/backup-name=x", "operator's"), ("--set=latest", "not allowed"),
        ("--type=$(id)", "not allowed"), ("--archive-check", "not allowed"),
    ]

    @Test("options of a backup that it fails for", arguments: badOptions)
    func badBackupOptions(_ text: String, _ said: String) {
        #expect { _ = try PerconaBackupOptions([text]) } throws: { error in
            (error as? Refusal)?.message.contains(said) ?? false
        }
    }

    @Test("of users' files only lines go that the engine cannot take, and no value is told")
    func files() throws {
        let source = UserFiles.Source(.secret, "s")
        let text = """
            repo9=x
            [global]
            # a comment
            repo2-s3-key=AKIA
            repo2-s3-key-secret = geheim
            repo2-s3-key=AGAIN
            repo2-s3-keys=geheim2
            spool-path=/geheim3
            archive-async=y
            repo2-s3-uri-style=geheim4
            nonsense
            [global:archive-push]
            process-max=4
            [main]
            pg1-path=/x
            """
        let content = UserFileContent(UserFiles([source]), beside: ["[global]\narchive-async=y\nspool-path=/s\n"]) {
            _ in
            ["s3.conf": Array(text.utf8), "key.json": Array("{\"x\":[1]}".utf8)]
        }
        #expect(
            String(decoding: content.files["s3.conf"] ?? [], as: UTF8.self)
                == "[global]\nrepo2-s3-key=AKIA\nrepo2-s3-key-secret=geheim\n[global:archive-push]\nprocess-max=4\n")
        #expect(content.files["key.json"] == Array("{\"x\":[1]}".utf8))
        let said = content.faults.map(\.message).joined(separator: "\n")
        for part in [
            "line 1: it is in no section", "'repo2-s3-key': it is set already", "'repo2-s3-keys': there is no option",
            "'spool-path': it is set already", "'repo2-s3-uri-style': the engine does not take its value",
            "line 11: it is no option=value", "'pg1-path': it is in section 'main'",
        ] { #expect(said.contains(part), "\(part) in \(said)") }
        #expect(!said.contains("geheim") && !said.contains("AGAIN"))
        let picked = UserFileContent(
            UserFiles([
                UserFiles.Source(
                    .secret, "s",
                    items: [UserFiles.Item(key: "a", file: "b.json"), UserFiles.Item(key: "a", file: "x/y")]),
                UserFiles.Source(.configMap, "gone"), UserFiles.Source(.secret, "away", isOptional: true),
            ]), beside: []
        ) { $0.name == "s" ? ["a": [1]] : nil }
        #expect(picked.files == ["b.json": [1]])
        #expect(picked.faults.map(\.reason) == ["FileNameInvalid", "ConfigMapMissing"])
    }
}
