package import BackupModel
import CPostgres
import Glibc

/// One session. Blocking: call it on a thread that may block. Not for two tasks at once.
///
/// The session looks up names in pg_catalog only, speaks UTF-8, runs nothing in parallel workers, and is not ended by
/// the server's `statement_timeout` or `idle_session_timeout`: a backup idles while it copies, and `timeout` bounds
/// the statements.
package final class PostgresConnection {
    private var session: OpaquePointer?
    private let timeout: Duration
    /// `server_version_num`.
    package let serverVersionNumber: Int
    /// The role that was logged in.
    package let user: String

    /// How long a cancelled statement may take to end before the session is given up.
    private static let cancelPatience = Duration.seconds(5)

    /// Connects, or throws `.databaseConnect`. `timeout` bounds this and every statement, `connectTimeout` this
    /// alone. Passwords are libpq's business: password file, `PGPASSWORD`, service file.
    package init(
        _ address: PostgresAddress, applicationName: String, timeout: Duration, connectTimeout: Duration? = nil
    ) throws(BackupError) {
        let session = try Self.connect(
            address, applicationName: applicationName, timeout: min(timeout, connectTimeout ?? timeout))
        self.session = session
        self.timeout = timeout
        serverVersionNumber = Int(libpq_server_version(session))
        user = libpq_user(session).map { String(cString: $0) } ?? ""

        var settings = [
            ("search_path", "pg_catalog"), ("max_parallel_workers_per_gather", "0"), ("statement_timeout", "0"),
        ]
        if serverVersionNumber >= 140000 { settings.append(("idle_session_timeout", "0")) }
        let calls = settings.map { "pg_catalog.set_config('\($0.0)', '\($0.1)', false)" }
        try query("select " + calls.joined(separator: ", "))
    }

    deinit { close() }

    /// Ends the session; the server ends a backup that it began.
    package func close() {
        if let session { libpq_finish(session) }
        session = nil
    }

    /// Runs one statement; rows of text, nil for NULL. Throws `.databaseQuery` with the statement and the server's
    /// words, never the parameters. After a timeout, or when the task is cancelled (`.terminated`), the statement is
    /// cancelled, and the session goes on if the server complies.
    @discardableResult
    package func query(_ statement: String, _ parameters: [String?] = []) throws(BackupError) -> [[String?]] {
        guard let session else {
            throw BackupError(.databaseQuery, "unable to run '\(statement)': the connection is closed")
        }
        let deadline = Deadline(after: timeout)
        let sent = withCStrings(parameters) {
            libpq_send_query(session, statement, Int32(parameters.count), $0)
        }
        guard sent else { throw lost(session, statement) }

        try flush(session, statement, deadline)
        var rows: [[String?]] = []
        var failure: BackupError?
        while true {
            do throws(BackupError) {
                try awaitResult(session, statement, deadline)
            } catch {
                // The server's last words say more than that the connection is gone.
                throw failure ?? error
            }
            guard let result = libpq_get_result(session) else { break }
            defer { libpq_clear(result) }
            switch Int(libpq_result_status(result)) {
            case LIBPQ_RESULT_TUPLES: rows = Self.rows(of: result)
            case LIBPQ_RESULT_COMMAND, LIBPQ_RESULT_EMPTY: break
            case LIBPQ_RESULT_ERROR: failure = failure ?? rejected(result, statement)
            default:
                // Its data would have to be read before the next statement.
                close()
                throw BackupError(.databaseQuery, "unable to run '\(statement)': its kind of result is not supported")
            }
        }
        if let failure {
            if Int(libpq_status(session)) == LIBPQ_CONNECTION_BAD { close() }
            throw failure
        }
        return rows
    }

    // MARK: - Connecting

    private static func connect(
        _ address: PostgresAddress, applicationName: String, timeout: Duration
    ) throws(BackupError) -> OpaquePointer {
        var reason: UnsafePointer<CChar>?
        guard libpq_load(&reason) else {
            throw BackupError(
                .databaseConnect,
                "unable to load libpq, PostgreSQL's client library: \(reason.map { String(cString: $0) } ?? "")",
                hint: "install it: Debian's package is libpq5")
        }
        var options: [(String, String)] = [
            ("port", String(address.port)), ("dbname", address.database), ("application_name", applicationName),
            ("client_encoding", "UTF8"),
        ]
        if let path = address.socketPath { options.append(("host", path)) }
        if let user = address.user { options.append(("user", user)) }

        let deadline = Deadline(after: timeout)
        let started = withCStrings(options.map(\.0) + [nil]) { keywords in
            withCStrings(options.map(\.1) + [nil]) { values in libpq_connect_start(keywords, values) }
        }
        guard let session = started else { throw BackupError(.memory, "unable to connect: out of memory") }
        do throws(BackupError) {
            try finishConnecting(session, address, deadline, timeout)
        } catch {
            libpq_finish(session)
            throw error
        }
        return session
    }

    private static func finishConnecting(
        _ session: OpaquePointer, _ address: PostgresAddress, _ deadline: Deadline, _ timeout: Duration
    ) throws(BackupError) {
        guard Int(libpq_status(session)) != LIBPQ_CONNECTION_BAD else { throw refused(session, address) }
        // PQconnectPoll's documentation: at first behave as if it had asked to wait for writing.
        var step = LIBPQ_POLLING_WRITING
        while step != LIBPQ_POLLING_OK {
            guard step != LIBPQ_POLLING_FAILED else { throw refused(session, address) }
            // The socket may be another after each step.
            let events = step == LIBPQ_POLLING_READING ? POLLIN : POLLOUT
            switch deadline.wait(for: events, on: libpq_socket(session)) {
            case .ready: step = Int(libpq_connect_poll(session))
            case .failed(let number): throw refused(session, address, "poll failed with error \(number)")
            case .expired: throw refused(session, address, "timed out after \(timeout.inSeconds)")
            case .cancelled:
                throw BackupError(.terminated, "terminated while connecting to \(address.description)")
            }
        }
        libpq_report_plainly(session)
        guard libpq_set_nonblocking(session) else { throw refused(session, address) }
    }

    private static func refused(
        _ session: OpaquePointer, _ address: PostgresAddress, _ reason: String? = nil
    ) -> BackupError {
        let said = libpq_error_message(session).map { String(cString: $0) } ?? ""
        let message = reason.map { ServerMessage(text: $0, state: nil) } ?? ServerMessage(verbose: said)
        return BackupError(
            .databaseConnect, "unable to connect to \(address.description): \(message.text)",
            hint: PostgresHint.connection(
                message.state, needsPassword: libpq_needs_password(session),
                usedPassword: libpq_used_password(session)))
    }

    // MARK: - Statements

    private func flush(
        _ session: OpaquePointer, _ statement: String, _ deadline: Deadline
    ) throws(BackupError) {
        while true {
            switch libpq_flush(session) {
            case 0: return
            case 1: break
            default: throw lost(session, statement)
            }
            // A server that has much to say reads nothing more until it was heard.
            try wait(for: POLLIN | POLLOUT, session, statement, deadline)
            guard libpq_consume_input(session) else { throw lost(session, statement) }
        }
    }

    private func awaitResult(
        _ session: OpaquePointer, _ statement: String, _ deadline: Deadline
    ) throws(BackupError) {
        while libpq_is_busy(session) {
            try wait(for: POLLIN, session, statement, deadline)
            guard libpq_consume_input(session) else { throw lost(session, statement) }
        }
    }

    private func wait(
        for events: Int32, _ session: OpaquePointer, _ statement: String, _ deadline: Deadline
    ) throws(BackupError) {
        switch deadline.wait(for: events, on: libpq_socket(session)) {
        case .ready: return
        case .failed: throw lost(session, statement)
        case .cancelled:
            cancel(session)
            throw BackupError(.terminated, "terminated while the server ran '\(statement)'")
        case .expired:
            cancel(session)
            throw BackupError(
                .databaseQuery, "unable to run '\(statement)': timed out after \(timeout.inSeconds)",
                hint: "raise db-timeout, or find out what the server waits for in pg_stat_activity")
        }
    }

    /// Leaves the session ready for the next statement, or closed.
    private func cancel(_ session: OpaquePointer) {
        var reason = [CChar](repeating: 0, count: 256)
        guard libpq_cancel(session, &reason, reason.count) else { return close() }
        let deadline = Deadline(after: Self.cancelPatience)
        while true {
            while libpq_is_busy(session) {
                guard
                    case .ready = deadline.wait(for: POLLIN, on: libpq_socket(session), heedsCancellation: false),
                    libpq_consume_input(session)
                else { return close() }
            }
            guard let result = libpq_get_result(session) else { return }
            libpq_clear(result)
        }
    }

    private func rejected(_ result: OpaquePointer, _ statement: String) -> BackupError {
        let message = ServerMessage(
            text: libpq_result_error(result).map { String(cString: $0) } ?? "",
            state: libpq_result_sqlstate(result).map { String(cString: $0) })
        return BackupError(
            .databaseQuery, "unable to run '\(statement)': \(message.text)",
            hint: PostgresHint.statement(message.state, user: user, versionNumber: serverVersionNumber))
    }

    private func lost(_ session: OpaquePointer, _ statement: String) -> BackupError {
        let said = ServerMessage(text: libpq_error_message(session).map { String(cString: $0) } ?? "", state: nil)
        close()
        return BackupError(
            .databaseQuery, "unable to run '\(statement)': \(said.text)",
            hint: "the connection is lost: did the server stop?")
    }

    private static func rows(of result: OpaquePointer) -> [[String?]] {
        let columns = libpq_column_count(result)
        return (0..<libpq_row_count(result)).map { row in
            (0..<columns).map { column in libpq_value(result, row, column).map { String(cString: $0) } }
        }
    }
}

/// C strings that live as long as `body` runs.
private func withCStrings<Result>(
    _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
) -> Result {
    let copies = strings.map { $0.flatMap { UnsafePointer(strdup($0)) } }
    defer { for copy in copies { free(UnsafeMutablePointer(mutating: copy)) } }
    return copies.withUnsafeBufferPointer { body($0.baseAddress) }
}

extension Duration {
    /// `30s`, `0.25s`.
    var inSeconds: String {
        let (seconds, attoseconds) = components
        let thousandths = attoseconds / 1_000_000_000_000_000
        guard thousandths > 0 else { return "\(seconds)s" }
        var digits = String(1000 + thousandths).dropFirst()
        while digits.last == "0" { digits.removeLast() }
        return "\(seconds).\(digits)s"
    }
}
