import BackupModel
import Foundation
import Glibc
import HTTP
import ObjectStorage
import RepositoryStorage
import TestSupport
import Testing

/// `repo-target-time`, on buckets that keep versions.
@Suite(.serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)))
struct PastTests {
    enum Place: String, CaseIterable { case s3, gcs, azure }
    private static let bucket = "versions"
    private static let servers: [Place: Result<ObjectServer, any Error>] = [
        .s3: Result {
            let server = try ObjectServer.moto(secure: true)
            try server.makeBucket(bucket)
            try server.keepVersions(bucket)
            return server
        },
        .gcs: Result { try ObjectServer.gcs(secure: true, versions: true, bucket: bucket) },
        .azure: Result { try ObjectServer.azure(secure: true, versions: true, container: bucket) },
    ]

    private static func server(_ place: Place) throws -> ObjectServer { try #require(servers[place]).get() }

    private static func service(_ place: Place, root: String) throws -> any VersionedObjectService {
        let server = try server(place)
        let origin = HTTPOrigin(host: "127.0.0.1", port: server.port)
        switch place {
        case .s3:
            var options = S3Options(bucket: bucket)
            options.root = root
            options.endpoint = try S3Endpoint(server.endpoint, port: nil)
            options.region = "us-east-1"
            options.style = .path
            return S3Servers.service(options, try BucketServers.transport(server))
        case .gcs:
            var options = GCSOptions(bucket: bucket)
            options.root = root
            options.endpoint = origin
            let authorizer = BearerAuthorizer(token: Secret(ObjectServer.accessToken))
            return GCSService(
                options, try BucketServers.transport(server), authorizer, BucketServers.retry, now: BucketServers.now)
        case .azure:
            var options = AzureOptions(account: ObjectServer.azureAccount, container: bucket)
            options.root = root
            options.endpoint = origin
            options.style = .path
            let authorizer = try SharedKeySignature(
                account: ObjectServer.azureAccount, key: Secret(ObjectServer.azureKey))
            return AzureService(
                options, try BucketServers.transport(server), authorizer, BucketServers.retry, now: BucketServers.now)
        }
    }

    /// The present second, when it is over: what happened before belongs to it, and nothing that happens after.
    private func endOfSecond() async throws -> Int64 {
        let second = Int64(time(nil))
        while Int64(time(nil)) == second { try await Task.sleep(for: .milliseconds(20)) }
        return second
    }

    @Test("a bucket as it was: what was written, overwritten and deleted since", arguments: Place.allCases)
    func store(_ place: Place) async throws {
        let service = try Self.service(place, root: "some where/\(UUID().uuidString)")
        let now = BucketStore(service)
        let names = ["a", "a-x", "a.copy", "e\u{301}", "\u{e9}", "z"] + (0..<20).map { "n\($0)" }
        let start = try await endOfSecond()
        for name in names { try await now.put("d/\(name)", "first \(name)") }
        // moto lists deletions behind versions, and tells seconds only.
        _ = try await endOfSecond()
        try await now.put("d/sub/x", "in sub")
        try await now.put("d/a", "again")
        try await now.delete(["d/z"])
        let first = try await endOfSecond()
        for name in names where name != "a" { try await now.put("d/\(name)", "second") }
        try await now.put("d/new/deep/x", "new")
        let second = try await endOfSecond()
        try await now.deleteTree("d")
        let third = try await endOfSecond()
        // moto shows directories of which nothing is left.
        let left = try await now.names("d").filter { $0 != "new" && $0 != "sub" }
        #expect(left == [])

        let sorted = (names + ["sub"]).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let then = PastStore(service, at: first)
        // Azure does not say when something was deleted.
        let firstNames = place == .azure ? sorted : sorted.filter { $0 != "z" }
        let listed = try await then.names("d").filter { $0 != "new" }
        #expect(listed.map { Array($0.utf8) } == firstNames.map { Array($0.utf8) })
        #expect(try await then.names("d", prefix: "a") == ["a", "a-x", "a.copy"])
        for name in names where name != "z" {
            let text = name == "a" ? "again" : "first \(name)"
            #expect(try await then.text("d/\(name)") == text)
            #expect(try await then.text("d/\(name)", 2..<4) == String(text.dropFirst(2).prefix(2)))
            let info = try await then.info("d/\(name)")
            #expect(info?.size == UInt64(text.utf8.count) && info?.kind == .object)
            #expect(((start + 1)...first).contains(info?.modified ?? 0))
        }
        if place != .azure {
            #expect(try await then.info("d/z") == nil)
            #expect(try await storageError { _ = try await then.text("d/z") }?.isMissing == true)
        }
        #expect(try await then.info("d")?.kind == .directory)
        #expect(try await then.info("d/sub")?.kind == .directory)
        #expect(try await then.info("d/new") == nil)
        #expect(try await then.info("d/new/deep/x") == nil)
        #expect(try await then.names("d/new/deep") == [])
        #expect(try await then.names("d/sub") == ["x"])

        let later = PastStore(service, at: second)
        #expect(try await later.text("d/z") == "second")
        #expect(try await later.text("d/a") == "again")
        #expect(try await later.names("d").count == names.count + 2)
        let before = PastStore(service, at: start)
        #expect(try await before.info("d") == nil)
        #expect(try await before.info("d/a") == nil)
        if place != .azure {
            let after = PastStore(service, at: third)
            #expect(try await after.info("d") == nil)
            #expect(try await after.info("d/a") == nil)
        }
    }

    private static func options(_ place: Place) throws -> [String: String] {
        let server = try server(place)
        let options = ["repo1-storage-ca-file": server.caFile, "repo1-path": "/some/where"]
        return switch place {
        case .s3: S3BackupTests.options(server, bucket: bucket)
        case .gcs:
            options.merging([
                "repo1-type": "gcs", "repo1-gcs-bucket": bucket, "repo1-gcs-endpoint": "127.0.0.1:\(server.port)",
                "repo1-gcs-key": server.accountFile,
            ]) { $1 }
        case .azure:
            options.merging([
                "repo1-type": "azure", "repo1-azure-account": ObjectServer.azureAccount,
                "repo1-azure-container": bucket, "repo1-azure-endpoint": "127.0.0.1", "repo1-azure-uri-style": "path",
                "repo1-storage-port": "\(server.port)", "repo1-azure-key": ObjectServer.azureKey,
            ]) { $1 }
        }
    }

    @Test(
        "all is expired and deleted, and restored as it was",
        .requires(.permafrost, .postgres(15), .pgBackRest("2.55")),
        arguments: Place.allCases)
    func commands(_ place: Place) async throws {
        try await withCluster(15) { cluster in
            // moto goes through all versions of all objects to list one.
            let options = try Self.options(place).merging(["repo1-bundle": "y"]) { $1 }
            let layout = try RepositoryLayout(for: cluster, options: options)
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 1)
            try await tool.run("backup", ["--type=full"])
            try await cluster.pgbench(transactions: 20)
            try await tool.run("backup", ["--type=incr"])
            try await cluster.pgbench(transactions: 20)
            let expected = try await cluster.dump()
            try await cluster.waitForArchived(try await cluster.switchWAL())
            let quiet = "--log-level-console=off"
            let listing = ["--recurse", "--output=json", quiet]
            let files = Self.files(try await tool.run("repo-ls", listing).stdout)
            let info = try await tool.run("info", [quiet]).stdout
            let formatter = ISO8601DateFormatter()
            let moment = formatter.string(from: Date(timeIntervalSince1970: Double(try await endOfSecond())))
            let past = [
                "--repo=1", "--repo-target-time=\(moment.replacing("T", with: " ").replacing("Z", with: "+00"))",
            ]

            // A mistaken expire, and then somebody who is thorough.
            try await cluster.pgbench(transactions: 20)
            try await tool.run("backup", ["--type=full", "--repo1-retention-full=1"])
            let info2 = try await tool.run("info", [quiet]).stdout
            #expect(info2 != info)
            try await Self.run(tool, "repo-rm", ["--recurse"], "archive")
            try await tool.run("stop")
            try await cluster.stop()
            try await tool.run("stanza-delete", ["--force"])
            try await tool.run("start")
            #expect(Self.files(try await tool.run("repo-ls", listing).stdout).isEmpty)

            #expect(try await tool.run("info", past + [quiet]).stdout == info)
            let then = Self.files(try await tool.run("repo-ls", past + listing).stdout)
            #expect(then.count == files.count)
            // Each tells which version it is.
            #expect(then.map { $0.replacing(/,"version":"[^"]+"/, with: "") } == files && !then.contains(files[0]))
            let theirs = try PgBackRest(version: "2.55", layout: layout)
            let others = Self.files(try await theirs.run("repo-ls", past + listing).stdout)
            // Its times are those of the versions that it looked at last.
            let time = /"time":[0-9]+,/
            #expect(others.map { $0.replacing(time, with: "") } == then.map { $0.replacing(time, with: "") })
            let infoFile = try await Self.run(tool, "repo-get", past + [quiet], "backup/main/backup.info").stdout
            #expect(infoFile.contains("[backup:current]"))
            try await tool.run("verify", past + ["--output=text"])
            try await tool.run("verify", past + ["--verify-budget=1m"], expecting: 31)
            let wrong = try await tool.run("info", ["--repo=1", "--repo-target-time=now"], expecting: 29)
            try wrong.says("'now' is not valid for 'repo-target-time' option")

            let elsewhere = try layout.changed(
                name: "elsewhere", stanzaOptions: ["pg1-path": layout.scratch.makeDirectory("restored")])
            try await tool.with(elsewhere).run("restore", past)
            let restored = try cluster.restored(at: layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.stop()
        }
    }

    @discardableResult
    private static func run(
        _ tool: Permafrost, _ command: String, _ options: [String], _ path: String
    ) async throws -> ProcessResult {
        try await ProcessRunner.run(
            tool.executable, ["--config=\(tool.layout.configFile)", command] + options + [path],
            asUser: ProcessRunner.serverUser, directory: tool.layout.scratch.path
        ).expecting(0)
    }

    /// The entries of `repo-ls --output=json` that are files, without our locks: those were deleted, which pgBackRest
    /// does not see with all services.
    private static func files(_ json: String) -> [String] {
        json.matches(of: /"[^"]+":\{[^}]*"type":"file"[^}]*\}/).map { String($0.output) }
            .filter { !$0.hasPrefix("\"permafrost/") }
    }
}
