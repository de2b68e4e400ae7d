import Glibc
import RepositoryFormats
import Synchronization

/// Hands out the files of a backup by their rows, largest first, so that workers end together.
///
/// A file whose time of modification lies in the second of the scan could change again within that second without
/// showing it. Such files are held back until the second is over; all others are copied at once.
final class CopyQueue: Sendable {
    private struct State {
        /// Places in `order`, ascending: taken from the end.
        var ready: [UInt32]
        var held: [UInt32]
    }
    private let state: Mutex<State>
    /// Rows by size, ascending.
    private let order: [UInt32]
    /// Seconds since 1970.
    private let heldUntil: Int64

    /// - Parameters:
    ///   - rows: of `files` that are to be copied.
    ///   - heldFrom: files modified in this second or later are held back until `heldUntil`.
    init(_ rows: [UInt32], of files: ManifestFiles, heldFrom: Int64, heldUntil: Int64) {
        self.heldUntil = heldUntil
        // Rows are sorted by name: of equal sizes the first in that order is taken first.
        let order = rows.sorted { (files.size(Int($0)), $1) < (files.size(Int($1)), $0) }
        self.order = order
        var state = State(ready: [], held: [])
        for (place, row) in order.enumerated() {
            if files.timestamp(Int(row)) < heldFrom {
                state.ready.append(UInt32(place))
            } else {
                state.held.append(UInt32(place))
            }
        }
        self.state = Mutex(state)
    }

    /// nil when nothing is left. Sleeps when only held files are left and their second is not over.
    func take() async throws -> Int? {
        while true {
            let now = FileClock.now()
            let next = state.withLock { state -> UInt32? in
                if now >= Double(heldUntil), let held = state.held.last, state.ready.last.map({ $0 < held }) ?? true {
                    return state.held.removeLast()
                }
                return state.ready.popLast()
            }
            if let next { return Int(order[Int(next)]) }
            if state.withLock({ $0.held.isEmpty }) { return nil }
            try await Task.sleep(for: .seconds(max(0.001, Double(heldUntil) - now)))
        }
    }
}

/// The clock that file systems take times of modification from: a few milliseconds behind the real one.
package enum FileClock {
    /// Seconds since 1970.
    package static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
