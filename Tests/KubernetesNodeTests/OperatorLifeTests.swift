import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

/// The operator in a pod, as deploy/ has it, and what StackGres' page asks of it: a database whose WAL flows to the
/// store, backups, one on demand, and its deletion.
@Suite(
    .serialized, .timeLimit(.minutes(8)), .requires(.postgres(15), .permafrost),
    .enabled(if: geteuid() == 0 && (TestRequirement.isCI || hasPatroni), "needs root and Patroni"))
struct OperatorLifeTests {
    private static let clusters = ResourceType("stackgres.io", "v1", "sgclusters", kind: "SGCluster")
    private static let backups = ResourceType("stackgres.io", "v1", "sgbackups", kind: "SGBackup")
    private static let storages = ResourceType("stackgres.io", "v1beta1", "sgobjectstorages", kind: "SGObjectStorage")

    @Test func fromTheSeedToARestore() async throws {
        try await withScratch { scratch in
            let cluster = try await TestCluster(scratch)
            let store = try await NodeObjectStore.moto(cluster.machine)
            try await store.makeBucket("backups")
            let programs = try PermafrostPrograms.locate()
            let database = databaseImage(programs: programs)
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
            try await askForADatabase(cluster, store)

            try await waitFor("the database", timeout: .seconds(90)) { try await holds("Ready", cluster) }
            try await waitFor("the repository", timeout: .seconds(60)) { try await holds("RepositoryReady", cluster) }
            try await waitFor("the first backup", timeout: .seconds(120)) {
                try await phases(cluster).contains("Completed")
            }
            try await waitFor("WAL", timeout: .seconds(120)) { try await holds("ContinuousArchiving", cluster) }
            try await waitFor("word of the backup") { try await holds("LastBackupSucceeded", cluster) }

            _ = try await sql(cluster, "pg-0", "create table t as select 7 as n")
            try await cluster.create(
                Self.backups, #"{"metadata": {"name": "by-hand"}, "spec": {"sgCluster": "pg"}}"#)
            try await waitFor("the backup on demand", timeout: .seconds(120)) {
                try await backup("by-hand", cluster)?["status", "process", "status"]?.string == "Completed"
            }
            let made = try #require(try await backup("by-hand", cluster))
            #expect(made["status", "process", "managedLifecycle"]?.bool == false)
            #expect(made["status", "backupInformation", "systemIdentifier"]?.string?.isEmpty == false)

            try await cluster.create(
                Self.clusters,
                #"""
                {"metadata": {"name": "copy"}, "spec": {"instances": 1, "postgres": {"version": "15"},
                 "pods": {"persistentVolume": {"size": "1Gi"}},
                 "initialData": {"restore": {"fromBackup": {"name": "by-hand"}}}}}
                """#)
            try await waitFor("the copy", timeout: .seconds(90)) { try await holds("Ready", cluster, "copy") }
            #expect(try await sql(cluster, "copy-0", "select n from t") == "7\n")

            try await restoreInPlace(cluster, made["status", "internalName"]?.string ?? "")

            try await cluster.client.delete(Self.backups, namespace: "default", name: "by-hand")
            try await waitFor("its deletion", timeout: .seconds(90)) { try await backup("by-hand", cluster) == nil }
            let label = made["status", "internalName"]?.string ?? ""
            let info = try await cluster.node.exec(
                "default", "pg-0", "agent",
                ["permafrost", "--stanza=db", "--output=json", "--log-level-console=off", "info"])
            #expect(!label.isEmpty && !info.stdout.contains(label) && info.stdout.contains("label"), "\(info)")
        }
    }

    /// Under the Patroni that runs: it is stopped and started, in a container that stays.
    private func restoreInPlace(_ cluster: TestCluster, _ label: String) async throws {
        // Longer than the liveness probe has patience with a Patroni that does not answer.
        func shell(_ text: String) async throws -> Int32 {
            try await cluster.node.exec("default", "pg-0", "agent", ["sh", "-c", text]).status
        }
        let data = "/var/lib/postgresql/data"
        #expect(try await shell("echo test > \(data).hold") == 0)
        try await waitFor("the server to be held") { try await shell("cmp -s \(data).hold \(data).held") == 0 }
        try await Task.sleep(for: .seconds(26))
        #expect(try await sql(cluster, "pg-0", "select 1").contains("failed"))
        #expect(try await shell("rm \(data).hold") == 0)
        try await waitFor("the server to be up again", timeout: .seconds(60)) {
            try await sql(cluster, "pg-0", "select pg_is_in_recovery()") == "f\n"
        }
        _ = try await sql(cluster, "pg-0", "insert into t values (8)")
        let restored = try await cluster.node.exec(
            "default", "pg-0", "agent",
            ["permafrost", "--stanza=db", "--in-place", "--set=\(label)", "--type=immediate", "restore"])
        #expect(
            restored.status == 0 && restored.stdout.contains("restored backup set \(label) in place"), "\(restored)")
        #expect(try await sql(cluster, "pg-0", "select n from t; select pg_is_in_recovery()") == "7\nf\n")
        #expect(try await sql(cluster, "pg-0", "insert into t values (9); select pg_switch_wal() is null") == "f\n")
        let names = try await cluster.node.exec("default", "pg-0", "agent", ["ls", "/var/lib/postgresql"])
        #expect(names.stdout == "data\nspool\n", "\(names)")
        let containers = cluster.pod("pg-0")?["status", "containerStatuses"]?.elements ?? []
        #expect(containers.count == 2 && containers.allSatisfy { $0["restartCount"]?.integer == 0 }, "\(containers)")
        // The history of each timeline since, which other members and later restores need.
        try await waitFor("the new timelines in the archive", timeout: .seconds(60)) {
            let files = try await cluster.node.exec(
                "default", "pg-0", "agent",
                ["permafrost", "--stanza=db", "--log-level-console=off", "repo-ls", "archive/db/15-1"])
            return files.stdout.contains("00000003.history")
        }
    }

    // MARK: What is asked for

    private func define(_ cluster: TestCluster) async throws {
        for (type, status) in [
            (Self.clusters, #""subresources": {"status": {}},"#), (Self.backups, ""), (Self.storages, ""),
        ] {
            try await cluster.create(
                .customResourceDefinitions,
                #"""
                {"metadata": {"name": "\#(type.plural).stackgres.io"}, "spec": {"group": "stackgres.io", "scope": "Namespaced",
                 "names": {"plural": "\#(type.plural)", "kind": "\#(type.kind)"},
                 "versions": [{"name": "\#(type.version)", \#(status) "served": true, "storage": true}]}}
                """#)
        }
    }

    private func askForADatabase(_ cluster: TestCluster, _ store: NodeObjectStore) async throws {
        try await cluster.create(
            .secrets,
            #"""
            {"metadata": {"name": "s3-backup-bucket-secret"}, "stringData": {
             "accessKeyId": "\#(NodeObjectStore.accessKey)", "secretAccessKey": "\#(NodeObjectStore.secretKey)"}}
            """#)
        try await cluster.create(
            Self.storages,
            #"""
            {"metadata": {"name": "backupconfig1"}, "spec": {"type": "s3", "s3": {"bucket": "backups", "awsCredentials": {
             "secretKeySelectors": {"accessKeyId": {"name": "s3-backup-bucket-secret", "key": "accessKeyId"},
              "secretAccessKey": {"name": "s3-backup-bucket-secret", "key": "secretAccessKey"}}}}}}
            """#)
        try await cluster.create(
            Self.clusters,
            #"""
            {"metadata": {"name": "pg"}, "spec": {"instances": 1, "postgres": {"version": "15"},
             "pods": {"persistentVolume": {"size": "1Gi"}},
             "configurations": {"backups": [{"sgObjectStorage": "backupconfig1", "cronSchedule": "0 0 1 1 *", "retention": 2}]}}}
            """#)
    }

    // MARK: What is seen

    private func holds(_ type: String, _ cluster: TestCluster, _ name: String = "pg") async throws -> Bool {
        let object = try await cluster.client.get(Self.clusters, namespace: "default", name: name)
        return (object["status", "conditions"]?.elements ?? []).contains {
            $0["type"]?.string == type && $0["status"]?.string == "True"
        }
    }

    private func phases(_ cluster: TestCluster) async throws -> [String] {
        try await cluster.client.list(Self.backups, namespace: "default").objects.compactMap {
            $0["status", "process", "status"]?.string
        }
    }

    private func backup(_ name: String, _ cluster: TestCluster) async throws -> KubernetesObject? {
        try await cluster.client.find(Self.backups, namespace: "default", name: name)
    }

    private func sql(_ cluster: TestCluster, _ pod: String, _ text: String) async throws -> String {
        let result = try await cluster.node.exec(
            "default", pod, "patroni",
            ["psql", "-XAtq", "-d", "host=/var/run/postgresql user=postgres dbname=postgres", "-c", text])
        return result.stdout + result.stderr
    }
}
