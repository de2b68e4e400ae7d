import Foundation
import Glibc
import TestSupport
import Testing

extension Restoring {
    /// A repository on a file system that runs full: a tmpfs, which only root can mount.
    @Suite(.timeLimit(.minutes(10)), .enabled(if: geteuid() == 0 || TestRequirement.isCI, "mounting needs root"))
    struct FullRepository {
        @Test("told as such, harmless to what is there, over when there is room", arguments: Majors.rows(0))
        func full(major: Int) async throws {
            try await withCluster(major) { cluster in
                let scratch = cluster.scratch
                // A size that holds one backup and a few segments.
                let layout = try RepositoryLayout(
                    for: cluster, options: ["compress-type": "lz4", "archive-timeout": "20"])
                let repository = layout.repositoryPaths[0]
                try await mount(["-t", "tmpfs", "-o", "size=32m,mode=0777", "tmpfs", repository])
                scratch.atEnd { _ = try? await ProcessRunner.run("umount", ["-l", repository]) }
                let site = try Site(cluster: cluster, layout: layout, tool: Permafrost(layout: layout))
                try await site.tool.run("stanza-create")
                try await site.tool.archive(from: cluster)
                try await site.write(100)
                let first = try await site.backup()
                try await site.refereeAgrees()

                // A file that WAL does not carry, which no compression makes smaller.
                let large = "\(cluster.dataDirectory)/large"
                try await asServerUser("dd", ["if=/dev/urandom", "of=\(large)", "bs=1M", "count=48", "status=none"])
                for _ in 0..<2 {
                    let failed = try await site.tool.run("backup", ["--type=full"], expecting: 64)
                    #expect(failed.log.contains("full") && failed.log.contains("large"), "\(failed)")
                    #expect(try site.labels() == [first])
                    try await site.refereeAgrees()
                }
                // A backup that failed does not keep the room that WAL needs.
                try await site.write(100)

                // dd ends with an error when the last block does not fit.
                _ = try await ProcessRunner.run(
                    "dd", ["if=/dev/zero", "of=\(repository)/filler", "bs=4k", "status=none"],
                    asUser: ProcessRunner.serverUser)
                try await cluster.query("INSERT INTO t (i) SELECT generate_series(1, 1000)")
                try await cluster.setArchiveCommand("")
                let segment = try await cluster.switchWAL()
                let failed = try await site.tool.push("pg_wal/\(segment)", expecting: 64)
                #expect(failed.log.contains("full"), "\(failed)")
                #expect(try !site.archived().contains { $0.hasPrefix(segment) })
                #expect(files(under: "\(repository)/archive").filter { $0.contains(".tmp") } == [])
                try await site.refereeAgrees()
                // PostgreSQL itself waits and keeps what it has.
                try await site.tool.archive(from: cluster)
                try await waitFor("the archiver to fail") {
                    try await cluster.value("SELECT failed_count > 0 FROM pg_stat_archiver") == "t"
                }
                #expect(exists("\(cluster.dataDirectory)/pg_wal/\(segment)"))

                try await mount(["-o", "remount,size=400m", repository])
                try await site.tool.push("pg_wal/\(segment)")
                try await cluster.waitForArchived(segment, timeout: .seconds(90))
                let second = try await site.backup()
                #expect(try site.labels() == [first, second])
                try await site.refereeAgrees()
                try await site.requireRestorable("restored")
                _ = try await site.restoreAndPromote(to: "first", ["--set=\(first)"])
            }
        }

        private func mount(_ arguments: [String]) async throws {
            try await ProcessRunner.run("mount", arguments).expecting(0)
        }
    }
}
