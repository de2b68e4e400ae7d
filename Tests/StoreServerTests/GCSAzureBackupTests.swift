import Foundation
import TestSupport
import Testing

/// Whole commands, ours and pgBackRest's by turns, on repositories in Google Cloud Storage and Azure Blob: over TLS with
/// a certificate of an authority of our own, credentials checked.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(25)),
    .requires(.permafrost, .postgres(15), .pgBackRest("2.55")))
struct GCSAzureBackupTests {
    /// Takes all that it is sent: pgBackRest expects that.
    private static let gcs = Result { try ObjectServer.gcs(secure: true, bucket: BucketServers.bucket) }

    enum Place: String, CaseIterable { case gcsAccount, gcsFake, azureKey, azureSignature }

    struct Row: Sendable, CustomTestStringConvertible {
        var place: Place
        var major: Int
        var options: [String: String]
        var weBegin = true
        var testDescription: String { "\(place), PostgreSQL \(major), \(weBegin ? "ours" : "theirs") first" }
    }
    private static let everything = [
        "compress-type": "zst", "repo1-bundle": "y", "repo1-block": "y", "repo1-cipher-type": "aes-256-cbc",
        "repo1-cipher-pass": "correct horse", "process-max": "2",
    ]
    static let rows = [
        Row(place: .gcsAccount, major: 17, options: everything, weBegin: false),
        // It names uploads in parts otherwise than Google does, and pgBackRest does not find the name.
        Row(
            place: .gcsFake, major: 15,
            options: ["compress-type": "none", "repo1-storage-upload-chunk-size": "64MiB"]),
        Row(place: .azureKey, major: 15, options: ["compress-type": "none"]),
        Row(place: .azureSignature, major: 17, options: everything, weBegin: false),
    ].filter { row in
        TestRequirement.required([.postgres(row.major)])
            && (TestRequirement.runsAll || [.gcsAccount, .azureKey].contains(row.place))
    }

    static func options(_ place: Place) throws -> [String: String] {
        let server: ObjectServer
        var options: [String: String]
        switch place {
        case .gcsAccount:
            server = try gcs.get()
            options = ["repo1-gcs-key": server.accountFile]
        case .gcsFake:
            server = try ObjectServer.fakeGCS(secure: true)
            try BucketServers.makeBucket(server, BucketServers.bucket)
            options = ["repo1-gcs-key-type": "token", "repo1-gcs-key": "any"]
        case .azureKey:
            server = try BucketServers.azure.get()
            options = ["repo1-azure-key": ObjectServer.azureKey]
        case .azureSignature:
            server = try BucketServers.azure.get()
            options = [
                "repo1-azure-key-type": "sas", "repo1-azure-key": try BucketServers.signature("racwdl"),
            ]
        }
        options["repo1-storage-ca-file"] = server.caFile
        options["repo1-path"] = "/some/\(place)"
        if [.gcsAccount, .gcsFake].contains(place) {
            return options.merging([
                "repo1-type": "gcs", "repo1-gcs-bucket": BucketServers.bucket,
                "repo1-gcs-endpoint": "127.0.0.1:\(server.port)",
            ]) { $1 }
        }
        return options.merging([
            "repo1-type": "azure", "repo1-azure-account": ObjectServer.azureAccount,
            "repo1-azure-container": BucketServers.bucket, "repo1-azure-endpoint": "127.0.0.1",
            "repo1-azure-uri-style": "path", "repo1-storage-port": "\(server.port)",
        ]) { $1 }
    }

    @Test("each goes on with the other's chain, and either restores it", arguments: rows)
    func turns(_ row: Row) async throws {
        try await takeTurns(
            row.major, options: try Self.options(row.place).merging(row.options) { $1 }, weBegin: row.weBegin)
    }

    @Test("what is wrong is said in words, and no secret with it")
    func wrongs() async throws {
        let azure = try Self.options(.azureKey)
        let gcs = try Self.options(.gcsAccount)
        let secrets = [
            ObjectServer.azureKey, "d3Jvbmcga2V5", "Signature=", "sig=", "PRIVATE KEY", "ya29.", "SharedKey ",
        ]
        let expired = try BucketServers.signature("racwdl", hours: -1)
        let readOnly = try BucketServers.signature("rl")
        let cases: [([String: String], [String: String], String)] = [
            (azure, ["repo1-azure-container": "none"], "create container 'none'"),
            (azure, ["repo1-azure-key": "d3Jvbmcga2V5"], "check repo1-azure-account, repo1-azure-key"),
            (azure, ["repo1-azure-key": "?sv=1"], "is no base64"),
            (azure, ["repo1-azure-key-type": "sas"], "repo-azure-key-type=shared"),
            (
                azure, ["repo1-azure-key-type": "sas", "repo1-azure-key": expired],
                "the shared access signature is not good yet, or not any more"
            ),
            (azure, ["repo1-azure-key-type": "sas", "repo1-azure-key": readOnly], "needs the permission 'write'"),
            (azure, ["repo1-storage-ca-file": "/etc/ssl/certs/ca-certificates.crt"], "repo-storage-ca-file"),
            (gcs, ["repo1-gcs-bucket": "none"], "create bucket 'none'"),
            (gcs, ["repo1-gcs-key-type": "token", "repo1-gcs-key": "ya29.another"], "check the key or the token"),
            (gcs, ["repo1-gcs-key": "/nonexistent"], "'/nonexistent'"),
            (gcs, ["repo1-gcs-key": "/etc/hostname"], "'/etc/hostname' is no key file of Google's"),
            (gcs, ["repo1-gcs-endpoint": "127.0.0.1:1"], "no connection to 127.0.0.1:1"),
        ]
        try await withCluster(15) { cluster in
            for (index, (options, change, words)) in cases.enumerated() {
                let layout = try RepositoryLayout(
                    for: cluster, stanza: "wrong\(index)",
                    options: options.merging(["io-timeout": "1s"]) { $1 }.merging(change) { $1 })
                let result = try await Permafrost(layout: layout).run("stanza-create", expecting: nil)
                #expect(result.status != 0 && "\(result)".contains(words), "\(words): \(result)")
                for secret in secrets where !result.command.contains(secret) {
                    #expect(!result.stdout.contains(secret) && !result.stderr.contains(secret), "\(result)")
                }
            }
        }
    }
}
