import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

/// A database, an agent beside it and a Job that backs it up to what AWS's names lead to.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .requires(.postgres(15), .permafrost),
    .enabled(if: geteuid() == 0 && (TestRequirement.isCI || hasPatroni), "needs root and Patroni"))
struct BackupPodTests {
    private static let agent = """
        [global]
        repo1-type=s3
        repo1-path=/demo
        repo1-bundle=y
        repo1-s3-bucket=backups
        repo1-s3-region=us-east-1
        repo1-s3-key=\(NodeObjectStore.accessKey)
        repo1-s3-key-secret=\(NodeObjectStore.secretKey)
        repo1-storage-ca-file=/etc/pgbackrest/store.crt
        tls-server-address=*
        tls-server-ca-file=/etc/pgbackrest/ca.crt
        tls-server-cert-file=/etc/pgbackrest/tls.crt
        tls-server-key-file=/etc/pgbackrest/tls.key
        tls-server-auth=cron=db
        agent-socket=/run/permafrost/agent.sock
        archive-async=y
        spool-path=/var/lib/postgresql/spool
        lock-path=/run/permafrost/lock
        log-level-file=off
        log-level-console=info
        start-fast=y
        [db]
        pg1-path=/var/lib/postgresql/data
        pg1-socket-path=/var/run/postgresql

        """
    private static let client = """
        [global]
        log-level-file=off
        log-level-console=info
        lock-path=/tmp/lock
        [db]
        pg1-path=/var/lib/postgresql/data
        pg1-host=db-0.db-pods
        pg1-host-type=tls
        pg1-host-ca-file=/etc/pgbackrest/ca.crt
        pg1-host-cert-file=/etc/pgbackrest/tls.crt
        pg1-host-key-file=/etc/pgbackrest/tls.key

        """

    @Test func agentAndJob() async throws {
        try await withScratch { scratch in
            let cluster = try await TestCluster(scratch)
            let store = try await NodeObjectStore.moto(cluster.machine)
            try await store.makeBucket("backups")
            let image = try databaseImage(programs: .locate())
            cluster.node.set {
                $0.images = ["permafrost-postgres:15": image]
                $0.names = ["*.amazonaws.com": store.address]
            }
            let tls = try scratch.makeDirectory("tls")
            for words in [["init", "Test CA"], ["issue", "db-0.db-pods"], ["issue", "cron"]] {
                try await ProcessRunner.run(
                    PermafrostPrograms.locate().launcher, ["tls", "--tls-path=\(tls)"] + words,
                    asUser: ProcessRunner.serverUser
                ).expecting(0)
            }
            func file(_ name: String) throws -> String { try String(contentsOfFile: "\(tls)/\(name)", encoding: .utf8) }
            for (secret, name, text) in [("agent", "db-0.db-pods", Self.agent), ("client", "cron", Self.client)] {
                var object = KubernetesObject(.secrets, namespace: "default", name: secret)
                object["stringData"] = ServiceJSON([
                    "pgbackrest.conf": text, "ca.crt": try file("ca.crt"), "tls.crt": try file("\(name).crt"),
                    "tls.key": try file("\(name).key"), "store.crt": store.authority,
                ])
                _ = try await cluster.client.create(.secrets, object)
            }
            try await makeDatabase(cluster)
            try await cluster.waitForPod("db-0", timeout: .seconds(60))

            try await job(cluster, "stanza-create", ["stanza-create"])
            try await job(cluster, "backup", ["backup", "--type=full"])
            let info = try await cluster.node.exec(
                "default", "db-0", "agent",
                [
                    "permafrost", "--config=/etc/pgbackrest/pgbackrest.conf", "--stanza=db", "--output=json",
                    "--log-level-console=off", "info",
                ])
            #expect(info.stdout.contains(#""label":"#), "\(info)")
            #expect(!info.stdout.contains(#""error":true"#))
        }
    }

