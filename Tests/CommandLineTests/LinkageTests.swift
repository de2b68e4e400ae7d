import Foundation
import Testing

/// What the release binaries in bin/ and libexec/ link, and how fast the launcher starts: PostgreSQL starts it for every
/// WAL segment.
@Suite(.serialized, .enabled(if: Release.isToBeTested, "bin/ is not built: run 'make build'"))
struct LinkageTests {
    /// C, Swift's and C++'s runtime need these; every Linux has them.
    static let systemLibraries: Set = [
        "libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
    ]

    @Test(
        arguments: [
            (Release.launcher, []),
            // ISA-L has no static library; the HTTP client takes the system's zlib. libpq is loaded when it is needed.
            (Release.program, ["libisal.so.2", "libz.so.1"]),
        ] as [(String, [String])])
    func onlyKnownLibrariesAreLinked(path: String, own: [String]) throws {
        let lines = try output(of: ["readelf", "--dynamic", path]).split(separator: "\n")
        let needed = lines.filter { $0.contains("(NEEDED)") }.compactMap { line -> String? in
            guard let open = line.firstIndex(of: "["), let close = line.lastIndex(of: "]") else { return nil }
            return String(line[line.index(after: open)..<close])
        }
        #expect(needed.contains("libc.so.6"))
        #expect(Set(needed).subtracting(Self.systemLibraries).subtracting(own).isEmpty)
        // No directory of the machine that built it.
        #expect(!lines.contains { $0.contains("RPATH") || $0.contains("RUNPATH") && !$0.contains("$ORIGIN") })
    }

    /// A copy of the launcher becomes /usr/bin/true; what it takes longer than /usr/bin/true itself is its own.
    @Test(.timeLimit(.minutes(10)))
    func theLauncherStartsInThreeMilliseconds() throws {
        let prefix = FileManager.default.temporaryDirectory.appending(path: "launch-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: prefix) }
        for directory in ["bin", "libexec/permafrost"] {
            try FileManager.default.createDirectory(
                atPath: "\(prefix)/\(directory)", withIntermediateDirectories: true)
        }
        let launcher = "\(prefix)/bin/permafrost"
        try FileManager.default.copyItem(atPath: Release.launcher, toPath: launcher)
        try #require(try fastestStart(of: launcher, attempts: 1).status == 102 << 8, "nothing to become: exit code 102")
        let program = URL(filePath: "/usr/bin/true").resolvingSymlinksInPath().path
        try FileManager.default.copyItem(atPath: program, toPath: "\(prefix)/libexec/permafrost/permafrost")

        let bare = try fastestStart(of: program, attempts: 50)
        let launched = try fastestStart(of: launcher, attempts: 50)
        #expect(bare.status == 0 && launched.status == 0)
        #expect(launched.time - bare.time <= .milliseconds(3), "\(launched.time) with, \(bare.time) without launcher")
    }

    private func fastestStart(of path: String, attempts: Int) throws -> (time: Duration, status: Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments = [strdup(path), nil]
        defer { free(arguments[0]) }

        var best = Duration.seconds(60)
        var status: Int32 = 0
        for _ in 0..<attempts {
            var pid: pid_t = 0
            let start = ContinuousClock.now
            try #require(posix_spawn(&pid, path, &actions, nil, &arguments, environ) == 0)
            try #require(waitpid(pid, &status, 0) == pid)
            best = min(best, ContinuousClock.now - start)
        }
        return (best, status)
    }

    private func output(of arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return String(decoding: data, as: UTF8.self)
    }
}

private enum Release {
    static let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL.path
    static let launcher = root + "/bin/permafrost"
    static let program = root + "/libexec/permafrost/permafrost"
    /// In CI a missing binary is a failure.
    static let isToBeTested =
        ProcessInfo.processInfo.environment["CI"] == "true"
        || [launcher, program].allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
}
