import Glibc
package import Logging
import Synchronization

/// Tells people and programs how far a command is: one line on a terminal, redrawn at most five times a second;
/// elsewhere a log line at most every `interval`.
///
/// `add` may be called from any thread and costs an atomic addition; `tick` by whoever comes by.
package final class ProgressReporter: Sendable {
    private let done = Atomic<UInt64>(0)
    private let state: Mutex<State>
    private let logger: Logger
    private let output: LogOutput?
    private let interval: Duration
    private let now: @Sendable () -> Duration

    private struct State {
        var total: UInt64?
        var meter: RateMeter
        var nextShow: Duration
        var isFinished = false
    }

    /// `total` in bytes, nil while unknown. `now` is monotonic time. On a terminal `output` shows the line.
    package init(
        total: UInt64?, logger: Logger, output: LogOutput? = LogSetup.output, interval: Duration = .seconds(10),
        now: @escaping @Sendable () -> Duration = ProgressReporter.monotonicTime
    ) {
        self.logger = logger
        self.output = output
        self.interval = interval
        self.now = now
        let start = now()
        let draws = output?.drawsProgress == true
        state = Mutex(
            State(
                total: total, meter: RateMeter(start: start), nextShow: start + (draws ? Self.redrawInterval : interval)
            ))
    }

    private static let redrawInterval = Duration.milliseconds(200)

    package func add(bytes: UInt64) { done.wrappingAdd(bytes, ordering: .relaxed) }

    package func setTotal(_ total: UInt64) { state.withLock { $0.total = total } }

    /// Bytes so far.
    package var bytesDone: UInt64 { done.load(ordering: .relaxed) }

    /// Shows the progress if it is time to.
    package func tick() {
        let draws = output?.drawsProgress == true
        let snapshot: ProgressSnapshot? = state.withLock { state in
            let time = now()
            guard !state.isFinished, time >= state.nextShow else { return nil }
            state.nextShow = time + (draws ? Self.redrawInterval : interval)
            let done = bytesDone
            return ProgressSnapshot(done: done, total: state.total, rate: state.meter.sample(at: time, done: done))
        }
        guard let snapshot else { return }
        if draws, let output {
            output.draw(progress: snapshot.line(width: output.terminalWidth - 1))
        } else {
            logger.notice("\(snapshot.message)", metadata: snapshot.facts)
        }
    }

    /// Takes the line from the terminal; later ticks do nothing.
    package func finish() {
        state.withLock { $0.isFinished = true }
        output?.draw(progress: "")
    }

    package static let monotonicTime: @Sendable () -> Duration = {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
}
