import Foundation
import Glibc

/// How a cluster is made.
package struct ClusterOptions: Sendable {
    /// Whether pages carry checksums.
    package var dataChecksums = true
    /// The size of a WAL segment in MiB, a power of two from 1 to 1024; nil is the server's default, 16.
    package var walSegmentSize: Int?
    /// Settings for `postgresql.conf`, which win over the fixture's own. Values are quoted by the fixture.
    package var settings: [String: String]
    /// Settings for the command line of the server: they win over every file, those that a restore brings along too.
    package var startSettings: [String: String]
    /// Further arguments of initdb.
    package var initdbArguments: [String] = []

    /// Options with the defaults above.
    package init(
        dataChecksums: Bool = true, walSegmentSize: Int? = nil, settings: [String: String] = [:],
        startSettings: [String: String] = [:]
    ) {
        self.dataChecksums = dataChecksums
        self.walSegmentSize = walSegmentSize
        self.settings = settings
        self.startSettings = startSettings
    }
}

/// A PostgreSQL server of a test: its data directory, socket, port and log, all in the test's scratch directory.
///
/// Superuser `postgres`, no password, loopback only. It runs with `fsync=off` (the machine outlives the test),
/// autovacuum off (so that files change only when the test says so), and `archive_mode=on` with an empty
/// `archive_command`, which keeps WAL until a test sets one.
///
/// Two ways to get one: `withCluster` for the usual single server, or `PostgresCluster.create` in `withScratch` for several.
/// A directory that a tool restored becomes a server with `restored(at:)`. All are stopped when the scratch goes.
package final class PostgresCluster: Sendable {
    /// How to stop a server; the raw values are pg_ctl's.
    package enum StopMode: String, Sendable { case smart, fast, immediate }

    /// The programs that run it.
    package let installation: PostgresInstallation
    /// The scratch directory that it lies in.
    package let scratch: ScratchDirectory
    /// Its data directory.
    package let dataDirectory: String
    /// The directory of its Unix socket.
    package let socketDirectory: String
    /// The server's log.
    package let logFile: String
    /// Its port, on 127.0.0.1 and in the name of its socket.
    package var port: Int { reservation.port }

    private let reservation: PortReservation
    private let startSettings: [String: String]

    private init(
        _ installation: PostgresInstallation, in scratch: ScratchDirectory, dataDirectory: String,
        startSettings: [String: String]
    ) throws {
        self.installation = installation
        self.scratch = scratch
        self.dataDirectory = dataDirectory
        self.startSettings = startSettings
        reservation = try PortReservation()
        socketDirectory = try scratch.makeDirectory("s")
        logFile = scratch.subpath("postgresql-\(reservation.port).log")
        guard "\(socketDirectory)/.s.PGSQL.\(reservation.port)".utf8.count <= 107 else {
            throw TestSupportError("'\(socketDirectory)' is too long for a Unix socket: set PERMAFROST_SCRATCH")
        }
    }

    /// Makes a cluster named `name` in `scratch` with initdb; does not start it.
    package static func create(
        _ installation: PostgresInstallation, in scratch: ScratchDirectory, name: String = "data",
        options: ClusterOptions = ClusterOptions()
    ) async throws -> PostgresCluster {
        let cluster = try PostgresCluster(
            installation, in: scratch, dataDirectory: scratch.subpath(name), startSettings: options.startSettings)
        var arguments = ["-D", cluster.dataDirectory, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        arguments += ["--no-sync", "--no-instructions"]
        if options.dataChecksums {
            arguments.append("--data-checksums")
        } else if installation.major >= 18 {
            arguments.append("--no-data-checksums")
        }
        if let size = options.walSegmentSize { arguments.append("--wal-segsize=\(size)") }
        try await cluster.run("initdb", arguments + options.initdbArguments).expecting(0)

        let settings = fixtureSettings.merging(options.settings) { $1 }
        let lines = settings.sorted { $0.key < $1.key }.map { "\($0.key) = \(quoted($0.value))\n" }
        try append(lines.joined(), to: "\(cluster.dataDirectory)/postgresql.conf")
        return cluster
    }

    /// A server on a data directory that exists, such as one that was just restored: same version, same scratch, a
    /// port of its own. It does not archive unless `startSettings` says so, since the original may still do.
    package func restored(
        at dataDirectory: String, startSettings: [String: String] = ["archive_mode": "off"]
    ) throws -> PostgresCluster {
        try PostgresCluster(
            installation, in: scratch, dataDirectory: dataDirectory, startSettings: startSettings)
    }

    /// A streaming standby of this server, which runs: made with pg_basebackup in the directory `name` of the scratch
    /// directory, not started yet.
    package func standby(name: String, startSettings: [String: String] = [:]) async throws -> PostgresCluster {
        let standby = try PostgresCluster(
            installation, in: scratch, dataDirectory: scratch.subpath(name),
            startSettings: ["hot_standby": "on"].merging(startSettings) { $1 })
        try await run(
            "pg_basebackup",
            connectionArguments + ["-D", standby.dataDirectory, "-X", "stream", "-c", "fast", "-R", "--no-sync"]
        ).expecting(0)
        return standby
    }

    // MARK: Running

    /// Starts the server and waits until it takes connections, recovery from an archive included.
    package func start(timeout: Duration = .seconds(60)) async throws {
        scratch.atEnd { [self] in await stopForGood() }
        var options = "-k \(socketDirectory) -p \(port) -c listen_addresses=127.0.0.1"
        for (name, value) in startSettings { options += " -c \(name)=\(value)" }
        let seconds = timeout.components.seconds
        let started = try await run(
            "pg_ctl", ["start", "-w", "-t", "\(seconds)", "-D", dataDirectory, "-l", logFile, "-o", options],
            timeout: timeout + .seconds(10))
        guard started.status == 0 else {
            throw TestSupportError("\(installation) in '\(dataDirectory)' did not start: \(started)\n\(logTail())")
        }
    }

    /// Stops the server and waits until it is gone. Does nothing when it does not run.
    package func stop(_ mode: StopMode = .fast, timeout: Duration = .seconds(60)) async throws {
        guard postmasterID != nil else { return }
        try await run(
            "pg_ctl", ["stop", "-w", "-t", "\(timeout.components.seconds)", "-m", mode.rawValue, "-D", dataDirectory],
            timeout: timeout + .seconds(10)
        ).expecting(0)
    }

    /// Stops the server in the way of `mode` and starts it again.
    package func restart(_ mode: StopMode = .fast) async throws {
        try await stop(mode)
        try await start()
    }

    /// Kills the postmaster and all its processes at once, as a loss of power would, and waits until they are gone.
    package func kill9() async throws {
        guard let postmaster = postmasterID else { throw TestSupportError("no server runs in '\(dataDirectory)'") }
        // Stopped first, so that it starts nothing between our look at its children and the blow.
        kill(postmaster, SIGSTOP)
        let family = [postmaster] + children(of: postmaster)
        for process in family { kill(process, SIGKILL) }
        // Gone and reaped (pid 1 may take a second to it): a new server takes a zombie of that number for a living one.
        try await waitFor("the killed processes of \(installation) to be gone", every: .milliseconds(20)) {
            !family.contains { processStatus($0) != nil }
        }
    }

    /// Ends recovery and waits until the server takes writes.
    package func promote() async throws {
        try await run("pg_ctl", ["promote", "-w", "-t", "60", "-D", dataDirectory]).expecting(0)
    }

    /// Makes the server read its configuration again, and waits until it has.
    package func reload() async throws {
        let before = try await value("SELECT pg_conf_load_time()")
        try await query("SELECT pg_reload_conf()")
        try await waitFor("the configuration to be read again", every: .milliseconds(10)) {
            try await value("SELECT pg_conf_load_time()") != before
        }
    }

    /// The process id of the postmaster, or nil when no server runs on the data directory.
    package var postmasterID: Int32? {
        guard let file = try? String(contentsOfFile: "\(dataDirectory)/postmaster.pid", encoding: .utf8),
            let line = file.split(separator: "\n").first, let identifier = pid_t(line), isAlive(identifier)
        else { return nil }
        // The file outlives a killed server, and another process may have got the number since.
        let directory = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(identifier)/cwd")
        return directory == URL(filePath: dataDirectory).resolvingSymlinksInPath().path ? identifier : nil
    }

    /// Whether a server runs on the data directory.
    package var isRunning: Bool { postmasterID != nil }

    /// The last lines of the server's log.
    package func logTail(lines: Int = 30) -> String {
        guard let text = try? String(contentsOfFile: logFile, encoding: .utf8) else { return "" }
        return text.split(separator: "\n").suffix(lines).joined(separator: "\n")
    }

    /// Stops the server at the end of a test, by whatever means it takes.
    private func stopForGood() async {
        do {
            try await stop(.immediate, timeout: .seconds(10))
        } catch {
            try? await kill9()
        }
    }

    // MARK: Programs

    /// Runs one of the installation's programs as the server user.
    @discardableResult
    package func run(
        _ program: String, _ arguments: [String], stdin: String = "", timeout: Duration = .seconds(60)
    ) async throws -> ProcessResult {
        try await ProcessRunner.run(
            installation.program(program), arguments, asUser: ProcessRunner.serverUser, stdin: stdin, timeout: timeout)
    }

    /// The arguments that make a client program connect to this server as superuser.
    package var connectionArguments: [String] { ["-h", socketDirectory, "-p", "\(port)", "-U", "postgres"] }

    private static let fixtureSettings = [
        "archive_command": "", "archive_mode": "on", "autovacuum": "off", "fsync": "off", "log_line_prefix": "%m [%p] ",
        "log_timezone": "UTC", "max_wal_senders": "5", "max_wal_size": "256MB", "shared_buffers": "32MB",
        "timezone": "UTC", "wal_level": "replica",
    ]
}

/// Makes a cluster, starts it, gives it to `body`, and takes all of it away, however `body` ends. When `body` throws,
/// the end of the server's log is printed.
package func withCluster<T>(
    _ major: Int, options: ClusterOptions = ClusterOptions(), start: Bool = true,
    _ body: (PostgresCluster) async throws -> T
) async throws -> T {
    let installation = try PostgresInstallation.find(major)
    return try await withScratch { scratch in
        let cluster = try await PostgresCluster.create(installation, in: scratch, options: options)
        if start { try await cluster.start() }
        do {
            return try await body(cluster)
        } catch {
            FileHandle.standardError.write(Data("\(installation) said last:\n\(cluster.logTail())\n".utf8))
            throw error
        }
    }
}

/// A value as `postgresql.conf` and SQL take it.
func quoted(_ value: String) -> String { "'\(value.replacing("'", with: "''"))'" }

private func append(_ text: String, to path: String) throws {
    guard let file = FileHandle(forWritingAtPath: path) else {
        throw TestSupportError("could not open '\(path)' to write")
    }
    defer { try? file.close() }
    try file.seekToEnd()
    try file.write(contentsOf: Data(text.utf8))
}

/// The state letter and the parent of a process, or nil when it is gone.
private func processStatus(_ process: pid_t) -> (state: Substring, parent: pid_t?)? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
        let nameEnd = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: nameEnd)...].split(separator: " ")
    guard fields.count > 1 else { return nil }
    return (fields[0], pid_t(fields[1]))
}

/// Whether a process exists and is more than a zombie that nobody has reaped.
private func isAlive(_ process: pid_t) -> Bool {
    guard let status = processStatus(process) else { return false }
    return status.state != "Z" && status.state != "X"
}

private func children(of parent: pid_t) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { processStatus($0)?.parent == parent }
}
