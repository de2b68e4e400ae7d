import BackupModel
import Foundation
import HTTP
import KubernetesClient
import KubernetesTestServer
import Synchronization
import Testing

@testable import BackupOperator

/// The operator ends before each of its changes, and is started again: what comes of it is the same.
@Suite(.serialized) struct KillTests {
    /// Counts changes of the operator, and refuses everything from one of them on, as for a process that is gone.
    final class Guillotine: Sendable {
        struct State: Sendable {
            var changes = 0
            var falls: Int?
            var isDead = false
        }

        let state = Mutex(State())

        func respond(to request: ServerRequest) -> ServerResponse? {
            guard request.headers["User-Agent"] == OperatorNames.fieldManager else { return nil }
            return state.withLock { state in
                // Events change nothing that counts.
                if request.method != "GET", !request.path.contains("events"), !state.isDead {
                    state.changes += 1
                    if state.changes == state.falls { state.isDead = true }
                }
                return state.isDead ? ServerResponse(500, headers: [:], body: .bytes([])) : nil
            }
        }

        var isDead: Bool { state.withLock { $0.isDead } }
        var changes: Int { state.withLock { $0.changes } }
        func revive() { state.withLock { $0 = State(changes: 0, falls: nil, isDead: false) } }
    }

    /// A cluster with its first backup, one on demand that is kept, one that is deleted.
    private func life(_ falls: Int?) async throws -> Int {
        let scene = Scene()
        try await scene.start()
        let guillotine = Guillotine()
        guillotine.state.withLock { $0.falls = falls }
        scene.server.set { $0.intercept = { request in guillotine.respond(to: request) } }
        let client = try scene.client("user")
        var count = 0
        do {
            try await with([{ try await scene.play() }, { try await keepRunning(scene, guillotine) }]) {
                try await scene.secret(client)
                try await scene.storage(client)
                try await scene.cluster(client, schedule: "0 0 1 1 *")
                try await eventually("the first backup") {
                    try await scene.backups(client).filter { $0.phase == .completed }.count == 1
                }
                for name in ["kept", "deleted"] {
                    var backup = KubernetesObject(StackGres.backups, namespace: "demo", name: name)
                    backup["spec"] = ["sgCluster": "pg"]
                    _ = try await client.create(StackGres.backups, backup)
                }
                try await eventually("those on demand") {
                    try await scene.backups(client).filter { $0.phase == .completed }.count == 3
                }
                try await client.delete(StackGres.backups, namespace: "demo", name: "deleted")
                try await eventually("the deletion") { try await scene.backups(client).count == 2 }
                try await eventually("all told") {
                    try await scene.condition(client, "LastBackupSucceeded")?["status"]?.string == "True"
                }
                let place = ObjectKey(namespace: "demo", name: "pg")
                #expect(scene.state.withLock { $0.made } == 3, "change \(falls ?? 0)")
                #expect(scene.state.withLock { $0.backups[place]?.count } == 2, "change \(falls ?? 0)")
                let lease = try await client.get(.leases, namespace: "demo", name: "pg-pg-backup-lock")
                #expect(lease["spec", "holderIdentity"]?.string == "", "change \(falls ?? 0)")
                count = guillotine.changes
            }
        } catch {
            let backups = (try? await scene.backups(client)) ?? []
            let jobs = (try? await client.list(.jobs).objects) ?? []
            let lease = try? await client.get(.leases, namespace: "demo", name: "pg-pg-backup-lock")
            let cluster = try? await client.get(StackGres.clusters, namespace: "demo", name: "pg")
            let told =
                backups.map { "\($0.object.name) \($0.object["status"]?.description ?? "")" }
                + jobs.map { "\($0.name) \($0["status"]?.description ?? "")" }
                + [lease?["spec"]?.description ?? "", cluster?["status", "conditions"]?.description ?? ""]
            await scene.server.stop()
            throw BackupError(.unknown, "change \(falls ?? 0): \(error); \(told.joined(separator: "\n"))")
        }
        await scene.server.stop()
        return count
    }

