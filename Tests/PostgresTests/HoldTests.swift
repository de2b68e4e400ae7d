import TestSupport
import Testing

extension BackingUp {
    /// Backups that a user keeps beside the retention: held from their beginning.
    @Suite(.timeLimit(.minutes(10))) struct Hold {
        @Test("held backups, the WAL after them, and their end", arguments: Majors.rows(0))
        func hold(major: Int) async throws {
            for keepsAll in [true, false] {
                // Not in the file: pgBackRest reads it too.
                let archive = "--repo1-retention-hold-archive=\(keepsAll ? "y" : "n")"
                try await withSite(major, options: ["repo1-retention-full": "1"]) { site in
                    let cluster = site.cluster
                    try await cluster.query("CREATE TABLE mark (name text)")
                    let held = try await site.backup(["--annotation=hold=a user's", "--start-fast"])
                    try await cluster.query("INSERT INTO mark VALUES ('a')")
                    let name = try await cluster.value("SELECT pg_create_restore_point('after a')")
                    #expect(!name.isEmpty)
                    try await site.archive()
                    try await cluster.query("INSERT INTO mark VALUES ('b')")
                    try await site.archive()
                    var newest = ""
                    for _ in 0..<2 { newest = try await site.backup(["--start-fast", archive]) }
                    #expect(try site.labels() == [held, newest])
                    // It is consistent in any case; to a later time only where all WAL was kept.
                    let restored = try await site.restoreAndPromote(
                        to: "start", ["--set=\(held)", "--type=immediate", "--target-action=promote"])
                    #expect(try await restored.value("SELECT count(*) FROM mark") == "0")
                    try await restored.stop()
                    let later = ["--set=\(held)", "--type=name", "--target=after a", "--target-action=promote"]
                    if keepsAll {
                        let restored = try await site.restoreAndPromote(to: "later", later)
                        #expect(try await restored.value("SELECT string_agg(name, ',') FROM mark") == "a")
                        try await restored.stop()
                    } else {
                        #expect(try site.archived().count < 7)
                    }
                    // The user deletes them, the only one that is left too.
                    #expect(try await site.tool.run("expire", ["--set=\(held)"], expecting: 75).status == 75)
                    try await site.tool.run("expire", ["--set=\(held)", "--force"])
                    #expect(try site.labels() == [newest])
                    try await site.tool.run("expire", ["--set=\(newest)"], expecting: 75)
                    try await site.tool.run("expire", ["--set=\(newest)", "--force"])
                    #expect(try site.labels().isEmpty)
                    try await site.refereeAgrees()
                    try await site.backup()
                    try await site.requireRestorable("again")
                }
            }
        }
    }
}
