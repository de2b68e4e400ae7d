import RepositoryStorage
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(2))) struct KeyedWorkQueueTests {
    /// What workers do, step by step.
    private final class Log: Sendable {
        struct State: Sendable {
            var done: [String] = []
            var working: [String: Int] = [:]
            var most = 0
            var mostOfKey = 0
            var outcomes: [String: WorkOutcome] = [:]
            var pause = Duration.zero
        }
        let state = Mutex(State())

        var done: [String] { state.withLock { $0.done } }

        func work(_ key: String) async -> WorkOutcome {
            let pause = state.withLock { state in
                state.working[key, default: 0] += 1
                state.most = max(state.most, state.working.values.reduce(0, +))
                state.mostOfKey = max(state.mostOfKey, state.working[key] ?? 0)
                return state.pause
            }
            if pause > .zero { try? await Task.sleep(for: pause) }
            return state.withLock { state in
                state.working[key, default: 0] -= 1
                state.done.append(key)
                return state.outcomes[key] ?? .done
            }
        }
    }

    @Test func worksOnAKeyOnceAtATime() async throws {
        let queue = KeyedWorkQueue<String>(workers: 3)
        let log = Log()
        log.state.withLock { $0.pause = .milliseconds(5) }
        for _ in 0..<20 { for key in 0..<8 { queue.add("\(key)") } }
        #expect(queue.count == 8)
        let running = Task { await queue.run(log.work) }
        for _ in 0..<10 {
            try await Task.sleep(for: .milliseconds(2))
            for key in 0..<8 { queue.add("\(key)") }
        }
        try await eventually("all is done") { queue.count == 0 }
        queue.close()
        await running.value
        let state = log.state.withLock { $0 }
        #expect(state.most == 3)
        #expect(state.mostOfKey == 1)
        #expect(Set(state.done).count == 8)
    }

    @Test func aKeyAddedWhileItIsWorkedOnComesAgain() async throws {
        let queue = KeyedWorkQueue<String>(workers: 4)
        let runs = Mutex(0)
        let running = Task {
            await queue.run { key in
                let run = runs.withLock { runs in
                    runs += 1
                    return runs
                }
                if run == 1 { for _ in 0..<5 { queue.add(key) } }
                return .done
            }
        }
        queue.add("a")
        try await eventually("twice") { runs.withLock { $0 } == 2 && queue.count == 0 }
        running.cancel()
        await running.value
        #expect(runs.withLock { $0 } == 2)
    }

    @Test func failuresPauseLongerAndLonger() async throws {
        let time = ManualTime()
        let queue = KeyedWorkQueue<String>(
            workers: 1, backOff: RetryPolicy(shortest: .seconds(2), longest: .seconds(16), jitter: { 1 }), time: time)
        let log = Log()
        log.state.withLock { $0.outcomes["a"] = .failed }
        let running = Task { await queue.run(log.work) }
        queue.add("a")
        for (failures, pause) in [2, 4, 8, 16, 16].enumerated() {
            try await eventually("failed") { time.sleepers == 1 }
            #expect(log.done.count == failures + 1)
            #expect(queue.failures(of: "a") == failures + 1)
            time.advance(by: .seconds(pause) - .milliseconds(1))
            try await Task.sleep(for: .milliseconds(5))
            #expect(log.done.count == failures + 1)
            time.advance(by: .milliseconds(1))
            try await eventually("tried again") { log.done.count == failures + 2 }
        }
        // A change brings it back soon, but not at once: it may be of its own making.
        try await eventually("failed") { time.sleepers == 1 }
        let count = log.done.count
        log.state.withLock { $0.outcomes["a"] = .done }
        queue.add("a")
        try await eventually("delayed") { time.sleepers == 1 }
        time.advance(by: .seconds(1))
        try await eventually("done") { log.done.count == count + 1 && queue.count == 0 }
        #expect(queue.failures(of: "a") == 0)
        #expect(queue.delayedCount == 0)
        running.cancel()
        await running.value
    }

    @Test func delaysAreMerged() async throws {
        let time = ManualTime()
        let queue = KeyedWorkQueue<String>(workers: 1, time: time)
        let log = Log()
        let running = Task { await queue.run(log.work) }
        queue.add("a", after: .seconds(10))
        queue.add("a", after: .seconds(5))
        queue.add("a", after: .seconds(20))
        #expect(queue.delayedCount == 1)
        try await eventually("sleeps") { time.sleepers == 1 }
        time.advance(by: .seconds(5))
        try await eventually("done") { log.done == ["a"] }
        time.advance(by: .seconds(30))
        try await Task.sleep(for: .milliseconds(10))
        #expect(log.done == ["a"])
        log.state.withLock { $0.outcomes["b"] = .again(after: .seconds(60)) }
        queue.add("b")
        try await eventually("again") { time.sleepers == 1 }
        time.advance(by: .seconds(60))
        try await eventually("again") { log.done == ["a", "b", "b"] }
        running.cancel()
        await running.value
    }
}
