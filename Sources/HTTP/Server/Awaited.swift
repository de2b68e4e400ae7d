import Synchronization

/// A state that an event loop changes and that one task at a time waits for.
final class Awaited<State: Sendable>: Sendable {
    private struct Guarded: Sendable {
        var state: State
        var changes = 0
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let guarded: Mutex<Guarded>

    init(_ state: State) { guarded = Mutex(Guarded(state: state)) }

    /// Looks, or changes what nobody waits for.
    func with<Result: Sendable>(_ body: (inout State) -> Result) -> Result { guarded.withLock { body(&$0.state) } }

    /// Changes the state and wakes the task that waits.
    func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, waiting) = guarded.withLock { guarded in
            let result = body(&guarded.state)
            guarded.changes += 1
            return (result, guarded.waiting.take())
        }
        waiting?.resume()
        return result
    }

    /// The first value that `attempt` gives: it is called at once, and after each change.
    /// - Throws: `.cancelled` when the task was.
    func first<Result: Sendable>(_ attempt: (inout State) -> Result?) async throws(TransportError) -> Result {
        while true {
            let (result, changes) = guarded.withLock { (attempt(&$0.state), $0.changes) }
            if let result { return result }
            if Task.isCancelled { throw TransportError(.cancelled, "cancelled") }
            await wait(after: changes)
        }
    }

    private func wait(after changes: Int) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Whoever cancels does so before it looks for a continuation here, so one of both sees the other.
                let isLate = guarded.withLock { guarded in
                    if guarded.changes != changes || Task.isCancelled { return true }
                    guarded.waiting = continuation
                    return false
                }
                if isLate { continuation.resume() }
            }
        } onCancel: {
            guarded.withLock { $0.waiting.take() }?.resume()
        }
    }
}
