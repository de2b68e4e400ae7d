import ArchiveShortcut
import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import ArchiveAgent

/// A spool, a cluster that is none, and a script that pushes as the program does.
struct AgentPlace: Sendable {
    let root: String
    var socket: String { path("a.sock") }

    func path(_ name: String) -> String { name.isEmpty ? root : "\(root)/\(name)" }
    func name(_ number: Int) -> String { "00000001000000000000000\(number)" }
    func done(_ number: Int) -> String { "spool/archive/main/out/\(name(number)).ok" }

    init() throws {
        root = "/tmp/pf-aa-\(UUID().uuidString.prefix(8))"
        for name in ["spool/archive/main", "lock"] { try make(name) }
        try makeCluster()
        try write("conf", "x")
        // What PostgreSQL would need of the program: it tells what it did, and what it was asked.
        try write(
            "program",
            """
            #!/bin/sh
            cd \(root)
            say() { echo "$*;A=$PGBACKREST_A,B=$PGBACKREST_B" >> runs; }
            if [ -e busy ]; then say busy "$@"; exit 50; fi
            if [ -e fails ]; then say failed "$@"; exit 39; fi
            say "$@"
            [ -e slow ] && sleep 0.5
            sleep 0.1
            cd pg/pg_wal/archive_status
            for file in *.ready; do [ -e "$file" ] && touch "\(root)/spool/archive/main/out/${file%.ready}.ok"; done
            exit 0

            """)
        chmod(path("program"), 0o755)
        try leave()
    }

    func makeCluster() throws {
        try make("pg/global")
        try make("pg/pg_wal/archive_status")
        try write("pg/global/pg_control", "12345678")
        try write("pg/postmaster.pid")
    }

    func make(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
    }

    func write(_ name: String, _ text: String = "") throws {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path(name)) }
    func move(_ from: String, _ to: String) throws {
        try FileManager.default.moveItem(atPath: path(from), toPath: path(to))
    }

    func ready(_ number: Int) throws { try write("pg/pg_wal/archive_status/\(name(number)).ready") }

    func leave(_ change: (inout ArchiveShortcut) -> Void = { _ in }) throws {
        var shortcut = ArchiveShortcut()
        shortcut.program = path("program")
        shortcut.words = ["pf", "--config=\(path("conf"))", "archive-push", "--stanza=main"]
        shortcut.environment = ["PGBACKREST_A=\(root)"]
        shortcut.files = try ["conf", "program", "absent"].map {
            .init(path: path($0), facts: try #require(FileFacts(path($0))).text)
        }
        shortcut.lockPath = path("lock")
        shortcut.stanza = "main"
        shortcut.dataDirectory = path("pg")
        shortcut.systemIdentifier = try #require(FileFacts.systemIdentifier(dataDirectory: path("pg")))
        shortcut.agentSocket = socket
        change(&shortcut)
        let file = ArchiveShortcut.path(spoolPath: path("spool"), stanza: "main", kind: .push)
        try Data(shortcut.bytes).write(to: URL(filePath: file))
        chmod(file, 0o640)
    }

    func agent(_ log: LogLines = LogLines()) throws -> ArchiveAgent {
        try ArchiveAgent(
            spoolPath: path("spool"), socketPath: socket, logger: Logger(label: "test") { _ in CollectingHandler(log) })
    }

    /// The words of each start of the program, and two variables.
    func runs() -> [String] {
        ((try? String(contentsOfFile: path("runs"), encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }

    func ask(_ number: Int, stanza: String = "main") async -> Bool { await ask(name: name(number), stanza: stanza) }

    func ask(name: String, stanza: String = "main") async -> Bool {
        let socket = socket
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let request = AgentRequest(stanza: stanza, fileName: name)
                continuation.resume(
                    returning: AgentSocket(path: socket, patience: 10_000).ask(request, timeout: 10_000))
            }
        }
    }

    func connected() -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8) }
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        return descriptor
    }

    func waitFor(_ name: String, within limit: Duration = .seconds(5)) async throws {
        try await waitUntil(within: limit) { access(path(name), F_OK) == 0 }
    }

    func run(_ program: String, _ arguments: [String]) async throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        return await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let data = pipe.fileHandleForReading.readDataToEndOfFile()
                continuation.resume(returning: String(decoding: data, as: UTF8.self))
            }
        }
    }
}

func withPlace(_ body: (AgentPlace) async throws -> Void) async throws {
    let place = try AgentPlace()
    defer {
        // The agent may take its socket away between the two.
        for _ in 0..<2 { try? FileManager.default.removeItem(atPath: place.root) }
    }
    try await body(place)
}

func waitUntil(within limit: Duration = .seconds(5), _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, "it took longer than \(limit)")
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// What was logged.
final class LogLines: Sendable {
    private let state = Mutex<[String]>([])
    var lines: [String] { state.withLock { $0 } }
    func add(_ line: String) { state.withLock { $0.append(line) } }
}

struct CollectingHandler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .trace

    init(_ lines: LogLines) { self.lines = lines }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.add("\(event.message)") }
}
