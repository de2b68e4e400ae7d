import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import TestSupport
import Testing

@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: geteuid() == 0, "needs root"))
struct ControllerTests {
    private func job(_ name: String, _ script: String, _ more: String) -> String {
        """
        {"metadata": {"name": "\(name)"}, "spec": {\(more) "template": {"spec": {"restartPolicy": "Never",
         "terminationGracePeriodSeconds": 1,
         "containers": [{"name": "c", "image": "shell:1", "args": [\(ServiceJSON.quoted(script))]}]}}}}
        """
    }

    @Test func jobs() async throws {
        try await withTestCluster { cluster in
            try await cluster.create(.jobs, job("good", "echo said > /dev/termination-log", ""))
            try await cluster.create(.jobs, job("bad", "exit 1", #""backoffLimit": 1,"#))
            try await cluster.create(
                .jobs, job("late", "sleep 100", #""activeDeadlineSeconds": 1, "backoffLimit": 0,"#))
            try await cluster.create(.jobs, job("brief", "true", #""ttlSecondsAfterFinished": 1,"#))
            try await cluster.create(.jobs, job("lost", "sleep 100", #""backoffLimit": 0,"#))
            func status(_ name: String) async throws -> ServiceJSON? {
                try await cluster.client.find(.jobs, namespace: "default", name: name)?["status"]
            }
            func conditions(_ name: String) async throws -> [String] {
                (try await status(name)?["conditions"]?.elements ?? []).map {
                    "\($0["type"]?.string ?? "") \($0["reason"]?.string ?? "")"
                }
            }
            func pods(_ name: String) -> [KubernetesObject] {
                cluster.objects.pods.objects(namespace: "default", [.equals("job-name", name)])
            }
            try await waitFor("success") { try await conditions("good").count == 2 }
            #expect(
                try await conditions("good") == [
                    "SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached",
                ])
            let good = try #require(try await status("good"))
            #expect(good["succeeded"]?.integer == 1 && good["active"] == nil && good["failed"] == nil)
            #expect(good["completionTime"]?.string != nil && good["startTime"]?.string != nil)
            let ended = try #require(pods("good").first)
            #expect(ended.labels["batch.kubernetes.io/controller-uid"] == ended.ownerReferences.first?.uid)
            #expect(
                ended["status", "containerStatuses"]?.elements.first?[["state", "terminated", "message"]] == "said\n")

            try await waitFor("failure") { try await conditions("bad").count == 2 }
            #expect(
                try await conditions("bad") == ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"])
            #expect(try await status("bad")?["failed"]?.integer == 2 && pods("bad").count == 2)

            try await waitFor("the deadline") { try await conditions("late").contains("Failed DeadlineExceeded") }
            try await waitFor("no pod of it") { pods("late").allSatisfy { $0.phase == "Failed" } }
            try await waitFor("the job that goes by itself") {
                try await status("brief") == nil && pods("brief").isEmpty
            }
            try await waitFor("a pod") { pods("lost").first?.phase == "Running" }
            try await cluster.client.delete(.pods, namespace: "default", name: try #require(pods("lost").first).name)
            try await waitFor("its failure") { try await conditions("lost").contains("Failed BackoffLimitExceeded") }
        }
    }

    @Test func deploymentsAndServices() async throws {
        try await withTestCluster { cluster in
            try await cluster.create(
                .deployments,
                #"""
                {"metadata": {"name": "web", "generation": 1}, "spec": {"replicas": 2, "strategy": {"type": "Recreate"},
                 "selector": {"matchLabels": {"app": "web"}},
                 "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 0,
                  "containers": [{"name": "c", "image": "shell:1", "env": [{"name": "V", "value": "one"}],
                   "args": ["cd /tmp; echo $V > v; exec python3 -m http.server 8080"],
                   "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}]}}}}
                """#)
            try await cluster.create(
                .services,
                #"{"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}]}}"#)
            try await cluster.create(
                .pods,
                #"{"metadata": {"name": "client"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "shell:1", "args": ["exec sleep 1000"]}]}}"#
            )
            func deployment() async throws -> KubernetesObject {
                try await cluster.client.get(.deployments, namespace: "default", name: "web")
            }
            func version(_ host: String) async throws -> String {
                try await cluster.node.exec(
                    "default", "client", nil, ["curl", "-s", "-m", "5", "http://\(host):8080/v"]
                ).stdout
            }
            try await waitFor("pods") { try await deployment()["status", "availableReplicas"]?.integer == 2 }
            #expect(try await deployment().hasCondition("Available"))
            try await cluster.waitForPod("client")
            for name in ["web", "web.default", "web.default.svc", "web.default.svc.cluster.local"] {
                #expect(try await version(name) == "one\n", "\(name)")
            }
            var changed = try await deployment()
            changed["spec", "replicas"] = 1
            let text = changed.json.description.replacing(#""value":"one""#, with: #""value":"two""#)
            let json = try #require(ServiceJSON(Array(text.utf8)))
            _ = try await cluster.client.replace(.deployments, try #require(KubernetesObject(json)))
            try await waitFor("the new one") { try await version("web") == "two\n" }
            try await waitFor("one of them") {
                let status = try await deployment()["status"]
                return status?["replicas"]?.integer == 1 && status?["availableReplicas"]?.integer == 1
            }
            try await cluster.client.delete(.deployments, namespace: "default", name: "web")
            try await waitFor("none of them") {
                cluster.objects.pods.objects(namespace: "default", [.equals("app", "web")]).isEmpty
            }
            try await waitFor("no address") {
                try await cluster.client.get(ClusterObjects.endpointsType, namespace: "default", name: "web")["subsets"]
                    == nil
            }
        }
    }

    @Test func statefulSets() async throws {
        try await withTestCluster { cluster in
            _ = try await cluster.client.create(.namespaces, KubernetesObject(.namespaces, name: "own"))
            try await cluster.create(
                .statefulSets,
                #"""
                {"metadata": {"name": "s"}, "spec": {"replicas": 2, "serviceName": "peers",
                 "selector": {"matchLabels": {"app": "s"}},
                 "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}],
                 "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"terminationGracePeriodSeconds": 1,
                  "containers": [{"name": "c", "image": "shell:1", "volumeMounts": [{"name": "d", "mountPath": "/d"}],
                   "args": ["trap exit TERM; hostname >> /d/starts; while :; do sleep 0.1; done"]}]}}}}
                """#, namespace: "own")
            try await cluster.create(
                .services,
                #"{"metadata": {"name": "peers"}, "spec": {"clusterIP": "None", "selector": {"app": "s"}}}"#,
                namespace: "own")
            func set() async throws -> KubernetesObject {
                try await cluster.client.get(.statefulSets, namespace: "own", name: "s")
            }
            try await waitFor("pods") { try await set()["status", "readyReplicas"]?.integer == 2 }
            let (zero, one) = (
                try #require(cluster.pod("s-0", namespace: "own")), try #require(cluster.pod("s-1", namespace: "own"))
            )
            let name = try await cluster.node.exec("own", "s-1", nil, ["getent", "hosts", "s-0.peers"]).stdout
            #expect(name.hasPrefix(try #require(zero["status", "podIP"]?.string)))

            // Another template: the last pod first, each with the volume that it had.
            _ = try await cluster.client.patch(
                .statefulSets, namespace: "own", name: "s",
                ["spec": ["template": ["metadata": ["annotations": ["a": "b"]]]]])
            try await waitFor("a new s-1") {
                (cluster.pod("s-1", namespace: "own")?.uid ?? one.uid) != one.uid
                    || cluster.pod("s-1", namespace: "own") == nil
            }
            #expect(cluster.pod("s-0", namespace: "own")?.uid == zero.uid)
            try await waitFor("all new") {
                let status = try await set()["status"]
                return status?["updatedReplicas"]?.integer == 2 && status?["readyReplicas"]?.integer == 2
                    && status?["currentRevision"] == status?["updateRevision"]
            }
            #expect(try await cluster.node.exec("own", "s-0", nil, ["cat", "/d/starts"]).stdout == "s-0\ns-0\n")

            _ = try await cluster.client.patch(
                .statefulSets, namespace: "own", name: "s", ["spec": ["replicas": 1]])
            try await waitFor("one") { cluster.pod("s-1", namespace: "own") == nil }
            #expect(try await cluster.client.list(.persistentVolumeClaims, namespace: "own").objects.count == 2)
            // A claim goes when nobody uses it any more.
            let used = try await cluster.client.delete(.persistentVolumeClaims, namespace: "own", name: "d-s-0")
            #expect(used?.isBeingDeleted == true)
            try await cluster.client.delete(.persistentVolumeClaims, namespace: "own", name: "d-s-1")
            try await waitFor("the end of the other") {
                try await cluster.client.list(.persistentVolumeClaims, namespace: "own").objects.map(\.name) == [
                    "d-s-0"
                ]
            }
            // With all that is in it; pods end in their own time.
            try await cluster.client.delete(.namespaces, name: "own")
            try await waitFor("the end of the namespace") {
                try await cluster.client.find(.namespaces, name: "own") == nil
            }
            #expect(cluster.objects.pods.objects(namespace: "own").isEmpty)
        }
    }
}
