import BackupModel
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// What users of other operators ran into, and must not run into here: docs/incidents.md has the list.
@Suite(.serialized) struct PainTests {
    private let place = ObjectKey(namespace: "demo", name: "pg")

    private func create(_ scene: Scene, _ client: KubernetesClient, _ repository: ServiceJSON? = nil) async throws {
        scene.state.withLock { $0.repositories[place] = [(1, "posix")] }
        _ = try await client.create(
            Percona.clusters,
            PerconaTranslationTests.object(["repos": [repository ?? PerconaLifeTests.volume()]], replicas: 1))
    }

    private func backups(_ client: KubernetesClient) async throws -> [PerconaBackup] {
        try await client.list(Percona.backups).objects.map { PerconaBackup($0) }
    }

    private func condition(_ client: KubernetesClient, _ type: String) async throws -> ServiceJSON? {
        try await client.get(Percona.clusters, namespace: "demo", name: "pg")["status", "conditions"]?.elements
            .first { $0["type"]?.string == type }
    }

    @Test("two operators that both think that they lead make one backup for each time of a schedule")
    func twice() async throws {
        try await withScene { scene, client in
            var repository = PerconaLifeTests.volume()
            repository["schedules"] = ["incremental": "*/10 * * * *"]
            try await create(scene, client, repository)
            let (one, other) = (try scene.makeOperator(), try scene.makeOperator())
            try await with([{ try await one.run() }, { try await other.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                for count in 2...5 {
                    scene.pass(600)
                    try await eventually("backup \(count)") {
                        let all = try await backups(client)
                        return all.count >= count && all.allSatisfy(\.isFinished)
                    }
                }
                let all = try await backups(client)
                #expect(all.allSatisfy { $0.phase == .completed }, "\(all.compactMap(\.failure))")
                let times = all.compactMap { $0.object.annotations[OperatorNames.scheduledTime] }
                #expect(times.count == all.count && Set(times).count == times.count, "\(times)")
                #expect(scene.state.withLock { $0.made } == all.count)
            }
        }
    }

    @Test("a stanza that cannot be made is told of with its reason, and made when it can be")
    func stanza() async throws {
        try await withScene { scene, client in
            scene.state.withLock { $0.refusals[.stanzaCreate] = "unable to write '/pgbackrest': no space left" }
            try await create(scene, client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("told") {
                    try await client.list(.coreEvents, namespace: "demo").objects.contains {
                        $0["reason"]?.string == "StanzaFailed"
                            && $0["message"]?.string?.contains("no space left") == true
                    }
                }
                #expect(try await condition(client, "ReadyForBackup")?["status"]?.string == "False")
                scene.state.withLock { $0.refusals = [:] }
                scene.pass(60)
                try await eventually("made") {
                    try await condition(client, "PGBackRestReplicaRepoReady")?["status"]?.string == "True"
                }
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
            }
        }
    }

    private func restore(_ client: KubernetesClient, _ name: String, _ options: [ServiceJSON]) async throws {
        var object = KubernetesObject(Percona.restores, namespace: "demo", name: name)
        object["spec"] = ["pgCluster": "pg", "repoName": "repo1", "options": .array(options)]
        _ = try await client.create(Percona.restores, object)
    }

    @Test("a restore that cannot be fails before anything stops, says why, and holds up neither the next nor backups")
    func restores() async throws {
        try await withScene { scene, client in
            try await create(scene, client)
            func status(_ name: String) async throws -> ServiceJSON? {
                try await client.get(Percona.restores, namespace: "demo", name: name)["status"]
            }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                let set = try await client.get(.statefulSets, namespace: "demo", name: "pg")
                try await restore(client, "option", ["--type=tomorrow", "--target-action=pause"])
                try await eventually("refused") { try await status("option")?["state"] == "Failed" }
                scene.state.withLock { $0.refusals[.restore] = "no backup set before the target" }
                try await restore(client, "target", ["--type=time", "--target='2020-01-01 00:00:00+00'"])
                try await eventually("refused by the agent") { try await status("target")?["state"] == "Failed" }
                #expect(try await status("target")?["error"]?.string == "no backup set before the target")
                #expect(try await status("option")?["error"]?.string?.contains("target-action") == true)
                let after = try await client.get(.statefulSets, namespace: "demo", name: "pg")
                #expect(after.generation == set.generation)
                #expect(try await client.find(.pods, namespace: "demo", name: "pg-0") != nil)

                scene.state.withLock { $0.refusals = [:] }
                try await restore(client, "good", [])
                try await eventually("restored") { try await status("good")?["state"] == "Succeeded" }
                #expect(try await status("good")?["backupName"] == "20261122-000001F")
                try await eventually("a backup of what was restored") {
                    try await backups(client).contains { $0.object.name == "good-after" && $0.phase == .completed }
                }
            }
        }
    }

    @Test("after a failover a restore is looked at where the primary is, and waits until the first pod leads")
    func restoreAfterFailover() async throws {
        try await withScene { scene, client in
            try await create(scene, client)
            func status() async throws -> ServiceJSON? {
                try await client.get(Percona.restores, namespace: "demo", name: "back")["status"]
            }
            func role(_ role: String) async throws {
                _ = try await client.patch(
                    .pods, namespace: "demo", name: "pg-0", ["metadata": ["labels": ["role": .text(role)]]])
            }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                var other = try await client.get(.pods, namespace: "demo", name: "pg-0")
                try await role("replica")
                other["metadata", "name"] = "pg-1"
                other["metadata", "uid"] = nil
                other["metadata", "resourceVersion"] = nil
                let ready = other["status"] ?? [:]
                _ = try await client.create(.pods, other)
                _ = try await client.patch(
                    .pods, namespace: "demo", name: "pg-1", ["status": ready], .status)
                scene.state.withLock { $0.asked = [] }
                try await restore(client, "back", [])
                try await eventually("looked at") { try await status()?["stage"] == "StoppingReplicas" }
                #expect(scene.state.withLock { $0.asked }.first == "pg-1")
                try await client.delete(.pods, namespace: "demo", name: "pg-1")
                try await eventually("told") {
                    try await status()?["error"]?.string == "pod 'pg-0' is to become the primary"
                }
                // Patroni says so a moment before PostgreSQL is one.
                scene.state.withLock { $0.standbys = 1 }
                try await role("primary")
                try await eventually("restored") { try await status()?["state"] == "Succeeded" }
            }
        }
    }

