import BackupModel
import Foundation
import PostgresFormats
import Testing

@testable import PostgresAccess

/// A small PostgreSQL 15 of our own behind a Unix socket; gone when the last test is.
private final class Server: Sendable {
    static let programs = "/usr/lib/postgresql/15/bin"
    static let isInstalled = FileManager.default.isExecutableFile(atPath: programs + "/postgres")
    static let shared = Result { try Server() }

    let directory: String
    let port = 5432

    init() throws {
        directory = "/tmp/permafrost-access-\(getpid())"
        try run("mkdir", "-p", directory)
        try run("chmod", "0777", directory)
        try asPostgres(
            Self.programs + "/initdb", "--pgdata=\(directory)/data", "--auth=trust", "--no-sync", "--username=postgres",
            "--encoding=UTF8", "--locale=C")
        try asPostgres(
            "/bin/sh", "-c",
            """
            cd \(directory)/data
            printf '%s\\n' 'local all secretive scram-sha-256' 'local all all trust' > pg_hba.conf
            cat >> postgresql.conf <<END
            listen_addresses = ''
            unix_socket_directories = '\(directory)'
            fsync = off
            archive_mode = on
            archive_command = 'true'
            checkpoint_timeout = 301
            max_connections = 20
            END
            """)
        // --wait returns when the server accepts connections.
        try asPostgres(
            Self.programs + "/pg_ctl", "start", "--wait", "--silent", "--pgdata=\(directory)/data",
            "--log=\(directory)/log")
        try run(
            "psql", "--host=\(directory)", "--username=postgres", "--quiet", "--dbname=postgres",
            "--command=create role secretive login password 'xyzzy'; create role plain login")
        atexit {
            if case .success(let server) = Server.shared { server.remove() }
        }
    }

    func remove() {
        try? asPostgres(
            Self.programs + "/pg_ctl", "stop", "--silent", "--mode=immediate", "--pgdata=\(directory)/data")
        try? run("rm", "-rf", directory)
    }

    func address(
        user: String? = "postgres", database: String = "postgres", port: Int? = nil, socketPath: String? = nil
    ) -> PostgresAddress {
        PostgresAddress(
            socketPath: socketPath ?? directory, port: port ?? self.port, database: database, user: user)
    }

    func connect(user: String = "postgres", timeout: Duration = .seconds(20)) throws -> PostgresConnection {
        try PostgresConnection(address(user: user), applicationName: "permafrost [test]", timeout: timeout)
    }
}

private func run(_ arguments: String...) throws { try run(arguments) }

/// PostgreSQL's programs refuse to run as root.
private func asPostgres(_ arguments: String...) throws {
    let prefix = getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
    try run(prefix + arguments)
}

/// Not with Foundation's Process: it takes a child for running as long as the server that the child left behind.
private func run(_ arguments: [String]) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in [0, 1] as [Int32] {
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    let words = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid: pid_t = 0
    var status: Int32 = 0
    guard posix_spawnp(&pid, arguments[0], &actions, nil, words, environ) == 0, waitpid(pid, &status, 0) == pid,
        status == 0
    else { throw BackupError(.execute, "\(arguments) failed with status \(status)") }
}

private func failure(_ body: () throws -> Void) throws -> BackupError {
    try #require(throws: BackupError.self, performing: body)
}

@Suite(
    .serialized, .timeLimit(.minutes(10)),
    .enabled(if: Server.isInstalled, "PostgreSQL 15 is not installed: scripts/bootstrap test"))
struct PostgresAccessTests {
    private let server: Server

    init() throws { server = try Server.shared.get() }

    // MARK: - Connection

    @Test func rowsAreTextOrNull() throws {
        let connection = try server.connect()
        let rows = try connection.query("select $1::text, $2::text, i from generate_series(1, 2) i", ["ä'\"\\", nil])
        #expect(rows == [["ä'\"\\", nil, "1"], ["ä'\"\\", nil, "2"]])
        #expect(try connection.query("select where false") == [])
        #expect(try connection.query("create temporary table t (i int)") == [])
        #expect(try connection.query("") == [])
        let large = String(repeating: "x", count: 8 << 20)
        #expect(try connection.query("select $1::text", [large]) == [[large]])
    }

    @Test func theSessionIsSetUp() throws {
        let connection = try server.connect()
        let names = [
            "search_path", "client_encoding", "max_parallel_workers_per_gather", "application_name",
            "statement_timeout", "idle_session_timeout",
        ]
        let settings = try names.map { try connection.query("select current_setting('\($0)')")[0][0] }
        #expect(settings == ["pg_catalog", "UTF8", "0", "permafrost [test]", "0", "0"])
        #expect(connection.user == "postgres")
        #expect(connection.serverVersionNumber / 10000 == 15)
    }

    @Test func aServerThatIsDownIsConnectError() throws {
        let error = try failure {
            _ = try PostgresConnection(server.address(port: 5433), applicationName: "t", timeout: .seconds(5))
        }
        #expect(error.code == .databaseConnect)
        #expect(error.message.hasPrefix("unable to connect to database 'postgres' on port 5433 of socket path '"))
        #expect(error.hint == "is the server running, and are pg-port and pg-socket-path those that it listens on?")
    }

