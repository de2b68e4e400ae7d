import BackupModel
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// Reconcilers against an API server, with agents and controllers that are played.
@Suite(.serialized) struct LifeTests {
    @Test("the seed: storage, cluster, first backup, a schedule, and as many as retention says")
    func seed() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, retention: 3)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await scene.backups(client).contains { $0.phase == .completed }
                }
                for count in 2...5 {
                    scene.pass(300)
                    try await eventually("backup \(count)") {
                        scene.state.withLock { $0.made } >= count
                    }
                    try await eventually("nothing runs") { try await scene.backups(client).allSatisfy(\.isFinished) }
                }
                try await eventually("retention") { try await scene.backups(client).count == 3 }
                let backup = try #require(try await scene.backups(client).last)
                #expect(backup.label == "20261122-000005F")
                #expect(backup.isHeld == false && backup.isStoredHeld == false)
                #expect(backup.object["status", "backupInformation", "lsn", "start"]?.string == "33554472")
                #expect(backup.object["status", "backupInformation", "postgresVersion"]?.string == "170006")
                #expect(backup.object["status", "backupInformation", "timeline"]?.string == "1")
                #expect(backup.path?.hasPrefix("sgbackups.stackgres.io/demo/pg/") == true)
                for type in ["Ready", "RepositoryReady", "ContinuousArchiving", "LastBackupSucceeded", "Bootstrapped"] {
                    try await eventually(type) { try await scene.condition(client, type)?["status"]?.string == "True" }
                }
                let secret = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost")
                let text = String(decoding: secret.data("repo.conf") ?? [], as: UTF8.self)
                #expect(text.contains("repo1-s3-key=AKIA0000\n") && text.contains("repo1-s3-key-secret=geheim\n"))
                let map = try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")
                let agent = map["data", "agent.conf"]?.string ?? ""
                #expect(agent.contains("repo1-retention-full=3\n") && agent.contains("repo1-s3-bucket=bucket\n"))
                #expect(!agent.contains("geheim"))
            }
        }
    }

    @Test("at rest no call is made; a change is carried out in under a second and few calls")
    func rest() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }]) {
                // Without controllers there is no pod, and nothing goes on.
                try await eventually("all objects") {
                    try await client.find(.deployments, namespace: "demo", name: "pg-repo-host") != nil
                }
                try await eventually("rest") {
                    _ = scene.server.takeRequests()
                    try await Task.sleep(for: .milliseconds(500))
                    return scene.server.takeRequests().allSatisfy { $0.contains("watch=") }
                }
                let start = ContinuousClock.now
                try await scene.cluster(client, retention: 9)
                try await eventually("the change") {
                    try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")["data", "agent.conf"]?
                        .string?.contains("repo1-retention-full=9\n") ?? false
                }
                #expect(ContinuousClock.now - start < .seconds(1))
                try await Task.sleep(for: .milliseconds(200))
                let calls = scene.server.takeRequests().filter {
                    !$0.contains("watch=") && !$0.hasPrefix("GET") && !$0.contains("fieldManager=user")
                }
                #expect(calls.count <= 4, "\(calls)")
            }
        }
    }

    @Test("on demand: kept for ever, then handed to retention, then deleted with its data")
    func onDemand() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: nil)
            let work = try scene.makeOperator()
            let place = ObjectKey(namespace: "demo", name: "pg")
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                var backup = KubernetesObject(StackGres.backups, namespace: "demo", name: "by-hand")
                backup["spec"] = ["sgCluster": "pg", "managedLifecycle": false]
                _ = try await client.create(StackGres.backups, backup)
                func found() async throws -> StackGresBackup {
                    StackGresBackup(try await client.get(StackGres.backups, namespace: "demo", name: "by-hand"))
                }
                try await eventually("complete") { try await found().phase == .completed }
                #expect(try await found().isStoredHeld == true)
                #expect(
                    scene.state.withLock { $0.backups[place]?.first?.annotations["hold"] } == "SGBackup demo/by-hand")
                _ = try await client.patch(
                    StackGres.backups, namespace: "demo", name: "by-hand", ["spec": ["managedLifecycle": true]])
                try await eventually("released") { try await found().isStoredHeld == false }
                #expect(scene.state.withLock { $0.backups[place]?.first?.annotations["hold"] } == nil)
                try await client.delete(StackGres.backups, namespace: "demo", name: "by-hand")
                try await eventually("gone") {
                    try await client.find(StackGres.backups, namespace: "demo", name: "by-hand") == nil
                }
                #expect(scene.state.withLock { $0.backups[place]?.isEmpty } == true)
            }
        }
    }

    @Test("a backup that fails says why, and the next one succeeds")
    func failure() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            scene.state.withLock { $0.fails = "unable to open '/x': no space left" }
            try await scene.cluster(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("failed") { try await scene.backups(client).contains { $0.phase == .failed } }
                #expect(try await scene.backups(client).first?.failure == "unable to open '/x': no space left")
                try await eventually("told") {
                    let condition = try await scene.condition(client, "LastBackupSucceeded")
                    return condition?["status"]?.string == "False"
                        && condition?["message"]?.string?.contains("no space left") == true
                }
                scene.state.withLock { $0.fails = nil }
                scene.pass(300)
                try await eventually("better") {
                    try await scene.condition(client, "LastBackupSucceeded")?["status"]?.string == "True"
                }
            }
        }
    }

    @Test("a store that refuses is told of, and forgotten when it is mended; a Secret that is missing too")
    func store() async throws {
        try await withScene { scene, client in
            try await scene.storage(client)
            try await scene.cluster(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the Secret is missed") {
                    let condition = try await scene.condition(client, "RepositoryReady")
                    return condition?["reason"]?.string == "SecretMissing"
                        && condition?["message"]?.string?.contains("'accessKeyId' of Secret 's3-backup-bucket-secret'")
                            == true
                }
                try await scene.secret(client)
                try await eventually("ready") {
                    try await scene.condition(client, "RepositoryReady")?["status"]?.string == "True"
                }
                scene.state.withLock { $0.storeError = "unable to list 's3://bucket': HTTP 403 InvalidAccessKeyId" }
                try await eventually("refused") {
                    let condition = try await scene.condition(client, "RepositoryReady")
                    return condition?["reason"]?.string == "AccessDenied"
                        && condition?["message"]?.string?.contains("InvalidAccessKeyId") == true
                }
                try await eventually("archiving") {
                    try await scene.condition(client, "ContinuousArchiving")?["reason"]?.string == "ArchivingFailing"
                }
                scene.state.withLock { $0.storeError = nil }
                try await eventually("mended") {
                    try await scene.condition(client, "RepositoryReady")?["status"]?.string == "True"
                }
                let events = try await client.list(.coreEvents, namespace: "demo").objects
                #expect(events.contains { $0["reason"]?.string == "AccessDenied" && $0["type"]?.string == "Warning" })
                // A new key reaches the pods without a restart.
                try await scene.secret(client, id: "AKIANEW")
                try await eventually("the new key") {
                    let secret = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost")
                    return String(decoding: secret.data("repo.conf") ?? [], as: UTF8.self).contains("AKIANEW")
                }
            }
        }
    }

    @Test("what a manifest asks and we cannot do")
    func refusals() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }]) {
                var cluster = KubernetesObject(StackGres.clusters, namespace: "demo", name: "old")
                cluster["spec"] = [
                    "instances": 1, "postgres": ["version": "16.4"], "pods": ["persistentVolume": ["size": "1Gi"]],
                ]
                _ = try await client.create(StackGres.clusters, cluster)
                try await eventually("refused") {
                    try await scene.condition(client, "Ready", of: "old")?["reason"]?.string
                        == "PostgresVersionUnsupported"
                }
                #expect(try await client.list(.statefulSets).objects.isEmpty)
                #expect(try await client.list(.secrets).objects.count == 1)
                cluster.name = "odd"
                cluster["spec"] = [
                    "instances": 1, "postgres": ["version": "17"], "bogus": 5,
                    "pods": ["persistentVolume": ["size": "1Gi"], "disableConnectionPooling": true],
                ]
                _ = try await client.create(StackGres.clusters, cluster)
                try await eventually("listed") {
                    let message = try await scene.condition(client, "Unsupported", of: "odd")?["message"]?.string ?? ""
                    return message.contains("spec.bogus")
                        && message.contains("spec.pods.disableConnectionPooling")
                }
                try await eventually("made") {
                    try await client.find(.statefulSets, namespace: "demo", name: "odd") != nil
                }
            }
        }
    }
}
