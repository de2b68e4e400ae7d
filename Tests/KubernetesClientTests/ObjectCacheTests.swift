import HTTP
import KubernetesTestServer
import RepositoryStorage
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct ObjectCacheTests {
    private final class Changes: Sendable {
        let all = Mutex<[String]>([])
        let failures = Mutex<[String]>([])

        var options: ObjectCache.Options {
            var options = ObjectCache.Options()
            options.backOff = RetryPolicy(shortest: .milliseconds(20), longest: .milliseconds(100))
            options.changed = { change in
                let kind = change.old == nil ? "+" : change.new == nil ? "-" : "~"
                self.all.withLock { $0.append(kind + change.key.name) }
            }
            options.failed = { failure in self.failures.withLock { $0.append(failure?.reason ?? "ok") } }
            return options
        }

        func take() -> [String] {
            all.withLock { all in
                defer { all = [] }
                return all
            }
        }
    }

    private func withCache(
        _ change: (inout ObjectCache.Options) -> Void = { _ in },
        _ body: (APITestServer, KubernetesClient, ObjectCache, Changes) async throws -> Void
    ) async throws {
        try await withServer({ $0.pageSize = 3 }) { server, client in
            for name in ["a", "b", "c", "d"] {
                _ = try await client.create(.configMaps, configMap(name, labels: ["l": name]))
            }
            let changes = Changes()
            var options = changes.options
            change(&options)
            let cache = ObjectCache(.configMaps, client, options)
            let running = Task { await cache.run() }
            try await cache.waitUntilFilled()
            try await eventually("the watch is there") { server.watches == 1 }
            do {
                try await body(server, client, cache, changes)
            } catch {
                running.cancel()
                throw error
            }
            running.cancel()
            await running.value
        }
    }

    @Test func followsWhatHappens() async throws {
        try await withCache { server, client, cache, changes in
            #expect(changes.take() == ["+a", "+b", "+c", "+d"])
            #expect(cache.count == 4)
            let key = ObjectKey(namespace: "default", name: "a")
            #expect(cache[key]?["metadata", "managedFields"] == nil)
            _ = server.takeRequests()
            let owner = try await client.get(.configMaps, namespace: "default", name: "b")
            var owned = configMap("e", labels: ["l": "x"])
            owned.ownerReferences = [owner.owner()]
            _ = try await client.create(.configMaps, owned)
            _ = try await client.patch(.configMaps, namespace: "default", name: "a", ["data": ["x": "1"]])
            try await client.delete(.configMaps, namespace: "default", name: "d")
            try await eventually("three changes") { changes.all.withLock { $0.count } == 3 }
            #expect(changes.take() == ["+e", "~a", "-d"])
            #expect(cache[key]?["data", "x"]?.string == "1")
            #expect(cache.objects(ownedBy: owner.uid).map(\.name) == ["e"])
            #expect(cache.objects(namespace: "default", [.isOneOf("l", ["x", "c"])]).map(\.name) == ["c", "e"])
            #expect(cache.objects(namespace: "other").isEmpty)
            try await client.delete(.configMaps, namespace: "default", name: "b")
            try await eventually("its owner is gone") { cache.objects(ownedBy: owner.uid).isEmpty }
            // All of that came by the one watch.
            #expect(!server.takeRequests().contains { $0.hasPrefix("GET") && !$0.contains("/configmaps/b") })
        }
    }

    @Test func goesOnWhereAWatchWasCut() async throws {
        try await withCache { server, client, cache, changes in
            _ = server.takeRequests()
            _ = changes.take()
            for round in 0..<5 {
                server.cutWatches()
                try await eventually("cut") { server.watches == 0 }
                _ = try await client.patch(
                    .configMaps, namespace: "default", name: "a", ["data": ["x": "\(round)"]])
                let key = ObjectKey(namespace: "default", name: "a")
                try await eventually("seen") { cache[key]?["data", "x"]?.string == "\(round)" }
            }
            #expect(cache.lists == 1)
            #expect(changes.take() == ["~a", "~a", "~a", "~a", "~a"])
            #expect(!server.takeRequests().contains { $0.contains("limit=") })
        }
    }

    /// A watch that is cut goes on behind the last bookmark, though nothing of its own has happened for long.
    @Test func bookmarksCarryOn() async throws {
        try await withCache { server, client, cache, _ in
            server.set { $0.bookmarkPause = .milliseconds(20) }
            server.cutWatches()
            try await eventually("again") { server.watches == 1 }
            for number in 0..<5 {
                _ = try await client.create(
                    .secrets, KubernetesObject(.secrets, namespace: "default", name: "s\(number)"))
            }
            try await Task.sleep(for: .milliseconds(200))
            server.compact()
            server.cutWatches()
            try await Task.sleep(for: .milliseconds(50))
            try await eventually("again") { server.watches == 1 }
            #expect(cache.lists == 1)
        }
    }

    @Test(arguments: [false, true])
    func listsAgainWhenTheStateIsGone(inWatch: Bool) async throws {
        try await withCache { server, client, cache, changes in
            server.set { $0.tellsGoneInWatch = inWatch }
            _ = changes.take()
            let blocked = Mutex(true)
            server.set { behaviour in
                behaviour.intercept = { request in
                    request.parameter("watch") != nil && blocked.withLock { $0 } ? ServerResponse(503) : nil
                }
            }
            server.cutWatches()
            try await eventually("cut") { server.watches == 0 }
            try await client.delete(.configMaps, namespace: "default", name: "b")
            _ = try await client.create(.configMaps, configMap("n"))
            _ = try await client.patch(.configMaps, namespace: "default", name: "c", ["data": ["x": "1"]])
            server.compact()
            _ = try await client.create(.secrets, KubernetesObject(.secrets, namespace: "default", name: "s"))
            server.compact()
            blocked.withLock { $0 = false }
            try await eventually("listed again") { cache.lists == 2 && server.watches == 1 }
            // Only what changed is told.
            #expect(Set(changes.take()) == ["-b", "+n", "~c"])
            _ = try await client.create(.configMaps, configMap("m"))
            try await eventually("goes on") { cache.count == 5 }
        }
    }

    @Test func saysWhyNothingComes() async throws {
        try await withCache { server, client, cache, changes in
            server.set {
                $0.intercept = { _ in
                    APITestServer.refusal(403, "Forbidden", "configmaps is forbidden")
                }
            }
            server.cutWatches()
            try await eventually("forbidden") { changes.failures.withLock { $0.last } == "Forbidden" }
            _ = server.takeRequests()
            try await Task.sleep(for: .milliseconds(500))
            // With pauses between: 100 ms, spread by half.
            #expect(server.takeRequests().count <= 14)
            #expect(cache.count == 4)
            server.set { $0.intercept = nil }
            try await eventually("allowed") { changes.failures.withLock { $0.last } == "ok" }
        }
    }

    /// Of Secrets by name alone nothing else is asked for.
    @Test func asksForMetadataAlone() async throws {
        try await withServer({ $0.pageSize = 2 }) { server, client in
            func secret(_ name: String) -> KubernetesObject {
                var secret = KubernetesObject(.secrets, namespace: "default", name: name)
                secret.labels = ["l": name]
                secret["data"] = ["k": "dg=="]
                return secret
            }
            var options = ObjectCache.Options()
            options.parts = .metadata
            options.reduce = { _ in }
            options.namespace = "default"
            func running(_ body: (ObjectCache) async throws -> Void) async throws {
                let cache = ObjectCache(.secrets, client, options)
                let task = Task { await cache.run() }
                defer { task.cancel() }
                try await eventually("the list", .seconds(10)) { cache.isFilled }
                try await body(cache)
                for secret in cache.objects() {
                    #expect(secret["data"] == nil && secret["type"] == nil)
                    #expect(secret.kind == "Secret" && secret.apiVersion == "v1")
                    #expect(secret.labels == ["l": secret.name] && secret.uid != "")
                }
            }
            // There is none at first: such a list is null.
            try await running { cache in
                for name in ["a", "b", "c"] { _ = try await client.create(.secrets, secret(name)) }
                try await eventually("three", .seconds(10)) { cache.count == 3 }
                _ = try await client.patch(
                    .secrets, namespace: "default", name: "a",
                    ["data": ["k": "eA=="], "metadata": ["labels": ["l": "a"]]])
                let version = try await client.get(.secrets, namespace: "default", name: "a").resourceVersion
                let key = ObjectKey(namespace: "default", name: "a")
                try await eventually("changed", .seconds(10)) { cache[key]?.resourceVersion == version }
                try await client.delete(.secrets, namespace: "default", name: "b")
                try await eventually("two", .seconds(10)) { cache.count == 2 }
                #expect(cache.lists == 1)
            }
            for name in ["d", "e", "f"] { _ = try await client.create(.secrets, secret(name)) }
            try await running { cache in #expect(cache.objects().map(\.name) == ["a", "c", "d", "e", "f"]) }
            // Whoever wants all of it has it.
            let whole = try await client.list(.secrets, namespace: "default").objects
            #expect(whole.map { $0["data", "k"]?.string } == ["eA==", "dg==", "dg==", "dg==", "dg=="])
        }
    }

    /// Of a hundred namespaces there are more watches than connections elsewhere.
    @Test func watchesAreNotKeptWaiting() async throws {
        try await withServer { server, client in
            let many = 300
            let tasks = (0..<many).map { _ in
                Task { try await client.watch(.configMaps, namespace: "default", from: "1") { _ in } }
            }
            defer { for task in tasks { task.cancel() } }
            try await eventually("all watches", .seconds(20)) { server.watches == many }
            #expect(try await client.list(.configMaps).objects.isEmpty)
        }
    }

    /// An answer that goes on without a byte for too long ends.
    @Test func noticesSilence() async throws {
        try await withServer { server, _ in
            server.set { $0.bookmarkPause = .seconds(600) }
            var transport = TransportOptions()
            transport.connectTimeout = .seconds(30)
            transport.timeout = .seconds(1)
            let network = try NetworkTransport(transport)
            let access = ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: server.port))
            let client = KubernetesClient(access, .init(fieldManager: "t"), calls: network, watches: network)
            let silent = await failure { () async throws(KubernetesError) in
                try await client.watch(.pods, from: "1") { _ in }
            }
            #expect(silent?.transport == .timeout)
        }
    }
}
