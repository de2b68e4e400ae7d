import BackupModel
import CLinux
import Glibc

/// This program once more, in a session of its own: it goes on when PostgreSQL's command has ended, and no signal to
/// PostgreSQL's group reaches it.
struct BackgroundProcess {
    let processID: pid_t

    enum End: Equatable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    /// - Parameter arguments: after `argv[0]`.
    static func start(_ configuration: Configuration, _ arguments: [String]) throws(BackupError) -> BackgroundProcess {
        let program = "/proc/self/exe"
        var words = ([configuration.programPath] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var processID = pid_t()
        let status = linux_spawn_session(&processID, program, &words, environ, -1, -1)
        guard status == 0 else {
            throw systemError(.execute, "unable to start the background process", status)
        }
        return BackgroundProcess(processID: processID)
    }

    /// nil while it runs.
    func end() -> End? {
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(processID, &status, WNOHANG) } while result < 0 && errno == EINTR
        if result == 0 { return nil }
        // Nothing to wait for: someone ignores SIGCHLD, and the kernel has reaped it.
        if result < 0 { return .exited(0) }
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
    }
}
