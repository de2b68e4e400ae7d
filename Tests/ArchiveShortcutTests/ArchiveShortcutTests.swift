import ArchiveShortcut
import Foundation
import Testing

@Suite struct ArchiveCallTests {
    @Test(
        "calls that the launcher understands",
        arguments: [
            (
                ["pf", "--stanza=main", "archive-push", "pg_wal/0"], ["pg_wal/0"],
                ["pf", "--stanza=main", "archive-push"]
            ),
            (
                ["pf", "archive-get", "0", "pg_wal/R", "--stanza", "main"], ["0", "pg_wal/R"],
                ["pf", "archive-get", "--stanza", "main"]
            ),
        ])
    func understood(arguments: [String], parameters: [String], words: [String]) throws {
        let call = try #require(ArchiveCall(arguments))
        #expect(call.parameters == parameters)
        #expect(call.words == words)
        #expect(call.option("stanza") == "main")
        #expect(call.option("stanz") == nil)
    }

    @Test(
        "calls that it leaves to the program",
        arguments: [
            [], ["archive-push"], ["pf"], ["pf", "backup"], ["pf", "archive-push"], ["pf", "archive-get", "a"],
            ["pf", "archive-push", "--stanza=main"], ["pf", "archive-push", ""],
            // Which of the two is the command cannot be told without the options.
            ["pf", "--stanza", "archive-push", "archive-push", "x"], ["pf", "archive-push", "archive-get", "x"],
            ["pf", "archive-push:async", "x"],
        ])
    func left(arguments: [String]) {
        #expect(ArchiveCall(arguments) == nil)
    }
}

@Suite struct ArchiveShortcutTests {
    private static var full: ArchiveShortcut {
        var shortcut = ArchiveShortcut()
        shortcut.program = "/usr/libexec/permafrost/permafrost"
        shortcut.words = ["pf", "", "--stanza=a b\nc", "archive-push"]
        shortcut.environment = ["PGBACKREST_LOCK_PATH=/l"]
        shortcut.files = [
            .init(path: "/etc/x", facts: "-"), .init(path: "/etc/y", facts: "1 2 3 4.5 6.7", content: "bytes 0a"),
        ]
        shortcut.lockPath = "/l"
        shortcut.stanza = "main"
        shortcut.dataDirectory = "/d"
        shortcut.systemIdentifier = .max
        shortcut.queueLength = 8
        shortcut.isForLauncher = false
        shortcut.isForAgent = false
        shortcut.agentSocket = "/run/a.sock"
        shortcut.timeout = 5
        shortcut.log = ArchiveCallLog(begin: "begin", file: "/log", toConsole: true, hasTimestamps: false)
        return shortcut
    }

    @Test func comesBackAsItWasWritten() {
        #expect(ArchiveShortcut(Self.full.bytes) == Self.full)
        #expect(ArchiveShortcut(ArchiveShortcut().bytes) == ArchiveShortcut())
    }

