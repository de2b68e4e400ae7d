package import Checksums
import Synchronization

/// A SHA-1 that another task may advance for us, see ``HashPairing``.
package final class RunningSHA1 {
    private var sum = SHA1()
    package init() {}

    package func update(_ bytes: UnsafeRawBufferPointer) { sum.update(bytes.bytes) }
    /// Ends the sum and begins a new one.
    package func finish() -> SHA1Digest { sum.finish() }

    static func update(
        _ first: RunningSHA1, _ firstBytes: UnsafeRawBufferPointer, _ second: RunningSHA1,
        _ secondBytes: UnsafeRawBufferPointer
    ) {
        SHA1.update(&first.sum, firstBytes.bytes, &second.sum, secondBytes.bytes)
    }
}

/// Brings two tasks together that each have a chunk to hash: two SHA-1 streams interleaved take little longer than one,
/// and SHA-1 is the largest part of the work with fast codecs.
///
/// A task with a large chunk waits here until any other comes by with something to hash; that one does both. Nobody
/// waits when no other is left. Give it more tasks than threads, so that waiting tasks leave no thread idle.
package final class HashPairing: Sendable {
    /// Bytes worth waiting with: below, the switch of tasks would cost what the pairing saves.
    private static let worthwhile = 64 << 10

    private struct Entry: @unchecked Sendable {  // its task is suspended until whoever took the entry resumes it
        let sum: RunningSHA1
        let bytes: UnsafeRawBufferPointer
        let continuation: UnsafeContinuation<Void, Never>
    }
    private struct State {
        var waiting: Entry?
        var participants: Int
    }
    private let state: Mutex<State>

    /// - Parameter participants: tasks that will call ``update(_:_:)``, each until it calls ``leave()``.
    package init(participants: Int) { state = Mutex(State(waiting: nil, participants: participants)) }

    /// Adds `bytes` to `sum`. Both are in use until it returns.
    package func update(_ sum: RunningSHA1, _ bytes: UnsafeRawBufferPointer) async {
        if let other = takeWaiting() {
            hash(sum, bytes, other)
            return
        }
        guard bytes.count >= Self.worthwhile else {
            sum.update(bytes)
            return
        }
        await withUnsafeContinuation { continuation in
            let entry = Entry(sum: sum, bytes: bytes, continuation: continuation)
            let other = state.withLock { state -> Entry? in
                if let other = state.waiting {
                    state.waiting = nil
                    return other
                }
                guard state.participants > 1 else { return nil }
                state.waiting = entry
                return entry
            }
            guard let other else {
                sum.update(bytes)
                continuation.resume()
                return
            }
            // Waiting: who comes next resumes us.
            if other.sum === sum { return }
            hash(sum, bytes, other)
            continuation.resume()
        }
    }

    /// The calling task will hash no more.
    package func leave() {
        let last = state.withLock { state -> Entry? in
            state.participants -= 1
            guard state.participants < 2 else { return nil }
            defer { state.waiting = nil }
            return state.waiting
        }
        if let last {
            last.sum.update(last.bytes)
            last.continuation.resume()
        }
    }

    private func takeWaiting() -> Entry? {
        state.withLock { state in
            defer { state.waiting = nil }
            return state.waiting
        }
    }

    private func hash(_ sum: RunningSHA1, _ bytes: UnsafeRawBufferPointer, _ other: Entry) {
        RunningSHA1.update(sum, bytes, other.sum, other.bytes)
        other.continuation.resume()
    }
}

extension WorkerThreads {
    /// As ``runOnEach(tasks:_:)``, with two tasks for each thread, so that they can pair their sums. Without `pairs`
    /// there is one task for each thread, and each hashes alone.
    /// - Parameter ahead: further tasks, so that some have work for the threads while others wait for a network.
    package func runPaired(
        pairs: Bool = true, ahead: Int = 0, atMost tasks: Int = .max,
        _ work: @Sendable @escaping (HashPairing) async throws -> Void
    ) async throws {
        let tasks = max(1, min((pairs ? count * 2 : count) + ahead, tasks))
        let shared = HashPairing(participants: tasks)
        try await runOnEach(tasks: tasks) { _ in
            let pairing = pairs ? shared : HashPairing(participants: 1)
            defer { pairing.leave() }
            try await work(pairing)
        }
    }
}