    @Test func aServerThatDoesNotAnswerTimesOut() throws {
        // A socket on which someone listens and never speaks.
        let path = "/tmp/permafrost-mute-\(getpid())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: Array("\(path)/.s.PGSQL.5432".utf8)) }
        let bound = withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(listener, 1) == 0)

        let start = ContinuousClock.now
        let error = try failure {
            _ = try PostgresConnection(
                server.address(socketPath: path), applicationName: "t", timeout: .milliseconds(300))
        }
        #expect(error.code == .databaseConnect)
        #expect(error.message.hasSuffix(": timed out after 0.3s"))
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test(arguments: [
        ("postgres", "absent", "database \"absent\" does not exist", "name an existing database with pg-database"),
        ("nobody-of-that-name", "postgres", "does not exist", "name a role that may log in with pg-user"),
        ("secretive", "postgres", "no password supplied", "put it into the password file ~/.pgpass"),
    ])
    func refusalsSayWhatToDo(user: String, database: String, words: String, hint: String) throws {
        let error = try failure {
            _ = try PostgresConnection(
                server.address(user: user, database: database), applicationName: "t", timeout: .seconds(5))
        }
        #expect(error.code == .databaseConnect)
        #expect(error.message.contains(words))
        #expect(!error.message.contains("LOCATION"))
        #expect(!error.message.contains("  0A000:") && !error.message.hasSuffix("\n"))
        #expect(error.hint?.contains(hint) == true)
    }

    @Test func passwordsAreNeverShown() throws {
        setenv("PGPASSWORD", "plugh-wrong", 1)
        defer { unsetenv("PGPASSWORD") }
        let error = try failure { _ = try server.connect(user: "secretive") }
        #expect(error.code == .databaseConnect)
        #expect(error.message.contains("password authentication failed"))
        #expect(!error.description.contains("plugh"))
        #expect(error.hint == "is the password in ~/.pgpass, PGPASSFILE or PGPASSWORD the role's password?")

        setenv("PGPASSWORD", "xyzzy", 1)
        #expect(try server.connect(user: "secretive").user == "secretive")
        // A database is a name, not a connection string.
        let named = try failure {
            _ = try PostgresConnection(
                server.address(database: "host=/tmp password=x"), applicationName: "t", timeout: .seconds(5))
        }
        #expect(named.message.contains("does not exist"))
    }

    // MARK: - Statements

    @Test func errorsHaveTheStatementAndNotTheParameters() throws {
        let connection = try server.connect()
        let error = try failure { try connection.query("select $1::int", ["confidential"]) }
        #expect(error.code == .databaseQuery)
        #expect(error.message.hasPrefix("unable to run 'select $1::int': ERROR:  invalid input syntax"))
        #expect(error.hint == nil)
        #expect(try connection.query("select 1") == [["1"]])
    }

    @Test func statementsTimeOutAndTheSessionGoesOn() throws {
        let connection = try server.connect(timeout: .milliseconds(300))
        let start = ContinuousClock.now
        let error = try failure { try connection.query("select pg_sleep(60)") }
        #expect(error.code == .databaseQuery)
        #expect(error.message == "unable to run 'select pg_sleep(60)': timed out after 0.3s")
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(try connection.query("select 1") == [["1"]])
    }

    @Test func aTerminatedSessionSaysSo() throws {
        let victim = try server.connect()
        let pid = try victim.query("select pg_backend_pid()")[0][0]
        let killer = try server.connect()
        try killer.query("select pg_terminate_backend($1::int, 5000)", [pid])
        let error = try failure { try victim.query("select 1") }
        #expect(error.code == .databaseQuery)
        #expect(error.message.contains("terminat"))
        let after = try failure { try victim.query("select 1") }
        #expect(after.message.hasSuffix("the connection is closed"))
    }

    @Test func copyIsRefused() throws {
        let connection = try server.connect()
        let error = try failure { try connection.query("copy (select 1) to stdout") }
        #expect(error.code == .databaseQuery)
        #expect(error.message.hasSuffix("its kind of result is not supported"))
    }

    @Test func missingRightsNameTheGrants() throws {
        let error = try failure { _ = try PostgresServer(server.connect(user: "plain")) }
        #expect(error.code == .databaseQuery)
        #expect(error.message == "role 'plain' may not read the settings data_directory")
        #expect(error.hint?.contains("grant pg_read_all_settings to \"plain\"") == true)

        let admin = try server.connect()
        try admin.query("grant pg_read_all_settings to plain")
        let plain = try PostgresServer(server.connect(user: "plain"))
        let refused = try failure { _ = try plain.startBackup(label: "l", fast: true) }
        #expect(refused.code == .databaseQuery)
        #expect(refused.message.contains("permission denied for function pg_backup_start"))

        // What the hint says must be enough.
        let hint = try #require(refused.hint)
        let grants = try #require(hint.firstRange(of: "grant "))
        for grant in hint[grants.lowerBound...].split(separator: "; ") { try admin.query(String(grant)) }
        _ = try plain.startBackup(label: "l", fast: true)
        _ = try plain.stopBackup()
        _ = try plain.switchWAL()
    }

