import BackupModel
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// What must not cost a backup, or stop the making of backups, whatever happens around it.
@Suite(.serialized) struct SafetyTests {
    private func scene(
        schedule: String? = "*/5 * * * *", _ body: (Scene, KubernetesClient) async throws -> Void
    ) async throws {
        let scene = Scene()
        try await scene.start()
        do {
            let client = try scene.client("user")
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: schedule)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    if schedule == nil { return true }
                    return try await scene.backups(client).contains { $0.phase == .completed }
                }
                try await body(scene, client)
            }
        } catch {
            await scene.server.stop()
            throw error
        }
        await scene.server.stop()
    }

    private let place = ObjectKey(namespace: "demo", name: "pg")

    /// Long enough for several rounds of the operator.
    private func rounds() async throws { try await Task.sleep(for: .milliseconds(700)) }

    @Test("definitions are removed, and the operator may not look at them: the data stays")
    func definitions() async throws {
        try await scene { scene, client in
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.headers["User-Agent"] == OperatorNames.fieldManager,
                        request.path.contains("customresourcedefinitions") || request.path.last == "demo"
                    else { return nil }
                    let forbidden = #"{"kind": "Status", "reason": "Forbidden", "message": "no"}"#
                    return ServerResponse(403, headers: [:], body: .bytes(Array(forbidden.utf8)))
                }
            }
            let name = StackGres.backups.description
            _ = try await client.patch(
                .customResourceDefinitions, name: name,
                ["metadata": ["finalizers": ["customresourcecleanup.apiextensions.k8s.io"]]])
            try await client.delete(.customResourceDefinitions, name: name)
            let backup = try #require(try await scene.backups(client).first)
            try await client.delete(StackGres.backups, namespace: "demo", name: backup.object.name)
            try await eventually("it is gone") { try await scene.backups(client).isEmpty }
            #expect(scene.state.withLock { $0.backups[place]?.count } == 1)
        }
    }

    @Test("an agent that has not seen the newest backup yet")
    func newest() async throws {
        try await scene { scene, client in
            scene.state.withLock { $0.hidden = true }
            try await rounds()
            #expect(try await scene.backups(client).count == 1)
        }
    }

    @Test("an agent that tells of another bucket than the one that is asked for")
    func otherPlace() async throws {
        try await scene { scene, client in
            scene.pass(300)
            try await eventually("the second") {
                try await scene.backups(client).filter { $0.phase == .completed }.count == 2
            }
            // Of there it has seen a later backup, and none of ours.
            let label = try #require(try await scene.backups(client).last?.label)
            scene.state.withLock { state in
                state.agentText = "repo1-type=s3\nrepo1-s3-bucket=elsewhere\n"
                state.backups[place] = [Scene.Stored(label: label, annotations: [:], start: state.now + 1000)]
            }
            try await rounds()
            #expect(try await scene.backups(client).count == 2)
            // Once it tells of ours, what is not there any more goes.
            scene.state.withLock { $0.agentText = nil }
            try await eventually("the first goes") { try await scene.backups(client).count == 1 }
        }
    }

    @Test("a storage that is removed for a while: WAL goes on to where it went")
    func faultyStorage() async throws {
        try await scene { scene, client in
            let before = try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")
            try await client.delete(StackGres.storages, namespace: "demo", name: "backupconfig1")
            try await eventually("told") {
                try await scene.condition(client, "RepositoryReady")?["reason"]?.string == "StorageNotFound"
            }
            try await rounds()
            let after = try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")
            let lines = (after["data", "agent.conf"]?.string ?? "").split(separator: "\n")
            #expect(lines.contains("repo1-s3-bucket=bucket") && lines.contains { $0.hasPrefix("repo1-path=") })
            let secret = try await client.get(.secrets, namespace: "demo", name: "pg-permafrost")
            let text = String(decoding: secret.data("repo.conf") ?? [], as: UTF8.self)
            #expect(text.contains("repo1-s3-key=AKIA0000\n"))
            try await scene.storage(client)
            try await eventually("as before") {
                let now = try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")
                return now["data"] == before["data"]
            }
        }
    }

    @Test("an object that the server refuses is told of, and backups go on")
    func refusedObject() async throws {
        try await scene { scene, client in
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.headers["User-Agent"] == OperatorNames.fieldManager, request.method != "GET",
                        request.path.contains("services")
                    else { return nil }
                    let invalid = #"{"kind": "Status", "reason": "Invalid", "message": "spec.type: Unsupported value"}"#
                    return ServerResponse(422, headers: [:], body: .bytes(Array(invalid.utf8)))
                }
            }
            _ = try await client.patch(
                StackGres.clusters, namespace: "demo", name: "pg",
                ["spec": ["postgresServices": ["primary": ["type": "Odd"]]]])
            try await eventually("told") {
                let condition = try await scene.condition(client, "Ready")
                return condition?["reason"]?.string == "ReconcileFailed"
                    && condition?["message"]?.string?.contains("Unsupported value") == true
            }
            scene.pass(300)
            try await eventually("the next backup") {
                try await scene.backups(client).filter { $0.phase == .completed }.count == 2
            }
            scene.server.set { $0.intercept = nil }
            try await eventually("forgotten") {
                try await scene.condition(client, "Ready")?["status"]?.string == "True"
            }
        }
    }

    @Test("a cluster made again under the same name has a first backup of its own")
    func again() async throws {
        try await scene { scene, client in
            try await client.delete(StackGres.clusters, namespace: "demo", name: "pg")
            try await eventually("it is gone") {
                try await client.find(StackGres.clusters, namespace: "demo", name: "pg") == nil
            }
            scene.state.withLock { state in
                state.backups[place] = []
                state.hasStanza[place] = false
            }
            try await Task.sleep(for: .milliseconds(1100))
            try await scene.cluster(client)
            try await eventually("another first backup") {
                try await scene.backups(client).filter { $0.phase == .completed }.count == 2
            }
        }
    }

    @Test("what is no longer asked for is no longer told of")
    func ended() async throws {
        try await scene { scene, client in
            _ = try await client.patch(
                StackGres.clusters, namespace: "demo", name: "pg", ["spec": ["configurations": .null]])
            try await eventually("gone") {
                let cluster = try await client.get(StackGres.clusters, namespace: "demo", name: "pg")
                let types = (cluster["status", "conditions"]?.elements ?? []).compactMap { $0["type"]?.string }
                return !types.contains("RepositoryReady") && !types.contains("ContinuousArchiving")
                    && types.contains("Ready") && cluster["status", "permafrost", "archiving"] == nil
            }
        }
    }

    @Test("numbers that cannot be reckoned with")
    func numbers() throws {
        let backup: ServiceJSON = [
            "label": "20261122-000001F", "type": "full", "start": .number("9223372036854775807"),
            "stop": .number("-9223372036854775808"), "size": .number("9223372036854775807"),
            "repository-size": .number("9223372036854775807"),
        ]
        let status = try #require(
            StanzaStatus([
                "time": 1, "repositories": [["key": 1, "type": "s3", "backups": [backup, backup, backup]]],
            ]))
        var seen = ClusterObservation()
        seen.status = status
        let health = ClusterHealth(ClusterReport(wanted: nil, observation: seen, now: 1), [(1, "repo1")])
        #expect(health.content(of: 1, before: nil, object: "x")["backups"]?.integer == 3)
        let stored = try #require(status.repositories.first?.backups.first)
        #expect(stored.stop - stored.start < 0)
    }

    @Test("a backup of blocks has the size of what it added")
    func blocks() throws {
        let stored = try #require(
            StoredBackup(status: ["label": "20261122-000001F", "repository-size": .null, "repository-delta": 42]))
        #expect(stored.repositorySize == 42)
        let result: ServiceJSON = [
            "backup": [["label": "20261122-000001F", "info": ["repository": ["delta": 42, "delta-map": 2]]]]
        ]
        #expect(StoredBackup(info: result)?.repositorySize == 42)
        let whole: ServiceJSON = ["label": "20261122-000001F", "repository-size": 50, "repository-delta": 42]
        #expect(StoredBackup(status: whole)?.repositorySize == 50)
    }

    @Test("the volumes grow, and what cannot change stays as it was made")
    func growth() async throws {
        try await scene(schedule: nil) { scene, client in
            try await eventually("the database") {
                try await client.find(.statefulSets, namespace: "demo", name: "pg") != nil
            }
            var claim = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "pg-data-pg-0")
            claim.labels = [OperatorNames.cluster: "pg", OperatorNames.part: "database"]
            claim["spec"] = ["resources": ["requests": ["storage": "1Gi"]]]
            _ = try await client.create(.persistentVolumeClaims, claim)
            _ = try await client.patch(
                StackGres.clusters, namespace: "demo", name: "pg",
                ["spec": ["pods": ["persistentVolume": ["size": "2Gi"]]]])
            try await eventually("it grows") {
                let claim = try await client.get(.persistentVolumeClaims, namespace: "demo", name: "pg-data-pg-0")
                return claim["spec", "resources", "requests", "storage"]?.string == "2Gi"
            }
            let set = try await client.get(.statefulSets, namespace: "demo", name: "pg")
            let size = set["spec", "volumeClaimTemplates"]?.elements.first?[
                ["spec", "resources", "requests", "storage"]]
            #expect(size == "1Gi")
        }
    }
}
