import BackupModel
import Foundation
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// What must not go wrong in Percona's dialect, one thing each.
@Suite(.serialized) struct PerconaGuardTests {
    private let place = ObjectKey(namespace: "demo", name: "pg")

    private func ready(_ scene: Scene, _ client: KubernetesClient, _ more: ServiceJSON = [:]) async throws {
        scene.state.withLock { $0.repositories[place] = [(1, "posix")] }
        _ = try await client.create(
            Percona.clusters,
            PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]], more, replicas: 1))
    }

    private func backups(_ client: KubernetesClient) async throws -> [PerconaBackup] {
        try await client.list(Percona.backups).objects.map { PerconaBackup($0) }
    }

    // MARK: Variables

    private func backup(_ options: ServiceJSON, _ texts: [ServiceJSON] = []) -> PerconaBackup {
        var object = KubernetesObject(Percona.backups, namespace: "demo", name: "b")
        object["spec"] = [
            "pgCluster": "pg", "repoName": "repo1", "options": .array(texts), "containerOptions": options,
        ]
        return PerconaBackup(object)
    }

    @Test("variables of a run are its options; what they say twice, the options say")
    func variables() throws {
        let read = backup(
            [
                "env": [
                    ["name": "PGBACKREST_PROCESS_MAX", "value": "4"], ["name": "PERMAFROST_TYPE", "value": "full"],
                    ["name": "PGBACKREST_COMPRESS_TYPE", "value": "zst"],
                    ["name": "PGBACKREST_ANNOTATION", "value": "why=a 'b' c"],
                ]
            ], ["--compress-type=lz4"])
        #expect(read.refusal == nil && read.kind == .full)
        #expect(
            read.options.map { "\($0.name)=\($0.value)" } == [
                "annotation=why=a 'b' c", "compress-type=lz4", "process-max=4",
            ])
        #expect(backup([:]).refusal == nil && backup(["env": [], "envFrom": []]).refusal == nil)
        var restore = KubernetesObject(Percona.restores, namespace: "demo", name: "r")
        restore["spec"] = [
            "pgCluster": "pg", "repoName": "repo1",
            "containerOptions": ["env": [["name": "PGBACKREST_DELTA", "value": "y"]]],
        ]
        #expect(PerconaRestore(restore).options.map { "\($0.name)=\($0.value)" } == ["delta=y"])
    }

    private static let useless: [(options: ServiceJSON, said: String)] = [
        (["env": [["name": "DEBUG", "value": "1"]]], "containerOptions.env[0]: nothing comes of variable 'DEBUG'"),
        (["envFrom": [["secretRef": ["name": "s"]]]], "spec.containerOptions.envFrom"),
        (
            ["env": [["name": "PGBACKREST_PROCESS_MAX", "valueFrom": ["secretKeyRef": ["name": "s", "key": "k"]]]]],
            "must have its value here"
        ),
        (["env": [["name": "PGBACKREST_REPO1_S3_KEY", "value": "geheim"]]], "option '--repo1-s3-key' is not allowed"),
        (["env": [["name": "PGBACKREST_STANZA", "value": "x"]]], "the stanza is always"),
        (["env": [["name": "PGBACKREST_PROCESS_MIX", "value": "2"]]], "containerOptions.env[0]: there is no option"),
        (["command": ["sh"]], "spec.containerOptions.command"),
    ]

    @Test("one of which nothing would come is refused by name", arguments: useless)
    func uselessVariables(_ row: (options: ServiceJSON, said: String)) throws {
        let refusal = try #require(backup(row.options).refusal)
        #expect(refusal.message.contains(row.said) && !refusal.message.contains("geheim"), "\(refusal.message)")
        #expect(!refusal.isTemporary)
        var restore = KubernetesObject(Percona.restores, namespace: "demo", name: "r")
        restore["spec"] = ["pgCluster": "pg", "repoName": "repo1", "containerOptions": row.options]
        #expect(PerconaRestore(restore).refusal?.message == refusal.message)
    }

    // MARK: Deletion

    private func delete(_ client: KubernetesClient) async throws {
        try await client.delete(Percona.clusters, namespace: "demo", name: "pg")
    }

    private func isGone(_ client: KubernetesClient) async throws -> Bool {
        try await client.find(Percona.clusters, namespace: "demo", name: "pg") == nil
    }

    private func events(_ client: KubernetesClient) async throws -> String {
        try await client.list(.coreEvents, namespace: "demo").objects.compactMap { $0["message"]?.string }
            .joined(separator: "\n")
    }

    /// A cluster with these finalizers, its first backup made.
    private func filled(
        _ scene: Scene, _ client: KubernetesClient, _ finalizers: [String], repositories: [ServiceJSON]? = nil
    ) async throws {
        scene.state.withLock {
            $0.repositories[place] = [(1, "posix"), (2, "s3")]
            // As the server has it, which says when a deletion was asked for.
            $0.now = Int64(Date().timeIntervalSince1970)
        }
        var object = PerconaTranslationTests.object(
            ["repos": .array(repositories ?? [PerconaLifeTests.volume()])], replicas: 1)
        object.finalizers = finalizers
        _ = try await client.create(Percona.clusters, object)
    }

    @Test("backups of a paused cluster go with it, when its pods are gone, with what the engine keeps of them")
    func deletionWhilePaused() async throws {
        try await withScene { scene, client in
            try await filled(scene, client, [Percona.deleteBackups, Percona.deleteVolumes])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "pg", ["spec": ["pause": true]])
                try await eventually("paused") {
                    try await client.get(Percona.clusters, namespace: "demo", name: "pg")["status", "state"] == "paused"
                }
                try await delete(client)
                try await eventually("gone") { try await isGone(client) }
                #expect(scene.state.withLock { $0.backups[place]?.isEmpty } == true)
                try await eventually("the objects too") { try await backups(client).isEmpty }
                #expect(try await client.list(.persistentVolumeClaims).objects.isEmpty)
            }
        }
    }

    @Test("a store that is down holds a deletion up for a while, and not for ever; the other repository is emptied")
    func deletionEnds() async throws {
        try await withScene { scene, client in
            try await filled(
                scene, client, [Percona.deleteBackups],
                repositories: [PerconaLifeTests.volume(), ["name": "repo2", "s3": PerconaTranslationTests.s3]])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                scene.state.withLock {
                    $0.faults[2] = "unable to reach the store"
                    $0.backups[place]?.append(Scene.Stored(label: "x", annotations: [:], start: 1, repository: 2))
                }
                try await delete(client)
                try await eventually("told") {
                    try await events(client).contains(
                        "repo2 cannot be removed: ERROR: [105]: unable to reach the store")
                }
                try await eventually("one is empty") {
                    scene.state.withLock { $0.backups[place]?.contains { $0.repository == 1 } == false }
                }
                #expect(try await !isGone(client))
                scene.pass(1000)
                try await eventually("gone") { try await isGone(client) }
                try await eventually("what is left is told") {
                    try await events(client).contains("what is in repo2 stays there")
                }
                #expect(scene.state.withLock { $0.backups[place]?.map(\.repository) } == [2])
            }
        }
    }

    @Test("annotated, a cluster goes at once and its backups stay")
    func deletionKeepsData() async throws {
        try await withScene { scene, client in
            try await filled(scene, client, [Percona.deleteBackups])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                scene.state.withLock { $0.faults[1] = "unable to reach the store" }
                try await delete(client)
                try await eventually("told") { try await events(client).contains(OperatorNames.keepsData) }
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "pg",
                    ["metadata": ["annotations": [OperatorNames.keepsData: "true"]]])
                try await eventually("gone") { try await isGone(client) }
                #expect(scene.state.withLock { $0.backups[place]?.count } == 1)
            }
        }
    }

    @Test("with its namespace a cluster goes, and its backups stay")
    func deletionOfNamespace() async throws {
        try await withScene { scene, client in
            try await filled(scene, client, [Percona.deleteBackups])
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                try await client.delete(.namespaces, name: "demo")
                try await eventually("gone") { try await isGone(client) }
                #expect(scene.state.withLock { $0.backups[place]?.count } == 1)
            }
        }
    }

    // MARK: Order

    @Test("backups that are asked for at once are made in the order in which they were asked for, then by name")
    func order() async throws {
        try await withScene { scene, client in
            try await ready(scene, client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first") { try await backups(client).contains { $0.phase == .completed } }
                // While they are asked for, the one that runs holds them up.
                scene.state.withLock { $0.isIdle = true }
                let names = ["m", "z", "b", "a", "y", "c"]
                for (number, name) in names.enumerated() {
                    var object = KubernetesObject(Percona.backups, namespace: "demo", name: name)
                    object["spec"] = ["pgCluster": "pg", "repoName": "repo1"]
                    _ = try await client.create(Percona.backups, object)
                    if number == 0 {
                        try await eventually("it runs") {
                            try await client.find(.jobs, namespace: "demo", name: "m-backup") != nil
                        }
                    }
                }
                // One that nothing will come of holds nobody up.
                var never = KubernetesObject(Percona.backups, namespace: "demo", name: "0-never")
                never["spec"] = ["pgCluster": "pg", "repoName": "repo1", "options": ["--pg1-path=/x"]]
                _ = try await client.create(Percona.backups, never)
                scene.state.withLock { $0.isIdle = false }
                try await eventually("all") {
                    let done = try await backups(client).filter { $0.phase == .completed }.map(\.object.name)
                    return names.allSatisfy(done.contains)
                }
                let made = scene.state.withLock { $0.backups[place] ?? [] }.compactMap {
                    $0.annotations[Percona.storedName]
                }
                let created = try await backups(client).map(\.object).filter { names.contains($0.name) }
                    .sorted { ($0.creationTime ?? 0, $0.name) < ($1.creationTime ?? 0, $1.name) }.map(\.name)
                #expect(made.filter(names.contains) == ["m"] + created.filter { $0 != "m" })
                #expect(try await backups(client).first { $0.object.name == "0-never" }?.phase == .failed)
            }
        }
    }

    // MARK: Patroni

    @Test("parameters that leave the manifest leave Patroni's settings; what others set there stays")
    func parameters() async throws {
        try await withScene { scene, client in
            func patroni(_ parameters: ServiceJSON, _ more: ServiceJSON = [:]) -> ServiceJSON {
                ["patroni": ["dynamicConfiguration": more.merging(["postgresql": ["parameters": parameters]])]]
            }
            func change(_ spec: ServiceJSON) async throws {
                try await eventually("the change") {
                    var object = try await client.get(Percona.clusters, namespace: "demo", name: "pg")
                    object["spec", "patroni"] = spec["patroni"]
                    do {
                        _ = try await client.replace(Percona.clusters, object)
                    } catch let error as KubernetesError where error.isConflict {
                        return false
                    }
                    return true
                }
            }
            func settings() async throws -> ServiceJSON {
                let state = try await client.get(.endpoints, namespace: "demo", name: "pg-config")
                return ServiceJSON(Array((state.annotations["config"] ?? "").utf8)) ?? [:]
            }
            func parameter(_ name: String) async throws -> ServiceJSON? {
                try await settings()[["postgresql", "parameters", name]]
            }
            try await ready(
                scene, client,
                patroni(
                    ["work_mem": "8MB", "jit": "off", "max_connections": "50"],
                    ["maximum_lag_on_failover": 99, "failsafe_mode": true]))
            // As Patroni writes it at its first start, and what somebody has set by patronictl.
            var state = KubernetesObject(.endpoints, namespace: "demo", name: "pg-config")
            state.labels = [OperatorNames.cluster: "pg"]
            state.annotations = [
                "config": #"{"ttl": 30, "postgresql": {"parameters": {"log_lock_waits": "on"}}}"#, "history": "[]",
            ]
            _ = try await client.create(.endpoints, state)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("all are set") { try await parameter("work_mem") == "8MB" }
                #expect(try await parameter("log_lock_waits") == "on")
                // One of ours is changed by somebody else, while no operator looks: that is theirs from then on.
                try await change(patroni(["jit": "off"], ["maximum_lag_on_failover": 99]))
                try await eventually("two are gone") {
                    let (memory, others) = (try await parameter("work_mem"), try await parameter("max_connections"))
                    return memory == nil && others == nil
                }
                let left = try await settings()
                #expect(left["failsafe_mode"] == nil && left["maximum_lag_on_failover"] == 99)
                #expect(try await parameter("jit") == "off")
                #expect(try await parameter("log_lock_waits") == "on")
                #expect(try await parameter("archive_mode") == "on")
                let state = try await client.get(.endpoints, namespace: "demo", name: "pg-config")
                #expect(state.annotations["history"] == "[]")
            }
            // Between two operators: a value that is not what the manifest had is somebody's own.
            var present = try await settings()
            present[["postgresql", "parameters", "jit"]] = "on"
            _ = try await client.patch(
                .endpoints, namespace: "demo", name: "pg-config",
                ["metadata": ["annotations": ["config": .text(present.description)]]])
            try await change(patroni([:]))
            let next = try scene.makeOperator()
            try await with([{ try await next.run() }, { try await scene.play() }]) {
                try await eventually("what is left of the manifest") {
                    try await settings()["maximum_lag_on_failover"] == nil
                }
                #expect(try await parameter("jit") == "on")
            }
        }
    }
}
