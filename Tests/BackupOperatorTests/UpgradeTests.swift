import BackupModel
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// A newer operator beside what an older one has made, and beside agents that are older than it.
@Suite(.serialized) struct UpgradeTests {
    private static let place = ObjectKey(namespace: "demo", name: "pg")

    private static func pods(_ client: KubernetesClient) async throws -> [ServiceJSON?] {
        [
            try await client.get(.statefulSets, namespace: "demo", name: "pg")["spec", "template"],
            try await client.get(.deployments, namespace: "demo", name: "pg-repo-host")["spec", "template"],
        ]
    }

    private static func images(_ client: KubernetesClient) async throws -> Set<String> {
        let containers = try await pods(client).flatMap { $0?[["spec", "containers"]]?.elements ?? [] }
        return Set(containers.compactMap { $0["image"]?.string })
    }

    private static func annotate(
        _ type: ResourceType, _ client: KubernetesClient, _ annotations: [String: ServiceJSON]
    ) async throws {
        _ = try await client.patch(
            type, namespace: "demo", name: "pg", ["metadata": ["annotations": .object(annotations)]])
    }

    private static func condition(
        _ type: ResourceType, _ client: KubernetesClient, _ name: String
    ) async throws -> ServiceJSON? {
        try await client.get(type, namespace: "demo", name: "pg")["status", "conditions"]?.elements
            .first { $0["type"]?.string == name }
    }

