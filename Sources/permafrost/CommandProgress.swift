import BackupEngine
import Logging
import Synchronization
import Telemetry

/// Shows the progress of one copy: on the terminal or in the log, drawn by whichever worker comes by, and in the lock
/// file, where `info` of either program finds it.
final class CommandProgress: ProgressSink {
    private struct State {
        var reporter: ProgressReporter?
        var lock: HostLock?
        var total: UInt64 = 0
    }
    private let logger: Logger
    private let state = Mutex(State())

    init(logger: Logger) { self.logger = logger }

    func show(in lock: HostLock) { state.withLock { $0.lock = lock } }

    func begin(total: UInt64) {
        let reporter = ProgressReporter(total: total, logger: logger)
        state.withLock {
            $0.reporter = reporter
            $0.total = total
        }
    }

    func add(_ bytes: UInt64) {
        let (reporter, lock, total) = state.withLock { ($0.reporter, $0.lock, $0.total) }
        guard let reporter else { return }
        reporter.add(bytes: bytes)
        reporter.tick()
        lock?.report(sizeTotal: total, sizeDone: reporter.bytesDone)
    }

    func end() {
        let reporter = state.withLock { state in
            defer { state.reporter = nil }
            return state.reporter
        }
        reporter?.finish()
    }
}