    @Test func whatIsCutShortOrLongerIsNone() {
        let bytes = Self.full.bytes
        for count in 0..<bytes.count { #expect(ArchiveShortcut(Array(bytes[..<count])) == nil, "\(count) bytes") }
        #expect(ArchiveShortcut(bytes + [0]) == nil)
        #expect(ArchiveShortcut(Array("other\0".utf8) + bytes) == nil)
    }

    @Test func aTimeThatIsNoneIsRefused() {
        for timeout in [-1, 86_400_001, .max] {
            var shortcut = Self.full
            shortcut.timeout = timeout
            #expect(ArchiveShortcut(shortcut.bytes) == nil)
        }
    }

    @Test func countsThatAreTooLargeAreNoTrap() {
        for count in ["-1", "9223372036854775807", "99999999999999999999", "x", ""] {
            #expect(ArchiveShortcut(Array("permafrost archive shortcut 3\0/p\0\(count)\0".utf8)) == nil)
        }
    }

    @Test func onlyWhatDecidesOfTheEnvironmentCounts() {
        let found = ArchiveEnvironment.relevant([
            "PGBACKREST_B=1", "HOME=/", "PERMAFROST_LAUNCHER=/bin/x", "PERMAFROST_A=2",
        ])
        #expect(found == ["PERMAFROST_A=2", "PGBACKREST_B=1"])
        for secret in ["PGBACKREST_REPO1_CIPHER_PASS=s", "PERMAFROST_REPO1_S3_KEY=s", "PGBACKREST_REPO1_S3_TOKEN="] {
            #expect(ArchiveEnvironment.relevant([secret]) == nil)
        }
    }

    @Test(
        "the spool of a configuration file",
        arguments: [
            ("[global]\n  spool-path = /a/b/ \r\n", "/a/b"), ("#spool-path=/x\nspool-path=/y", "/y"),
            ("spool-path-not=/x\n", nil), ("", nil),
        ] as [(String, String?)])
    func hint(text: String, path: String?) {
        #expect(SpoolHint.spoolPath(in: Array(text.utf8)) == path)
    }
}

/// A spool with one segment pushed and five fetched, and a shortcut for both commands.
struct Place {
    let root: String
    let segment = "000000010000000000000001"
    var config: String { "\(root)/c.conf" }
    var push: [String] { ["pf", "--config=\(config)", "--stanza=main", "archive-push", "pg_wal/\(segment)"] }
    var get: [String] { ["pf", "--config=\(config)", "--stanza=main", "archive-get", segment, "pg_wal/R"] }
    var done: String { "spool/archive/main/out/\(segment).ok" }

    init() throws {
        root = FileManager.default.temporaryDirectory.appending(path: "shortcut-\(UUID().uuidString)").path
        for name in [
            "spool/archive/main/in", "spool/archive/main/out", "lock", "d/global", "d/pg_wal/archive_status",
        ] {
            try FileManager.default.createDirectory(
                atPath: "\(root)/\(name)", withIntermediateDirectories: true)
        }
        try write("c.conf", "[global]\nspool-path=\(root)/spool\n")
        try write("d/global/pg_control", "12345678")
        try write("d/pg_wal/archive_status/\(segment).ready", "")
        try write("spool/archive/main/out/\(segment).ok", "")
        for number in 1...5 { try write("spool/archive/main/in/00000001000000000000000\(number)", "w\(number)") }
        try leave()
    }

    func write(_ name: String, _ text: String) throws {
        try text.write(toFile: "\(root)/\(name)", atomically: false, encoding: .utf8)
    }

    func leave(_ change: (inout ArchiveShortcut) -> Void = { _ in }) throws {
        for arguments in [push, get] {
            let call = try #require(ArchiveCall(arguments))
            var shortcut = ArchiveShortcut()
            shortcut.program = "/p"
            shortcut.words = call.words
            shortcut.files = [
                .init(path: config, facts: try #require(FileFacts(config)).text),
                .init(path: "\(root)/absent", facts: "-"),
            ]
            shortcut.lockPath = "\(root)/lock"
            shortcut.stanza = "main"
            shortcut.dataDirectory = "\(root)/d"
            shortcut.systemIdentifier = try #require(FileFacts.systemIdentifier(dataDirectory: "\(root)/d"))
            shortcut.queueLength = 8
            change(&shortcut)
            let path = ArchiveShortcut.path(spoolPath: "\(root)/spool", stanza: "main", kind: call.kind)
            try Data(shortcut.bytes).write(to: URL(filePath: path))
            chmod(path, 0o640)
            if geteuid() == 0 { chown(path, SpoolAnswerTests.user, SpoolAnswerTests.user) }
        }
    }

    func answer(_ arguments: [String], environment: [String] = [], program: String = "/p") -> Int32? {
        SpoolAnswer(
            arguments: arguments, environment: environment, program: program, user: SpoolAnswerTests.user)?.give()
    }

    func remove() { try? FileManager.default.removeItem(atPath: root) }
}

/// What the launcher answers, and what it leaves to the program.
@Suite struct SpoolAnswerTests {
    /// Some user other than root, for whom nothing would be answered.
    static let user: uid_t = geteuid() == 0 ? 65534 : geteuid()