    func keepRunning(_ scene: Scene, _ guillotine: Guillotine) async throws {
        while !Task.isCancelled {
            let work = try scene.makeOperator()
            let task = Task { try await work.run() }
            await withTaskCancellationHandler {
                while !guillotine.isDead, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(5)) }
            } onCancel: {
                task.cancel()
            }
            task.cancel()
            _ = await task.result
            if guillotine.isDead { guillotine.revive() }
        }
    }

    @Test("killed before each change, and started again")
    func everywhere() async throws {
        let count = try await life(nil)
        #expect(count > 20)
        let all = ProcessInfo.processInfo.environment["PERMAFROST_ALL"] != nil
        for falls in stride(from: 1, through: count, by: all ? 1 : 8) { _ = try await life(falls) }
    }

    @Test("an API server that refuses, is slow, and cuts watches: it takes longer, and that is all")
    func badServer() async throws {
        let scene = Scene()
        try await scene.start()
        scene.server.set { behaviour in
            behaviour.intercept = { request in
                guard request.headers["User-Agent"] == OperatorNames.fieldManager else { return nil }
                switch Int.random(in: 0..<40) {
                case 0..<5: return ServerResponse(500, headers: [:], body: .bytes([]))
                case 5..<8: return ServerResponse(429, headers: ["Retry-After": "0"], body: .bytes([]))
                case 8..<11:
                    let conflict = #"{"kind": "Status", "reason": "Conflict", "message": "changed meanwhile"}"#
                    return ServerResponse(409, headers: [:], body: .bytes(Array(conflict.utf8)))
                case 11..<18: try? await Task.sleep(for: .milliseconds(30))
                default: break
                }
                return nil
            }
        }
        let client = try scene.client("user")
        let work = try scene.makeOperator()
        try await with([{ try await scene.play() }, { try await work.run() }]) {
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client)
            try await eventually("the first backup", .seconds(60)) {
                scene.server.cutWatches()
                try await Task.sleep(for: .milliseconds(100))
                return try await scene.backups(client).contains { $0.phase == .completed }
            }
            scene.server.compact()
            scene.server.cutWatches()
            scene.pass(300)
            try await eventually("the second", .seconds(60)) {
                try await scene.backups(client).filter { $0.phase == .completed }.count >= 2
            }
        }
        await scene.server.stop()
    }

    @Test("a backup is deleted while it runs: nothing of it is left")
    func deletedWhileRunning() async throws {
        let scene = Scene()
        try await scene.start()
        let client = try scene.client("user")
        let work = try scene.makeOperator()
        try await with([{ try await work.run() }]) {
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, schedule: nil)
            // Pods are played by hand: the Job's never ends.
            try await eventually("the database") {
                try await client.find(.statefulSets, namespace: "demo", name: "pg") != nil
            }
            let controllers = Task { try await scene.play() }
            try await eventually("the primary") {
                try await scene.condition(client, "RepositoryReady")?["status"]?.string == "True"
            }
            controllers.cancel()
            _ = await controllers.result
            var backup = KubernetesObject(StackGres.backups, namespace: "demo", name: "b")
            backup["spec"] = ["sgCluster": "pg"]
            _ = try await client.create(StackGres.backups, backup)
            try await eventually("its Job") {
                try await client.find(.jobs, namespace: "demo", name: "b-backup") != nil
            }
            try await client.delete(StackGres.backups, namespace: "demo", name: "b")
            // The API server of a cluster removes the finalizer of foreground deletion when the pods are gone.
            try await eventually("the Job goes") {
                guard var job = try await client.find(.jobs, namespace: "demo", name: "b-backup") else { return true }
                if job.isBeingDeleted {
                    job.finalizers = []
                    _ = try? await client.replace(.jobs, job)
                }
                return false
            }
            try await eventually("it is gone") {
                try await client.find(StackGres.backups, namespace: "demo", name: "b") == nil
            }
            let lease = try await client.find(.leases, namespace: "demo", name: "pg-pg-backup-lock")
            #expect(lease?["spec", "holderIdentity"]?.string ?? "" == "")
        }
        await scene.server.stop()
    }
}
