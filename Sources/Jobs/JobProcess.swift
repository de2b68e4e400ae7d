import BackupModel
import CLinux
import Glibc
import RepositoryStorage
import Synchronization

/// How a process has ended.
enum ProcessEnd: Equatable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
    /// It was not ours to wait for.
    case unknown
}

/// A running job, as far as who watches it needs to know.
protocol JobProcess: Sendable {
    /// Returns when it has ended.
    func end() async -> ProcessEnd

    /// Sends a signal, to all of its session's group if so wanted; none to one that has ended. False when it runs and
    /// cannot be reached.
    func signal(_ number: Int32, toGroup: Bool) -> Bool
}

/// A process that this one has started, in a session of its own: it goes on when this one ends.
final class ChildProcess: JobProcess {
    let processID: pid_t
    /// Whether it was waited for: its number may be another's from then on.
    private let isReaped = Mutex(false)

    /// - Parameters:
    ///   - words: after `argv[0]`.
    ///   - output: descriptor for what it prints, and `log` for its standard error; -1 throws it away.
    init(_ program: String, _ words: [String], output: Int32, log: Int32) throws(BackupError) {
        var arguments = ([program] + words).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var processID = pid_t()
        let status = linux_spawn_session(&processID, program, &arguments, environ, output, log)
        guard status == 0 else {
            throw BackupError(
                .execute, "unable to start '\(program)': \(String(cString: strerror(status)).lowercased())")
        }
        self.processID = processID
    }

    func end() async -> ProcessEnd {
        await OwnThread.run {
            var facts = siginfo_t()
            // Leaves it as it is, so that its number stays its own until the lock is held.
            while waitid(P_PID, id_t(self.processID), &facts, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            return self.isReaped.withLock { isReaped in
                isReaped = true
                var status: Int32 = 0
                var result: pid_t
                repeat { result = waitpid(self.processID, &status, 0) } while result < 0 && errno == EINTR
                // Someone ignores SIGCHLD, and the kernel has taken it away.
                guard result == self.processID else { return .unknown }
                let signal = status & 0x7f
                return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
            }
        }
    }

    func signal(_ number: Int32, toGroup: Bool) -> Bool {
        isReaped.withLock { $0 || kill(toGroup ? -processID : processID, number) == 0 }
    }
}

/// A process that another run of this program has started.
struct AdoptedProcess: JobProcess {
    let store: JobStore
    let id: JobID

    private static let interval = Duration.milliseconds(500)

    func end() async -> ProcessEnd {
        while await OwnThread.run({ isRunning }) {
            // The caller's task is never cancelled; if it were, the wait would be a busy one.
            do { try await Task.sleep(for: Self.interval) } catch { await Task.yield() }
        }
        return .unknown
    }

    private var isRunning: Bool {
        guard store.isRunning(id) else { return false }
        // What it has left behind may still hold the log.
        return store.process(id).map { !ProcessIdentity.current().knowsGone($0) } ?? true
    }

    func signal(_ number: Int32, toGroup: Bool) -> Bool {
        guard isRunning else { return true }
        guard let process = store.process(id), ProcessIdentity.current().sharesNumbers(with: process) else {
            return false
        }
        return kill(toGroup ? -process.processID : process.processID, number) == 0
    }
}
