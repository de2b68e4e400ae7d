import Foundation
import HTTP
import KubernetesTestServer
import Testing

@testable import KubernetesClient

/// Where `scripts/bootstrap test` puts it.
private let kubectlProgram =
    (ProcessInfo.processInfo.environment["PERMAFROST_CACHE"] ?? "/var/cache/permafrost") + "/kubectl/bin/kubectl"

/// The server of these tests, judged by kubectl: what it takes for an API server may stand in for one.
@Suite(
    .timeLimit(.minutes(3)),
    .enabled(
        if: ["true", "1"].contains(ProcessInfo.processInfo.environment["CI"] ?? "")
            || FileManager.default.isExecutableFile(atPath: kubectlProgram), "kubectl is not installed"))
struct KubectlTests {
    private struct Outcome {
        var status: Int32
        var text: String
    }

    private func kubectl(_ scratch: Scratch, _ words: [String]) async throws -> Outcome {
        let process = Process()
        process.executableURL = URL(filePath: kubectlProgram)
        process.arguments = ["--kubeconfig=\(scratch.path)/config", "--cache-dir=\(scratch.path)/cache"] + words
        process.environment = ["HOME": scratch.path, "PATH": "/usr/bin:/bin"]
        let out = scratch.path + "/out-\(UUID().uuidString)"
        _ = FileManager.default.createFile(atPath: out, contents: nil)
        let handle = try #require(FileHandle(forWritingAtPath: out))
        process.standardOutput = handle
        process.standardError = handle
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Outcome(
            status: process.terminationStatus, text: (try? String(contentsOfFile: out, encoding: .utf8)) ?? "")
    }

    @Test func takesTheServerForOne() async throws {
        try await withServer { server, client in
            let scratch = try Scratch()
            _ = try scratch.write(
                "config",
                """
                apiVersion: v1
                kind: Config
                current-context: c
                clusters: [{name: c, cluster: {server: "http://127.0.0.1:\(server.port)"}}]
                contexts: [{name: c, context: {cluster: c, user: u}}]
                users: [{name: u, user: {}}]
                """)
            // The same file leads our client there.
            let access = try ClusterAccess.load(environment: ["KUBECONFIG": scratch.path + "/config"])
            #expect(access.origin.port == server.port)

            func run(_ words: String..., fails: Bool = false) async throws -> String {
                let outcome = try await kubectl(scratch, words)
                #expect((outcome.status != 0) == fails, "\(words): \(outcome.text)")
                return outcome.text
            }
            let definition = try scratch.write(
                "crd.yaml",
                """
                apiVersion: apiextensions.k8s.io/v1
                kind: CustomResourceDefinition
                metadata: {name: things.example.com}
                spec:
                  group: example.com
                  scope: Namespaced
                  names: {plural: things, singular: thing, kind: Thing, shortNames: [th]}
                  versions:
                  - name: v1
                    served: true
                    storage: true
                    subresources: {status: {}}
                    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
                """)
            #expect(try await run("apply", "-f", definition).contains("things.example.com created"))
            _ = try await run("wait", "--for=condition=Established", "crd/things.example.com", "--timeout=10s")
            let thing = try scratch.write(
                "thing.yaml",
                """
                apiVersion: example.com/v1
                kind: Thing
                metadata: {name: one, labels: {a: b}}
                spec: {size: 1, list: [x, y]}
                """)
            #expect(try await run("apply", "-f", thing) == "thing.example.com/one created\n")
            #expect(try await run("apply", "-f", thing) == "thing.example.com/one unchanged\n")
            #expect(
                try await run("apply", "--server-side", "--force-conflicts", "-f", thing).contains("serverside-applied")
            )
            #expect(try await run("get", "th").contains("one"))
            #expect(try await run("get", "th", "-l", "a=b", "-o", "name") == "thing.example.com/one\n")
            #expect(try await run("get", "th", "-l", "a!=b", "-o", "name") == "")
            _ = try await run("patch", "th", "one", "--type=merge", "-p", #"{"spec":{"size":2}}"#)
            #expect(try await run("get", "th", "one", "-o", "jsonpath={.spec.size} {.metadata.generation}") == "2 2")
            _ = try await run(
                "patch", "th", "one", "--subresource=status", "--type=merge", "-p", #"{"status":{"x":1}}"#)
            #expect(try await run("get", "th", "one", "-o", "jsonpath={.status.x} {.metadata.generation}") == "1 2")
            _ = try await run("label", "th", "one", "a=c", "--overwrite")
            _ = try await run("annotate", "th", "one", "note=x")
            // What kubectl makes itself it sends as protobuf, which needs schemas; files go as JSON.
            let map = try scratch.write(
                "map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {k: v}\n")
            #expect(try await run("create", "-f", map) == "configmap/cm created\n")
            #expect(try await run("create", "-f", map, fails: true).contains("AlreadyExists"))
            let secret = try scratch.write(
                "secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: v}\n")
            #expect(try await run("apply", "-f", secret).contains("created"))
            _ = try await run("apply", "-f", map)
            #expect(try await run("apply", "-f", map) == "configmap/cm unchanged\n")
            #expect(try await run("get", "secret", "s", "-o", "jsonpath={.data.k}") == "dg==")
            #expect(
                try await run("get", "cm", "none", fails: true)
                    == "Error from server (NotFound): configmaps \"none\" not found\n")
            let recorder = EventRecorder(client, component: "tests", instance: "i")
            let object = try await client.get(
                ResourceType("example.com", "v1", "things", kind: "Thing"), namespace: "default", name: "one")
            await recorder.record(.warning, "Broken", "in words", about: object)
            let described = try await run("describe", "th", "one")
            #expect(described.contains("Broken") && described.contains("in words"))
            #expect(try await run("api-resources").contains("things"))
            // Waits by a watch.
            async let waited = kubectl(scratch, ["wait", "--for=delete", "th/one", "--timeout=20s"])
            try await Task.sleep(for: .milliseconds(500))
            _ = try await run("delete", "th", "one")
            #expect(try await waited.status == 0)
            #expect(try await run("delete", "crd", "things.example.com").contains("deleted"))
        }
    }
}
