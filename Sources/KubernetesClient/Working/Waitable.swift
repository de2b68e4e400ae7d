import Synchronization

/// A state that many tasks may wait for.
final class Waitable<State: Sendable>: Sendable {
    private struct Guarded: Sendable {
        var state: State
        var changes: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var lastWaiter: UInt64 = 0
    }

    private let guarded: Mutex<Guarded>

    init(_ state: State) { guarded = Mutex(Guarded(state: state)) }

    /// Looks, or changes what nobody waits for.
    func with<Result>(_ body: (inout State) -> sending Result) -> sending Result {
        guarded.withLock { body(&$0.state) }
    }

    /// Changes the state, and wakes all that wait.
    func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, waiting) = guarded.withLock { guarded in
            let result = body(&guarded.state)
            guarded.changes += 1
            defer { guarded.waiting = [:] }
            return (result, Array(guarded.waiting.values))
        }
        for continuation in waiting { continuation.resume() }
        return result
    }

    /// The first value that `attempt` gives: it is called at once, and after each change. nil when the task was cancelled.
    func first<Result: Sendable>(_ attempt: (inout State) -> Result?) async -> Result? {
        while true {
            let (result, changes) = guarded.withLock { (attempt(&$0.state), $0.changes) }
            if let result { return result }
            if Task.isCancelled { return nil }
            await wait(after: changes)
        }
    }

    private func wait(after changes: UInt64) async {
        let id = guarded.withLock { guarded in
            guarded.lastWaiter += 1
            return guarded.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Whoever cancels does so before it looks for a continuation here, so one of both sees the other.
                let isLate = guarded.withLock { guarded in
                    if guarded.changes != changes || Task.isCancelled { return true }
                    guarded.waiting[id] = continuation
                    return false
                }
                if isLate { continuation.resume() }
            }
        } onCancel: {
            guarded.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }
}
