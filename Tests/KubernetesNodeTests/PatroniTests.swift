import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

/// Patroni as it is, on the node: what it takes for Kubernetes may stand in for it.
@Suite(
    .serialized, .timeLimit(.minutes(3)), .requires(.postgres(15)),
    .enabled(if: geteuid() == 0 && (TestRequirement.isCI || hasPatroni), "needs root and Patroni"))
struct PatroniTests {
    /// Read with the settings that the environment has.
    static func configuration(parameters: String = "{unix_socket_directories: /var/run/postgresql}") -> String {
        """
        scope: demo
        name: will-be-the-pods
        restapi: {listen: "0.0.0.0:8008", connect_address: "will.be:8008"}
        kubernetes:
          use_endpoints: true
          scope_label: cluster
          role_label: role
          labels: {app: patroni}
          ports: [{name: postgresql, port: 5432}]
        bootstrap:
          dcs:
            ttl: 20
            loop_wait: 2
            retry_timeout: 4
            postgresql:
              use_pg_rewind: true
              parameters: {fsync: "off", shared_buffers: 16MB}
          initdb: [encoding: UTF8, data-checksums]
          pg_hba: ["local all all trust", "host all all all trust", "host replication all all trust"]
        postgresql:
          data_dir: /var/lib/postgresql/data
          listen: "*:5432"
          connect_address: "will.be:5432"
          bin_dir: /usr/lib/postgresql/15/bin
          pgpass: /tmp/pgpass
          authentication: {superuser: {username: postgres}, replication: {username: standby}}
          parameters: \(parameters)
        """
    }

    /// What Patroni has to know of its pod.
    static func environment(service: String) -> String {
        """
        [{"name": "PATRONI_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
         {"name": "PATRONI_KUBERNETES_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
         {"name": "PATRONI_KUBERNETES_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
         {"name": "PATRONI_POSTGRESQL_CONNECT_ADDRESS", "value": "$(PATRONI_NAME).\(service):5432"},
         {"name": "PATRONI_RESTAPI_CONNECT_ADDRESS", "value": "$(PATRONI_NAME).\(service):8008"}]
        """
    }

