import Foundation
import HTTP
import KubernetesClient
import KubernetesTestServer
import Testing

@testable import BackupOperator

/// The program itself, with five hundred clusters to look after; a hundred and fifty, without `PERMAFROST_ALL=1`.
@Suite(.serialized) struct ManyClustersTests {
    private static let program: String =
        ProcessInfo.processInfo.environment["PERMAFROST_BIN"]
        ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "bin/permafrost").path

    private static let (clusters, mostMemory) =
        ProcessInfo.processInfo.environment["PERMAFROST_ALL"] == nil ? (150, 80 << 20) : (500, 200 << 20)

    @Test(
        "many clusters with schedules: 500 under 200 MiB, and under a tenth of a core at rest",
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: program)
                || ProcessInfo.processInfo.environment["CI"] != nil))
    func many() async throws {
        let scene = Scene()
        try await scene.start()
        let client = try scene.client("user")
        try await scene.secret(client)
        try await scene.storage(client)
        for number in 0..<Self.clusters { try await scene.cluster(client, name: "pg\(number)", schedule: "17 3 1 1 *") }
        let folder = FileManager.default.temporaryDirectory.appending(path: "many-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let kubeconfig = folder.appending(path: "kubeconfig")
        try """
        apiVersion: v1
        kind: Config
        clusters: [{name: a, cluster: {server: "http://127.0.0.1:\(scene.server.port)"}}]
        users: [{name: a, user: {}}]
        contexts: [{name: a, context: {cluster: a, user: a}}]
        current-context: a
        """.write(to: kubeconfig, atomically: true, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(filePath: Self.program)
        process.arguments = [
            "operator", "--operator-namespace=demo", "--monitor-port=\(Int.random(in: 20000...30000))", "--image-tag=1",
            "--log-level-console=warn", "--log-level-file=off",
        ]
        process.environment = ["KUBECONFIG": kubeconfig.path, "PATH": "/usr/bin:/bin"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            process.terminate()
            process.waitUntilExit()
        }
        try await eventually("all objects", .seconds(300)) {
            try await Task.sleep(for: .milliseconds(500))
            let made = try await client.list(.deployments, namespace: "demo").objects.count
            let backups = try await client.list(StackGres.backups, namespace: "demo").objects.count
            return made == Self.clusters && backups == Self.clusters
        }
        // Until what it has made itself has come back by the watches, it is not at rest.
        var used = 1.0
        for _ in 0..<12 where used >= 0.1 {
            let before = try Self.ticks(process.processIdentifier)
            try await Task.sleep(for: .seconds(10))
            used = Double(try Self.ticks(process.processIdentifier) - before) / 100 / 10
        }
        let memory = try Self.memory(process.processIdentifier)
        print("operator with \(Self.clusters) clusters: \(memory >> 20) MiB, \(Int(used * 1000) / 10) % of a core")
        #expect(memory < Self.mostMemory)
        #expect(used < 0.1)
        await scene.server.stop()
    }

    /// User and system, in hundredths of a second.
    private static func ticks(_ process: Int32) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let fields = text.drop { $0 != ")" }.split(separator: " ")
        return (Int(fields[12]) ?? 0) + (Int(fields[13]) ?? 0)
    }

    private static func memory(_ process: Int32) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
        return (Int(line.split(separator: " ").dropFirst().first.map(String.init) ?? "0") ?? 0) << 10
    }
}