    // MARK: - Server

    @Test func facts() throws {
        let facts = try PostgresServer(server.connect()).facts
        #expect(facts.version.description == "15")
        #expect(facts.versionNumber / 10000 == 15)
        #expect(facts.dataDirectory == server.directory + "/data")
        #expect(facts.archiveMode == "on")
        #expect(facts.archiveCommand == "true")
        #expect(facts.checkpointTimeout == .seconds(301))
        #expect(!facts.isInRecovery)
        #expect(facts.walSegmentSize == 16 << 20)
    }

    @Test func backupStartsAndStops() throws {
        let server = try PostgresServer(server.connect())
        let before = try server.currentInsertLSN()
        let start = try server.startBackup(label: "it's a label", fast: true)
        #expect(start.lsn >= before)
        #expect(start.timeline == 1)
        #expect(start.segment == WALSegment(timeline: 1, containing: start.lsn, segmentSize: 16 << 20))
        let stop = try server.stopBackup()
        #expect(stop.lsn > start.lsn)
        #expect(stop.segment >= start.segment)
        #expect(stop.backupLabel.contains("START WAL LOCATION: \(start.lsn) (file \(start.segment))"))
        #expect(stop.backupLabel.contains("LABEL: it's a label"))
        #expect(stop.tablespaceMap == nil)
        let error = try failure { _ = try server.stopBackup() }
        #expect(error.message.contains("backup is not in progress"))
    }

    @Test func tablespacesAreMapped() throws {
        let path = server.directory + "/space"
        try asPostgres("mkdir", path)
        let connection = try server.connect()
        try connection.query("create tablespace space location '\(path)'")
        defer { _ = try? connection.query("drop tablespace space") }
        let server = try PostgresServer(connection)
        let space = try #require(try server.tablespaces().last)
        #expect(space.name == "space" && space.oid >= 16384)
        #expect(try server.tablespaces().map(\.name).dropLast() == ["pg_default", "pg_global"])
        _ = try server.startBackup(label: "l", fast: true)
        #expect(try server.stopBackup().tablespaceMap == "\(space.oid) \(path)\n")
    }

    @Test func switchingFinishesTheSegment() throws {
        let server = try PostgresServer(server.connect())
        for _ in 1...3 {
            let current = try server.currentWALSegment()
            let finished = try server.switchWAL()
            #expect(finished == current)
            // The insert position moves on with the next record.
            let point = try server.createRestorePoint("p")
            #expect(
                WALSegment(timeline: 1, containing: point, segmentSize: 16 << 20) == current.next(segmentSize: 16 << 20)
            )
        }
    }

    @Test func clusterFacts() throws {
        let server = try PostgresServer(server.connect())
        let databases = try server.databases()
        #expect(databases.map(\.name) == ["postgres", "template0", "template1"])
        #expect(databases.first { $0.name == "template1" }?.oid == 1)
        #expect(Set(databases.map(\.lastSystemOID)) == [try #require(databases.first { $0.name == "template0" }).oid])
        #expect(try server.timeline() == 1)
        #expect(try !server.isInRecovery())
        #expect(try server.replayLSN() == nil)
        try server.checkpoint()
        let now = Int64(Date().timeIntervalSince1970 * 1_000_000)
        #expect(abs(try server.currentTime() - now) < 10_000_000)
    }
}

@Suite struct ServerMessageTests {
    @Test(
        arguments: [
            ("a failed: FATAL:  28P01: no\nLOCATION:  auth_failed, auth.c:338\n", "a failed: FATAL:  no", "28P01"),
            ("FATAL:  3D000: x: y\nDETAIL:  z\nLOCATION:  a\n", "FATAL:  x: y\nDETAIL:  z", "3D000"),
            (
                "socket \"/s\" failed: No such file or directory\n\tIs it?\n",
                "socket \"/s\" failed: No such file or directory\n\tIs it?", nil
            ),
            ("FATAL:  lower: no state", "FATAL:  lower: no state", nil),
            ("a:  1234", "a:  1234", nil),
            ("", "", nil),
            (":", ":", nil),
        ] as [(String, String, String?)])
    func verboseFormIsTakenApart(verbose: String, text: String, state: String?) {
        #expect(ServerMessage(verbose: verbose) == ServerMessage(text: text, state: state))
    }

    @Test func durationsInSeconds() {
        #expect(Duration.seconds(1800).inSeconds == "1800s")
        #expect(Duration.milliseconds(1250).inSeconds == "1.25s")
        #expect(Duration.milliseconds(5).inSeconds == "0.005s")
    }

    @Test func grantsFitTheVersion() {
        #expect(
            PostgresHint.grants(user: "a\"b", versionNumber: 140000).contains("pg_start_backup(text, boolean, boolean)")
        )
        #expect(PostgresHint.grants(user: "a\"b", versionNumber: 150000).hasSuffix("to \"a\"\"b\""))
    }
}
