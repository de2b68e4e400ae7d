import BackupModel
import CLinux
import Glibc

/// A background process that pushes what is ready.
struct BackgroundRun {
    let processID: pid_t
    /// Can be read when it has ended; -1 where the system has no such thing.
    let descriptor: Int32

    init(_ processID: pid_t) {
        self.processID = processID
        descriptor = linux_pidfd_open(processID)
    }

    enum End: Equatable {
        case exited(Int32)
        case killed(signal: Int32)

        var kind: PushAhead.End {
            switch self {
            case .exited(0): .completed
            case .exited(ErrorCode.lockAcquire.rawValue): .busy
            default: .failed
            }
        }

        var text: String {
            switch self {
            case .exited(let code): "with code \(code)"
            case .killed(let signal): "by signal \(signal)"
            }
        }
    }

    /// nil while it runs; to be asked once more never.
    func end() -> End? {
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(processID, &status, WNOHANG) } while result < 0 && errno == EINTR
        if result == 0 { return nil }
        if descriptor >= 0 { close(descriptor) }
        // Nothing to wait for: someone ignores SIGCHLD, and the kernel has reaped it.
        if result < 0 { return .exited(0) }
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
    }
}
