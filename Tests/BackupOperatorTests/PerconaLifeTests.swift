import BackupModel
import Foundation
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// Percona's manifests and the reconcilers, against an API server, with agents and controllers that are played.
@Suite(.serialized) struct PerconaLifeTests {
    private let place = ObjectKey(namespace: "demo", name: "pg")

    private func cluster(_ client: KubernetesClient, _ backups: ServiceJSON, _ more: ServiceJSON = [:]) async throws {
        _ = try await client.create(Percona.clusters, PerconaTranslationTests.object(backups, more, replicas: 1))
    }

    private func change(_ client: KubernetesClient, _ patch: ServiceJSON) async throws {
        _ = try await client.patch(Percona.clusters, namespace: "demo", name: "pg", patch)
    }

    private func status(_ client: KubernetesClient) async throws -> ServiceJSON {
        try await client.get(Percona.clusters, namespace: "demo", name: "pg")["status"] ?? [:]
    }

    private func condition(_ client: KubernetesClient, _ type: String) async throws -> ServiceJSON? {
        try await status(client)["conditions"]?.elements.first { $0["type"]?.string == type }
    }

    private func isTrue(_ client: KubernetesClient, _ type: String) async throws -> Bool {
        try await condition(client, type)?["status"]?.string == "True"
    }

    private func backups(_ client: KubernetesClient) async throws -> [PerconaBackup] {
        try await client.list(Percona.backups).objects.map { PerconaBackup($0) }
    }

    private func backup(_ client: KubernetesClient, _ name: String) async throws -> PerconaBackup {
        PerconaBackup(try await client.get(Percona.backups, namespace: "demo", name: name))
    }

    private func ask(
        _ client: KubernetesClient, _ name: String, _ repository: String = "repo1", _ options: [ServiceJSON] = []
    ) async throws {
        var backup = KubernetesObject(Percona.backups, namespace: "demo", name: name)
        backup["spec"] = ["pgCluster": "pg", "repoName": .text(repository)]
        if !options.isEmpty { backup["spec", "options"] = .array(options) }
        _ = try await client.create(Percona.backups, backup)
    }

    private func volume(_ name: String = "repo1", _ size: String = "1Gi") -> ServiceJSON { Self.volume(name, size) }

    static func volume(_ name: String = "repo1", _ size: String = "1Gi") -> ServiceJSON {
        [
            "name": .text(name),
            "volume": [
                "volumeClaimSpec": [
                    "accessModes": ["ReadWriteOnce"], "resources": ["requests": ["storage": .text(size)]],
                ]
            ],
        ]
    }

