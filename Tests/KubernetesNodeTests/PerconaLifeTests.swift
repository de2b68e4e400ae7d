import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

/// Percona's manifests with everything real but the kubelet: a volume that the repository host lends, a store whose keys
/// are in a file of the user's, backups in both, a user who logs in, and a database that is paused and goes on.
@Suite(
    .serialized, .timeLimit(.minutes(8)), .requires(.postgres(15), .permafrost),
    .enabled(if: geteuid() == 0 && (TestRequirement.isCI || hasPatroni), "needs root and Patroni"))
struct PerconaLifeTests {
    private static let clusters = ResourceType(
        "pgv2.percona.com", "v2", "perconapgclusters", kind: "PerconaPGCluster")
    private static let backups = ResourceType("pgv2.percona.com", "v2", "perconapgbackups", kind: "PerconaPGBackup")
    private static let restores = ResourceType("pgv2.percona.com", "v2", "perconapgrestores", kind: "PerconaPGRestore")

    @Test func volumeAndStore() async throws {
        try await withScratch { scratch in
            let cluster = try await TestCluster(scratch)
            let store = try await NodeObjectStore.moto(cluster.machine)
            try await store.makeBucket("backups")
            let database = databaseImage(programs: try PermafrostPrograms.locate())
            var program = database
            program.entryPoint = ["permafrost"]
            let images = [
                "permafrost.local/permafrost:1": program, "permafrost.local/permafrost-postgres:15-1": database,
            ]
            cluster.node.set {
                $0.images = images
                $0.names = ["*.amazonaws.com": store.address]
            }
            try await define(cluster)
            try await startOperator(cluster, store)
            try await askForADatabase(cluster)

            try await waitFor("the database", timeout: .seconds(180)) { try await holds("Ready", cluster) }
            // The store's keys are not there yet, and the volume does not wait for them.
            try await waitFor("the first backup", timeout: .seconds(240)) { try await holds("ReadyForBackup", cluster) }
            #expect(try await state(cluster) == "ready")
            let missing = try await repository(2, cluster)
            #expect(
                missing["ready"] == false && missing["message"]?.string?.contains("repo2-s3-key") == true, "\(missing)")
            let secret = try await cluster.client.get(.secrets, namespace: "default", name: "pg-pguser-rhino")
            let password = try #require(secret["data", "password"]?.string.flatMap { Base64.decode($0) })
            let login = "user=rhino dbname=zoo password=\(String(decoding: password, as: UTF8.self))"
            let created = try await sql(cluster, "create table t as select 7 as n; select n from t", login)
            #expect(created == "7\n")

            let before = try await cluster.client.get(.pods, namespace: "default", name: "pg-0").uid
            try await cluster.create(
                .secrets,
                #"""
                {"metadata": {"name": "pg-s3"}, "stringData": {"s3.conf":
                 "[global]\nrepo2-s3-key=\#(NodeObjectStore.accessKey)\nrepo2-s3-key-secret=\#(NodeObjectStore.secretKey)\n"}}
                """#)
            try await waitFor("the store", timeout: .seconds(60)) {
                try await repository(2, cluster)["ready"]?.bool == true
            }
            for (name, repository, type) in [
                ("in-store", "repo2", "full"), ("in-volume", "repo1", "diff"), ("last", "repo1", "incr"),
            ] { try await ask(cluster, name, repository, "--type=\(type)") }
            for (name, type) in [("in-store", "full"), ("in-volume", "diff"), ("last", "incr")] {
                try await waitFor(name, timeout: .seconds(240)) {
                    let state = try await backup(name, cluster)["state"]?.string
                    return state == "Succeeded" || state == "Failed"
                }
                let status = try await backup(name, cluster)
                #expect(status["state"] == "Succeeded" && status["backupType"]?.string == type, "\(status)")
            }
            #expect(try await backup("in-store", cluster)["destination"] == "s3://backups/pgbackrest/repo2")
            #expect(try await backup("in-volume", cluster)["storageType"] == "filesystem")
            #expect(try await cluster.client.get(.pods, namespace: "default", name: "pg-0").uid == before)
            let info = try await cluster.node.exec(
                "default", "pg-0", "agent",
                ["permafrost", "--stanza=db", "--output=json", "--log-level-console=off", "info"])
            for name in ["in-store", "in-volume", "last"] {
                let label = try await backup(name, cluster)["backupName"]?.string ?? "none"
                #expect(info.stdout.contains(label), "\(label) in \(info)")
            }
            try await waitFor("WAL", timeout: .seconds(60)) { try await holds("ContinuousArchiving", cluster) }

            try await ask(cluster, "forbidden", "repo1", "--repo=2")
            try await waitFor("its end", timeout: .seconds(30)) {
                try await backup("forbidden", cluster)["state"]?.string == "Failed"
            }

            try await change(cluster, ["spec": ["pause": true]])
            try await waitFor("the pause", timeout: .seconds(180)) { try await state(cluster) == "paused" }
            try await change(cluster, ["spec": ["pause": false]])
            try await waitFor("the end of it", timeout: .seconds(240)) { try await state(cluster) == "ready" }
            // Patroni tells of a primary a moment before PostgreSQL takes connections.
            try await waitFor("what was there", timeout: .seconds(60)) {
                try await sql(cluster, "select n from t", login) == "7\n"
            }
        }
    }

    // MARK: What is asked for

    private func define(_ cluster: TestCluster) async throws {
        for type in [Self.clusters, Self.backups, Self.restores] {
            try await cluster.create(
                .customResourceDefinitions,
                #"""
                {"metadata": {"name": "\#(type.plural).pgv2.percona.com"}, "spec": {"group": "pgv2.percona.com",
                 "scope": "Namespaced", "names": {"plural": "\#(type.plural)", "kind": "\#(type.kind)"},
                 "versions": [{"name": "v2", "subresources": {"status": {}}, "served": true, "storage": true}]}}
                """#)
        }
    }

    private func askForADatabase(_ cluster: TestCluster) async throws {
        try await cluster.create(
            Self.clusters,
            #"""
            {"metadata": {"name": "pg"},
             "spec": {"crVersion": "3.1.0", "postgresVersion": 15,
              "instances": [{"name": "instance1", "dataVolumeClaimSpec": {"accessModes": ["ReadWriteOnce"],
               "resources": {"requests": {"storage": "1Gi"}}}}],
              "users": [{"name": "rhino", "databases": ["zoo"]}],
              "backups": {"pgbackrest": {
               "configuration": [{"secret": {"name": "pg-s3"}}],
               "global": {"repo1-retention-full": "2", "repo2-retention-full": "14", "repo2-retention-full-type": "time"},
               "repos": [
                {"name": "repo1", "volume": {"volumeClaimSpec": {"accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "1Gi"}}}}},
                {"name": "repo2", "s3": {"bucket": "backups", "endpoint": "s3.us-east-1.amazonaws.com",
                 "region": "us-east-1"}}]}}}}
            """#)
    }

    private func ask(_ cluster: TestCluster, _ name: String, _ repository: String, _ option: String) async throws {
        try await cluster.create(
            Self.backups,
            #"""
            {"metadata": {"name": "\#(name)"},
             "spec": {"pgCluster": "pg", "repoName": "\#(repository)", "options": ["\#(option)"]}}
            """#)
    }

    private func change(_ cluster: TestCluster, _ patch: ServiceJSON) async throws {
        _ = try await cluster.client.patch(Self.clusters, namespace: "default", name: "pg", patch)
    }

    // MARK: What is seen

    private func status(_ cluster: TestCluster) async throws -> ServiceJSON {
        try await cluster.client.get(Self.clusters, namespace: "default", name: "pg")["status"] ?? [:]
    }

    private func state(_ cluster: TestCluster) async throws -> String? { try await status(cluster)["state"]?.string }

    private func holds(_ type: String, _ cluster: TestCluster) async throws -> Bool {
        (try await status(cluster)["conditions"]?.elements ?? []).contains {
            $0["type"]?.string == type && $0["status"]?.string == "True"
        }
    }

    private func repository(_ key: Int, _ cluster: TestCluster) async throws -> ServiceJSON {
        (try await status(cluster)[["pgbackrest", "repos"]]?.elements ?? []).first {
            $0["name"]?.string == "repo\(key)"
        } ?? [:]
    }

    private func backup(_ name: String, _ cluster: TestCluster) async throws -> ServiceJSON {
        try await cluster.client.get(Self.backups, namespace: "default", name: name)["status"] ?? [:]
    }

    private func sql(_ cluster: TestCluster, _ text: String, _ login: String) async throws -> String {
        let result = try await cluster.node.exec(
            "default", "pg-0", "patroni", ["psql", "-XAtq", "-d", "host=/var/run/postgresql \(login)", "-c", text])
        return result.stdout + result.stderr
    }
}
