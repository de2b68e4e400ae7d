import Foundation
import TestSupport
import Testing

/// Whole commands, ours and pgBackRest's by turns, on a repository in a bucket: over TLS with a certificate of an
/// authority of our own, signatures checked.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(20)),
    .requires(.permafrost, .postgres(15), .pgBackRest("2.55")))
struct S3BackupTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var major: Int
        var options: [String: String]
        var weBegin = true
        var testDescription: String { "PostgreSQL \(major), \(weBegin ? "ours" : "theirs") first" }
    }
    static let rows = [
        Row(major: 15, options: ["compress-type": "none"]),
        Row(
            major: 17,
            options: [
                "compress-type": "zst", "repo1-bundle": "y", "repo1-block": "y", "repo1-cipher-type": "aes-256-cbc",
                "repo1-cipher-pass": "correct horse", "process-max": "2",
            ], weBegin: false),
    ].filter { TestRequirement.required([.postgres($0.major)]) && (TestRequirement.runsAll || $0.major == 17) }

    static func options(_ server: ObjectServer, bucket: String) -> [String: String] {
        [
            "repo1-type": "s3", "repo1-s3-bucket": bucket, "repo1-s3-endpoint": "127.0.0.1",
            "repo1-storage-port": "\(server.port)", "repo1-storage-ca-file": server.caFile,
            "repo1-s3-region": "us-east-1", "repo1-s3-uri-style": "path", "repo1-s3-key": ObjectServer.accessKey,
            "repo1-s3-key-secret": ObjectServer.secretKey, "repo1-path": "/some/where",
        ]
    }

    @Test("each goes on with the other's chain, and either restores it", arguments: rows)
    func turns(_ row: Row) async throws {
        let server = try S3Servers.server(.s3rcloneTLS)
        let bucket = "backup-\(row.major)"
        try server.makeBucket(bucket)
        try await takeTurns(
            row.major, options: Self.options(server, bucket: bucket).merging(row.options) { $1 }, weBegin: row.weBegin)
        #expect(
            !FileManager.default.fileExists(atPath: "\(server.directory)/data/\(bucket)/some/where/backup/main"))
    }

    @Test("what is wrong with the bucket is said in words, and no secret with it")
    func wrongs() async throws {
        let server = try S3Servers.server(.s3rcloneTLS)
        try await withCluster(15) { cluster in
            let good = Self.options(server, bucket: S3Servers.bucket).merging(["io-timeout": "1s"]) { $1 }
            let cases: [([String: String], String)] = [
                (["repo1-s3-bucket": "no-such-bucket"], "create bucket 'no-such-bucket'"),
                (["repo1-s3-key-secret": "AnotherSecretThatIsWrongForThisServer000"], "SignatureDoesNotMatch"),
                (["repo1-storage-ca-file": "/etc/ssl/certs/ca-certificates.crt"], "repo-storage-ca-file"),
                (["repo1-storage-ca-file": "/nonexistent"], "'/nonexistent'"),
                (["repo1-storage-port": "1"], "no connection to 127.0.0.1:1"),
                (["repo1-s3-endpoint": "a b"], "'a b' is no address"),
                (["tls-cipher-12": "NONSENSE"], "'NONSENSE' is not valid for 'tls-cipher-12'"),
            ]
            for (index, (options, words)) in cases.enumerated() {
                let layout = try RepositoryLayout(
                    for: cluster, stanza: "wrong\(index)", options: good.merging(options) { $1 })
                let result = try await Permafrost(layout: layout).run("stanza-create", expecting: nil)
                #expect(result.status != 0 && "\(result)".contains(words), "\(words): \(result)")
                #expect(!"\(result)".contains(ObjectServer.secretKey) && !"\(result)".contains("Signature="))
            }
            let careless = try RepositoryLayout(
                for: cluster, stanza: "careless",
                options: good.merging(["repo1-storage-ca-file": "", "repo1-storage-verify-tls": "n"]) { $1 }
                    .filter { !$0.value.isEmpty })
            let result = try await Permafrost(layout: careless).run("stanza-create")
            #expect("\(result)".contains("certificates of repo1's object store are not checked"))
        }
    }
}
