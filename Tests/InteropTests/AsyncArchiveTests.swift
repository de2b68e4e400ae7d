import Foundation
import TestSupport
import Testing

extension SideBySide {
    /// Asynchronous archiving by both, with one spool and one repository.
    @Suite(.timeLimit(.minutes(10))) struct AsyncArchive {
        static let options = ["archive-async": "y", "process-max": "2", "archive-get-queue-max": "64MiB"]

        @Test("what one pushes and fetches in the background, the other goes on with", arguments: [15, 17])
        func inTurns(major: Int) async throws {
            guard TestRequirement.required([.postgres(major)]) else { return }
            try await withPair(major, options: Self.options) { pair in
                try await pair.ours.run("stanza-create")
                var all: [String] = []
                for round in 0..<2 {
                    let (pusher, other): (any BackupTool, any BackupTool) =
                        round == 0 ? (pair.ours, pair.theirs) : (pair.theirs, pair.ours)
                    var segments: [String] = []
                    for _ in 0..<5 { segments.append(try await pair.cluster.switchWAL()) }
                    all += segments
                    // From the data directory, as PostgreSQL calls: pgBackRest insists on it.
                    try await push(pusher, segments[0], pair)
                    try await waitFor("all to be pushed") {
                        segments.allSatisfy {
                            FileManager.default.fileExists(
                                atPath: "\(pair.layout.spoolPath)/archive/main/out/\($0).ok")
                        }
                    }
                    // The other one believes the spool of the first.
                    for segment in segments { try await push(other, segment, pair) }
                }
                let objects = try FileManager.default.subpathsOfDirectory(atPath: pair.archiveDirectory)
                    .filter { $0.contains("-") }.map { String($0.split(separator: "/").last?.prefix(24) ?? "") }
                #expect(objects.sorted() == all.sorted(), "each segment once")

                // One fetches ahead, in turns, from one queue.
                let got = pair.scratch.subpath("got")
                for (index, segment) in all.enumerated() {
                    let tool: any BackupTool = index % 2 == 0 ? pair.ours : pair.theirs
                    try await get(tool, segment, got, pair)
                    #expect(try content(got) == content("\(pair.cluster.dataDirectory)/pg_wal/\(segment)"))
                    try FileManager.default.removeItem(atPath: got)
                }
            }
        }

        @Test("pgBackRest restores with WAL that we pushed asynchronously, and we with its")
        func restores() async throws {
            try await withPair(17, options: Self.options) { pair in
                try await pair.ours.run("stanza-create")
                for (index, tool) in ([pair.ours, pair.theirs] as [any BackupTool]).enumerated() {
                    let other: any BackupTool = index == 0 ? pair.theirs : pair.ours
                    try await tool.archive(from: pair.cluster)
                    try await tool.run("backup", ["--type=full"])
                    try await pair.cluster.query("CREATE TABLE round\(index) AS SELECT generate_series(1, 200000)")
                    for _ in 0..<4 { try await pair.cluster.switchWAL() }
                    try await requireRestorable(other, pair, "restored\(index)")
                }
            }
        }

        private func requireRestorable(_ tool: any BackupTool, _ pair: Pair, _ name: String) async throws {
            try await pair.requireRestorable(tool, to: name)
        }

        private func push(_ tool: any BackupTool, _ segment: String, _ pair: Pair) async throws {
            try await call(tool, ["archive-push", "pg_wal/\(segment)"], pair)
        }

        private func get(_ tool: any BackupTool, _ segment: String, _ target: String, _ pair: Pair) async throws {
            try await call(tool, ["archive-get", segment, target], pair)
        }

        private func call(_ tool: any BackupTool, _ words: [String], _ pair: Pair) async throws {
            try await ProcessRunner.run(
                tool.executable, ["--config=\(tool.layout.configFile)", "--stanza=main"] + words,
                asUser: ProcessRunner.serverUser, directory: pair.cluster.dataDirectory
            ).expecting(0)
        }
    }
}
