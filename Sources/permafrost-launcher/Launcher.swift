import ArchiveShortcut
import Glibc

/// `bin/permafrost`: becomes `libexec/permafrost/permafrost`, which lies beside its own directory; unless
/// `archive-push` or `archive-get` can be answered from the spool.
///
/// PostgreSQL starts `bin/permafrost` for every WAL segment, so this program must start fast: no Foundation, no NIO,
/// no package. Arguments and `argv[0]` are passed on as they came: called as `pgbackrest` the program behaves as such.
@main
struct Launcher {
    /// Where the program finds the path to write into `restore_command`.
    private static let pathVariable = "PERMAFROST_LAUNCHER"
    /// pgBackRest's exit code for a command that could not be executed.
    private static let executeError: Int32 = 102

    static func main() {
        guard let launcher = realPath() else {
            fail("unable to read '/proc/self/exe': \(reason())", hint: "is /proc mounted?")
        }
        let prefix = parent(of: parent(of: launcher))
        let program = prefix + "/libexec/permafrost/permafrost"

        let answer = SpoolAnswer(
            arguments: CommandLine.arguments, environment: ArchiveEnvironment.entries(), program: program)
        if let status = answer?.give() { exit(status) }

        setenv(pathVariable, calledPath() ?? launcher, 1)
        execv(program, CommandLine.unsafeArgv)
        fail(
            "unable to start '\(program)': \(reason())",
            hint: "'\(launcher)' finds it relative to itself: link to it instead of copying it, or install again")
    }

    /// This program's file, links resolved.
    private static func realPath() -> String? {
        guard let path = realpath("/proc/self/exe", nil) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    /// The absolute path under which this program was called, links kept: a link outlives the version it leads to.
    /// nil when it cannot be told.
    private static func calledPath() -> String? {
        guard let name = CommandLine.arguments.first else { return nil }
        if name.hasPrefix("/") { return name }
        if name.contains("/") {
            guard let directory = getcwd(nil, 0) else { return nil }
            defer { free(directory) }
            return String(cString: directory) + "/" + name
        }
        guard let path = getenv("PATH") else { return nil }
        return String(cString: path).split(separator: ":")
            .map { "\($0)/\(name)" }
            .first { $0.hasPrefix("/") && access($0, X_OK) == 0 }
    }

    private static func parent(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    private static func reason() -> String {
        let number = errno
        return strerror(number).map { String(cString: $0) } ?? "error \(number)"
    }

    private static func fail(_ message: String, hint: String) -> Never {
        let text = "ERROR: [\(executeError)]: \(message)\n       HINT: \(hint)\n"
        _ = text.withCString { write(2, $0, strlen($0)) }
        exit(executeError)
    }
}
