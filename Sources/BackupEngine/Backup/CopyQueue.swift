import Glibc
import Synchronization

/// Hands out the files of a backup, largest first, so that workers end together.
///
/// A file whose time of modification lies in the second of the scan could change again within that second without
/// showing it. Such files are held back until the second is over; all others are copied at once.
final class CopyQueue: Sendable {
    private struct State {
        var ready: [SourceFile]
        var held: [SourceFile]
    }
    private let state: Mutex<State>
    /// Seconds since 1970.
    private let heldUntil: Int64

    init(ready: [SourceFile], held: [SourceFile], heldUntil: Int64) {
        // Taken from the end.
        let order: (SourceFile, SourceFile) -> Bool = { ($0.size, $1.name) < ($1.size, $0.name) }
        state = Mutex(State(ready: ready.sorted(by: order), held: held.sorted(by: order)))
        self.heldUntil = heldUntil
    }

    /// nil when nothing is left. Sleeps when only held files are left and their second is not over.
    func take() async throws -> SourceFile? {
        while true {
            let now = Self.now()
            let next = state.withLock { state -> SourceFile? in
                if now >= Double(heldUntil), let held = state.held.last,
                    state.ready.last.map({ $0.size <= held.size }) ?? true
                {
                    return state.held.removeLast()
                }
                return state.ready.popLast()
            }
            if let next { return next }
            if state.withLock({ $0.held.isEmpty }) { return nil }
            try await Task.sleep(for: .seconds(max(0.001, Double(heldUntil) - now)))
        }
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
