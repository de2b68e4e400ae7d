import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// A namespace has objects of others, and Secrets that are none of the operator's business.
@Suite(.serialized) struct NeighbourTests {
    private static func foreign(_ type: ResourceType, _ name: String) -> KubernetesObject {
        var object = KubernetesObject(type, namespace: "demo", name: name)
        object.labels = ["app": "theirs"]
        switch type {
        case .secrets, .configMaps: object["data"] = ["password": "dGhlaXJz"]
        case .services: object["spec"] = ["ports": [["name": "web", "port": 80]]]
        case .statefulSets: object["spec"] = ["replicas": 7]
        default: break
        }
        return object
    }

    /// Without what controllers say of it.
    private static func content(_ object: KubernetesObject) -> [ServiceJSON?] {
        ["uid", "labels", "annotations", "ownerReferences"].map { object["metadata", $0] }
            + ["spec", "data", "rules"].map { object[$0] }
    }

    /// Every type of what a cluster has; without a digest of ours, and with nothing that we would write.
    @Test(
        "what a user has stays the user's, is told of, and outlives the cluster",
        arguments: [
            (ResourceType.services, "pg"), (.services, "pg-replicas"), (.configMaps, "pg-patroni"),
            (.configMaps, "pg-permafrost"), (.secrets, "pg"), (.secrets, "pg-permafrost"),
            (.secrets, "pg-permafrost-ca"), (.serviceAccounts, "pg-patroni"), (.roles, "pg-patroni"),
            (.roleBindings, "pg-patroni"), (.statefulSets, "pg"), (.deployments, "pg-repo-host"),
        ])
    func foreign(type: ResourceType, name: String) async throws {
        try await withScene { scene, client in
            let theirs = try await client.create(type, Self.foreign(type, name))
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                let told =
                    "\(type.kind) 'demo/\(name)' exists and is not ours: remove it, or choose another name for "
                    + "SGCluster 'pg'"
                try await eventually("the event") {
                    try await client.list(.coreEvents, namespace: "demo").objects.contains {
                        $0["reason"]?.string == "ReconcileFailed" && $0["message"]?.string == told
                    }
                }
                #expect(Self.content(try await client.get(type, namespace: "demo", name: name)) == Self.content(theirs))
                if name == "pg-repo-host" {
                    try await client.delete(StackGres.clusters, namespace: "demo", name: "pg")
                    try await eventually("the rest goes") {
                        try await client.find(.statefulSets, namespace: "demo", name: "pg") == nil
                    }
                    #expect(
                        Self.content(try await client.get(type, namespace: "demo", name: name)) == Self.content(theirs))
                    return
                }
                #expect(try await client.find(.deployments, namespace: "demo", name: "pg-repo-host") == nil)
                // As soon as the name is free it goes on.
                try await client.delete(type, namespace: "demo", name: name)
                try await eventually("the cluster") {
                    try await scene.backups(client).contains { $0.phase == .completed }
                }
                let ours = try await client.get(type, namespace: "demo", name: name)
                #expect(ours.ownerReferences.map(\.kind) == ["SGCluster"])
            }
        }
    }

    @Test("nobody is told to remove a claim that has backups")
    func claim() {
        var wanted = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")
        wanted.labels = [OperatorNames.cluster: "pg"]
        let found = KubernetesObject(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")
        do throws(KubernetesError) {
            try Applying.check(found, .persistentVolumeClaims, is: wanted)
            Issue.record("it was taken")
        } catch {
            #expect(error.message.contains("label it permafrost.dev/cluster=pg") && !error.message.contains("remove"))
        }
    }

    @Test("what lost its owner, but is the cluster's, is taken again; what another cluster has is not")
    func adoption() async throws {
        try await withScene { scene, client in
            let server = try scene.client(OperatorNames.fieldManager)
            let applying = Applying(server)
            let owner = try await client.create(
                .configMaps, KubernetesObject(.configMaps, namespace: "demo", name: "o"))
            func wanted(_ value: String, of cluster: String = "pg", isKept: Bool = false) -> WantedObject {
                var map = KubernetesObject(.configMaps, namespace: "demo", name: "m")
                map.labels = [OperatorNames.cluster: cluster]
                map.ownerReferences = [owner.owner()]
                map["data"] = ["value": .text(value)]
                return WantedObject(type: .configMaps, object: map, isKept: isKept)
            }
            func found() async throws -> KubernetesObject {
                try await client.get(.configMaps, namespace: "demo", name: "m")
            }
            func refused(_ wanted: WantedObject, _ present: KubernetesObject?) async -> KubernetesError? {
                do throws(KubernetesError) {
                    try await applying.apply(wanted, present: present)
                    return nil
                } catch {
                    return error
                }
            }
            #expect(try await applying.apply(wanted("1"), present: nil))
            #expect(applying.count == 1)
            _ = scene.server.takeRequests()
            // A cache that is late.
            #expect(try await !applying.apply(wanted("1"), present: nil))
            #expect(try await !Applying(server).apply(wanted("1"), present: nil))
            #expect(scene.server.takeRequests().allSatisfy { $0.hasPrefix("GET") })
            #expect(try await applying.apply(wanted("2"), present: nil))
            #expect(try await found()["data", "value"]?.string == "2")

            // `kubectl delete --cascade=orphan` leaves it without an owner.
            _ = try await client.patch(
                .configMaps, namespace: "demo", name: "m", ["metadata": ["ownerReferences": .null]])
            #expect(try await applying.apply(wanted("2"), present: found()))
            #expect(try await found().ownerReferences == [owner.owner()])

            // The original of a dialect has objects of the same name, and of the same owner.
            func strip(_ metadata: ServiceJSON) async throws {
                _ = try await client.patch(.configMaps, namespace: "demo", name: "m", ["metadata": metadata])
            }
            try await strip(["labels": .null])
            #expect(try await applying.apply(wanted("2"), present: nil))
            #expect(try await found().labels[OperatorNames.cluster] == "pg")
            try await strip(["labels": .null, "annotations": .null])
            #expect(await refused(wanted("3"), nil)?.reason == "NotOurs")
            #expect(try await found()["data", "value"]?.string == "2")
            try await strip(["labels": [OperatorNames.cluster: "pg"]])
            #expect(try await applying.apply(wanted("2"), present: found()))

            // A cluster whose name is another's with an ending.
            var other = wanted("3", of: "pg-m")
            other.object.ownerReferences[0].uid = "other"
            other.object.ownerReferences[0].name = "pg-m"
            let before = try await found()
            #expect(await refused(other, before)?.reason == "NotOurs")
            #expect(await refused(other, nil)?.reason == "NotOurs")
            other.isKept = true
            #expect(await refused(other, before)?.reason == "NotOurs")
            #expect(await refused(other, nil)?.reason == "NotOurs")

            // One of the same name that is gone: its objects go too, and are waited for.
            var next = wanted("4")
            next.object.ownerReferences[0].uid = "next"
            for present in [before, nil] {
                for isKept in [false, true] {
                    next.isKept = isKept
                    #expect(await refused(next, present)?.isConflict == true)
                }
            }
            #expect(try await found() == before)
            let gone = try await client.delete(.configMaps, namespace: "demo", name: "m")
            #expect(gone == nil)
            #expect(try await applying.apply(wanted("5", isKept: true), present: nil))
            #expect(try await !applying.apply(wanted("6", isKept: true), present: nil))
            #expect(try await found()["data", "value"]?.string == "5")
        }
    }

    @Test("one that is made at the same moment stays too")
    func race() async throws {
        try await withScene { scene, client in
            var theirs = KubernetesObject(.configMaps, namespace: "demo", name: "m")
            theirs["data"] = ["value": "theirs"]
            let made = theirs
            let isMade = Mutex(false)
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.method == "PATCH", !isMade.withLock({ $0 }) else { return nil }
                    isMade.withLock { $0 = true }
                    _ = try? await client.create(.configMaps, made)
                    return nil
                }
            }
            var wanted = theirs
            wanted["data"] = ["value": "ours"]
            wanted.labels = [OperatorNames.cluster: "pg"]
            let applying = Applying(try scene.client(OperatorNames.fieldManager))
            await #expect(throws: KubernetesError.self) {
                try await applying.apply(WantedObject(type: .configMaps, object: wanted), present: nil)
            }
            let found = try await client.get(.configMaps, namespace: "demo", name: "m")
            #expect(found["data", "value"]?.string == "theirs" && found.labels.isEmpty)
        }
    }

    @Test("Secrets, and all that is known by name alone, are asked for without what is in them")
    func metadata() async throws {
        try await withScene { scene, client in
            let asked = Mutex<[String: Set<String>]>([:])
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.headers["User-Agent"] == OperatorNames.fieldManager, request.method == "GET",
                        let plural = request.path.last, request.parameter("limit") ?? request.parameter("watch") != nil
                    else { return nil }
                    let form = request.headers["Accept"]?.split(separator: ";").dropFirst().first ?? "all"
                    asked.withLock { _ = $0[plural, default: []].insert(String(form)) }
                    return nil
                }
            }
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await scene.backups(client).contains { $0.phase == .completed }
                }
            }
            let metadata: Set = ["as=PartialObjectMetadataList", "as=PartialObjectMetadata"]
            let found = asked.withLock { $0 }
            for plural in [
                "secrets", "configmaps", "services", "endpoints", "serviceaccounts", "roles", "rolebindings",
            ] { #expect(found[plural] == metadata, "\(plural)") }
            for plural in [
                "pods", "jobs", "statefulsets", "deployments", "sgclusters", "sgbackups", "sgobjectstorages",
            ] {
                #expect(found[plural] == ["all"], "\(plural)")
            }
        }
    }

    @Test("what is gone is forgotten")
    func forgotten() async throws {
        try await withScene { scene, client in
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: nil)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                let applying = work.context.applying
                try await eventually("the cluster") {
                    try await scene.condition(client, "RepositoryReady")?["status"]?.string == "True"
                }
                let atRest = applying.count
                #expect(atRest > 10)
                for name in ["a", "b", "c"] {
                    var backup = KubernetesObject(StackGres.backups, namespace: "demo", name: name)
                    backup["spec"] = ["sgCluster": "pg"]
                    _ = try await client.create(StackGres.backups, backup)
                }
                try await eventually("backups") {
                    try await scene.backups(client).filter { $0.phase == .completed }.count == 3
                }
                #expect(applying.count == atRest + 3)
                for name in ["a", "b", "c"] {
                    try await client.delete(StackGres.backups, namespace: "demo", name: name)
                }
                try await eventually("none") { try await scene.backups(client).isEmpty }
                try await eventually("their Jobs are forgotten") { applying.count == atRest }
            }
        }
    }
}
