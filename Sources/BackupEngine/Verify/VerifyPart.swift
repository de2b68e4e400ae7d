import Synchronization

/// A part of a repository that is read from end to end in one turn.
enum VerifyPart: Hashable, Sendable {
    /// A directory of an archive id: 256 segments of 16 MiB.
    case wal(archiveID: String, directory: String)
    case backup(label: String)

    /// In the state between runs.
    var key: String {
        switch self {
        case .wal(let archiveID, let directory): "archive/\(archiveID)/\(directory)"
        case .backup(let label): "backup/\(label)"
        }
    }
}

/// The objects of a part, in an order that is the same whenever it is read.
protocol VerifyWork: Sendable {
    var count: Int { get }
    /// The path of the n-th object.
    func object(_ index: Int) -> String
    /// How many files it holds.
    func files(_ index: Int) -> Int
    func check(_ index: Int, _ reader: VerifyReader) async throws -> [VerifyFinding]
}

/// The work that several tasks share.
final class VerifyQueue: Sendable {
    private struct State {
        var next: Int
        var tally = VerifyTally()
    }

    private let work: any VerifyWork
    private let deadline: ContinuousClock.Instant?
    private let state: Mutex<State>

    /// - Parameter deadline: nothing is begun after it.
    init(_ work: any VerifyWork, from start: Int, deadline: ContinuousClock.Instant?) {
        self.work = work
        self.deadline = deadline
        state = Mutex(State(next: start))
    }

    /// Everything before this was read once all tasks have ended.
    var next: Int { state.withLock { min($0.next, work.count) } }
    var tally: VerifyTally { state.withLock { $0.tally } }

    func run(_ reader: VerifyReader) async throws {
        while let index = take() {
            let findings = try await work.check(index, reader)
            let files = work.files(index)
            state.withLock { state in
                state.tally.checked += files
                for finding in findings { state.tally.add(finding) }
            }
        }
    }

    private func take() -> Int? {
        if let deadline, ContinuousClock.now >= deadline { return nil }
        return state.withLock { state in
            guard state.next < work.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }
}