    private func makeDatabase(_ cluster: TestCluster) async throws {
        let configuration = PatroniTests.configuration(
            parameters: """
                {unix_socket_directories: /var/run/postgresql, archive_mode: "on", archive_timeout: 60s, \
                archive_command: "permafrost --config=/etc/pgbackrest/pgbackrest.conf --stanza=db archive-push %p"}
                """)
        try await cluster.create(
            .configMaps,
            #"{"metadata": {"name": "db-patroni"}, "data": {"patroni.yml": \#(ServiceJSON.quoted(configuration))}}"#)
        try await cluster.create(
            .services,
            #"{"metadata": {"name": "db-pods"}, "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {"app": "patroni", "cluster": "demo"}}}"#
        )
        let mounts = #"""
            [{"name": "data", "mountPath": "/var/lib/postgresql"}, {"name": "run", "mountPath": "/var/run/postgresql"},
             {"name": "own", "mountPath": "/run/permafrost"}, {"name": "agent", "mountPath": "/etc/pgbackrest"},
             {"name": "patroni", "mountPath": "/etc/patroni"}]
            """#
        try await cluster.create(
            .statefulSets,
            #"""
            {"metadata": {"name": "db"}, "spec": {"replicas": 1, "serviceName": "db-pods",
             "selector": {"matchLabels": {"app": "patroni", "cluster": "demo"}},
             "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}],
             "template": {"metadata": {"labels": {"app": "patroni", "cluster": "demo"}}, "spec": {"terminationGracePeriodSeconds": 5,
               "securityContext": {"fsGroup": 999, "fsGroupChangePolicy": "OnRootMismatch", "runAsNonRoot": true},
               "volumes": [{"name": "run", "emptyDir": {}}, {"name": "own", "emptyDir": {}},
                 {"name": "agent", "projected": {"defaultMode": 288, "sources": [{"secret": {"name": "agent"}}]}},
                 {"name": "patroni", "configMap": {"name": "db-patroni"}}],
               "containers": [
                {"name": "patroni", "image": "permafrost-postgres:15", "volumeMounts": \#(mounts),
                 "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
                 "env": \#(PatroniTests.environment(service: "db-pods")),
                 "readinessProbe": {"httpGet": {"port": 8008, "path": "/readiness"}, "periodSeconds": 1}},
                {"name": "agent", "image": "permafrost-postgres:15", "volumeMounts": \#(mounts),
                 "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
                 "command": ["permafrost", "--config=/etc/pgbackrest/pgbackrest.conf", "agent"],
                 "readinessProbe": {"tcpSocket": {"port": 8433}, "periodSeconds": 1}}]}}}}
            """#)
    }

    private func job(_ cluster: TestCluster, _ name: String, _ words: [String]) async throws {
        let command =
            ["permafrost", "--config=/etc/pgbackrest/pgbackrest.conf", "--stanza=db", "job"] + words
            + ["--result-file=/dev/termination-log"]
        try await cluster.create(
            .jobs,
            #"""
            {"metadata": {"name": "\#(name)"}, "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
              "securityContext": {"fsGroup": 999, "runAsNonRoot": true},
              "volumes": [{"name": "client", "secret": {"secretName": "client", "defaultMode": 288}}],
              "containers": [{"name": "c", "image": "permafrost-postgres:15",
               "command": \#(ServiceJSON(command)),
               "volumeMounts": [{"name": "client", "mountPath": "/etc/pgbackrest"}]}]}}}}
            """#)
        func pod() -> KubernetesObject? {
            cluster.objects.pods.objects(namespace: "default", [.equals("job-name", name)]).first
        }
        func log(_ pod: String, _ container: String) async -> String {
            String(decoding: await cluster.node.log("default", pod, container)?.bytes.suffix(4000) ?? [], as: UTF8.self)
        }
        do {
            try await waitFor("the end of job '\(name)'", timeout: .seconds(60)) {
                ["Succeeded", "Failed"].contains(pod()?.phase ?? "")
            }
        } catch {
            Issue.record(error)
        }
        let logs = await [log(pod()?.name ?? "", "c"), log("db-0", "agent"), log("db-0", "patroni")]
        try #require(pod()?.phase == "Succeeded", "\(logs.joined(separator: "\n---\n"))")
        let said = pod()?["status", "containerStatuses"]?.elements.first?[["state", "terminated", "message"]]?.string
        #expect(said?.contains(#""exit-code":0"#) == true, "\(said ?? "nothing")")
        try await waitFor("its condition") {
            try await cluster.client.get(.jobs, namespace: "default", name: name).hasCondition("Complete")
        }
    }
}
