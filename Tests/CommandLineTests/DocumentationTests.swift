import Foundation
import TestSupport
import Testing

/// The pages do what they say: blocks marked `sh run` and `ini run` are run, in order, one shell for each page. Where
/// those are for Kubernetes, it is blocks marked `host`.
@Suite(.serialized, .keepsScratchOnFailure)
struct DocumentationTests {
    static let pages: [(page: String, mark: String, output: String)] = [
        ("README.md", "run", "1000"), ("docs/user-guide.md", "run", "exit code 62"),
        ("docs/restore.md", "host", "1\nt\n"),
    ]

    @Test(.requires(.postgres(15), .permafrost), .timeLimit(.minutes(10)), arguments: pages)
    func theCommandsOfAPageWork(page: String, mark: String, output: String) async throws {
        let blocks = try Page(page).blocks.filter { $0.mark == mark }
        #expect(blocks.count > 3)
        let installation = try PostgresInstallation.find(15)
        try await withScratch { scratch in
            let cluster = try await PostgresCluster.create(installation, in: scratch, name: "main")
            // In the file, since the pages start the server without options of ours.
            try append(
                "listen_addresses = ''\nport = 5432\nunix_socket_directories = '\(cluster.socketDirectory)'\n",
                to: "\(cluster.dataDirectory)/postgresql.conf")
            for directory in ["repository", "repository-2", "lock", "logs", "spool"] {
                try scratch.makeDirectory(directory)
            }
            let environment = [
                "PATH": "\(try PermafrostPrograms.locate().directory)/bin:\(installation.binDirectory):/usr/bin:/bin",
                "PERMAFROST_CONFIG": scratch.subpath("permafrost.conf"), "PGHOST": cluster.socketDirectory,
                "PGUSER": "postgres", "PGDATABASE": "postgres",
            ]
            scratch.atEnd { await stop(cluster, "copy", environment) }
            scratch.atEnd { await stop(cluster, "main", environment) }
            try await ProcessRunner.run(
                installation.program("pg_ctl"),
                ["start", "-w", "-D", cluster.dataDirectory, "-l", scratch.subpath("logs/postgresql")],
                environment: environment, asUser: ProcessRunner.serverUser
            ).expecting(0)

            let extra = """
                pg1-socket-path=\(cluster.socketDirectory)
                [global]
                lock-path=\(scratch.subpath("lock"))
                log-path=\(scratch.subpath("logs"))
                spool-path=\(scratch.subpath("spool"))
                """
            var script = "set -euxo pipefail\n"
            for block in blocks {
                let text = block.text.replacing("/var/lib/postgresql/15", with: scratch.path)
                    .replacing("/var/lib/permafrost", with: scratch.subpath("repository"))
                script +=
                    block.language == "ini"
                    ? "cat > \"$PERMAFROST_CONFIG\" << 'END'\n\(text)\n\(extra)\nEND\n" : text + "\n"
            }
            let result = try await ProcessRunner.run(
                "bash", ["-s"], environment: environment, asUser: ProcessRunner.serverUser, stdin: script,
                directory: scratch.path, timeout: .seconds(150))
            try result.expecting(0)
            #expect(result.stdout.contains(output), "\(result)")
        }
    }

    /// The commands that the demo types are the ones in the picture of it; scripts/demo-picture draws it anew.
    @Test func thePictureIsOfThisDemo() throws {
        let picture = try Page("docs/demo.svg").text
            .replacing(#/<[^>]*>/#, with: "").replacing("\n", with: "").replacing("&amp;", with: "&")
        let typed = try Page("scripts/demo").text.matches(of: #/(?m)^typed (permafrost [^$\n]*)/#).map(\.1)
        #expect(typed.count == 5)
        for command in typed {
            #expect(picture.contains("$ \(command.trimmingCharacters(in: ["\"", " "]))"), "\(command)")
        }
        #expect(picture.contains("The table is back"))
    }
}

/// A text file of the repository.
private struct Page {
    struct Block {
        var language: String
        var mark: String?
        var text: String
    }

    let text: String

    init(_ path: String) throws {
        let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    var blocks: [Block] {
        text.matches(of: #/(?ms)^```(\w+)(?: (\w+))?\n(.*?)\n```$/#).map { match in
            Block(language: String(match.1), mark: match.2.map(String.init), text: String(match.3))
        }
    }
}

private func append(_ text: String, to path: String) throws {
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    defer { try? file.close() }
    try file.seekToEnd()
    try file.write(contentsOf: Data(text.utf8))
}

/// Stops the server on a directory of the scratch, if one runs there.
private func stop(_ cluster: PostgresCluster, _ name: String, _ environment: [String: String]) async {
    _ = try? await ProcessRunner.run(
        cluster.installation.program("pg_ctl"),
        ["stop", "-w", "-m", "immediate", "-D", cluster.scratch.subpath(name)], environment: environment,
        asUser: ProcessRunner.serverUser)
}
