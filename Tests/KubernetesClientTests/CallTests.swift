import BackupModel
import HTTP
import KubernetesTestServer
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct CallTests {
    @Test func createsReadsAndDeletes() async throws {
        try await withServer { server, client in
            let made = try await client.create(.configMaps, configMap("a", ["x": "1"], labels: ["l": "1"]))
            #expect(made.uid != "" && made.resourceVersion != nil && made.creationTime != nil)
            #expect(try await client.get(.configMaps, namespace: "default", name: "a") == made)
            let again = await failure { () async throws(KubernetesError) in
                _ = try await client.create(.configMaps, configMap("a"))
            }
            #expect(again?.isAlreadyExists == true && again?.isConflict == false)
            #expect(again?.message == "unable to create configmaps 'default/a': configmaps \"a\" already exists")
            let missing = await failure { () async throws(KubernetesError) in
                _ = try await client.get(.secrets, namespace: "default", name: "no")
            }
            #expect(missing?.isNotFound == true && missing?.reason == "NotFound")
            #expect(try await client.find(.secrets, namespace: "default", name: "no") == nil)
            var generated = configMap("")
            generated.name = ""
            generated.generateName = "run-"
            #expect(try await client.create(.configMaps, generated).name.hasPrefix("run-"))
            let kept = await failure { () async throws(KubernetesError) in
                try await client.delete(.configMaps, namespace: "default", name: "a", DeleteOptions(uid: "other"))
            }
            #expect(kept?.isConflict == true)
            #expect(try await client.delete(.configMaps, namespace: "default", name: "a") == nil)
            #expect(try await client.delete(.configMaps, namespace: "default", name: "a") == nil)
            let lost = await failure { () async throws(KubernetesError) in
                _ = try await client.create(.configMaps, KubernetesObject(.configMaps, namespace: "no", name: "a"))
            }
            #expect(lost?.isNotFound == true)
        }
    }

    @Test func writesOnlyWhatWasRead() async throws {
        try await withServer { server, client in
            var one = try await client.create(.configMaps, configMap("a", ["x": "1"]))
            one["data", "x"] = "2"
            let two = try await client.replace(.configMaps, one)
            #expect(two["data", "x"]?.string == "2")
            let late = await failure { () async throws(KubernetesError) in
                _ = try await client.replace(.configMaps, one)
            }
            #expect(late?.isConflict == true && late?.isRetryable == false)
            let patched = try await client.patch(
                .configMaps, namespace: "default", name: "a", ["data": ["x": .null, "y": "3"]])
            #expect(patched["data"] == ["y": "3"])
            // What changes nothing makes no version.
            let same = try await client.patch(.configMaps, namespace: "default", name: "a", ["data": ["y": "3"]])
            #expect(same.resourceVersion == patched.resourceVersion)
        }
    }

    @Test func statusAndFinalizers() async throws {
        try await withServer { server, client in
            var pod = KubernetesObject(.pods, namespace: "default", name: "p")
            pod.finalizers = ["example.com/f"]
            pod["spec"] = ["containers": [["name": "c"]]]
            pod["status"] = ["phase": "Running"]
            pod = try await client.create(.pods, pod)
            #expect(pod["status", "phase"]?.string == "Pending")
            pod = try await client.patch(
                .pods, namespace: "default", name: "p", ["status": ["phase": "Running"]], .status)
            #expect(pod["status", "phase"]?.string == "Running" && pod.generation == 1)
            pod["spec", "nodeName"] = "n"
            pod["status"] = [:]
            pod = try await client.replace(.pods, pod)
            #expect(pod.generation == 2 && pod["status", "phase"]?.string == "Running")
            var now = DeleteOptions()
            now.gracePeriod = 0
            let left = try await client.delete(.pods, namespace: "default", name: "p", now)
            #expect(left?.isBeingDeleted == true)
            _ = try await client.patch(.pods, namespace: "default", name: "p", ["metadata": ["finalizers": .null]])
            #expect(try await client.find(.pods, namespace: "default", name: "p") == nil)
        }
    }

    @Test func ownedObjectsGoWithTheirOwner() async throws {
        try await withServer { server, client in
            for (policy, isLeft) in [
                (DeleteOptions.Propagation.background, false), (.foreground, false), (.orphan, true),
            ] {
                let owner = try await client.create(.configMaps, configMap("owner"))
                var owned = configMap("owned")
                owned.ownerReferences = [owner.owner()]
                owned = try await client.create(.configMaps, owned)
                #expect(owned.ownerReferences == [owner.owner()])
                try await client.delete(
                    .configMaps, namespace: "default", name: "owner", DeleteOptions(propagation: policy))
                #expect(try await client.find(.configMaps, namespace: "default", name: "owner") == nil)
                let left = try await client.find(.configMaps, namespace: "default", name: "owned")
                #expect((left != nil) == isLeft)
                #expect(left?.ownerReferences ?? [] == [])
                if isLeft { try await client.delete(.configMaps, namespace: "default", name: "owned") }
            }
        }
    }

    @Test func appliesWhatItOwns() async throws {
        try await withServer { server, client in
            var mine = KubernetesObject(.statefulSets, namespace: "default", name: "s")
            mine["spec"] = [
                "replicas": 1, "template": ["spec": ["containers": [["name": "a", "image": "x"], ["name": "b"]]]],
            ]
            let first = try await client.apply(.statefulSets, mine)
            #expect(try await client.apply(.statefulSets, mine).resourceVersion == first.resourceVersion)
            // Somebody scales.
            let other = try KubernetesClientTests.client(server.port) { $0.fieldManager = "someone" }
            _ = try await other.patch(
                .statefulSets, namespace: "default", name: "s", ["spec": ["replicas": 3]])
            let conflict = await failure { () async throws(KubernetesError) in
                _ = try await client.apply(.statefulSets, mine, isForced: false)
            }
            #expect(conflict?.isConflict == true)
            #expect(conflict?.causes.map(\.field) == [".spec.replicas"])
            #expect(conflict?.causes.first?.message.contains("someone") == true)
            // What we do not name any more, and nobody else does, goes.
            mine["spec"] = ["template": ["spec": ["containers": [["name": "a", "image": "y"]]]]]
            let later = try await client.apply(.statefulSets, mine)
            #expect(later["spec", "replicas"]?.integer == 3)
            #expect(later["spec", "template", "spec", "containers"] == [["name": "a", "image": "y"]])
            mine["spec", "replicas"] = 2
            #expect(try await client.apply(.statefulSets, mine)["spec", "replicas"]?.integer == 2)
            var status = KubernetesObject(.statefulSets, namespace: "default", name: "s")
            status["status"] = ["replicas": 2]
            let told = try await client.apply(.statefulSets, status, .status)
            #expect(told["status", "replicas"]?.integer == 2 && told["spec", "replicas"]?.integer == 2)
        }
    }

    @Test func fillsWhatItLeftEmpty() async throws {
        try await withServer { server, client in
            var mine = KubernetesObject(.configMaps, namespace: "default", name: "m")
            mine["data"] = [:]
            _ = try await client.apply(.configMaps, mine)
            mine["data"] = ["a": "1", "b": "2"]
            #expect(try await client.apply(.configMaps, mine)["data"] == ["a": "1", "b": "2"])
            mine["data"] = ["b": "2"]
            #expect(try await client.apply(.configMaps, mine)["data"] == ["b": "2"])
            mine["data"] = [:]
            #expect(try await client.apply(.configMaps, mine)["data", "b"] == nil)
        }
    }

    @Test func listsInPagesAndBySelectors() async throws {
        try await withServer({ $0.pageSize = 7 }) { server, client in
            for number in 0..<20 {
                _ = try await client.create(
                    .configMaps, configMap("c\(number)", labels: ["odd": "\(number % 2 == 1)", "n": "\(number)"]))
            }
            _ = server.takeRequests()
            let all = try await client.list(.configMaps)
            #expect(Set(all.objects.map(\.name)).count == 20 && all.objects.count == 20)
            #expect(all.objects.allSatisfy { $0.kind == "ConfigMap" && $0.apiVersion == "v1" })
            #expect(server.takeRequests().count == 3)
            let cases: [(Selection, Int)] = [
                (Selection(matching: ["odd": "true"]), 10), (Selection(labels: [.differs("odd", "true")]), 10),
                (Selection(labels: [.isOneOf("n", ["1", "2", "99"])]), 2),
                (Selection(labels: [.isNoneOf("n", ["1", "2"]), .exists("odd")]), 18),
                (Selection(labels: [.isMissing("n")]), 0), (Selection(fields: "metadata.name=c3"), 1),
            ]
            for (selection, count) in cases {
                let found = try await client.list(.configMaps, namespace: "default", selection).objects
                #expect(found.count == count, "\(selection)")
                #expect(
                    all.objects.filter { object in selection.labels.allSatisfy { $0.matches(object.labels) } }.count
                        == count || !selection.fields.isEmpty)
            }
            // The rest of a list that is too old.
            let page = try await client.page(.configMaps)
            server.compact()
            _ = try await client.create(.configMaps, configMap("new"))
            server.compact()
            let gone = await failure { () async throws(KubernetesError) in
                _ = try await client.page(.configMaps, from: page.next)
            }
            #expect(gone?.isGone == true)
        }
    }

    @Test func repeatsWhatMayBeRepeated() async throws {
        try await withServer { server, client in
            func fail(_ times: Int, _ status: Int, _ headers: HTTPHeaders = [:]) {
                let left = Mutex(times)
                server.set { behaviour in
                    behaviour.intercept = { _ in
                        let fails = left.withLock { left in
                            left -= 1
                            return left >= 0
                        }
                        return fails
                            ? ServerResponse(status, headers: headers, body: .bytes(Array("busy\n".utf8))) : nil
                    }
                }
            }
            fail(2, 500)
            _ = try await client.list(.configMaps)
            fail(2, 500)
            let notAgain = await failure { () async throws(KubernetesError) in
                _ = try await client.create(.configMaps, configMap("a"))
            }
            #expect(notAgain?.status == 500)
            #expect(notAgain?.message == "unable to create configmaps 'default/a': HTTP 500 busy")
            fail(2, 429, ["Retry-After": "0"])
            _ = try await client.create(.configMaps, configMap("a"))
            fail(99, 503)
            _ = server.takeRequests()
            #expect(
                await failure { () async throws(KubernetesError) in _ = try await client.list(.pods) }?.status == 503)
            #expect(server.takeRequests().count == 3)
            fail(1, 429, ["Retry-After": "1"])
            let start = ContinuousClock.now
            _ = try await client.list(.pods)
            #expect(ContinuousClock.now - start >= .milliseconds(900))
            fail(99, 429, ["Retry-After": "1000"])
            #expect(
                await failure { () async throws(KubernetesError) in _ = try await client.list(.pods) }?.retryAfter
                    == .seconds(1000))
            fail(99, 403)
            let forbidden = await failure { () async throws(KubernetesError) in _ = try await client.list(.pods) }
            #expect(forbidden?.isForbidden == true && forbidden?.error.code == .access)
        }
    }

    @Test func readsItsTokenAgain() async throws {
        let scratch = try Scratch()
        let file = try scratch.write("token", "old\n")
        let server = APITestServer()
        let port = try await server.start()
        server.set { $0.tokens = ["old"] }
        var access = ClusterAccess(origin: HTTPOrigin(isSecure: false, host: "127.0.0.1", port: port))
        access.credential = .tokenFile(file)
        let client = try KubernetesClient(access, .init(fieldManager: "tests"))
        _ = try await client.list(.pods)
        server.set { $0.tokens = ["new"] }
        _ = try scratch.write("token", "new\n")
        _ = try await client.list(.pods)
        server.set { $0.tokens = ["none"] }
        #expect(
            await failure { () async throws(KubernetesError) in _ = try await client.list(.pods) }?.isUnauthorized
                == true)
        await server.stop()
        let dead = await failure { () async throws(KubernetesError) in _ = try await client.list(.pods) }
        #expect(dead?.isRetryable == true && dead?.error.code == .hostConnect)
    }

    @Test func readsLogs() async throws {
        try await withServer { server, client in
            _ = try await client.create(.pods, KubernetesObject(.pods, namespace: "default", name: "p"))
            server.setLog(namespace: "default", pod: "p", "one\ntwo\nthree\n")
            var selection = LogSelection()
            selection.lines = 2
            let log = try await client.log(namespace: "default", pod: "p", selection)
            #expect(String(decoding: log, as: UTF8.self) == "two\nthree\n")
        }
    }
}