    @Test func answersWhatIsThere() throws {
        let place = try Place()
        defer { place.remove() }
        #expect(place.answer(place.push) == 0)
        #expect(place.answer(place.push) == 0)
        #expect(place.answer(place.get) == 0)
        #expect(try String(contentsOfFile: "\(place.root)/d/pg_wal/R", encoding: .utf8) == "w1")
        // It is gone from the spool, and four of eight are left: that was enough, once.
        #expect(place.answer(place.get) == nil)
        var next = place.get
        next[4] = "000000010000000000000002"
        #expect(place.answer(next) == nil)
    }

    @Test func writesTheLogAsTheProgramDoes() throws {
        let place = try Place()
        defer { place.remove() }
        try place.write("log", "before\n")
        try place.leave {
            $0.log = ArchiveCallLog(begin: "begin [\u{1}] --exec-id=\u{2} end", file: "\(place.root)/log")
        }
        #expect(place.answer(place.push) == 0)
        let text = try String(contentsOfFile: "\(place.root)/log", encoding: .utf8)
        let time = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\\.[0-9]{3} P00   INFO: "
        let pattern =
            "^before\n\n-------------------PROCESS START-------------------\n"
            + "\(time)begin \\[pg_wal/\(place.segment)\\] --exec-id=[0-9]+-[0-9a-f]{8} end\n"
            + "\(time)pushed WAL file '\(place.segment)' to the archive asynchronously\n"
            + "\(time)archive-push command end: completed successfully \\([0-9]+ms\\)\n$"
        #expect(try Regex(pattern).wholeMatch(in: text) != nil, "\(text)")
        // The program makes the file, and tells when it cannot.
        try FileManager.default.removeItem(atPath: "\(place.root)/log")
        #expect(place.answer(place.push) == nil)
    }

    private enum Change: String, CaseIterable {
        case words, environment, secret, program, config, newConfig, stanzaStop, allStop, warning, notPushed, newer
        case notReady, cluster, noCluster, writable, owner, torn, agentOnly
    }

    @Test("any doubt is for the program", arguments: Change.allCases)
    private func doubt(change: Change) throws {
        let place = try Place()
        defer { place.remove() }
        var push = place.push
        var environment: [String] = []
        var program = "/p"
        let done = place.done
        let ready = "d/pg_wal/archive_status/\(place.segment).ready"
        let shortcut = "\(place.root)/spool/archive/main/archive-push.shortcut"
        switch change {
        case .words: push.insert("--no-archive-async", at: 2)
        case .environment: environment = ["PGBACKREST_ARCHIVE_ASYNC=n"]
        case .secret: environment = ["PGBACKREST_REPO1_CIPHER_PASS=x"]
        case .program: program = "/q"
        case .config: try place.write("c.conf", "[global]\nspool-path=\(place.root)/spool\n\n")
        case .newConfig: try place.write("absent", "")
        case .stanzaStop: try place.write("lock/main.stop", "")
        case .allStop: try place.write("lock/all.stop", "")
        case .warning: try place.write(done, "0\nwarning")
        case .notPushed: try FileManager.default.removeItem(atPath: "\(place.root)/\(done)")
        case .newer: try age("\(place.root)/\(done)")
        case .notReady: try FileManager.default.removeItem(atPath: "\(place.root)/\(ready)")
        case .cluster: try place.write("d/global/pg_control", "87654321")
        case .noCluster: try FileManager.default.removeItem(atPath: "\(place.root)/d/global/pg_control")
        case .writable: chmod(shortcut, 0o666)
        case .owner:
            guard geteuid() == 0 else { return }
            chown(shortcut, 1, 1)
        case .torn: truncate(shortcut, 100)
        case .agentOnly: try place.leave { $0.isForLauncher = false }
        }
        #expect(place.answer(push, environment: environment, program: program) == nil)
        #expect(place.answer(place.push, environment: [], program: "/q") == nil)
    }