    @Test("a Job that is removed when it has ended, with what it said: the repository says what came of it")
    func jobGone() async throws {
        try await withScene { scene, client in
            try await create(scene, client)
            let first = try scene.makeOperator()
            try await with([{ try await first.run() }]) {
                try await with([{ try await scene.play() }]) {
                    try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                }
                var object = KubernetesObject(Percona.backups, namespace: "demo", name: "lost")
                object["spec"] = ["pgCluster": "pg", "repoName": "repo1"]
                _ = try await client.create(Percona.backups, object)
                try await eventually("its Job") {
                    try await client.find(.jobs, namespace: "demo", name: "lost-backup") != nil
                }
            }
            // While no operator looks, it runs, ends, and is removed.
            try await with([{ try await scene.play() }]) {
                try await eventually("its end") { scene.state.withLock { $0.made } == 2 }
                try await eventually("told") {
                    try await client.get(.jobs, namespace: "demo", name: "lost-backup")["status", "conditions"] != nil
                }
            }
            try await client.delete(.jobs, namespace: "demo", name: "lost-backup")
            try await eventually("its pod too") {
                try await client.find(.pods, namespace: "demo", name: "lost-backup-x") == nil
            }
            let next = try scene.makeOperator()
            try await with([{ try await next.run() }, { try await scene.play() }]) {
                try await eventually("known all the same") {
                    let lost = try await client.get(Percona.backups, namespace: "demo", name: "lost")
                    return PerconaBackup(lost).phase == .completed
                }
                #expect(scene.state.withLock { $0.made } == 2)
                #expect(try await client.find(.jobs, namespace: "demo", name: "lost-backup") == nil)
            }
        }
    }

    @Test("what a manifest says of Jobs holds for those of backups, restores and removals")
    func jobs() throws {
        let tolerations: ServiceJSON = [["key": "backup", "operator": "Exists"]]
        let manifest = PerconaTranslationTests.object([
            "repos": [PerconaLifeTests.volume()],
            "jobs": ["backoffLimit": 1, "tolerations": tolerations, "resources": ["limits": ["memory": "64Mi"]]],
        ])
        let cluster = try PerconaCluster(manifest).wanted { _, _ in nil }
        let objects = ClusterObjects(cluster, OperatorSettings())
        let owner = KubernetesObject(Percona.backups, namespace: "demo", name: "b")
        let jobs = [
            BackupJob(
                name: "b-backup", backup: owner, key: 1, type: .full, annotations: [:], options: [],
                retries: cluster.repositories[0].retries, timeoutSeconds: nil, labels: [:]
            ).object(objects).object,
            RestoreJob(name: "r", restore: owner, repository: 1, options: [], key: "k").object(objects).object,
        ]
        for job in jobs {
            let pod = job["spec", "template", "spec"]
            #expect(pod?["tolerations"] == tolerations && pod?["restartPolicy"] == "Never")
            #expect(pod?["containers"]?.elements.first?[["resources", "limits", "memory"]] == "64Mi")
        }
        #expect(jobs[0]["spec", "backoffLimit"] == 1)
        // A restore that ends with an error is not begun again by itself; one whose pod is killed is followed again.
        #expect(jobs[1]["spec", "podFailurePolicy", "rules"]?.elements.first?["action"] == "FailJob")
    }

    @Test("a volume that WAL fills is told of before PostgreSQL ends")
    func fullVolume() throws {
        var seen = ClusterObservation()
        seen.pods = [ClusterObservation.Pod(name: "pg-0", isPrimary: true, isReady: true)]
        let answer: ServiceJSON = [
            "time": 1, "server": ["in-recovery": false], "repositories": [],
            "volumes": [["name": "data", "size": 1_073_741_824, "free": 3_145_728]],
            "archiving": [
                "is-failing": true, "ready": 700, "last-failed": "000000010000000000000004",
                "error": ["code": 39, "message": "the store refuses"],
            ],
        ]
        seen.status = StanzaStatus(answer)
        let cluster = try PerconaCluster(PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]]))
            .wanted { _, _ in nil }
        let health = ClusterHealth(ClusterReport(wanted: cluster, observation: seen, now: 1), [])
        #expect(health.ready.state == .no && health.ready.reason == "VolumeFull")
        #expect(health.ready.message == "volume 'data' of pod 'pg-0' has 3 MiB of 1024 MiB left")
        let archiving = health.continuousArchiving
        #expect(archiving.reason == "ArchivingFailing" && archiving.message.contains("700 wait: the store refuses"))
    }
}
