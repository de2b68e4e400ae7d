/// What a server or libpq said, taken apart.
struct ServerMessage: Equatable {
    /// Without the SQLSTATE and the place in PostgreSQL's source.
    var text: String
    /// Five characters; nil when the words are libpq's own.
    var state: String?

    init(text: String, state: String?) {
        self.text = Self.trimmed(text)
        self.state = state
    }

    /// From the verbose form `FATAL:  28P01: words`, the only one in which libpq tells the SQLSTATE of a refused
    /// connection.
    init(verbose: String) {
        var lines: [Substring] = []
        var state: String?
        for line in verbose.split(separator: "\n", omittingEmptySubsequences: true) where !line.hasPrefix("LOCATION:") {
            guard state == nil, let code = Self.stateRange(in: line) else {
                lines.append(line)
                continue
            }
            state = String(line[code])
            // `: ` follows the code.
            lines.append(line[..<code.lowerBound] + line[code.upperBound...].dropFirst(2))
        }
        self.init(text: lines.joined(separator: "\n"), state: state)
    }

    private static func stateRange(in line: Substring) -> Range<Substring.Index>? {
        var position = line.startIndex
        while let colon = line[position...].firstIndex(of: ":") {
            position = line.index(after: colon)
            let rest = line[position...]
            guard rest.hasPrefix("  ") else { continue }
            let code = rest.dropFirst(2).prefix(5)
            let isState = code.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
            if isState, code.utf8.count == 5, line[code.endIndex...].hasPrefix(": ") {
                return code.startIndex..<code.endIndex
            }
        }
        return nil
    }

    private static func trimmed(_ text: String) -> String {
        var part = text[...]
        while part.last?.isWhitespace == true { part.removeLast() }
        return String(part)
    }
}

/// What to do about a refused connection or statement.
enum PostgresHint {
    static func connection(_ state: String?, needsPassword: Bool, usedPassword: Bool) -> String {
        if needsPassword {
            return "the server wants a password: put it into the password file ~/.pgpass"
        }
        return switch state {
        case _ where usedPassword, "28P01":
            "is the password in ~/.pgpass, PGPASSFILE or PGPASSWORD the role's password?"
        case "28000":
            "run as the operating system user that pg_hba.conf allows (mostly 'postgres'), or name a role that may"
                + " log in with pg-user"
        case "3D000":
            "name an existing database with pg-database"
        case "57P03":
            "the server is starting up, shutting down or a standby without hot_standby: wait until it accepts connections"
        case "53300":
            "raise max_connections, or reserve connections for the backup's role"
        default:
            "is the server running, and are pg-port and pg-socket-path those that it listens on?"
        }
    }

    static func statement(_ state: String?, user: String, versionNumber: Int) -> String? {
        switch state {
        case "42501": grants(user: user, versionNumber: versionNumber)
        case "57014": "someone cancelled the statement"
        case "57P01", "57P02": "the server was stopped or the session terminated: start again when it is up"
        default: nil
        }
    }

    /// All rights that a role without SUPERUSER needs for backups.
    static func grants(user: String, versionNumber: Int) -> String {
        let functions =
            versionNumber >= 150000
            ? "pg_backup_start(text, boolean), pg_backup_stop(boolean)"
            : "pg_start_backup(text, boolean, boolean), pg_stop_backup(boolean, boolean)"
        let role = "\"" + user.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
        return "use a superuser, or as one: grant pg_read_all_settings to \(role); grant execute on function"
            + " \(functions), pg_create_restore_point(text), pg_switch_wal() to \(role)"
    }
}
