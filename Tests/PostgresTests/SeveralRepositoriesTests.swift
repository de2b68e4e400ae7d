import Foundation
import TestSupport
import Testing

extension BackingUp {
    @Suite(.timeLimit(.minutes(10))) struct SeveralRepositories {
        @Test("one that is lost keeps no other from its backup and its expiry", arguments: Majors.rows(1))
        func oneIsLost(major: Int) async throws {
            let options = ["repo1-retention-full": "1", "repo2-retention-full": "1"]
            try await withSite(major, repositories: 2, options: options) { site in
                try await site.write(10)
                try await site.tool.run("backup", ["--type=full", "--repo=all"])
                let lost = site.layout.repositoryPaths[0]
                let (before, other) = (try site.labels(), site.layout.repositoryPaths[1])
                let directory = "\(lost)/backup/main"
                try await asServerUser("chmod", ["a-w", directory])
                let ended = try await site.tool.run("backup", ["--type=full", "--repo=all"], expecting: nil)
                #expect(ended.status != 0 && ended.log.contains("the backup goes on without repo1"), "\(ended)")
                try await asServerUser("chmod", ["u+w", directory])
                let second = try site.labels(repository: other)
                #expect(second.count == 1 && second != before)
                #expect(try site.labels() == before)
                // The next fills both again.
                try await site.tool.run("backup", ["--type=full", "--repo=all"])
                #expect(try site.labels().count == 1)
                #expect(try site.labels() == site.labels(repository: other))
            }
        }
    }
}
