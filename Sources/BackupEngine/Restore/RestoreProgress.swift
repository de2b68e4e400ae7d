import Synchronization

/// How much of a restore is done; shared by its workers.
final class RestoreProgress: Sendable {
    private let total: UInt64
    private let done = Atomic<UInt64>(0)
    private let report: @Sendable (UInt64) -> Void

    init(total: UInt64, report: @escaping @Sendable (UInt64) -> Void) {
        self.total = total
        self.report = report
    }

    /// The sum so far.
    func add(_ bytes: UInt64) -> UInt64 {
        let sum = done.wrappingAdd(bytes, ordering: .relaxed).newValue
        if bytes > 0 { report(bytes) }
        return sum
    }

    func percent(_ done: UInt64) -> String {
        let hundredths = total == 0 ? 10000 : UInt64(Double(done) / Double(total) * 10000)
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)%"
    }
}