    @Test("a volume: claim, host, first backup, then a full, a differential and an incremental one, made at once")
    func onDemand() async throws {
        try await withScene { scene, client in
            scene.state.withLock { $0.repositories[place] = [(1, "posix")] }
            try await cluster(client, ["repos": [volume()], "global": ["repo1-retention-full": "9"]])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await backups(client).contains { $0.phase == .completed && $0.repositoryKey == 1 }
                }
                #expect(try await backups(client).first?.object.name.hasPrefix("pg-repo1-full-2026") == true)
                try await eventually("ready for backup") { try await isTrue(client, "ReadyForBackup") }
                for (name, type) in [("a-full", "full"), ("b-diff", "diff"), ("c-incr", "incr")] {
                    try await ask(client, name, "repo1", [.text("--type=\(type)")])
                }
                try await eventually("all three") {
                    try await backups(client).filter { $0.phase == .completed }.count == 4
                }
                for (name, type) in [("a-full", "full"), ("b-diff", "diff"), ("c-incr", "incr")] {
                    let status = try await backup(client, name).object["status"] ?? [:]
                    #expect(status["state"] == "Succeeded" && status["backupType"]?.string == type, "\(status)")
                    #expect(status["storageType"] == "filesystem" && status["destination"] == nil)
                    #expect(status["jobName"]?.string == "\(name)-backup" && status["completed"] != nil)
                    #expect(status["size"]?.integer == 4_000_000 && status["crVersion"] == "3.1.0")
                    let label = status["backupName"]?.string
                    let stored = scene.state.withLock { $0.backups[place]?.first { $0.label == label } }
                    #expect(stored?.annotations["percona.com/backup-name"] == name)
                    #expect(stored?.annotations["percona.com/backup-job-name"] == "\(name)-backup")
                }
                let claim = try await client.get(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")
                #expect(claim.ownerReferences.isEmpty)
                let host = try await client.get(.deployments, namespace: "demo", name: "pg-repo-host")
                let mounts =
                    host["spec", "template", "spec", "containers"]?.elements.first?["volumeMounts"]?.elements ?? []
                #expect(mounts.contains { $0["mountPath"] == "/pgbackrest/repo1" && $0["name"] == "pg-repo1" })
                try await eventually("status") {
                    let status = try await status(client)
                    let repository = status[["pgbackrest", "repos"]]?.elements.first
                    return status["state"] == "ready" && repository?["bound"] == true
                        && repository?["volume"] == "pv-pg-repo1" && repository?["stanzaCreated"] == true
                        && repository?["replicaCreateBackupComplete"] == true
                        && ["a-full", "b-diff", "c-incr"].contains(repository?[["lastBackup", "name"]]?.string)
                }
                for type in [
                    "Ready", "RepositoryReady", "PGBackRestRepoHostReady", "PGBackRestReplicaRepoReady",
                    "PGBackRestReplicaCreate", "PGBackRestManualBackupSuccessful", "ConfigurationAccepted",
                ] { try await eventually(type) { try await isTrue(client, type) } }
                // More room is asked for.
                try await change(
                    client, ["spec": ["backups": ["pgbackrest": ["repos": [volume("repo1", "3Gi")]]]]])
                try await eventually("growth") {
                    try await client.get(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")[
                        "spec", "resources", "requests", "storage"] == "3Gi"
                }
                // The object goes, and the data stays; annotated, both go.
                try await client.delete(Percona.backups, namespace: "demo", name: "c-incr")
                try await eventually("gone") { try await backups(client).count == 3 }
                #expect(scene.state.withLock { $0.backups[place]?.count } == 4)
                _ = try await client.patch(
                    Percona.backups, namespace: "demo", name: "b-diff",
                    ["metadata": ["annotations": [OperatorNames.deletesData: "true"]]])
                try await client.delete(Percona.backups, namespace: "demo", name: "b-diff")
                try await eventually("gone with its data") { try await backups(client).count == 2 }
                #expect(scene.state.withLock { $0.backups[place]?.count } == 3)
            }
        }
    }

    @Test("a backup that cannot be made fails at once and says why; the next one is made")
    func failures() async throws {
        try await withScene { scene, client in
            scene.state.withLock { $0.repositories[place] = [(1, "posix")] }
            scene.state.withLock { $0.fails = "unable to write: no space left" }
            try await cluster(client, ["repos": [volume()]])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first has failed") {
                    try await backups(client).contains { $0.phase == .failed }
                }
                #expect(try await backups(client).first?.failure == "unable to write: no space left")
                try await eventually("told") {
                    let condition = try await condition(client, "PGBackRestManualBackupSuccessful")
                    return condition?["reason"]?.string == "ManualBackupFailed"
                        && condition?["message"]?.string?.contains("no space left") == true
                }
                scene.state.withLock { $0.fails = nil }
                var snapshot = KubernetesObject(Percona.backups, namespace: "demo", name: "snapshot")
                snapshot["spec"] = ["pgCluster": "pg", "method": "volumeSnapshot"]
                _ = try await client.create(Percona.backups, snapshot)
                try await ask(client, "elsewhere", "repo3")
                try await ask(client, "option", "repo1", ["--type=full", "--pg1-path=/x"])
                try await ask(client, "quote", "repo1", ["--type='full"])
                for (name, said) in [
                    ("snapshot", "volumeSnapshot"), ("elsewhere", "repository 3"), ("option", "pg1-path"),
                    ("quote", "not closed"),
                ] {
                    try await eventually(name) { try await backup(client, name).phase == .failed }
                    let error = try await backup(client, name).failure ?? ""
                    #expect(error.contains(said), "\(error)")
                }
                #expect(try await client.list(.jobs).objects.allSatisfy { $0.name.hasPrefix("pg-repo1-full") })
                try await ask(client, "good")
                try await eventually("made") { try await backup(client, "good").phase == .completed }
            }
        }
    }

    @Test("schedules of two types, and retention that takes objects with the data")
    func schedules() async throws {
        try await withScene { scene, client in
            scene.state.withLock {
                $0.repositories[place] = [(1, "posix")]
                $0.retention = 2
            }
            var repository = volume()
            repository["schedules"] = ["full": "*/30 * * * *", "incremental": "*/10 * * * *", "differential": "never"]
            try await cluster(client, ["repos": [repository], "global": ["repo1-retention-full": "2"]])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                for _ in 0..<10 {
                    scene.pass(600)
                    try await Task.sleep(for: .milliseconds(30))
                    try await eventually("nothing runs") { try await backups(client).allSatisfy(\.isFinished) }
                }
                try await eventually("objects and data are the same") {
                    let labels = Set(try await backups(client).compactMap(\.label))
                    return labels == Set(scene.state.withLock { $0.backups[place] ?? [] }.map(\.label))
                }
                let types = scene.state.withLock { $0.backups[place] ?? [] }.map(\.type)
                #expect(types.filter { $0 == "full" }.count == 2 && types.contains("incr"), "\(types)")
                #expect(scene.state.withLock { $0.made } > types.count)
                #expect(try await condition(client, "SchedulesAccepted")?["message"]?.string?.contains("never") == true)
                let states = try await status(client)[["pgbackrest", "repos"]]?.elements.first?["schedules"]
                #expect(states?[["full", "last"]] != nil && states?[["incremental", "last"]] != nil)
            }
        }
    }

    @Test("four repositories, of which one lacks its keys and another is down: the others go on")
    func several() async throws {
        try await withScene { scene, client in
            scene.state.withLock {
                $0.repositories[place] = [(1, "posix"), (2, "s3"), (3, "gcs"), (4, "azure")]
                $0.faults[4] = "unable to list container: HTTP 403"
            }
            func secret(_ name: String, _ data: [String: String]) async throws {
                var secret = KubernetesObject(.secrets, namespace: "demo", name: name)
                secret["data"] = .object(data.mapValues { .text(Base64.encode($0.utf8)) })
                _ = try await client.apply(.secrets, secret)
            }
            try await secret("azure", ["azure.conf": "[global]\nrepo4-azure-account=a\nrepo4-azure-key=a2V5\n"])
            try await secret(
                "gcs",
                ["gcs-key.json": "{}", "gcs.conf": "[global]\nrepo3-gcs-key=/etc/pgbackrest/conf.d/gcs-key.json\n"])
            try await cluster(
                client,
                [
                    "repos": [
                        volume(), ["name": "repo2", "s3": PerconaTranslationTests.s3],
                        ["name": "repo3", "gcs": ["bucket": "g"]], ["name": "repo4", "azure": ["container": "a"]],
                    ],
                    "configuration": [
                        ["secret": ["name": "s3"]], ["secret": ["name": "gcs"]], ["secret": ["name": "azure"]],
                    ],
                ])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await backups(client).contains { $0.phase == .completed }
                }
                try await ask(client, "in-gcs", "repo3", ["--type=full"])
                try await eventually("in another") { try await backup(client, "in-gcs").phase == .completed }
                #expect(try await backup(client, "in-gcs").object["status", "destination"] == "gs://g/pgbackrest/repo3")
                try await eventually("what is missing is told") {
                    let status = try await status(client)
                    let repositories = status[["pgbackrest", "repos"]]?.elements ?? []
                    guard repositories.count == 4 else { return false }
                    let message = repositories[1]["message"]?.string ?? ""
                    return repositories.map { $0["ready"]?.bool } == [true, false, true, false]
                        && message.contains("repo2-s3-key") && message.contains("Secret 's3'")
                        && repositories[3]["message"]?.string?.contains("403") == true
                }
                #expect(try await condition(client, "ConfigurationAccepted")?["reason"]?.string == "SecretMissing")
                #expect(try await condition(client, "RepositoryReady")?["status"]?.string == "False")
                // Who asks for a backup there is told so for a while, and then it has failed.
                try await ask(client, "in-azure", "repo4", ["--type=full"])
                try await eventually("it waits") {
                    let backup = try await backup(client, "in-azure")
                    return backup.phase == nil && backup.failure?.contains("403") == true
                }
                scene.pass(200)
                try await eventually("it has failed") {
                    try await change(client, ["metadata": ["labels": ["look": .text("\(Int.random(in: 0..<1000))")]]])
                    return try await backup(client, "in-azure").phase == .failed
                }
                #expect(try await backup(client, "in-azure").failure?.contains("403") == true)
                let before = try await client.get(.statefulSets, namespace: "demo", name: "pg")["spec"]
                let map = try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")
                #expect(map["data", "agent.conf"]?.string?.contains("repo2-") == false)

                try await secret(
                    "s3", ["s3.conf": "[global]\nrepo2-s3-key=AKIA\nrepo2-s3-key-secret=geheim\nrepo2-s3-bucket=x\n"])
                try await eventually("all that it needs is there") {
                    let repository = try await status(client)[["pgbackrest", "repos"]]?.elements[1]
                    return repository?["ready"] == true
                }
                let files = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost-files")
                #expect(files.data("gcs-key.json") == Array("{}".utf8))
                #expect(
                    files.data("s3.conf") == Array("[global]\nrepo2-s3-key=AKIA\nrepo2-s3-key-secret=geheim\n".utf8))
                try await eventually("the line too many is told") {
                    let condition = try await condition(client, "ConfigurationAccepted")
                    return condition?["reason"]?.string == "OptionRefused"
                        && condition?["message"]?.string?.contains("'repo2-s3-bucket'") == true
                }
                // A new key reaches the pods without a restart.
                try await secret("s3", ["s3.conf": "[global]\nrepo2-s3-key=AKIA2\nrepo2-s3-key-secret=geheim\n"])
                try await eventually("the new key") {
                    let files = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost-files")
                    return String(decoding: files.data("s3.conf") ?? [], as: UTF8.self).contains("AKIA2")
                }
                try await eventually("all is accepted") { try await isTrue(client, "ConfigurationAccepted") }
                #expect(try await client.get(.statefulSets, namespace: "demo", name: "pg")["spec"] == before)
                // A repository that holds backups stays until its removal is authorised.
                try await change(
                    client,
                    [
                        "spec": [
                            "backups": [
                                "pgbackrest": [
                                    "repos": [
                                        volume(), ["name": "repo2", "s3": PerconaTranslationTests.s3],
                                        ["name": "repo4", "azure": ["container": "a"]],
                                    ]
                                ]
                            ]
                        ]
                    ])
                func agent() async throws -> String {
                    try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")["data", "agent.conf"]?
                        .string ?? ""
                }
                try await eventually("told") {
                    try await condition(client, "RepositoryReady")?["message"]?.string?.contains(
                        OperatorNames.repositoryRemoval) == true
                }
                #expect(try await agent().contains("repo3-gcs-bucket=g"))
                try await change(client, ["metadata": ["annotations": [OperatorNames.repositoryRemoval: "repo3"]]])
                try await eventually("gone") { try await !agent().contains("repo3-") }
            }
        }
    }

    @Test("paused, and begun again; backups turned off only with the second key, and the claim stays")
    func turnedOff() async throws {
        try await withScene { scene, client in
            scene.state.withLock { $0.repositories[place] = [(1, "posix")] }
            try await cluster(client, ["repos": [volume()]])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("ready") { try await isTrue(client, "ReadyForBackup") }
                try await change(client, ["spec": ["pause": true]])
                try await eventually("paused") { try await status(client)["state"] == "paused" }
                #expect(
                    try await client.get(.deployments, namespace: "demo", name: "pg-repo-host")["spec", "replicas"] == 0
                )
                try await ask(client, "later")
                try await Task.sleep(for: .milliseconds(100))
                #expect(try await backup(client, "later").phase == nil)
                try await change(client, ["spec": ["pause": .null]])
                try await eventually("made after all") { try await backup(client, "later").phase == .completed }

                try await change(client, ["spec": ["backups": ["enabled": false]]])
                try await eventually("the second key is asked for") {
                    let condition = try await condition(client, "Progressing")
                    return condition?["reason"]?.string == "Paused"
                        && condition?["message"]?.string?.contains(Percona.authorizeRemoval) == true
                }
                func patroni() async throws -> String {
                    try await client.get(.configMaps, namespace: "demo", name: "pg-patroni")["data", "patroni.yml"]?
                        .string ?? ""
                }
                #expect(try await patroni().contains("archive-push"))
                try await change(client, ["metadata": ["annotations": [Percona.authorizeRemoval: "true"]]])
                try await eventually("off") { try await patroni().contains("/bin/true") }
                try await eventually("told") {
                    let off = try await condition(client, "ReadyForBackup")?["reason"]?.string == "BackupsDisabled"
                    return try await condition(client, "Progressing") == nil && off
                }
                #expect(try await client.find(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1") != nil)
                try await change(
                    client,
                    [
                        "metadata": ["annotations": [Percona.authorizeRemoval: .null]],
                        "spec": ["backups": ["enabled": true]],
                    ])
                try await eventually("on again") { try await isTrue(client, "ReadyForBackup") }
            }
        }
    }

    @Test("beside the original operator this one does not start; beside one of no pods it does")
    func neighbour() async throws {
        try await withScene { scene, client in
            let check = NeighbourCheck(client, OperatorSettings())
            #expect(try await check.run().map(\.group) == ["stackgres.io", "pgv2.percona.com"])
            var original = KubernetesObject(.deployments, namespace: "demo", name: "percona-postgresql-operator")
            original.labels = ["pgv2.percona.com/control-plane": "postgres-operator"]
            original["spec", "replicas"] = 1
            _ = try await client.create(.deployments, original)
            await #expect {
                _ = try await check.run()
            } throws: { error in
                (error as? BackupError)?.message.contains("Deployment 'demo/percona-postgresql-operator'") == true
            }
            _ = try await client.patch(
                .deployments, namespace: "demo", name: original.name, ["spec": ["replicas": 0]])
            #expect(try await check.run().count == 2)
        }
    }

    @Test("users have Secrets, and the database a script; deletion takes what the finalizers say")
    func deletion() async throws {
        try await withScene { scene, client in
            scene.state.withLock {
                $0.repositories[place] = [(1, "posix")]
                // As the server has it, which says when a deletion was asked for.
                $0.now = Int64(Date().timeIntervalSince1970)
            }
            var object = PerconaTranslationTests.object(
                ["repos": [volume()]], ["users": [["name": "rhino", "databases": ["zoo"]]]],
                replicas: 1)
            object.finalizers = [Percona.deleteBackups, Percona.deleteVolumes, "percona.com/delete-ssl"]
            _ = try await client.create(Percona.clusters, object)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("ready") { try await isTrue(client, "ReadyForBackup") }
                let secret = try await client.get(.secrets, namespace: "demo", name: "pg-pguser-rhino")
                let password = String(decoding: secret.data("password") ?? [], as: UTF8.self)
                #expect(password.count == 28)
                #expect(
                    String(decoding: secret.data("uri") ?? [], as: UTF8.self)
                        == "postgresql://rhino:\(password)@pg-primary.demo.svc:5432/zoo")
                let script = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost-bootstrap")
                #expect(String(decoding: script.data("users.sql") ?? [], as: UTF8.self).contains(password))
                try await change(
                    client, ["spec": ["users": [["name": "rhino", "databases": ["zoo"]], ["name": "late"]]]])
                try await eventually("who comes late is told of") {
                    try await condition(client, "Unsupported")?["message"]?.string?.contains("'late'") == true
                }
                try await ask(client, "second", "repo1", ["--type=full"])
                try await eventually("made") { try await backup(client, "second").phase == .completed }
                try await client.delete(Percona.clusters, namespace: "demo", name: "pg")
                try await eventually("gone") {
                    try await client.find(Percona.clusters, namespace: "demo", name: "pg") == nil
                }
                #expect(scene.state.withLock { $0.backups[place]?.isEmpty } == true)
                try await eventually("the objects too") { try await backups(client).isEmpty }
                #expect(try await client.list(.persistentVolumeClaims).objects.isEmpty)
                #expect(try await client.find(.secrets, namespace: "demo", name: "pg-pguser-rhino") == nil)
            }
        }
    }
}
