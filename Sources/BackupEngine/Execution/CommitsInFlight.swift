import RepositoryStorage
import Synchronization

/// Steps that one task has begun in a store behind a network and does not wait for: the last ones of objects, above all,
/// while it goes on with the next file.
///
/// Used by one task. Whoever ends must ``finish()`` or ``cancel()`` first: nothing may go on behind a command's back.
final class CommitsInFlight: Sendable {
    /// How many steps a repository has room for, whichever tasks begin them.
    struct Room: Sendable {
        fileprivate let all: CallSlots
        /// For what holds more than ``largeSize`` bytes, so that memory is bounded by a few of those.
        fileprivate let large: CallSlots
        static let largeSize = RetryingStore.replayLimit

        init(_ count: Int) {
            all = CallSlots(count)
            large = CallSlots(count / 4)
        }
    }

    private struct State {
        var running: [UInt64: Task<Void, Never>] = [:]
        var begun: UInt64 = 0
        var failure: (any Error)?
    }
    private let state = Mutex(State())
    private let room: Room

    init(_ room: Room) { self.room = room }

    /// Waits until there is room, and begins `step`. It runs on the cooperative pool, where it starts at once even while
    /// all threads that copy are busy.
    /// - Parameter size: bytes that it holds until it is done.
    /// - Throws: `CancellationError`; then it was not begun.
    func begin(holding size: UInt64, _ step: @Sendable @escaping () async throws -> Void) async throws {
        let isLarge = size > UInt64(Room.largeSize)
        if isLarge { try await room.large.acquire() }
        do {
            try await room.all.acquire()
        } catch {
            if isLarge { room.large.release() }
            throw error
        }
        state.withLock { state in
            state.begun += 1
            let number = state.begun
            state.running[number] = Task { [self] in
                do {
                    try await step()
                    end(number, nil)
                } catch {
                    end(number, error)
                }
                room.all.release()
                if isLarge { room.large.release() }
            }
        }
    }

    /// Throws what the first step that failed has thrown.
    func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Waits for all. Throws as ``check()`` does, as soon as one has failed.
    func finish() async throws {
        while let task = next() {
            try check()
            await withTaskCancellationHandler {
                await task.value
            } onCancel: {
                cancelAll()
            }
        }
        try check()
    }

    /// Ends all that are under way, and returns when they have ended.
    func cancel() async {
        cancelAll()
        while let task = next() { await task.value }
    }

    private func next() -> Task<Void, Never>? { state.withLock { $0.running.first?.value } }

    private func cancelAll() {
        for task in state.withLock({ Array($0.running.values) }) { task.cancel() }
    }

    private func end(_ number: UInt64, _ failure: (any Error)?) {
        state.withLock { state in
            state.running[number] = nil
            if state.failure == nil { state.failure = failure }
        }
    }
}
