import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

/// Clusters of Percona's dialect that begin with what another has written, with everything real but the kubelet: out of a
/// volume that a live cluster lends, a bucket alone, what is left of a cluster that is gone, in its own place too; and one
/// that follows and is promoted.
@Suite(
    .serialized, .timeLimit(.minutes(15)), .requires(.postgres(15), .permafrost),
    .enabled(if: geteuid() == 0 && (TestRequirement.isCI || hasPatroni), "needs root and Patroni"))
struct PerconaSourceTests {
    private static let clusters = ResourceType(
        "pgv2.percona.com", "v2", "perconapgclusters", kind: "PerconaPGCluster")
    private static let backups = ResourceType("pgv2.percona.com", "v2", "perconapgbackups", kind: "PerconaPGBackup")
    private static let restores = ResourceType("pgv2.percona.com", "v2", "perconapgrestores", kind: "PerconaPGRestore")

    private static let volume =
        #"{"volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#
    private static let s3 =
        #"{"bucket": "backups", "endpoint": "s3.us-east-1.amazonaws.com", "region": "us-east-1"}"#

    /// `make test-all` has it: its waits alone are minutes.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["PERMAFROST_ALL"] == "1"))
    func sources() async throws {
        try await withScratch { scratch in
            let cluster = try await TestCluster(scratch)
            let store = try await NodeObjectStore.moto(cluster.machine)
            try await store.makeBucket("backups")
            try await install(cluster, store)
            let both = #"[{"name": "repo1", "volume": \#(Self.volume)}, {"name": "repo2", "s3": \#(Self.s3)}]"#
            try await create(cluster, "pg", both)
            try await waitFor("the first backup", timeout: .seconds(240)) {
                try await holds("ReadyForBackup", "pg", cluster)
            }
            try await sql("pg", "create table t (n int); insert into t values (1)", cluster)
            try await backUp("in-store", "repo2", cluster)
            try await sql("pg", "insert into t values (2)", cluster)
            try await Task.sleep(for: .seconds(2))
            let moment = try await sql("pg", "select clock_timestamp() at time zone 'utc'", cluster)
            try await sql("pg", "insert into t values (3)", cluster)
            try await waitFor("WAL", timeout: .seconds(60)) { try await isArchived("pg", cluster) }
            try await waitFor("the latest time that can be restored", timeout: .seconds(120)) {
                try await latest("in-store", cluster) >= moment
            }
            let end = try await latest("in-store", cluster)

            // From the volume of one that lives, to a moment; and one that follows in the bucket.
            let live = #"{"clusterName": "pg", "repoName": "repo1"}"#
            try await create(cluster, "copy", own("repo1"), #", "dataSource": {"postgresCluster": \#(live)}"#)
            let store2 = #"[{"name": "repo2", "s3": \#(Self.s3)}]"#
            try await create(cluster, "far", store2, #", "standby": {"enabled": true, "repoName": "repo2"}"#)
            let past =
                #"{"clusterName": "pg", "repoName": "repo2", "options": ["--type=time", "--target='\#(end)'"]}"#
            try await create(cluster, "past", own("repo1"), #", "dataSource": {"postgresCluster": \#(past)}"#)
            for name in ["copy", "past"] {
                try await waitFor("\(name)", timeout: .seconds(240)) { try await holds("Bootstrapped", name, cluster) }
            }
            #expect(try await rows("copy", cluster) == "1,2,3")
            // The last row, too, when something was committed after it.
            let atEnd = try await rows("past", cluster)
            #expect(atEnd == "1,2" || atEnd == "1,2,3", "\(atEnd)")
            try await waitFor("far", timeout: .seconds(120)) { try await holds("Standby", "far", cluster) }
            try await waitFor("what it follows", timeout: .seconds(120)) {
                try await rows("far", cluster) == "1,2,3"
            }
            #expect(try await sql("far", "insert into t values (9)", cluster).contains("read-only"))
            try await waitFor("a backup of its own", timeout: .seconds(240)) {
                try await holds("ReadyForBackup", "copy", cluster)
            }
            // Each goes its own way.
            try await sql("copy", "insert into t values (10)", cluster)
            #expect(try await rows("pg", cluster) == "1,2,3")
            #expect(try await login("copy", "select count(*) from t", cluster) == "4\n")

            // The one that writes is gone; the one that follows leads, when it is sure.
            try await sql("pg", "insert into t values (4); select pg_switch_wal()", cluster)
            try await waitFor("WAL", timeout: .seconds(60)) { try await isArchived("pg", cluster) }
            try await change("far", ["spec": ["standby": ["enabled": false]]], cluster)
            try await waitFor("somebody writes", timeout: .seconds(60)) {
                try await condition("Standby", "far", cluster)?["reason"] == "RepositoryInUse"
            }
            try await remove("pg", cluster)
            try await waitFor("it leads", timeout: .seconds(300)) { try await holds("ReadyForBackup", "far", cluster) }
            #expect(try await rows("far", cluster) == "1,2,3,4")
            #expect(try await sql("far", "insert into t values (5)", cluster).isEmpty)
            #expect(try await login("far", "select count(*) from t", cluster) == "5\n")
            let made = try await backups("far", cluster)
            #expect(made.contains { $0.contains("repo2-full") }, "\(made)")

            // What is left of the first: its volume, lent to another, and then gone on with under its own name.
            try await create(cluster, "rest", own("repo1"), #", "dataSource": {"postgresCluster": \#(live)}"#)
            try await waitFor("rest", timeout: .seconds(240)) { try await holds("ReadyForBackup", "rest", cluster) }
            #expect(try await rows("rest", cluster) == "1,2,3,4")
        }
    }

    @Test func whatIsLeft() async throws {
        try await withScratch { scratch in
            let cluster = try await TestCluster(scratch)
            let store = try await NodeObjectStore.moto(cluster.machine)
            try await store.makeBucket("backups")
            try await install(cluster, store)
            let both = #"[{"name": "repo1", "volume": \#(Self.volume)}, {"name": "repo2", "s3": \#(Self.s3)}]"#
            try await create(cluster, "pg", both)
            try await waitFor("the first backup", timeout: .seconds(240)) {
                try await holds("ReadyForBackup", "pg", cluster)
            }
            try await sql("pg", "create table t (n int); insert into t values (1)", cluster)
            try await backUp("in-store", "repo2", cluster)
            try await sql("pg", "insert into t values (2), (3); select pg_switch_wal()", cluster)
            try await waitFor("WAL", timeout: .seconds(60)) { try await isArchived("pg", cluster) }
            try await remove("pg", cluster)

            // The bucket alone, by a configuration of its own.
            let bucket = #"""
                {"stanza": "db", "configuration": [{"secret": {"name": "keys"}}],
                 "global": {"repo2-path": "/pgbackrest/repo2"}, "repo": {"name": "repo2", "s3": \#(Self.s3)}}
                """#
            try await create(cluster, "alone", own("repo1"), #", "dataSource": {"pgbackrest": \#(bucket)}"#)
            // Under its own name, in the place where it was.
            let again = #", "dataSource": {"postgresCluster": {"repoName": "repo1"}}"#
            try await create(cluster, "pg", own("repo1"), again)
            try await waitFor("data in the way", timeout: .seconds(60)) {
                try await condition("Ready", "pg", cluster)?["reason"] == "DataPresent"
            }
            try await cluster.client.delete(.persistentVolumeClaims, namespace: "default", name: "pgdata-pg-0")
            for name in ["alone", "pg"] {
                try await waitFor(name, timeout: .seconds(240)) { try await holds("Bootstrapped", name, cluster) }
                // Patroni tells of a primary a moment before PostgreSQL takes connections.
                try await waitFor("what \(name) begins with", timeout: .seconds(60)) {
                    try await rows(name, cluster) == "1,2,3"
                }
            }
            let from = try await status("alone", cluster)[["permafrost", "dataSource", "from"]]
            #expect(from == "s3://backups/pgbackrest/repo2")
            try await sql("pg", "insert into t values (11)", cluster)
            try await waitFor("the next backup in the same place", timeout: .seconds(240)) {
                try await repository("pg", cluster)["backups"]?.integer == 2
            }
        }
    }

    // MARK: What is asked for

    private func install(_ cluster: TestCluster, _ store: NodeObjectStore) async throws {
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
        for type in [Self.clusters, Self.backups, Self.restores] {
            try await cluster.create(
                .customResourceDefinitions,
                #"""
                {"metadata": {"name": "\#(type.plural).pgv2.percona.com"}, "spec": {"group": "pgv2.percona.com",
                 "scope": "Namespaced", "names": {"plural": "\#(type.plural)", "kind": "\#(type.kind)"},
                 "versions": [{"name": "v2", "subresources": {"status": {}}, "served": true, "storage": true}]}}
                """#)
        }
        try await cluster.create(
            .configMaps,
            #"{"metadata": {"name": "trusted-ca"}, "data": {"ca.crt": \#(ServiceJSON.quoted(store.authority))}}"#)
        try await cluster.create(
            .secrets,
            #"""
            {"metadata": {"name": "keys"}, "stringData": {"s3.conf":
             "[global]\nrepo2-s3-key=\#(NodeObjectStore.accessKey)\nrepo2-s3-key-secret=\#(NodeObjectStore.secretKey)\n"}}
            """#)
        let command = [
            "permafrost", "operator", "--operator-namespace=default", "--image-prefix=permafrost.local/",
            "--image-tag=1", "--log-level-file=off", "--log-level-console=info",
            "--trusted-ca-file=/etc/trusted-ca/ca.crt",
        ]
        try await cluster.create(
            .pods,
            #"""
            {"metadata": {"name": "operator"}, "spec": {"securityContext": {"runAsNonRoot": true},
             "volumes": [{"name": "ca", "configMap": {"name": "trusted-ca"}}],
             "containers": [{"name": "operator", "image": "permafrost.local/permafrost:1",
              "command": \#(ServiceJSON(command)), "volumeMounts": [{"name": "ca", "mountPath": "/etc/trusted-ca"}],
              "readinessProbe": {"httpGet": {"port": 8080, "path": "/readyz"}, "periodSeconds": 1}}]}}
            """#)
        try await cluster.waitForPod("operator", timeout: .seconds(60))
    }

    private func own(_ name: String) -> String { #"[{"name": "\#(name)", "volume": \#(Self.volume)}]"# }

    private func create(
        _ cluster: TestCluster, _ name: String, _ repos: String, _ more: String = ""
    ) async throws {
        try await cluster.create(
            Self.clusters,
            #"""
            {"metadata": {"name": "\#(name)"},
             "spec": {"crVersion": "3.1.0", "postgresVersion": 15,
              "instances": [{"name": "instance1", "dataVolumeClaimSpec": {"accessModes": ["ReadWriteOnce"],
               "resources": {"requests": {"storage": "1Gi"}}}}],
              "users": [{"name": "rhino", "databases": ["postgres"], "options": "SUPERUSER"}],
              "patroni": {"dynamicConfiguration": {"postgresql": {"parameters": {"archive_timeout": "20s"}}}},
              "backups": {"pgbackrest": {
               "configuration": [{"secret": {"name": "keys"}}], "repos": \#(repos)}}\#(more)}}
            """#)
    }

    private func change(_ name: String, _ patch: ServiceJSON, _ cluster: TestCluster) async throws {
        _ = try await cluster.client.patch(Self.clusters, namespace: "default", name: name, patch)
    }

    /// All but its volumes.
    private func remove(_ name: String, _ cluster: TestCluster) async throws {
        try await change(name, ["spec": ["pause": true]], cluster)
        // Longer than a pod is given to end.
        try await waitFor("the pause of \(name)", timeout: .seconds(200)) {
            try await isGone("database", name, cluster)
        }
        try await cluster.client.delete(Self.clusters, namespace: "default", name: name)
        try await waitFor("the end of \(name)", timeout: .seconds(120)) {
            let sets = try await cluster.client.find(.statefulSets, namespace: "default", name: name)
            let isWithoutHost = try await isGone("repository-host", name, cluster)
            return sets == nil && isWithoutHost
        }
    }

    private func isGone(_ part: String, _ name: String, _ cluster: TestCluster) async throws -> Bool {
        try await cluster.client.list(.pods, namespace: "default").objects.allSatisfy { pod in
            pod.labels["permafrost.dev/cluster"] != name || pod.labels["permafrost.dev/part"] != part
        }
    }

    private func backUp(_ name: String, _ repository: String, _ cluster: TestCluster) async throws {
        try await cluster.create(
            Self.backups,
            #"""
            {"metadata": {"name": "\#(name)"},
             "spec": {"pgCluster": "pg", "repoName": "\#(repository)", "options": ["--type=full"]}}
            """#)
        try await waitFor(name, timeout: .seconds(240)) {
            let backup = try await cluster.client.get(Self.backups, namespace: "default", name: name)
            return backup["status", "state"]?.string == "Succeeded"
        }
    }

    // MARK: What is seen

    private func status(_ name: String, _ cluster: TestCluster) async throws -> ServiceJSON {
        try await cluster.client.get(Self.clusters, namespace: "default", name: name)["status"] ?? [:]
    }

    private func condition(_ type: String, _ name: String, _ cluster: TestCluster) async throws -> ServiceJSON? {
        (try await status(name, cluster)["conditions"]?.elements ?? []).first { $0["type"]?.string == type }
    }

    private func holds(_ type: String, _ name: String, _ cluster: TestCluster) async throws -> Bool {
        try await condition(type, name, cluster)?["status"]?.string == "True"
    }

    private func repository(_ name: String, _ cluster: TestCluster) async throws -> ServiceJSON {
        try await status(name, cluster)[["pgbackrest", "repos"]]?.elements.first ?? [:]
    }

    private func backups(_ name: String, _ cluster: TestCluster) async throws -> [String] {
        try await cluster.client.list(Self.backups, namespace: "default").objects
            .filter { $0["spec", "pgCluster"]?.string == name }.map(\.name)
    }

    @discardableResult
    private func sql(
        _ name: String, _ text: String, _ cluster: TestCluster, _ login: String = ""
    ) async throws -> String {
        let result = try await cluster.node.exec(
            "default", "\(name)-0", "patroni",
            ["psql", "-XAtq", "-d", "host=/var/run/postgresql dbname=postgres \(login)", "-c", text])
        let said = result.stdout + result.stderr
        return login.isEmpty && said.hasSuffix("\n") ? String(said.dropLast()) : said
    }

    private func latest(_ name: String, _ cluster: TestCluster) async throws -> String {
        let backup = try await cluster.client.get(Self.backups, namespace: "default", name: name)
        return backup["status", "latestRestorableTime"]?.string ?? ""
    }

    private func rows(_ name: String, _ cluster: TestCluster) async throws -> String {
        try await sql(name, "select string_agg(n::text, ',' order by n) from t", cluster)
    }

    /// As the user whose password the cluster's own Secret has.
    private func login(_ name: String, _ text: String, _ cluster: TestCluster) async throws -> String {
        let secret = try await cluster.client.get(.secrets, namespace: "default", name: "\(name)-pguser-rhino")
        let password = try #require(secret["data", "password"]?.string.flatMap { Base64.decode($0) })
        return try await sql(name, text, cluster, "user=rhino password=\(String(decoding: password, as: UTF8.self))")
    }

    /// Whether all WAL before the present segment is in the repositories.
    private func isArchived(_ name: String, _ cluster: TestCluster) async throws -> Bool {
        let text = """
            select last_archived_wal >= (select max(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'
             and name < pg_walfile_name(pg_current_wal_lsn())) from pg_stat_archiver
            """
        return try await sql(name, text, cluster) == "t"
    }
}
