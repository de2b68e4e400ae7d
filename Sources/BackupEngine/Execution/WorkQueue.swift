import Synchronization

/// Items that several workers take from, first come first served.
package final class WorkQueue<Item: Sendable>: Sendable {
    private let items: [Item]
    private let next = Atomic<Int>(0)

    package init(_ items: [Item]) { self.items = items }

    /// nil when nothing is left.
    package func take() -> Item? {
        let index = next.add(1, ordering: .relaxed).oldValue
        return index < items.count ? items[index] : nil
    }
}

extension WorkerThreads {
    /// Runs `work` once per worker, each on a thread of its own, and returns when all have ended. The first error
    /// cancels the others and is thrown.
    package func runOnEach(tasks: Int? = nil, _ work: @Sendable @escaping (_ worker: Int) async throws -> Void)
        async throws
    {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<(tasks ?? count) {
                group.addTask(executorPreference: self) { try await work(worker) }
            }
            do {
                // One by one: waitForAll would wait for the rest before it throws.
                while try await group.next() != nil {}
            } catch {
                group.cancelAll()
                throw error
            }
        }
    }
}