    private func age(_ path: String) throws {
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSinceNow: -60)], ofItemAtPath: path)
    }

    @Test func rootIsLeftToTheProgram() throws {
        let place = try Place()
        defer { place.remove() }
        #expect(SpoolAnswer(arguments: place.push, environment: [], program: "/p", user: 0) == nil)
    }
}

/// What is known again though it is another file, as in another container.
@Suite struct FileContentTests {
    /// FIPS 180-4's examples, and lengths around the end of a block, against the system's own program.
    @Test(arguments: ["", "abc"] + [1, 55, 56, 63, 64, 65, 119, 120, 1000].map { String(repeating: "x", count: $0) })
    func digests(text: String) throws {
        let place = try Place()
        defer { place.remove() }
        try place.write("text", text)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        process.arguments = ["\(place.root)/text"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = try #require(try pipe.fileHandleForReading.readToEnd())
        process.waitUntilExit()
        let expected = String(decoding: output, as: UTF8.self).prefix(64)
        #expect(FileContent.text("\(place.root)/text") == "bytes \(expected)")
    }

    @Test func programsByTheirBuild() throws {
        let place = try Place()
        defer { place.remove() }
        let program = URL(filePath: "/usr/bin/stat").resolvingSymlinksInPath()
        let copy = URL(filePath: "\(place.root)/stat")
        try FileManager.default.copyItem(at: program, to: copy)
        let content = try #require(FileContent.text(copy.path))
        #expect(content.hasPrefix("build ") && content == FileContent.text(program.path))
        #expect(content != FileContent.text("/usr/bin/true"))
        // Cut short anywhere it is no trap.
        let bytes = try Data(contentsOf: copy)
        for count in [0, 4, 63, 64, 100, 500, 700, 900, 2000] {
            try bytes.prefix(count).write(to: copy)
            #expect(FileContent.text(copy.path) != content)
        }
        // Sizes that lead nowhere.
        var hostile = bytes
        hostile.replaceSubrange(32..<40, with: [UInt8](repeating: 0xff, count: 8))
        try hostile.write(to: copy)
        #expect(FileContent.text(copy.path)?.hasPrefix("bytes ") == true)
        hostile = bytes
        hostile.replaceSubrange(64..<4096, with: [UInt8](repeating: 0xff, count: 4032))
        try hostile.write(to: copy)
        #expect(FileContent.text(copy.path)?.hasPrefix("build ") != true)
    }

    @Test func directoriesByTheNamesThatCount() throws {
        let place = try Place()
        defer { place.remove() }
        let directory = "\(place.root)/lock"
        let empty = try #require(FileContent.text(directory))
        try place.write("lock/readme", "")
        #expect(FileContent.text(directory) == empty)
        try place.write("lock/a.conf", "")
        #expect(FileContent.text(directory) != empty)
        #expect(FileContent.text("\(place.root)/none") == nil)
    }

    @Test func aCopyHoldsAndAChangeDoesNot() throws {
        let place = try Place()
        defer { place.remove() }
        try place.leave { shortcut in
            shortcut.files[0].content = FileContent.text(shortcut.files[0].path) ?? ""
            shortcut.files[0].facts = "another device"
        }
        #expect(place.answer(place.push) == 0)
        // Of the same size.
        try place.write("c.conf", "[global]\nspool-path=\(place.root)/spool ")
        #expect(place.answer(place.push) == nil)
        try FileManager.default.removeItem(atPath: place.config)
        #expect(place.answer(place.push) == nil)
        // Without a content only the facts count.
        try place.write("c.conf", "[global]\nspool-path=\(place.root)/spool\n")
        try place.leave { $0.files[0].facts = "another device" }
        #expect(place.answer(place.push) == nil)
    }
}