    @Test(
        "a newer operator changes no pod by itself, a manifest none's image, and its user both",
        arguments: [false, true])
    func newer(isRecorded: Bool) async throws {
        try await withScene { scene, client in
            let type = Percona.clusters
            scene.state.withLock { $0.repositories[Self.place] = [(1, "posix")] }
            _ = try await client.create(
                type, PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]], replicas: 1))
            let old = try scene.makeOperator { $0.imageTag = "1.0" }
            try await with([{ try await old.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await client.list(Percona.backups).objects.contains { PerconaBackup($0).phase == .completed }
                }
            }
            if !isRecorded {
                // As an operator left it that did not write templates down.
                for (kind, name) in [(ResourceType.statefulSets, "pg"), (.deployments, "pg-repo-host")] {
                    _ = try await client.patch(
                        kind, namespace: "demo", name: name,
                        ["metadata": ["annotations": [MadeTemplate.annotation: .null, OperatorNames.applied: .null]]])
                }
            }
            let before = try await Self.pods(client)
            let generations = try await Self.generations(client)
            let present = ["test.local/permafrost:1.0", "test.local/permafrost-postgres:17-1.0"] as Set
            #expect(try await Self.images(client) == present)
            let new = try scene.makeOperator {
                $0.imageTag = "1.1"
                $0.imagePrefix = "elsewhere.local/"
                $0.trustedCertificates = "certificates"
            }
            try await with([{ try await new.run() }, { try await scene.play() }]) {
                try await eventually("it is told of") {
                    let condition = try await Self.condition(type, client, "UpdateAvailable")
                    return condition?["status"] == "True" && condition?["reason"] == "OtherVersion"
                        && condition?["message"]?.string?.contains("permafrost.dev/update=1.1") == true
                }
                // What works for it is the operator's own.
                var backup = KubernetesObject(Percona.backups, namespace: "demo", name: "new")
                backup["spec"] = ["pgCluster": "pg", "repoName": "repo1"]
                _ = try await client.create(Percona.backups, backup)
                try await eventually("a backup") {
                    try await client.get(Percona.backups, namespace: "demo", name: "new")["status", "state"]
                        == "Succeeded"
                }
                let job = try await client.get(.jobs, namespace: "demo", name: "new-backup")
                #expect(
                    job["spec", "template", "spec", "containers"]?.elements.first?["image"]
                        == "elsewhere.local/permafrost:1.1")
                #expect(try await Self.pods(client) == before)
                #expect(try await Self.generations(client) == generations)

                // What needs no other pods changes none.
                _ = try await client.patch(
                    type, namespace: "demo", name: "pg",
                    ["spec": ["backups": ["pgbackrest": ["global": ["repo1-retention-full": "5"]]]]])
                try await eventually("retention") {
                    try await client.get(.configMaps, namespace: "demo", name: "pg-permafrost")["data", "agent.conf"]?
                        .string?.contains("repo1-retention-full=5\n") == true
                }
                #expect(try await Self.pods(client) == before)

                // Another version than this operator's is none.
                try await Self.annotate(type, client, [OperatorNames.update: "1.2"])
                try await eventually("told") {
                    try await Self.condition(type, client, "UpdateAvailable")?["reason"] == "OtherVersionAsked"
                }
                #expect(try await Self.pods(client) == before)

                // The manifest asks for other pods: with the images that they have.
                var spec = try await client.get(type, namespace: "demo", name: "pg")["spec"] ?? [:]
                var set = spec["instances"]?.elements.first ?? [:]
                set["resources"] = ["limits": ["memory": "1Gi"]]
                spec = ["instances": [set]]
                _ = try await client.patch(type, namespace: "demo", name: "pg", ["spec": spec])
                try await eventually("limits") { try await Self.pods(client)[0] != before[0] }
                #expect(try await Self.images(client) == present)
                #expect(try await Self.pods(client)[1] == before[1])

                try await Self.annotate(type, client, [OperatorNames.update: "1.1"])
                let wanted = ["elsewhere.local/permafrost:1.1", "elsewhere.local/permafrost-postgres:17-1.1"] as Set
                try await eventually("the new ones") { try await Self.images(client) == wanted }
                try await eventually("nothing is told any more") {
                    try await Self.condition(type, client, "UpdateAvailable") == nil
                }
                let limits = try await Self.pods(client)[0]?[["spec", "containers"]]?.elements.first?["resources"]
                #expect(limits == ["limits": ["memory": "1Gi"]])
            }
        }
    }

    private static func generations(_ client: KubernetesClient) async throws -> [Int] {
        [
            try await client.get(.statefulSets, namespace: "demo", name: "pg").generation,
            try await client.get(.deployments, namespace: "demo", name: "pg-repo-host").generation,
        ]
    }

    @Test("the other dialect too")
    func otherDialect() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: nil)
            let old = try scene.makeOperator { $0.imageTag = "1.0" }
            try await with([{ try await old.run() }, { try await scene.play() }]) {
                try await eventually("ready") {
                    try await Self.condition(StackGres.clusters, client, "Ready")?["status"] == "True"
                }
            }
            let before = try await Self.pods(client)
            let new = try scene.makeOperator { $0.imageTag = "1.1" }
            try await with([{ try await new.run() }, { try await scene.play() }]) {
                try await eventually("it is told of") {
                    try await Self.condition(StackGres.clusters, client, "UpdateAvailable")?["status"] == "True"
                }
                #expect(try await Self.pods(client) == before)
                try await Self.annotate(StackGres.clusters, client, [OperatorNames.update: "1.1"])
                try await eventually("the new ones") {
                    try await Self.images(client)
                        == ["test.local/permafrost:1.1", "test.local/permafrost-postgres:17-1.1"]
                }
                try await eventually("nothing is told any more") {
                    try await Self.condition(StackGres.clusters, client, "UpdateAvailable") == nil
                }
            }
        }
    }

    /// Each changes one member; all members are there.
    private static let settings: [(name: String, change: @Sendable (inout PodSettings) -> Void)] = [
        ("labels", { $0.labels["x"] = "y" }), ("annotations", { $0.annotations["x"] = "y" }),
        ("resources", { $0.resources = ["x": "y"] }), ("scheduling", { $0.scheduling["priorityClassName"] = "y" }),
        ("backupScheduling", { $0.backupScheduling["priorityClassName"] = "y" }),
        ("primaryServiceType", { $0.primaryServiceType = "y" }),
        ("replicaServiceType", { $0.replicaServiceType = "y" }),
        ("primaryServiceAnnotations", { $0.primaryServiceAnnotations["x"] = "y" }),
        ("replicaServiceAnnotations", { $0.replicaServiceAnnotations["x"] = "y" }),
        ("hasReplicaService", { $0.hasReplicaService = false }),
        ("accountAnnotations", { $0.accountAnnotations["azure.workload.identity/client-id"] = "y" }),
        ("spreads", { $0.spreads = false }), ("hostLabels", { $0.hostLabels["x"] = "y" }),
        ("hostAnnotations", { $0.hostAnnotations["x"] = "y" }), ("hostResources", { $0.hostResources = ["x": "y"] }),
        ("hostScheduling", { $0.hostScheduling = ["priorityClassName": "y"] }),
        ("agentResources", { $0.agentResources = ["x": "y"] }), ("jobResources", { $0.jobResources = ["x": "y"] }),
        ("objectLabels", { $0.objectLabels["x"] = "y" }), ("objectAnnotations", { $0.objectAnnotations["x"] = "y" }),
        ("servicePort", { $0.servicePort = 1 }),
        ("primaryServiceSettings", { $0.primaryServiceSettings["x"] = "y" }),
        ("replicaServiceSettings", { $0.replicaServiceSettings["x"] = "y" }),
        ("primaryServiceLabels", { $0.primaryServiceLabels["x"] = "y" }),
        ("replicaServiceLabels", { $0.replicaServiceLabels["x"] = "y" }),
    ]

    @Test("what of a manifest changes pods is known, and what changes none leaves them")
    func sources() throws {
        let manifest = PerconaCluster(PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]]))
        let cluster = try manifest.wanted { _, _ in nil }
        func check(_ what: String, _ other: DatabaseCluster, files: [String] = []) {
            let (old, new) = (
                ClusterObjects(cluster, OperatorSettings()), ClusterObjects(other, OperatorSettings())
            )
            #expect(
                (old.databaseSource([]) == new.databaseSource(files))
                    == (old.podTemplate(secretFiles: []) == new.podTemplate(secretFiles: files)),
                "the database's pods, \(what)")
            #expect(
                (old.hostSource([]) == new.hostSource(files))
                    == (old.repositoryHostTemplate(secretFiles: []) == new.repositoryHostTemplate(secretFiles: files)),
                "the repository host's, \(what)")
        }
        #expect(Mirror(reflecting: cluster.pods).children.map(\.label) == Self.settings.map(\.name))
        for (name, change) in Self.settings {
            var other = cluster
            change(&other.pods)
            check(name, other)
        }
        var changes: [(String, (inout DatabaseCluster) -> Void)] = [
            ("instances", { $0.instances = 5 }), ("major", { $0.major = 18 }), ("users", { $0.users = nil }),
            ("volume", { $0.volume.size = "9Gi" }), ("stopped", { $0.isStopped = true }),
            ("repositories", { $0.repositories = [] }), ("files", { $0.files = nil }),
            ("labels", { $0.names.labels["x"] = "y" }), ("claim", { $0.names.dataClaim = "x" }),
            ("secret", { $0.names.userSecret = "x" }), ("update", { $0.update = "x" }),
            ("parameters", { $0.parameters["x"] = "y" }), ("timeout", { $0.archiveTimeout = 5 }),
        ]
        changes += [
            ("password", { $0.names.superuserPassword = "x" }), ("other", { $0.names.replicationPassword = "x" }),
            ("tokens", { $0.files?.tokens = [["serviceAccountToken": ["path": "x"]]] }),
            ("retention", { $0.repositories[0].retention = 7 }),
            ("directory", { $0.repositories[0].volume?.directory = "/pgbackrest/x" }),
        ]
        for (name, change) in changes {
            var other = cluster
            change(&other)
            check(name, other)
        }
        check("secret files", cluster, files: ["repo1-gcs-key"])
    }

    /// If this changes, an operator that is brought to this version takes every manifest for another one and starts the
    /// databases again: what is new must be the same for manifests that do not ask for it.
    @Test("manifests of before are taken for what they were")
    func sourcesStay() throws {
        let manifest = PerconaCluster(PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]]))
        let objects = ClusterObjects(try manifest.wanted { _, _ in nil }, OperatorSettings())
        #expect(objects.databaseSource([]) == "af345c0052f0fb26606261e3019b029e23f33e94")
        #expect(objects.hostSource([]) == "ac94c15ba13daa1d7b9ae19a934f0d625de6c7fa")
    }

    // MARK: Agents of before

    /// As agents answered before they told digests of places.
    private static let answer = #"""
        {"stanza": "db", "time": 1795600001,
         "server": {"in-recovery": false, "version": "17", "system-id": "7710809272094102497"},
         "repositories": [
          {"key": 1, "type": "s3", "cipher": "none", "status": {"code": 0, "message": "ok"},
           "backups": [{"label": "20261122-010203F", "type": "full", "start": 1795284000, "stop": 1795284060}]},
          {"key": 2, "type": "posix", "status": {"code": 2, "message": "no valid backups"}}]}
        """#

    @Test("an agent that tells less is taken at its word")
    func olderAgent() throws {
        var status = try #require(ServiceJSON(Array(Self.answer.utf8)).flatMap { StanzaStatus($0) })
        #expect(status.isInRecovery == false && status.archiving == nil && status.volumes.isEmpty)
        func repository(_ key: Int, _ type: String) -> WantedRepository {
            WantedRepository(
                key: key, name: "repo\(key)", location: RepositoryLocation(options: ["type": type, "path": "/x"]))
        }
        // Of another kind than is wanted it is no answer; whose account it is nobody knows.
        status.leave(only: [repository(1, "s3"), repository(2, "azure")], accounts: [1: "digest"])
        let first = try #require(status[1])
        #expect(status.repositories.count == 1 && first.isReady && first.error == nil && first.looked == 1_795_600_001)
        let stored = try #require(first.backups.first)
        #expect(stored.annotations.isEmpty && !stored.hasErrors && stored.size == 0 && stored.timeline == nil)
    }

    @Test("a whole life with agents that tell as little as they can")
    func lifeWithOlderAgent() async throws {
        try await withScene { scene, client in
            scene.state.withLock {
                $0.isOld = true
                $0.retention = 2
            }
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, retention: 2)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                for count in 1...3 {
                    try await eventually("backup \(count)") {
                        let backups = try await scene.backups(client)
                        return scene.state.withLock { $0.made } >= count && backups.allSatisfy(\.isFinished)
                    }
                    scene.pass(300)
                }
                try await eventually("retention") { try await scene.backups(client).count == 2 }
                for type in ["Ready", "RepositoryReady", "LastBackupSucceeded"] {
                    try await eventually(type) { try await scene.condition(client, type)?["status"]?.string == "True" }
                }
            }
        }
    }
}
