import Synchronization

/// So many may be at something at once; the others wait in the order in which they came. A wait suspends the task, and
/// ends when the task is cancelled.
package final class CallSlots: Sendable {
    private struct State {
        var free: Int
        var nextTicket: UInt64 = 0
        /// In the order of their tickets. Those resumed or cancelled are gone from it.
        var waiting: [UInt64: CheckedContinuation<Void, any Error>] = [:]
        var order: [UInt64] = []
        var head = 0

        mutating func popFirst() -> CheckedContinuation<Void, any Error>? {
            while head < order.count {
                let ticket = order[head]
                head += 1
                if let continuation = waiting.removeValue(forKey: ticket) { return continuation }
            }
            order.removeAll(keepingCapacity: true)
            head = 0
            return nil
        }
    }
    private let state: Mutex<State>

    /// 1 or more.
    package let count: Int

    package init(_ count: Int) {
        self.count = max(1, count)
        state = Mutex(State(free: self.count))
    }

    /// Runs `body` with a slot held. Throws `CancellationError` when the task is cancelled before it has one.
    package func run<Result>(_ body: () async throws -> Result) async throws -> Result {
        try await acquire()
        defer { release() }
        return try await body()
    }

    /// Call ``release()`` afterwards, unless it throws.
    package func acquire() async throws {
        try Task.checkCancellation()
        let ticket = state.withLock { state -> UInt64? in
            if state.free > 0 {
                state.free -= 1
                return nil
            }
            state.nextTicket += 1
            return state.nextTicket
        }
        guard let ticket else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let isCancelled = Task.isCancelled
                let isReady = state.withLock { state in
                    // One may have become free since; and a cancellation that came before the entry found none to end.
                    if isCancelled || state.free > 0 {
                        if !isCancelled { state.free -= 1 }
                        return true
                    }
                    state.waiting[ticket] = continuation
                    state.order.append(ticket)
                    return false
                }
                guard isReady else { return }
                if isCancelled { continuation.resume(throwing: CancellationError()) } else { continuation.resume() }
            }
        } onCancel: {
            let continuation = state.withLock { $0.waiting.removeValue(forKey: ticket) }
            continuation?.resume(throwing: CancellationError())
        }
    }

    package func release() {
        let next = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            if let next = state.popFirst() { return next }
            state.free += 1
            return nil
        }
        next?.resume()
    }
}
