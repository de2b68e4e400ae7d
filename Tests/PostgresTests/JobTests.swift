import BackupModel
import Foundation
import HTTP
import Jobs
import Logging
import TestSupport
import Testing

extension BackingUp {
    /// The program itself as jobs, without a network.
    @Suite(.timeLimit(.minutes(5))) struct JobTests {
        private func runner(_ site: Site) throws -> JobRunner {
            var options = JobRunner.Options(program: site.tool.executable)
            options.words = ["--config=\(site.layout.configFile)"]
            if let user = ProcessRunner.serverUser {
                // It becomes the program, with the same number and session.
                options.words =
                    ["--reuid=\(user)", "--regid=\(user)", "--init-groups", "--", options.program] + options.words
                options.program = "/usr/bin/setpriv"
            }
            return JobRunner(
                try JobStore(path: site.scratch.subpath("jobs")), options,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        }

        private func begin(
            _ runner: JobRunner, _ site: Site, _ command: Command, _ options: [JobRequest.Option] = []
        ) async throws -> JobID {
            let request = try JobRequest(command, stanza: site.layout.stanza, options: options)
            return try await runner.start(request, client: "test").job.record.id
        }

        private func outcome(_ runner: JobRunner, _ id: JobID) async throws -> JobResult {
            try await waitFor("job \(id)") { await runner.job(id)?.result != nil }
            return try #require(await runner.job(id)?.result)
        }

        private func label(_ result: JobResult) -> String? {
            result.info?["backup"]?.elements.first?["label"]?.string
        }

        /// One that takes seconds.
        private let slow: [JobRequest.Option] = [
            .init(.type, .texts(["full"])), .init(.rateLimitDisk, .texts(["8MiB"])),
        ]

        private func copies(_ runner: JobRunner, _ site: Site, _ id: JobID) async throws {
            let log = site.scratch.subpath("jobs/\(id)/log")
            try await waitFor("files are copied") {
                try String(contentsOfFile: log, encoding: .utf8).contains("backup start archive")
            }
        }

        @Test("backup, check, info, expire, and what fails", arguments: Majors.rows(0))
        func commands(major: Int) async throws {
            try await withSite(major) { site in
                let runner = try runner(site)
                let backup = try await outcome(
                    runner, begin(runner, site, .backup, [.init(.annotation, .texts(["a=two words"]))]))
                #expect(backup.exitCode == 0 && backup.end == .completed, "\(backup.json)")
                #expect(try label(backup) == site.labels().last)
                #expect(
                    backup.info?["backup"]?.elements.first?["annotation"]?["a"]?.string == "two words")
                for command in [Command.check, .expire, .verify] {
                    let result = try await outcome(runner, begin(runner, site, command))
                    #expect(result.exitCode == 0 && result.error == nil && result.info == nil, "\(result.json)")
                }
                let id = try await begin(runner, site, .info, [.init(.output, .texts(["json"]))])
                _ = try await outcome(runner, id)
                let output = try Data(contentsOf: URL(filePath: site.scratch.subpath("jobs/\(id)/output")))
                #expect(ServiceJSON(Array(output))?.elements.first?["name"]?.string == site.layout.stanza)
                // PostgreSQL runs: nothing is restored over it.
                let restore = try await outcome(runner, begin(runner, site, .restore, [.init(.delta, .flag(true))]))
                #expect(restore.exitCode == 38 && restore.end == .failed && restore.error?.code == .postgresRunning)
                let unknown = try await outcome(runner, begin(runner, site, .backup, [.init(.repo, .texts(["7"]))]))
                #expect(unknown.exitCode == 32 && unknown.error?.message.contains("'7'") == true, "\(unknown.json)")
            }
        }

        @Test("two at once, one that is cancelled, one that is watched by another", arguments: Majors.rows(1))
        func lives(major: Int) async throws {
            try await withSite(major) { site in
                let runner = try runner(site)
                let first = try await begin(runner, site, .backup, slow)
                try await copies(runner, site, first)
                let second = try await outcome(runner, begin(runner, site, .backup, slow))
                #expect(second.exitCode == 50 && second.error?.code == .lockAcquire, "\(second.json)")
                try await runner.cancel(first, by: "test")
                let cancelled = try await outcome(runner, first)
                #expect(cancelled.exitCode == 63 && cancelled.end == .cancelled, "\(cancelled.json)")
                #expect(try site.labels().isEmpty)

                let third = try await begin(runner, site, .backup, slow)
                try await copies(runner, site, third)
                await runner.stop(endsJobs: false)
                runner.store.release()
                let next = try self.runner(site)
                try await next.recover()
                #expect(await next.job(third)?.end == nil)
                let result = try await outcome(next, third)
                #expect(result.exitCode == 0 && result.end == .completed, "\(result.json)")
                #expect(try label(result) == site.labels().last && site.labels().count == 1)
                site.expectNoTraces()
            }
        }
    }
}
