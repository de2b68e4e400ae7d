import BackupModel
import CLinux
import Glibc
import PostgresFormats

/// The program of the server whose data directory is replaced, found by what it left there at its last start.
struct ServerProgram: Sendable, Equatable {
    var path: String
    /// The options that it was started with, `-D` among them.
    var arguments: [String] = []

    /// - Parameter options: the content of `postmaster.opts`, nil where there is none.
    /// - Throws: `.fileMissing` when there is no program of this version.
    static func find(_ version: PostgresVersion, options: [UInt8]?) throws(BackupError) -> ServerProgram {
        if let started = options.flatMap({ ServerProgram(parsing: $0) }), access(started.path, X_OK) == 0 {
            return started
        }
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let directories = ["/usr/lib/postgresql/\(version)/bin", "/usr/pgsql-\(version)/bin"]
        for directory in directories + path.split(separator: ":").map(String.init) where directory.hasPrefix("/") {
            let program = "\(directory)/postgres"
            if access(program, X_OK) == 0 { return ServerProgram(path: program) }
        }
        throw BackupError(
            .fileMissing, "there is no program 'postgres' of PostgreSQL \(version) with which to recover",
            hint: "it is looked for where the server was started from, in /usr/lib/postgresql and in PATH")
    }

    /// Of a line as the server writes it: `/bin/postgres "-D" "/data"`.
    init?(parsing options: [UInt8]) {
        let text = String(decoding: options, as: UTF8.self)
        let line = text.split(separator: "\n", omittingEmptySubsequences: false).first ?? ""
        var parts: [String] = []
        var rest = line[...]
        while let end = rest.firstRange(of: " \"") {
            parts.append(String(rest[..<end.lowerBound]))
            rest = rest[end.upperBound...]
        }
        parts.append(String(rest))
        guard let program = parts.first, program.hasPrefix("/") else { return nil }
        path = program
        arguments = parts.dropFirst().map { String($0.hasSuffix("\"") ? $0.dropLast() : $0[...]) }
    }

    init(path: String, arguments: [String] = []) {
        self.path = path
        self.arguments = arguments
    }

    /// Throws `.versionNotSupported` when the program is of another version.
    func require(_ version: PostgresVersion) throws(BackupError) {
        let said = try output(["--version"]) ?? ""
        let number = said.split(separator: " ").first { $0.first?.isNumber == true } ?? ""
        let found = number.prefix { $0.isNumber }
        guard found == version.description else {
            throw BackupError(
                .versionNotSupported,
                "'\(path)' is of PostgreSQL \(found.isEmpty ? "an unknown version" : String(found)), but the backup of \(version)"
            )
        }
    }

    /// A setting as the server would have it, from its files and the options of its last start; nil when it does not say.
    func setting(_ name: String) throws(BackupError) -> String? {
        guard !arguments.isEmpty else { return nil }
        return try output(arguments + ["-C", name]).map { text in
            String(text.split(separator: "\n", omittingEmptySubsequences: false).first ?? "")
        }
    }

    /// What it prints; nil when it fails.
    private func output(_ words: [String]) throws(BackupError) -> String? {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw systemError(.execute, "unable to make a pipe", errno) }
        defer { close(ends[0]) }
        let process: ServerProcess
        do throws(BackupError) {
            process = try ServerProcess(path, words, output: ends[1], error: -1)
            close(ends[1])
        } catch {
            close(ends[1])
            throw error
        }
        var said: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(ends[0], &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            said += chunk[..<count]
        }
        guard process.wait() == .exited(0) else { return nil }
        return String(decoding: said, as: UTF8.self)
    }
}

/// A server that this process has started, in a session of its own.
struct ServerProcess: Sendable {
    let id: pid_t

    enum End: Equatable, CustomStringConvertible {
        case exited(Int32)
        case killed(Int32)

        var description: String {
            switch self {
            case .exited(let code): "ended with exit code \(code)"
            case .killed(let signal): "was killed by signal \(signal)"
            }
        }
    }

    /// - Parameters:
    ///   - output: descriptor for what it prints, and `error` for its standard error; -1 throws it away.
    init(_ program: String, _ words: [String], output: Int32, error: Int32) throws(BackupError) {
        var arguments = ([program] + words).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var id = pid_t()
        let status = linux_spawn_session(&id, program, &arguments, environ, output, error)
        guard status == 0 else { throw systemError(.execute, "unable to start '\(program)'", status) }
        self.id = id
    }

    /// nil while it runs. Once it was told, it must not be asked again.
    func end() -> End? { reap(WNOHANG) }

    func wait() -> End { reap(0) ?? .exited(0) }

    func signal(_ number: Int32) { kill(id, number) }

    private func reap(_ options: Int32) -> End? {
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(id, &status, options) } while result < 0 && errno == EINTR
        if result == 0 { return nil }
        // Somebody ignores SIGCHLD, and the kernel has taken it away.
        guard result == id else { return .exited(0) }
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal)
    }
}
