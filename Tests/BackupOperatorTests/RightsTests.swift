import Foundation
import HTTP
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator
@testable import KubernetesClient

/// What the operator and Patroni's pods may do is what they do.
@Suite(.serialized) struct RightsTests {
    /// One verb with one resource: `patch sgclusters.stackgres.io/status`.
    private static func right(_ verb: String, _ group: String, _ resource: String) -> String {
        let parts = resource.split(separator: "/", maxSplits: 1)
        let rest = parts.count > 1 ? "/\(parts[1])" : ""
        return "\(verb) \(parts[0])\(group.isEmpty ? "" : ".\(group)")\(rest)"
    }

    private static func rights(_ rules: ServiceJSON?) -> Set<String> {
        var rights: Set<String> = []
        for rule in rules?.elements ?? [] {
            for group in rule["apiGroups"]?.elements.compactMap(\.string) ?? [] {
                for resource in rule["resources"]?.elements.compactMap(\.string) ?? [] {
                    for verb in rule["verbs"]?.elements.compactMap(\.string) ?? [] {
                        rights.insert(right(verb, group, resource))
                    }
                }
            }
        }
        return rights
    }

    /// As it is installed.
    private static func granted() throws -> Set<String> {
        let place = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "deploy/operator/role.yaml")
        let text = try String(contentsOf: place, encoding: .utf8)
        let role = try YAMLReader.read(try #require(text.components(separatedBy: "\n---\n").first))
        return rights(role["rules"])
    }

    private static func needed(_ request: ServerRequest) -> [String] {
        var path = request.path[...]
        let group = path.popFirst() == "api" ? "" : path.popFirst() ?? ""
        path = path.dropFirst()
        if path.count > 2, path.first == "namespaces" { path = path.dropFirst(2) }
        var resource = path.popFirst() ?? ""
        let name = path.popFirst()
        if let part = path.popFirst() { resource += "/\(part)" }
        let verbs: [String]
        switch request.method {
        case "GET": verbs = [name != nil ? "get" : request.parameter("watch") != nil ? "watch" : "list"]
        case "POST": verbs = ["create"]
        case "PUT": verbs = ["update"]
        case "DELETE": verbs = [name != nil ? "delete" : "deletecollection"]
        default:
            let isApply = request.headers["Content-Type"]?.hasPrefix("application/apply-patch") == true
            verbs = isApply ? ["patch", "create"] : ["patch"]
        }
        return verbs.map { right($0, group, resource) }
    }