    private func makeCluster(_ cluster: TestCluster) async throws {
        let text = ServiceJSON.quoted(Self.configuration())
        try await cluster.create(
            .configMaps, #"{"metadata": {"name": "demo-patroni"}, "data": {"patroni.yml": \#(text)}}"#)
        try await cluster.create(
            .services,
            #"{"metadata": {"name": "demo", "labels": {"app": "patroni", "cluster": "demo"}}, "spec": {"ports": [{"name": "postgresql", "port": 5432}]}}"#
        )
        try await cluster.create(
            .services,
            #"""
            {"metadata": {"name": "demo-pods"}, "spec": {"clusterIP": "None", "publishNotReadyAddresses": true,
             "selector": {"app": "patroni", "cluster": "demo"}, "ports": [{"name": "postgresql", "port": 5432}]}}
            """#)
        try await cluster.create(
            .statefulSets,
            #"""
            {"metadata": {"name": "demo"}, "spec": {"replicas": 2, "serviceName": "demo-pods",
             "selector": {"matchLabels": {"app": "patroni", "cluster": "demo"}},
             "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
             "template": {"metadata": {"labels": {"app": "patroni", "cluster": "demo"}}, "spec": {
               "terminationGracePeriodSeconds": 10,
               "securityContext": {"fsGroup": 999, "fsGroupChangePolicy": "OnRootMismatch", "runAsNonRoot": true},
               "volumes": [{"name": "run", "emptyDir": {}},
                           {"name": "patroni", "configMap": {"name": "demo-patroni"}}],
               "containers": [{"name": "patroni", "image": "postgres:15",
                 "env": \#(Self.environment(service: "demo-pods")),
                 "readinessProbe": {"httpGet": {"port": 8008, "path": "/readiness"}, "periodSeconds": 1},
                 "volumeMounts": [
                   {"name": "data", "mountPath": "/var/lib/postgresql"}, {"name": "run", "mountPath": "/var/run/postgresql"},
                   {"name": "patroni", "mountPath": "/etc/patroni"}]}]}}}}
            """#)
    }

    @Test func keepsAClusterOfTwo() async throws {
        try await withTestCluster { cluster in
            try await makeCluster(cluster)
            func sql(_ pod: String, _ text: String, at host: String = "/var/run/postgresql") async throws -> String {
                // Who was the primary a moment ago may be no more, without a word.
                let result = try await cluster.node.exec(
                    "default", pod, "patroni",
                    [
                        "timeout", "5", "psql", "-XAtq", "-d", "host=\(host) user=postgres connect_timeout=2", "-c",
                        text,
                    ])
                return result.stdout + result.stderr + (result.status == 124 ? "timeout" : "")
            }
            func leader() async throws -> String? {
                try await cluster.client.find(
                    ClusterObjects.endpointsType, namespace: "default", name: "demo")?.annotations["leader"]
            }
            try await cluster.waitForPod("demo-0", timeout: .seconds(180))
            try await waitFor("the leader", timeout: .seconds(120)) { try await leader() == "demo-0" }
            try await cluster.waitForPod("demo-1", timeout: .seconds(180))
            let claims = try await cluster.client.list(.persistentVolumeClaims, namespace: "default").objects
            #expect(claims.map(\.name) == ["data-demo-0", "data-demo-1"])

            // By the names of a cluster: the primary is where Patroni says.
            try await waitFor("the primary", timeout: .seconds(120)) {
                try await sql("demo-1", "select pg_is_in_recovery()", at: "demo.default.svc") == "f\n"
            }
            try await waitFor("a table", timeout: .seconds(120)) {
                _ = try await sql("demo-1", "create table if not exists t as select 1 as n", at: "demo")
                return try await sql("demo-0", "select n from t", at: "demo") == "1\n"
            }
            #expect(try await sql("demo-0", "select pg_is_in_recovery()", at: "demo-1.demo-pods") == "t\n")
            try await waitFor("the standby", timeout: .seconds(120)) {
                try await sql("demo-1", "select n from t") == "1\n"
            }

            // One that dies comes back as what it was.
            try await cluster.node.kill("default", "demo-0", "patroni")
            try await waitFor("a restart") {
                cluster.pod("demo-0")?["status", "containerStatuses"]?.elements.first?["restartCount"]?.integer == 1
            }
            // On a slow machine the other may have taken over.
            try await cluster.waitForPod("demo-0", timeout: .seconds(180))
            try await waitFor("a leader", timeout: .seconds(180)) { try await leader() != nil }

            // One that is told to go gives the lock away, to one that follows it.
            let old = try #require(try await leader())
            let other = old == "demo-0" ? "demo-1" : "demo-0"
            try await waitFor("a standby that follows", timeout: .seconds(180)) {
                try await sql(old, "select state from pg_stat_replication") == "streaming\n"
            }
            let gone = try #require(cluster.pod(old))
            try await cluster.client.delete(.pods, namespace: "default", name: old)
            try await waitFor("another leader", timeout: .seconds(90)) { try await leader() == other }
            try await waitFor("a primary", timeout: .seconds(180)) {
                try await sql(other, "insert into t values (2)", at: "demo") == ""
            }
            // Made anew, with the volume that it had.
            try await cluster.waitForPod(old, timeout: .seconds(180)) { $0.uid != gone.uid && $0.isReady }
            try await waitFor("the new standby") { try await sql(old, "select n from t order by n") == "1\n2\n" }
            #expect(try await sql(old, "select pg_is_in_recovery()") == "t\n")
            try await waitFor("both") {
                try await cluster.client.get(.statefulSets, namespace: "default", name: "demo")[
                    "status", "readyReplicas"]
                    == 2
            }
        }
    }
}
