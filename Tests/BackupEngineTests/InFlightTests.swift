@testable import BackupEngine
import RepositoryStorage
import Synchronization
import Testing

/// What has steps in flight counts them, and what ends waits for them.
@Suite struct InFlightTests {
    private struct Planned: Error, Equatable { var number: Int }

    @Test(
        "Results are in the order of the elements, with no more in flight than there may be", arguments: [1, 2, 5, 99])
    func mapped(_ limit: Int) async throws {
        let running = Mutex((now: 0, most: 0))
        let squares = try await (0..<40).mapInFlight(atMost: limit) { number in
            running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            try await Task.sleep(for: .milliseconds(number % 3))
            running.withLock { $0.now -= 1 }
            return number * number
        }
        #expect(squares == (0..<40).map { $0 * $0 })
        #expect(running.withLock { $0.most } <= limit)
    }

    @Test("The first error ends the others", arguments: [1, 4, 99])
    func firstError(_ limit: Int) async {
        let done = Mutex(0)
        await #expect(throws: Planned(number: 7)) {
            _ = try await (0..<40).mapInFlight(atMost: limit) { number in
                if number == 7 { throw Planned(number: 7) }
                if number > 7 { try? await Task.sleep(for: .seconds(60)) }
                done.withLock { $0 += 1 }
            }
        }
        #expect(done.withLock { $0 } < 40 || limit == 99)
    }

    @Test("Tasks share what a repository has room for, large objects less of it")
    func room() async throws {
        let room = CommitsInFlight.Room(8)
        let running = Mutex((small: 0, large: 0, most: 0, mostLarge: 0))
        _ = try await (0..<3).mapInFlight(atMost: 3) { _ in
            let commits = CommitsInFlight(room)
            for number in 0..<40 {
                let isLarge = number % 2 == 0
                try await commits.begin(holding: isLarge ? 5 << 20 : 1 << 20) {
                    running.withLock {
                        if isLarge { $0.large += 1 } else { $0.small += 1 }
                        $0.most = max($0.most, $0.small + $0.large)
                        $0.mostLarge = max($0.mostLarge, $0.large)
                    }
                    try await Task.sleep(for: .milliseconds(number % 3))
                    running.withLock { if isLarge { $0.large -= 1 } else { $0.small -= 1 } }
                }
            }
            try await commits.finish()
        }
        let seen = running.withLock { $0 }
        #expect(seen.small == 0 && seen.large == 0)
        #expect(seen.most > 2 && seen.most <= 8 && seen.mostLarge == 2)
    }

    @Test("A step that fails is told at the next look, and its room is free again")
    func failedStep() async throws {
        let commits = CommitsInFlight(CommitsInFlight.Room(2))
        for number in 0..<5 { try await commits.begin(holding: 0) { if number == 1 { throw Planned(number: 1) } } }
        await #expect(throws: Planned(number: 1)) { try await commits.finish() }
        #expect(throws: Planned(number: 1)) { try commits.check() }
        await commits.cancel()
    }

    @Test("Whoever waits for room, or for the end, can be cancelled", arguments: [1, 2])
    func cancelled(_ room: Int) async throws {
        let ended = Mutex(0)
        let task = Task {
            let commits = CommitsInFlight(CommitsInFlight.Room(room))
            do {
                for _ in 0..<2 {
                    try await commits.begin(holding: 0) {
                        defer { ended.withLock { $0 += 1 } }
                        try await Task.sleep(for: .seconds(60))
                    }
                }
                try await commits.finish()
            } catch {
                await commits.cancel()
                #expect(ended.withLock { $0 } == room)
                throw error
            }
        }
        try await Task.sleep(for: .milliseconds(20))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func anEmptyListHasNoResults() async {
        #expect(await [Int]().mapInFlight(atMost: 4) { $0 } == [])
    }
}
