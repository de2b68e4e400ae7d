package import RepositoryStorage

/// What to do next for a key that was worked on.
package enum WorkOutcome: Sendable {
    case done
    /// Nothing failed, but it must be looked at again later.
    case again(after: Duration)
    /// Again after a pause that grows with each failure in a row.
    case failed
}

/// Keys that must be worked on: each is there once, however often it was added, and worked on by one worker at a time; so
/// many workers that work is bounded. A key that is added while it is worked on comes again.
package final class KeyedWorkQueue<Key: Hashable & Sendable>: Sendable {
    private struct Delayed: Sendable {
        var due: Duration
        var number: UInt64
        var task: Task<Void, Never>
    }

    private struct State: Sendable {
        /// In the order in which they were added.
        var ready: [Key] = []
        /// What of `ready` was taken.
        var taken = 0
        var waiting: Set<Key> = []
        var working: Set<Key> = []
        /// Of `working`, those that were added meanwhile.
        var dirty: Set<Key> = []
        var delayed: [Key: Delayed] = [:]
        var lastNumber: UInt64 = 0
        var failures: [Key: Int] = [:]
        var isClosed = false
    }

    private let state = Waitable(State())
    private let workers: Int
    private let backOff: RetryPolicy
    private let time: any WaitingTime

    /// - Parameters:
    ///   - workers: keys that are worked on at once, at least 1.
    ///   - backOff: the pauses of a key that fails; it is never given up.
    package init(
        workers: Int,
        backOff: RetryPolicy = RetryPolicy(shortest: .milliseconds(200), longest: .seconds(120)),
        time: any WaitingTime = MonotonicTime()
    ) {
        self.workers = max(1, workers)
        self.backOff = backOff
        self.time = time
    }

    deinit {
        for delayed in state.with({ $0.delayed.values.map(\.task) }) { delayed.cancel() }
    }

    /// Work on `key` as soon as a worker is free. One that has failed waits for a moment: what it does when it fails,
    /// such as to say so in its status, may be the very change that adds it.
    package func add(_ key: Key) {
        let hasFailed = state.change { state in
            if state.failures[key] != nil { return true }
            state.delayed.removeValue(forKey: key)?.task.cancel()
            Self.enqueue(key, &state)
            return false
        }
        if hasFailed { add(key, after: Self.failedPause) }
    }

    private static var failedPause: Duration { .seconds(1) }

    /// Work on `key` after a while; of several whiles the one that ends first counts.
    package func add(_ key: Key, after delay: Duration) {
        let due = time.now + delay
        state.with { state in
            if state.isClosed || state.waiting.contains(key) { return }
            if let earlier = state.delayed[key], earlier.due <= due { return }
            state.delayed[key]?.task.cancel()
            state.lastNumber += 1
            let number = state.lastNumber
            let task = Task { [weak self, time] in
                do { try await time.sleep(for: delay) } catch { return }
                self?.fire(key, number)
            }
            state.delayed[key] = Delayed(due: due, number: number, task: task)
        }
    }

    private func fire(_ key: Key, _ number: UInt64) {
        state.change { state in
            guard state.delayed[key]?.number == number else { return }
            state.delayed[key] = nil
            Self.enqueue(key, &state)
        }
    }

    private static func enqueue(_ key: Key, _ state: inout State) {
        if state.isClosed { return }
        if state.working.contains(key) {
            state.dirty.insert(key)
        } else if state.waiting.insert(key).inserted {
            state.ready.append(key)
        }
    }

    /// Keys that wait for a worker or are worked on; those that are delayed do not count.
    package var count: Int { state.with { $0.waiting.count + $0.working.count } }
    /// Keys that will come later.
    package var delayedCount: Int { state.with { $0.delayed.count } }
    /// How often in a row `key` has failed.
    package func failures(of key: Key) -> Int { state.with { $0.failures[key] ?? 0 } }

    /// Forgets a key that is gone: its failures and what was to come later.
    package func forget(_ key: Key) {
        state.with { state in
            state.failures[key] = nil
            state.delayed.removeValue(forKey: key)?.task.cancel()
        }
    }

    /// Works until the task is cancelled or ``close()``; what has begun is then brought to its end. Once.
    package func run(_ work: @escaping @Sendable (Key) async -> WorkOutcome) async {
        await withTaskGroup { group in
            for _ in 0..<workers {
                group.addTask { [self] in
                    while let key = await next() { finish(key, await work(key)) }
                }
            }
        }
    }

    /// No key is begun any more.
    package func close() {
        state.change { state in
            state.isClosed = true
            for delayed in state.delayed.values { delayed.task.cancel() }
            state.delayed = [:]
        }
    }

    private func next() async -> Key? {
        await state.first { state -> Key?? in
            if state.isClosed || Task.isCancelled { return .some(nil) }
            guard state.taken < state.ready.count else { return nil }
            let key = state.ready[state.taken]
            state.taken += 1
            if state.taken > 64, state.taken * 2 > state.ready.count {
                state.ready.removeFirst(state.taken)
                state.taken = 0
            }
            state.waiting.remove(key)
            state.working.insert(key)
            return .some(key)
        } ?? nil
    }

    private func finish(_ key: Key, _ outcome: WorkOutcome) {
        let pause: Duration? = state.change { state in
            state.working.remove(key)
            var pause: Duration?
            switch outcome {
            case .done: state.failures[key] = nil
            case .again(let delay):
                state.failures[key] = nil
                pause = delay
            case .failed:
                let failures = (state.failures[key] ?? 0) + 1
                state.failures[key] = failures
                pause = backOff.wait(after: failures)
            }
            guard state.dirty.remove(key) != nil else { return pause }
            if case .failed = outcome { return min(pause ?? .zero, Self.failedPause) }
            Self.enqueue(key, &state)
            return pause
        }
        if let pause { add(key, after: pause) }
    }
}
