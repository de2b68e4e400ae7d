import Foundation
import TestSupport
import Testing

/// Two hosts that back one stanza up into one bucket: each has locks of its own, so that nothing but the lock object in
/// the bucket stands between them.
@Suite(
    .serialized, .keepsScratchOnFailure, .timeLimit(.minutes(15)), .requires(.permafrost, .postgres(15)))
struct TwoHostsTests {
    enum Place: String, CaseIterable {
        /// Heed conditions.
        case moto, gcs, azure
        /// Heeds none: the lock is written and read again.
        case rclone

        func options() throws -> [String: String] {
            switch self {
            case .moto:
                let server = try S3Servers.server(.s3moto)
                var options = S3BackupTests.options(server, bucket: S3Servers.bucket)
                options["repo1-storage-ca-file"] = nil
                options["repo1-s3-endpoint"] = server.endpoint
                return options
            case .rclone: return S3BackupTests.options(try S3Servers.server(.s3rcloneTLS), bucket: S3Servers.bucket)
            case .gcs: return try GCSAzureBackupTests.options(.gcsAccount)
            case .azure: return try GCSAzureBackupTests.options(.azureKey)
            }
        }
    }
    static let rows = TestRequirement.runsAll ? Place.allCases : [.moto]

    @Test("one gets through, the others are told who has it; a dead one's lock is taken over", arguments: rows)
    func oneAtATime(_ place: Place) async throws {
        try await withCluster(15) { cluster in
            let options = try place.options().merging([
                "repo1-path": "/two-hosts-\(place)", "compress-type": "none", "rate-limit-network": "8MiB",
            ]) { $1 }
            let layout = try RepositoryLayout(for: cluster, options: options)
            let tool = try Permafrost(layout: layout)
            try await tool.run("stanza-create")
            try await tool.archive(from: cluster)
            let hosts = try (1...3).map { host in
                tool.with(
                    try layout.changed(
                        name: "host\(host)", options: ["lock-path": layout.scratch.makeDirectory("lock\(host)")]))
            }
            let runs = try hosts.map { try $0.start("backup", ["--type=full"]) }
            var results: [ProcessResult] = []
            for run in runs { results.append(try await run.wait()) }
            #expect(results.filter { $0.status == 0 }.count == 1, "\(results)")
            for result in results where result.status != 0 {
                try result.expecting(50).says("unable to acquire the lock of stanza 'main' in repo1")
            }
            try await tool.run("verify")

            // Not after its time is over, but at once: its process is known to be gone.
            let running = try hosts[0].start("backup", ["--type=full"])
            try await waitFor("the lock object") {
                try await listing(tool).contains("permafrost/main/lock")
            }
            try await hosts[1].run("backup", ["--type=full"], expecting: 50)
            running.signal(SIGKILL)
            _ = try await running.wait()
            try await hosts[1].run("backup", ["--type=full"])
            try await tool.run("verify")
            #expect(try await !listing(tool).contains("permafrost/main/lock"))
        }
    }

    private func listing(_ tool: Permafrost) async throws -> String {
        try await tool.run("repo-ls", ["--recurse", "--log-level-console=off"]).stdout
    }
}
