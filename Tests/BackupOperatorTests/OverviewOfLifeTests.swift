import BackupModel
import HTTP
import KubernetesClient
import KubernetesTestServer
import Testing

@testable import BackupOperator

/// What the plugin tells of clusters that the operator looks after, and what the operator makes of its objects.
struct OverviewOfLifeTests {
    @Test("a backup that was asked for is made, shown, and restored from")
    func life() async throws {
        let scene = Scene()
        try await scene.start()
        do {
            let client = try scene.client("user")
            try await scene.secret(client)
            try await scene.storage(client)
            try await scene.cluster(client, retention: 3)
            let work = try scene.makeOperator()
            try await with([{ try await work.run() }, { try await scene.play() }]) {
                try await eventually("the first backup") {
                    try await scene.backups(client).contains { $0.phase == .completed }
                }
                scene.pass(5)
                let before = try await overview(client, scene)
                let order = try BackupOrder(repository: "backupconfig1").manifest(of: before)
                let made = try await client.create(StackGres.backups, order)
                try await eventually("the backup") {
                    let object = try await client.get(StackGres.backups, namespace: "demo", name: made.name)
                    return RunProgress(backup: object, .stackGres).progress == .complete
                }
                try await eventually("all is told") {
                    let now = try await overview(client, scene)
                    return now.state == "ready" && now.concerns.isEmpty && now.repositories.first?.backups == 2
                }
                let after = try await overview(client, scene)
                let backup = try #require(after.backups.first { $0.name == made.name })
                #expect(backup.progress == .complete && backup.repository == "repo1" && backup.type == "full")
                #expect(backup.label != nil && backup.end != nil && backup.size == 4_000_000)
                let repository = try #require(after.repositories.first)
                #expect(repository.name == "repo1" && repository.storage == "backupconfig1")
                #expect(repository.isReady == true && repository.lastRestorable != nil)
                #expect(repository.place?.hasPrefix("s3 bucket/sgbackups.stackgres.io/demo/pg/") == true)
                guard case .working(let segment, _) = after.archiving else {
                    Issue.record("\(after.archiving)")
                    return
                }
                #expect(segment == "000000010000000000000003")
                #expect(after.schedules.first?.next != nil && after.primary != nil)
                for line in after.text(now: scene.now).split(separator: "\n") {
                    #expect(line.count <= Help.width, "\(line)")
                }

                let object = try await client.get(StackGres.clusters, namespace: "demo", name: "pg")
                let outlook = try RestoreOutlook(
                    RestoreOrder(backup: made.name, newName: "again"), after, object, now: scene.now)
                _ = try await client.create(StackGres.clusters, outlook.manifest)
                try await eventually("the operator takes the new cluster") {
                    let taken = try await client.get(StackGres.clusters, namespace: "demo", name: "again")
                    let run = RunProgress(newCluster: taken)
                    if run.progress == .failed { throw BackupError(.unknown, run.message ?? "") }
                    return run.progress != .waiting
                }
            }
        } catch {
            await scene.server.stop()
            throw error
        }
        await scene.server.stop()
    }

    private func overview(_ client: KubernetesClient, _ scene: Scene) async throws -> ClusterOverview {
        let storages = try await client.list(StackGres.storages, namespace: "demo").objects
        return ClusterOverview(
            .stackGres, try await client.get(StackGres.clusters, namespace: "demo", name: "pg"),
            backups: try await client.list(StackGres.backups, namespace: "demo").objects,
            storages: Dictionary(storages.map { ($0.name, $0) }) { $1 }, now: scene.now, zones: { _ in .utc })
    }
}