    @Test("the operator's role is enough for all that it does, and for hardly anything else")
    func operatorRole() async throws {
        let granted = try Self.granted()
        let used = Mutex<Set<String>>([])
        try await withScene { scene, client in
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.headers["User-Agent"] == OperatorNames.fieldManager else { return nil }
                    let needed = Self.needed(request)
                    used.withLock { $0.formUnion(needed) }
                    guard let missing = needed.first(where: { !granted.contains($0) }) else { return nil }
                    return APITestServer.refusal(403, "Forbidden", "may not \(missing)")
                }
            }
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, retention: 1)
            scene.state.withLock { $0.retention = 1 }
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }]) {
                try await with([{ try await scene.play() }]) {
                    try await eventually("the first backup") {
                        try await scene.backups(client).contains { $0.phase == .completed }
                    }
                    // What Patroni has in its store is another thing than what is wanted.
                    var state = KubernetesObject(.endpoints, namespace: "demo", name: "pg-config")
                    state.labels = [OperatorNames.cluster: "pg"]
                    state.annotations = ["config": "{}"]
                    _ = try await client.create(.endpoints, state)
                    try await eventually("Patroni's settings") {
                        try await client.get(.endpoints, namespace: "demo", name: "pg-config").annotations["config"]
                            != "{}"
                    }
                    scene.pass(300)
                    try await eventually("retention") {
                        let backups = try await scene.backups(client)
                        return scene.state.withLock { $0.made } >= 2 && backups.count == 1
                            && backups[0].phase == .completed
                    }
                    let name = try #require(try await scene.backups(client).first?.object.name)
                    try await client.delete(StackGres.backups, namespace: "demo", name: name)
                    try await eventually("a backup is deleted") {
                        try await client.find(StackGres.backups, namespace: "demo", name: name) == nil
                    }
                    // None that is due meanwhile must hold the next up.
                    try await scene.cluster(client, schedule: nil)
                    try await eventually("nothing runs") {
                        let cluster = try await client.get(StackGres.clusters, namespace: "demo", name: "pg")
                        let told = cluster["status", "permafrost", "repositories"]?.elements.first
                        return try await scene.backups(client).allSatisfy(\.isFinished) && told?["schedule"] == nil
                    }
                }
                // One that is deleted while its Job runs, for which nobody is there.
                var backup = KubernetesObject(StackGres.backups, namespace: "demo", name: "cut")
                backup["spec"] = ["sgCluster": "pg"]
                _ = try await client.create(StackGres.backups, backup)
                try await eventually("it runs") {
                    try await client.find(StackGres.backups, namespace: "demo", name: "cut").map {
                        StackGresBackup($0).phase == .running
                    } == true && used.withLock { $0.contains("patch leases.coordination.k8s.io") }
                }
                try await client.delete(StackGres.backups, namespace: "demo", name: "cut")
                try await eventually("it is gone") {
                    try await client.find(StackGres.backups, namespace: "demo", name: "cut") == nil
                }
            }
        }
        let done = used.withLock { $0 }
        // Only for all namespaces: another role.
        #expect(done.subtracting(granted).subtracting(["get customresourcedefinitions.apiextensions.k8s.io"]) == [])
        // Whatever may be read, and what other dialects have.
        let writing = granted.filter { right in
            !["get ", "list ", "watch "].contains { right.hasPrefix($0) }
                && (!right.hasSuffix(".com") && !right.contains(".com/"))
        }
        #expect(
            writing.subtracting(done).union(["patch events"]) == [
                // So that Patroni may.
                "create endpoints", "update endpoints", "update pods",
                // Where owners must be the writer's too.
                "update sgclusters.stackgres.io/finalizers", "update sgbackups.stackgres.io/finalizers",
                // What a cluster began with, and what goes with a cluster that says so.
                "delete configmaps", "delete secrets",
                // Repositories on volumes.
                "create persistentvolumeclaims", "patch persistentvolumeclaims", "delete persistentvolumeclaims",
                // What ends before volumes and backups go.
                "delete statefulsets.apps", "delete deployments.apps",
                // An event that comes again after a while.
                "patch events",
            ])
    }

    @Test("the role is enough for the other dialect too, to the end of a cluster with all its finalizers")
    func otherDialect() async throws {
        let granted = try Self.granted()
        let used = Mutex<Set<String>>([])
        try await withScene { scene, client in
            scene.server.set { behaviour in
                behaviour.intercept = { request in
                    guard request.headers["User-Agent"] == OperatorNames.fieldManager else { return nil }
                    let needed = Self.needed(request)
                    used.withLock { $0.formUnion(needed) }
                    guard let missing = needed.first(where: { !granted.contains($0) }) else { return nil }
                    return APITestServer.refusal(403, "Forbidden", "may not \(missing)")
                }
            }
            scene.state.withLock {
                $0.repositories[ObjectKey(namespace: "demo", name: "pg")] = [(1, "posix")]
                $0.now = Int64(Date().timeIntervalSince1970)
            }
            var object = PerconaTranslationTests.object(["repos": [PerconaLifeTests.volume()]], replicas: 1)
            object.finalizers = Percona.finalizers
            _ = try await client.create(Percona.clusters, object)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await client.list(Percona.backups).objects.contains { PerconaBackup($0).phase == .completed }
                }
                _ = try await client.patch(
                    Percona.clusters, namespace: "demo", name: "pg",
                    [
                        "spec": [
                            "backups": ["pgbackrest": ["repos": [PerconaLifeTests.volume("repo1", "9Gi")]]]
                        ]
                    ])
                try await eventually("growth") {
                    try await client.get(.persistentVolumeClaims, namespace: "demo", name: "pg-repo1")[
                        "spec", "resources", "requests", "storage"] == "9Gi"
                }
                try await client.delete(Percona.clusters, namespace: "demo", name: "pg")
                try await eventually("the end") {
                    try await client.find(Percona.clusters, namespace: "demo", name: "pg") == nil
                }
                try await eventually("of all of it") {
                    let claims = try await client.list(.persistentVolumeClaims).objects
                    return try await client.list(Percona.backups).objects.isEmpty && claims.isEmpty
                }
            }
        }
        let done = used.withLock { $0 }
        #expect(done.subtracting(granted).subtracting(["get customresourcedefinitions.apiextensions.k8s.io"]) == [])
        for right in [
            "delete statefulsets.apps", "delete deployments.apps", "delete persistentvolumeclaims", "delete secrets",
            "patch perconapgclusters.pgv2.percona.com", "delete perconapgbackups.pgv2.percona.com",
        ] { #expect(done.contains(right), "\(right)") }
    }

    @Test("Patroni changes its own pods alone, before there are more of them and until there are fewer")
    func patroniRole() async throws {
        try await withScene { scene, client in
            func scale(_ instances: Int) async throws {
                _ = try await client.patch(
                    StackGres.clusters, namespace: "demo", name: "pg",
                    ["spec": ["instances": ServiceJSON(instances)]])
            }
            func role() async throws -> [ServiceJSON] {
                let role = try await client.get(.roles, namespace: "demo", name: "pg-patroni")
                return role["rules"]?.elements.filter { $0["resources"] == ["pods"] } ?? []
            }
            func names() async throws -> [String] {
                let writing = try await role().filter { $0["verbs"] == ["patch", "update"] }
                return writing.first?["resourceNames"]?.elements.compactMap(\.string) ?? []
            }
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: nil)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }]) {
                try await eventually("all objects") {
                    try await client.find(.deployments, namespace: "demo", name: "pg-repo-host") != nil
                }
                #expect(try await names() == ["pg-0"])
                #expect(try await role().first { $0["resourceNames"] == nil }?["verbs"] == ["get", "list", "watch"])
                #expect(try await role().count == 2)
                let rules = try await client.get(.roles, namespace: "demo", name: "pg-patroni")["rules"]
                #expect(Self.rights(rules).subtracting(try Self.granted()) == [])

                _ = scene.server.takeRequests()
                try await scale(3)
                try await eventually("three") {
                    try await client.get(.statefulSets, namespace: "demo", name: "pg")["spec", "replicas"]?.integer == 3
                }
                let calls = scene.server.takeRequests().filter { $0.hasPrefix("PATCH") }
                let allowed = try #require(calls.firstIndex { $0.contains("/roles/pg-patroni?") })
                let made = try #require(calls.firstIndex { $0.contains("/statefulsets/pg?") })
                #expect(allowed < made)
                #expect(try await names() == ["pg-0", "pg-1", "pg-2"])

                for name in ["pg-2", "pg-x", "other-1", "pg-07"] {
                    var pod = KubernetesObject(.pods, namespace: "demo", name: name)
                    pod.labels = [OperatorNames.cluster: "pg", OperatorNames.part: "database"]
                    _ = try await client.create(.pods, pod)
                }
                // A member that ends says so.
                try await scale(1)
                try await eventually("one that ends") { try await names() == ["pg-0", "pg-2"] }
                try await client.delete(.pods, namespace: "demo", name: "pg-2")
                try await eventually("one") { try await names() == ["pg-0"] }
                // Without one that is named, all would be.
                try await scale(0)
                try await eventually("none") {
                    try await client.get(.statefulSets, namespace: "demo", name: "pg")["spec", "replicas"]?.integer == 0
                }
                #expect(try await names() == ["pg-0"])
                // Nothing is made for each of a number without end.
                try await scale(1001)
                try await eventually("too many") {
                    try await scene.condition(client, "Ready")?["reason"]?.string == "TooManyInstances"
                }
                #expect(try await names() == ["pg-0"])
            }
        }
    }
}
