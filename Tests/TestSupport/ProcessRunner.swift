import Foundation
import Glibc

/// What a process left when it ended.
package struct ProcessResult: Sendable, CustomStringConvertible {
    /// The command line, as a person would type it.
    package let command: String
    /// The exit code, or 128 plus the signal that ended it.
    package let status: Int32
    /// Its standard output, byte for byte.
    package let output: [UInt8]
    /// Its standard output, invalid UTF-8 repaired.
    package var stdout: String { String(decoding: output, as: UTF8.self) }
    /// Its standard error, invalid UTF-8 repaired.
    package let stderr: String

    /// The command, its status, and the last of its output: what a failed test should show.
    package var description: String {
        "'\(command)' ended with \(status)\n\(tail(of: stdout))\n\(tail(of: stderr))"
    }

    /// Itself, if it ended with `status`; throws its description otherwise.
    @discardableResult
    package func expecting(_ status: Int32 = 0) throws -> ProcessResult {
        guard self.status == status else { throw TestSupportError("expected exit code \(status): \(self)") }
        return self
    }

    /// Itself, if all `parts` are in its output, however lines were broken; throws its description otherwise.
    @discardableResult
    package func says(_ parts: String...) throws -> ProcessResult {
        // Lines that go on are indented.
        let text = stdout.replacing(#/\n +/#, with: " ")
        for part in parts where !text.contains(part) { throw TestSupportError("'\(part)' is missing: \(self)") }
        return self
    }

    private func tail(of text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).suffix(40).joined(separator: "\n")
    }
}

/// Runs programs for tests: never without a limit in time, each in a process group of its own, in any number at once.
package enum ProcessRunner {
    /// Runs a program to its end and gives what it left, whatever its exit code.
    ///
    /// - Parameters:
    ///   - executable: a path, or a name to be found in `PATH`.
    ///   - environment: added to a small fixed environment (`PATH`, `LC_ALL=C`, `HOME=/nonexistent`); the test's
    ///     own environment is not passed on, so that a developer's `PGHOST` changes nothing.
    ///   - asUser: who runs it; ignored where the tests themselves do not run as root.
    ///   - directory: its working directory; one that every user may enter by default.
    ///   - timeout: after which its whole process group is killed and an error is thrown.
    package static func run(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:],
        asUser: String? = nil, stdin: String = "", directory: String = "/", timeout: Duration = .seconds(60)
    ) async throws -> ProcessResult {
        try await start(
            executable, arguments, environment: environment, asUser: asUser, stdin: stdin, directory: directory,
            timeout: timeout
        ).wait()
    }

    /// Starts a program and gives it back at once: to be signalled, and to be waited for. Parameters as for `run`.
    package static func start(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:],
        asUser: String? = nil, stdin: String = "", directory: String = "/", timeout: Duration = .seconds(60)
    ) throws -> RunningProcess {
        var command = try [find(executable)] + arguments
        if let asUser, geteuid() == 0 {
            command = ["setpriv", "--reuid=\(asUser)", "--regid=\(asUser)", "--init-groups", "--"] + command
        }
        command = ["env", "--chdir=\(directory)", "--"] + command
        var variables = ["PATH": searchPath, "LC_ALL": "C", "HOME": "/nonexistent"]
        variables.merge(environment) { $1 }
        return try RunningProcess(
            command: command, shown: ([executable] + arguments).joined(separator: " "), environment: variables,
            input: Array(stdin.utf8), timeout: timeout)
    }

    /// The user that PostgreSQL and the backup tools run as: `postgres` when the tests run as root (which PostgreSQL
    /// refuses), otherwise whoever runs the tests.
    package static var serverUser: String? { geteuid() == 0 ? "postgres" : nil }

    private static let searchPath = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// The path of a program; throws when there is none, which the programs that start it would only say by exit code.
    private static func find(_ executable: String) throws -> String {
        let candidates =
            executable.contains("/") ? [executable] : searchPath.split(separator: ":").map { "\($0)/\(executable)" }
        guard let found = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw TestSupportError("no program '\(executable)'")
        }
        return found
    }
}
