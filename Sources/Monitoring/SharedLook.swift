import Synchronization

/// Something that is looked at when somebody asks: by one look at a time, whose result is for all who ask, and for a
/// while after.
final class SharedLook<Value: Sendable>: Sendable {
    struct Answer: Sendable {
        /// Of the last look that has ended; nil when none has.
        var value: Value?
        /// Seconds since 1970, when that look began.
        var time: Int64 = 0
        /// Whether it is of the configuration that holds now.
        var isCurrent = false
        /// Whether it is as fresh as was asked; if not, a look goes on that is.
        var isFresh = false
    }

    private struct State {
        var last: (value: Value, version: Int, began: ContinuousClock.Instant, time: Int64)?
        var isLooking = false
        /// Looks that began before do not count.
        var earliest: ContinuousClock.Instant?
    }

    private let state = Mutex(State())

    var isLooking: Bool { state.withLock { $0.isLooking } }

    /// What was seen is not so any more.
    func forget() { state.withLock { $0.earliest = .now } }

    /// - Parameters:
    ///   - version: of what is looked at: what was seen of another does not count.
    ///   - freshness: how long ago the look may have begun.
    ///   - patience: how long to wait for one.
    ///   - now: seconds since 1970.
    func answer(
        version: Int = 0, freshness: Duration, patience: Duration, now: @escaping @Sendable () -> Int64,
        look: @escaping @Sendable () async -> Value
    ) async -> Answer {
        let asked = ContinuousClock.now
        let end = asked + patience
        var pause = Duration.milliseconds(2)
        while true {
            let (answer, isMine) = state.withLock { state in
                let earliest = state.earliest.map { max($0, asked - freshness) } ?? asked - freshness
                let isCurrent = state.last?.version == version
                guard let last = state.last, isCurrent, last.began >= earliest else {
                    let isMine = !state.isLooking
                    state.isLooking = true
                    return (
                        Answer(value: state.last?.value, time: state.last?.time ?? 0, isCurrent: isCurrent), isMine
                    )
                }
                return (Answer(value: last.value, time: last.time, isCurrent: true, isFresh: true), false)
            }
            // Nobody's: who asked may be gone before it ends.
            if isMine { begin(version, now, look) }
            if answer.isFresh || ContinuousClock.now >= end || Task.isCancelled { return answer }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(100))
        }
    }

    private func begin(
        _ version: Int, _ now: @escaping @Sendable () -> Int64, _ look: @escaping @Sendable () async -> Value
    ) {
        Task {
            let (began, time) = (ContinuousClock.now, now())
            let value = await look()
            state.withLock { state in
                state.last = (value, version, began, time)
                state.isLooking = false
            }
        }
    }
}
