import Foundation
import HTTP
import RepositoryStorage
import Testing

@testable import KubernetesClient

/// The client against the cluster that `PERMAFROST_KUBECONFIG` names, where it names one.
@Suite(
    .timeLimit(.minutes(5)), .serialized,
    .enabled(if: ProcessInfo.processInfo.environment["PERMAFROST_KUBECONFIG"] != nil, "no cluster is named"))
struct RealClusterTests {
    private func withNamespace(_ body: (KubernetesClient, String) async throws -> Void) async throws {
        let access = try ClusterAccess.load(
            environment: [:], kubeconfig: ProcessInfo.processInfo.environment["PERMAFROST_KUBECONFIG"])
        let client = try KubernetesClient(access, .init(fieldManager: "permafrost-tests"))
        var namespace = KubernetesObject(.namespaces, name: "")
        namespace.name = ""
        namespace.generateName = "permafrost-test-"
        let name = try await client.create(.namespaces, namespace).name
        do {
            try await body(client, name)
        } catch {
            try await client.delete(.namespaces, name: name)
            throw error
        }
        try await client.delete(.namespaces, name: name)
    }

    @Test func calls() async throws {
        try await withNamespace { client, namespace in
            #expect(try await client.get(path: "/version")["major"]?.string == "1")
            var map = KubernetesObject(.configMaps, namespace: namespace, name: "a")
            map["data"] = ["x": "1"]
            let made = try await client.create(.configMaps, map)
            let again = await failure { () async throws(KubernetesError) in
                _ = try await client.create(.configMaps, map)
            }
            #expect(again?.isAlreadyExists == true)
            var stale = made
            stale["data", "x"] = "2"
            _ = try await client.replace(.configMaps, stale)
            let late = await failure { () async throws(KubernetesError) in
                _ = try await client.replace(.configMaps, stale)
            }
            #expect(late?.isConflict == true)
            map["data"] = ["x": "3"]
            let owned = await failure { () async throws(KubernetesError) in
                _ = try await client.apply(.configMaps, map, isForced: false)
            }
            // Its own fields, but by another operation: a conflict too.
            #expect(owned?.isConflict == true && owned?.causes.first?.field == ".data.x")
            #expect(try await client.apply(.configMaps, map)["data", "x"]?.string == "3")
            let other = await failure { () async throws(KubernetesError) in
                try await client.delete(.configMaps, namespace: namespace, name: "a", DeleteOptions(uid: "other"))
            }
            #expect(other?.isConflict == true)
            var invalid = KubernetesObject(.configMaps, namespace: namespace, name: "Not Valid")
            invalid["data"] = [:]
            let wrong = await failure { () async throws(KubernetesError) in
                _ = try await client.create(.configMaps, invalid)
            }
            #expect(wrong?.isInvalid == true && wrong?.causes.first?.field == "metadata.name")
            #expect(try await client.delete(.configMaps, namespace: namespace, name: "a") == nil)
            #expect(try await client.find(.configMaps, namespace: namespace, name: "a") == nil)
        }
    }

    @Test func cacheLeaseAndEvents() async throws {
        try await withNamespace { client, namespace in
            var options = ObjectCache.Options()
            options.namespace = namespace
            let cache = ObjectCache(.secrets, client, options)
            let running = Task { await cache.run() }
            defer { running.cancel() }
            try await cache.waitUntilFilled()
            var secret = KubernetesObject(.secrets, namespace: namespace, name: "s")
            secret["stringData"] = ["k": "v"]
            let made = try await client.create(.secrets, secret)
            try await eventually("cached") { cache[made.key]?["data", "k"]?.string == "dg==" }
            try await client.delete(.secrets, namespace: namespace, name: "s")
            try await eventually("gone") { cache[made.key] == nil }
            #expect(cache.lists == 1)

            let one = Lease(client, namespace: namespace, name: "l", holder: "one", duration: .seconds(2))
            let two = Lease(client, namespace: namespace, name: "l", holder: "two", duration: .seconds(2))
            #expect(try await one.take() == .held)
            #expect(try await two.take() == .heldBy("one"))
            #expect(try await one.take() == .held)
            try await eventually("taken over") { try await two.take() == .held }
            try await two.release()
            #expect(try await one.take() == .held)

            let recorder = EventRecorder(client, component: "permafrost", instance: "tests") { Issue.record("\($0)") }
            await recorder.record(.warning, "Tried", "in words", about: made)
            let events = try await client.list(.coreEvents, namespace: namespace).objects
            #expect(events.contains { $0["reason"]?.string == "Tried" })
            // The state of long ago: it is gone, unless the cluster is young.
            let watching = Task {
                await failure { () async throws(KubernetesError) in try await client.watch(.secrets, from: "1") { _ in }
                }
            }
            try await Task.sleep(for: .seconds(5))
            watching.cancel()
            let end = await watching.value
            #expect(end?.isGone == true || end?.isCancelled == true, "\(end?.message ?? "")")
        }
    }
}
