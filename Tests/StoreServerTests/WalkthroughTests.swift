import Foundation
import TestSupport
import Testing

/// A bucket, a user and its key, made by AWS's own client as the StackGres tutorial does it, and then our commands with
/// that key: moto lets it do what the user's policy allows and nothing else.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(15)), .requires(.permafrost, .postgres(15)))
struct WalkthroughTests {
    private static let bucket = "backup-bucket"
    private static let onBucket = ["s3:ListBucket", "s3:GetBucketLocation"]
    private static let onObjects = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]

    /// AWS, as its owner and as the user whose key the tutorial makes.
    private struct Cloud {
        let server: ObjectServer
        let scratch: ScratchDirectory
        var key = ""
        var secret = ""

        init(_ scratch: ScratchDirectory) async throws {
            server = try ObjectServer.moto()
            self.scratch = scratch
            try await putPolicy(WalkthroughTests.onBucket, WalkthroughTests.onObjects, creating: true)
            let made = try await aws(
                ["--output", "json", "iam", "create-access-key", "--user-name", "stackgres-s3-user"])
            let answer = try #require(JSONSerialization.jsonObject(with: Data(made.output)) as? [String: [String: Any]])
            key = try #require(answer["AccessKey"]?["AccessKeyId"] as? String)
            secret = try #require(answer["AccessKey"]?["SecretAccessKey"] as? String)
            try await aws(["s3", "mb", "s3://\(WalkthroughTests.bucket)"])
            try await enforce(true)
        }

        /// Gives the user these permissions and no other.
        func putPolicy(_ onBucket: [String], _ onObjects: [String], creating: Bool = false) async throws {
            try await enforce(false)
            if creating { try await aws(["iam", "create-user", "--user-name", "stackgres-s3-user"]) }
            // A statement without an action is none.
            func statement(_ actions: [String], _ resource: String) -> [[String: Any]] {
                actions.isEmpty
                    ? [] : [["Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::\(resource)"]]]
            }
            let policy: [String: Any] = [
                "Version": "2012-10-17",
                "Statement": statement(onBucket, WalkthroughTests.bucket)
                    + statement(onObjects, "\(WalkthroughTests.bucket)/*"),
            ]
            let text = String(decoding: try JSONSerialization.data(withJSONObject: policy), as: UTF8.self)
            try await aws([
                "iam", "put-user-policy", "--user-name", "stackgres-s3-user", "--policy-name",
                "stackgres-s3-user-policy", "--policy-document", text,
            ])
            if !creating { try await enforce(true) }
        }

        /// From here on the server looks at signatures and policies, or not.
        private func enforce(_ isOn: Bool) async throws {
            try await ProcessRunner.run(
                "/usr/bin/curl",
                [
                    "-sSf", "-H", "Content-Type: text/plain", "-d", isOn ? "0" : "1000000",
                    "\(server.endpoint)/moto-api/reset-auth",
                ]
            ).expecting(0)
        }

        @discardableResult
        func aws(_ arguments: [String], asUser: Bool = false) async throws -> ProcessResult {
            try await ProcessRunner.run(
                try ObjectServer.program("aws"), arguments,
                environment: [
                    "AWS_ENDPOINT_URL": server.endpoint, "AWS_DEFAULT_REGION": "eu-central-1", "HOME": scratch.path,
                    "AWS_ACCESS_KEY_ID": asUser ? key : "owner", "AWS_SECRET_ACCESS_KEY": asUser ? secret : "owner",
                ]
            ).expecting(0)
        }

        /// No region: the bucket is asked where it lies, as the policy allows.
        var options: [String: String] {
            [
                "repo1-type": "s3", "repo1-s3-bucket": WalkthroughTests.bucket, "repo1-s3-endpoint": server.endpoint,
                "repo1-s3-uri-style": "path", "repo1-s3-key": key, "repo1-s3-key-secret": secret,
                "repo1-path": "/main", "repo1-storage-upload-chunk-size": "5MiB", "compress-type": "none",
            ]
        }
    }

    @Test("all that backups are needs the policy of the tutorial and nothing else")
    func wholeLife() async throws {
        try await withCluster(15) { cluster in
            let cloud = try await Cloud(cluster.scratch)
            let layout = try RepositoryLayout(for: cluster, options: cloud.options)
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await tool.run("check").says("repo1: list, write, read and delete work in its store")
            // Tables of more than one part.
            try await cluster.pgbench(scale: 2)
            try await tool.run("backup", ["--type=full"])
            try await cluster.pgbench(transactions: 20)
            try await tool.run("backup", ["--type=incr", "--repo1-bundle"])
            try await tool.run("verify")
            let expected = try await cluster.dump()
            try await cluster.waitForArchived(try await cluster.switchWAL())
            let elsewhere = try layout.changed(
                name: "elsewhere", stanzaOptions: ["pg1-path": layout.scratch.makeDirectory("restored")])
            try await tool.with(elsewhere).run("restore")
            let restored = try cluster.restored(at: layout.scratch.subpath("restored"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.stop()
            try await tool.run("backup", ["--type=full"])
            let expired = try await tool.run("expire", ["--repo1-retention-full=1"])
            #expect(!expired.stdout.contains("WARN"), "\(expired)")
            let listing = try await cloud.aws(["s3", "ls", "--recursive", "s3://\(Self.bucket)/"], asUser: true).stdout
            let sets = Set(listing.matches(of: /main\/backup\/main\/([0-9]{8}-[^\/]+)\//).map { $0.output.1 })
            #expect(sets.count == 1, "\(listing)")
            try await tool.run("stop")
            try await cluster.stop()
            try await tool.run("stanza-delete", ["--force"])
            try await tool.run("start")
        }
    }

    @Test("check names the permission that is missing")
    func missingPermissions() async throws {
        try await withCluster(15) { cluster in
            let cloud = try await Cloud(cluster.scratch)
            let layout = try RepositoryLayout(
                for: cluster, options: cloud.options.merging(["repo1-s3-region": "eu-central-1"]) { $1 })
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            for permission in ["s3:ListBucket", "s3:PutObject", "s3:GetObject", "s3:DeleteObject"] {
                try await cloud.putPolicy(
                    Self.onBucket.filter { $0 != permission }, Self.onObjects.filter { $0 != permission })
                let result = try await tool.run("check", expecting: 105)
                try result.says("the key needs the permission \(permission) on arn:aws:s3:::\(Self.bucket)")
                #expect(!"\(result)".contains(cloud.secret))
            }
            try await cloud.putPolicy(Self.onBucket, [])
            let result = try await tool.run("check", expecting: 105)
            try result.says("which is to write, read, delete: ")
            for permission in Self.onObjects { try result.says("the permission \(permission) on") }

            // Where nobody says where the bucket lies, and it must not be asked.
            let elsewhere = try RepositoryLayout(for: cluster, stanza: "main", options: cloud.options)
            try await cloud.putPolicy(["s3:ListBucket"], Self.onObjects)
            try await tool.with(elsewhere).run("check", expecting: nil).says("set repo1-s3-region")
            try await cloud.putPolicy(Self.onBucket, Self.onObjects)
            try await tool.run("check").says("successfully archived")
        }
    }

    /// Uploads in parts of a killed run are ended by the next, by notes on this host; where that is refused, a warning
    /// says what else ends them.
    @Test(
        "no part of a killed run stays, or it is said how to be rid of it",
        arguments: TestRequirement.runsAll ? [true, false] : [false])
    func killedUploads(mayAbort: Bool) async throws {
        try await withCluster(15) { cluster in
            let cloud = try await Cloud(cluster.scratch)
            let rights = Self.onObjects + (mayAbort ? ["s3:AbortMultipartUpload"] : [])
            try await cloud.putPolicy(Self.onBucket, rights)
            let layout = try RepositoryLayout(for: cluster, options: cloud.options)
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            try await cluster.pgbench(scale: 3)
            let running = try tool.start("backup", ["--type=full", "--rate-limit-network=4MiB"])
            try await waitFor("an upload in parts", timeout: .seconds(60)) {
                try FileManager.default.contentsOfDirectory(atPath: layout.lockPath)
                    .filter { $0.hasSuffix(".uploads") }
                    .contains { try !String(contentsOfFile: "\(layout.lockPath)/\($0)", encoding: .utf8).isEmpty }
            }
            running.signal(SIGKILL)
            _ = try await running.wait()
            func uploads() async throws -> Int {
                try await cloud.putPolicy(Self.onBucket + ["s3:ListBucketMultipartUploads"], rights)
                let text = try await cloud.aws(
                    ["s3api", "list-multipart-uploads", "--bucket", Self.bucket, "--output", "json"], asUser: true
                ).stdout
                try await cloud.putPolicy(Self.onBucket, rights)
                return text.matches(of: /"UploadId"/).count
            }
            #expect(try await uploads() > 0)
            let result = try await tool.run("backup", ["--type=full"])
            #expect(result.stdout.contains("AbortIncompleteMultipartUpload") != mayAbort, "\(result)")
            #expect(try await (uploads() > 0) != mayAbort)
            try await tool.run("verify")
        }
    }
}
