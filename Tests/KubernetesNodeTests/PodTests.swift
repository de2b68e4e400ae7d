import Foundation
import HTTP
import KubernetesClient
import KubernetesTestNode
import KubernetesTestServer
import TestSupport
import Testing

/// What a pod says of itself in its specification, seen from within.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: geteuid() == 0, "needs root"))
struct PodTests {
    @Test func environmentVolumesAndUsers() async throws {
        try await withTestCluster { cluster in
            try await cluster.create(.configMaps, #"{"metadata": {"name": "m"}, "data": {"a": "1", "b.conf": "x=y"}}"#)
            try await cluster.create(.secrets, #"{"metadata": {"name": "s"}, "stringData": {"key": "hush"}}"#)
            try await cluster.create(
                .persistentVolumeClaims,
                #"{"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "2Gi"}}}}"#)
            try await cluster.create(
                .pods,
                #"""
                {"metadata": {"name": "p", "labels": {"app": "x"}, "annotations": {"note": "n"}},
                 "spec": {"hostname": "h", "terminationGracePeriodSeconds": 1,
                  "securityContext": {"runAsUser": 4711, "runAsGroup": 4712, "fsGroup": 4713, "runAsNonRoot": true},
                  "volumes": [
                    {"name": "empty", "emptyDir": {}},
                    {"name": "map", "configMap": {"name": "m", "items": [{"key": "b.conf", "path": "sub/b.conf"}]}},
                    {"name": "all", "projected": {"defaultMode": 416, "sources": [
                        {"configMap": {"name": "m"}}, {"secret": {"name": "s"}},
                        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                        {"serviceAccountToken": {"path": "token"}}]}},
                    {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}],
                  "initContainers": [
                    {"name": "first", "image": "shell:1", "args": ["echo made > /e/made; id -u"],
                     "volumeMounts": [{"name": "empty", "mountPath": "/e"}]}],
                  "containers": [
                    {"name": "main", "image": "shell:1", "workingDir": "/tmp",
                     "args": ["trap 'exit 0' TERM; echo hello; while :; do sleep 0.1; done"],
                     "env": [
                        {"name": "A", "value": "a"}, {"name": "B", "value": "$(A)-$(NONE)-$$(A)"},
                        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
                        {"name": "NOT", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "z", "optional": true}}}],
                     "envFrom": [{"prefix": "M_", "configMapRef": {"name": "m"}}],
                     "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
                     "volumeMounts": [
                        {"name": "empty", "mountPath": "/var/run/e"}, {"name": "map", "mountPath": "/etc/map"},
                        {"name": "all", "mountPath": "/etc/all"},
                        {"name": "map", "mountPath": "/etc/one", "subPath": "sub/b.conf"},
                        {"name": "claim", "mountPath": "/data", "subPath": "part"}]}]}}
                """#)
            try await cluster.waitForPod("p")
            let pod = try #require(cluster.pod("p"))
            func inside(_ script: String) async throws -> String {
                let result = try await cluster.node.exec("default", "p", "main", ["bash", "-c", script])
                return result.stdout + result.stderr
            }
            let address = try #require(pod["status", "podIP"]?.string)
            #expect(
                try await inside(#"echo "$B|$IP|$NS|$APP|$KEY|${NOT-unset}|$M_a|$PWD|$(hostname)""#)
                    == "a-$(NONE)-$(A)|\(address)|default|x|hush|unset|1|/tmp|h\n")
            #expect(try await inside("id -u; id -g; id -G; whoami") == "4711\n4712\n4712 4713\nuser4711\n")
            #expect(try await inside("cat /var/run/e/made /etc/map/sub/b.conf /etc/one") == "made\nx=yx=y")
            #expect(
                try await inside("cd /etc/all; cat a key labels; stat -L -c '%a %g' key")
                    == "1hushapp=\"x\"\n640 4713\n")
            #expect(
                try await inside("cat /etc/all/token /var/run/secrets/kubernetes.io/serviceaccount/namespace")
                    == TestCluster.token + "default")
            #expect(try await inside("echo x > /data/x && echo y > /tmp/y && stat -c %g /data/x") == "4713\n")
            #expect(try await inside("echo x > /etc/x").contains("Read-only"))
            #expect(try await inside("echo x > /etc/all/x").contains("Read-only"))
            // The first process and what runs beside it, and no process of this machine.
            #expect(try await inside("cat /proc/1/comm; ls /proc | grep -c ^[0-9]").hasPrefix("bash\n"))
            #expect(try #require(Int(try await inside("ls /proc | grep -c ^[0-9]").dropLast())) < 8)
            let authority = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
            #expect(try await inside("curl -sS --cacert \(authority) https://kubernetes.default.svc/healthz") == "ok")

            // What objects say now, but not in a file that was mounted alone.
            _ = try await cluster.client.patch(
                .configMaps, namespace: "default", name: "m", ["data": ["a": "2", "b.conf": "new"]])
            try await waitFor("the new content") { try await inside("cat /etc/all/a /etc/map/sub/b.conf") == "2new" }
            #expect(try await inside("cat /etc/one") == "x=y")
            #expect(try await cluster.client.log(namespace: "default", pod: "p") == Array("hello\n".utf8))
            var selection = LogSelection(container: "first")
            selection.lines = 1
            #expect(try await cluster.client.log(namespace: "default", pod: "p", selection) == Array("4711\n".utf8))
            #expect(pod["status", "phase"]?.string == "Running")
            #expect(
                pod["status", "initContainerStatuses"]?.elements.first?[["state", "terminated", "reason"]]
                    == "Completed")

            try await cluster.client.delete(.pods, namespace: "default", name: "p")
            try await waitFor("the end of the pod") { cluster.pod("p") == nil }
            try await waitFor("the end of its files") {
                !FileManager.default.fileExists(atPath: "\(cluster.machine.directory)/pods/\(pod.uid)")
            }
        }
    }

    /// Our own client as it is in a pod: by the service account's files, and by TLS.
    @Test func clientOfAPod() async throws {
        try await withTestCluster { cluster in
            let directory = "\(cluster.machine.directory)/account"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: cluster.authorityFile, toPath: "\(directory)/ca.crt")
            try TestCluster.token.write(toFile: "\(directory)/token", atomically: true, encoding: .utf8)
            try "own".write(toFile: "\(directory)/namespace", atomically: true, encoding: .utf8)
            cluster.server.set { $0.tokens = [TestCluster.token] }
            let access = try ClusterAccess.load(
                environment: ["KUBERNETES_SERVICE_HOST": cluster.machine.address, "KUBERNETES_SERVICE_PORT": "443"],
                serviceAccount: directory)
            let client = try KubernetesClient(access, KubernetesClient.Options(fieldManager: "pod"))
            #expect(client.namespace == "own")
            _ = try await client.apply(.namespaces, KubernetesObject(.namespaces, name: "own"))
            let cache = ObjectCache(.secrets, client)
            let watching = Task { await cache.run() }
            defer { watching.cancel() }
            try await cache.waitUntilFilled()
            _ = try await client.create(.secrets, KubernetesObject(.secrets, namespace: "own", name: "s"))
            try await waitFor("the news") { cache[ObjectKey(namespace: "own", name: "s")] != nil }
        }
    }

    @Test func endsAndRestarts() async throws {
        try await withTestCluster { cluster in
            func pod(_ name: String, _ policy: String, _ script: String, _ more: String = "") async throws {
                try await cluster.create(
                    .pods,
                    """
                    {"metadata": {"name": "\(name)"}, "spec": {"restartPolicy": "\(policy)",
                     "terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "shell:1",
                     "args": [\(ServiceJSON.quoted(script))]\(more)}]}}
                    """)
            }
            func state(_ name: String) -> ServiceJSON? {
                cluster.pod(name)?["status", "containerStatuses"]?.elements.first
            }
            try await pod("good", "Never", "echo done > /dev/termination-log")
            try await pod("bad", "Never", "exit 7")
            try await pod(
                "logs", "Never", "echo why; exit 1", #", "terminationMessagePolicy": "FallbackToLogsOnError""#)
            try await pod("again", "Always", "echo run; sleep 0.1; exit 3")
            try await pod(
                "none", "Always", "true",
                #", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "later", "key": "k"}}}]"#)
            try await pod(
                "live", "Always", "touch /tmp/up; exec sleep 100",
                #", "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}"#
            )
            try await pod(
                "serves", "Always", "sleep 0.5; exec python3 -m http.server 8080",
                #"""
                , "ports": [{"name": "web", "containerPort": 8080}],
                "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
                "readinessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 1}
                """#)
            try await cluster.create(
                .pods,
                #"{"metadata": {"name": "foreign"}, "spec": {"containers": [{"name": "c", "image": "not:there"}]}}"#)

            // A sidecar is there before the others, and ends after them.
            try await cluster.create(
                .pods,
                #"""
                {"metadata": {"name": "beside"}, "spec": {"restartPolicy": "Never", "volumes": [{"name": "e", "emptyDir": {}}],
                 "initContainers": [{"name": "s", "image": "shell:1", "restartPolicy": "Always",
                   "args": ["trap 'echo end >> /e/all; exit' TERM; sleep 0.5; echo up >> /e/all; while :; do sleep 0.1; done"],
                   "startupProbe": {"exec": {"command": ["test", "-e", "/e/all"]}, "periodSeconds": 1},
                   "volumeMounts": [{"name": "e", "mountPath": "/e"}]}],
                 "containers": [{"name": "c", "image": "shell:1", "args": ["cat /e/all > /dev/termination-log"],
                   "volumeMounts": [{"name": "e", "mountPath": "/e"}],
                   "lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}]}}
                """#)
            try await cluster.waitForPod("beside") { $0["status", "phase"] == "Succeeded" }
            #expect(state("beside")?[["state", "terminated", "message"]] == "up\n")
            #expect(
                cluster.pod("beside")?["status", "initContainerStatuses"]?.elements.first?[
                    ["state", "terminated", "exitCode"]] == 0)

            // A log that is followed ends with the container.
            try await pod("talks", "Never", "for n in 1 2 3; do echo $n; sleep 0.3; done")
            try await waitFor("a word") {
                (try? await cluster.client.log(namespace: "default", pod: "talks"))?.first == UInt8(ascii: "1")
            }
            let address = "http://127.0.0.1:\(cluster.server.port)/api/v1/namespaces/default/pods/talks/log"
            #expect(
                try await ProcessRunner.run("curl", ["-sN", "-m", "20", "\(address)?follow=true&container=c"]).stdout
                    == "1\n2\n3\n")

            try await cluster.waitForPod("good") { $0["status", "phase"] == "Succeeded" }
            #expect(state("good")?[["state", "terminated", "message"]] == "done\n")
            try await cluster.waitForPod("bad") { $0["status", "phase"] == "Failed" }
            #expect(state("bad")?[["state", "terminated", "exitCode"]]?.integer == 7)
            try await cluster.waitForPod("logs") { $0["status", "phase"] == "Failed" }
            #expect(state("logs")?[["state", "terminated", "message"]] == "why\n")
            try await waitFor("restarts") { state("again")?["restartCount"]?.integer ?? 0 >= 2 }
            #expect(state("again")?[["lastState", "terminated", "exitCode"]]?.integer == 3)
            var previous = LogSelection()
            previous.isPrevious = true
            #expect(try await cluster.client.log(namespace: "default", pod: "again", previous) == Array("run\n".utf8))
            try await waitFor("no image") { state("foreign")?[["state", "waiting", "reason"]] == "ImagePullBackOff" }
            try await waitFor("no secret") {
                state("none")?[["state", "waiting", "message"]] == "secret \"later\" not found"
            }
            try await cluster.waitForPod("serves")
            try await cluster.waitForPod("live")
            // Where it was slow to begin it has been started again already.
            let before = state("live")?["restartCount"]?.integer ?? 0
            _ = try await cluster.node.exec("default", "live", nil, ["rm", "/tmp/up"]).expecting(0)
            try await waitFor("a restart") { state("live")?["restartCount"]?.integer ?? 0 > before }
            // It heeds no SIGTERM, as the first process of a container.
            #expect(state("live")?[["lastState", "terminated", "exitCode"]]?.integer == 137)
            try await cluster.create(.secrets, #"{"metadata": {"name": "later"}, "stringData": {"k": "v"}}"#)
            try await waitFor("a run") { state("none")?["restartCount"] != nil && state("none")?["lastState"] != [:] }

            var now = DeleteOptions()
            now.gracePeriod = 0
            try await cluster.client.delete(.pods, namespace: "default", name: "serves", now)
            try await waitFor("its end") { cluster.pod("serves") == nil }
        }
    }
}
