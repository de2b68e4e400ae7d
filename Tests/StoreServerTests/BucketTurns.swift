import TestSupport
import Testing

/// Ours and pgBackRest by turns on one repository in a bucket: each goes on with the other's chain, and either restores
/// it; then ours expires and deletes it.
func takeTurns(
    _ major: Int, options: [String: String], weBegin: Bool
) async throws {
    try await withCluster(major) { cluster in
        let layout = try RepositoryLayout(for: cluster, options: options)
        let ours = try Permafrost(layout: layout, alias: true)
        // 2.45 hangs by itself on TLS as these servers speak it, with a repository of its own too.
        let theirs = try PgBackRest(version: "2.55", layout: layout)
        if weBegin { try await ours.run("stanza-create") } else { try await theirs.run("stanza-create") }
        try await ours.archive(from: cluster)
        try await ours.run("check")
        try await theirs.run("check")
        // Tables of more than one part.
        try await cluster.pgbench(scale: 2)
        for (round, type) in ["full", "incr", "diff", "incr"].enumerated() {
            try await cluster.pgbench(transactions: 20)
            if (round % 2 == 0) == weBegin {
                let result = try await ours.run("backup", ["--type=\(type)"])
                #expect(result.stdout.contains(" requests, 0 retries, "), "\(result)")
            } else {
                try await theirs.run("backup", ["--type=\(type)"])
            }
        }
        #expect(try await labels(ours) == labels(theirs))
        #expect(try await labels(ours).count == 4)
        let verified = try await theirs.run("verify", ["--output=text", "--verbose"])
        #expect(verified.stdout.contains("status: ok"), "\(verified)")
        try await ours.run("verify")

        let expected = try await cluster.dump()
        let segment = try await cluster.switchWAL()
        try await cluster.waitForArchived(segment)
        for (name, tool) in [("ours", ours as any BackupTool), ("theirs", theirs)] {
            let elsewhere = try layout.changed(
                name: name, stanzaOptions: ["pg1-path": layout.scratch.makeDirectory("\(name)-data")])
            try await restore(tool, elsewhere)
            let restored = try cluster.restored(at: layout.scratch.subpath("\(name)-data"))
            try await restored.start()
            try await restored.waitForRecoveryEnd()
            #expect(try await restored.dump() == expected)
            try await restored.stop()
        }

        try await ours.run("backup", ["--type=full"])
        try await ours.run("expire", ["--repo1-retention-full=1"])
        #expect(try await labels(theirs).count == 1)
        #expect(try await labels(ours) == labels(theirs))
        try await theirs.run("check")
        // What it expires, we do not miss.
        try await theirs.run("backup", ["--type=full"])
        try await theirs.run("expire", ["--repo1-retention-full=1"])
        #expect(try await labels(ours).count == 1)
        try await ours.run("verify")
        let listing = try await ours.run("repo-ls", ["--recurse", "--log-level-console=off"]).stdout
        #expect(listing.contains("/backup.manifest") && !listing.contains(".uploads"))
        try await ours.run("stop")
        try await cluster.stop()
        try await ours.run("stanza-delete", ["--force"])
        let left = try await ours.run("repo-ls", ["--recurse", "--log-level-console=off"]).stdout
        #expect(!left.contains("backup/main") && !left.contains("archive/main"), "\(left)")
    }
}

private func restore(_ tool: some BackupTool, _ layout: RepositoryLayout) async throws {
    try await tool.with(layout).run("restore")
}

/// The backups that a program lists.
private func labels(_ tool: some BackupTool) async throws -> [String] {
    let output = try await tool.run("info", ["--output=json", "--log-level-console=off"]).stdout
    return output.matches(of: /"label":"([0-9FDI_-]+)"/).map { String($0.output.1) }
}
