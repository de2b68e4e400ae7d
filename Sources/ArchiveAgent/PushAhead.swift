/// When the WAL of one stanza is pushed, and when those who ask for a file of it are answered: decided from what happens,
/// without a clock, a file or a process.
struct PushAhead {
    typealias Asker = Int

    /// Someone waits for a file.
    struct Question: Equatable {
        let asker: Asker
        let fileName: String
    }

    enum Finding {
        case nothing
        case work
    }

    enum End {
        case completed
        /// Another process, ours or pgBackRest's, archives for the stanza.
        case busy
        case failed
    }

    private(set) var isRunning = false
    private var mayHaveWork = true
    /// Nothing is begun before.
    private var rest: ContinuousClock.Instant?
    private var failures = 0
    private var refusals = 0
    private var waiting: [Asker: String] = [:]

    /// PostgreSQL comes back after a second, then after a minute: what fails is left to its calls meanwhile.
    private static let rests: [Duration] = [.seconds(1), .seconds(5), .seconds(20), .seconds(60)]
    private static let busyRests: [Duration] = [.milliseconds(100), .milliseconds(250), .milliseconds(500)]

    /// Whether the last run has failed.
    var isFailing: Bool { failures > 0 }

    /// When it is time to look for work; nil: when something has happened.
    var due: Due? {
        guard !isRunning, mayHaveWork else { return nil }
        return rest.map { .at($0) } ?? .now
    }

    enum Due: Equatable {
        case now
        case at(ContinuousClock.Instant)
    }

    func isDue(_ now: ContinuousClock.Instant) -> Bool {
        switch due {
        case nil: false
        case .now?: true
        case .at(let time)?: time <= now
        }
    }

    /// A file may have become ready.
    mutating func changed() { mayHaveWork = true }

    /// What was wrong may have been put right.
    mutating func tryAgain() {
        changed()
        rest = nil
    }

    /// False when it is left to who asks: after a failure, until it is tried again.
    mutating func asked(by asker: Asker, for fileName: String, _ now: ContinuousClock.Instant) -> Bool {
        if isFailing, !isRunning, let rest, now < rest { return false }
        waiting[asker] = fileName
        changed()
        return true
    }

    mutating func gone(_ asker: Asker) { waiting[asker] = nil }

    /// The spool tells something of a file, or of all files when nil: these are to be answered.
    mutating func told(of fileName: String?) -> [Question] {
        let told = waiting.filter { fileName == nil || $0.value == fileName }
            .map { Question(asker: $0.key, fileName: $0.value) }
        for question in told { waiting[question.asker] = nil }
        return told.sorted { $0.asker < $1.asker }
    }

    /// Someone has pushed a file: what was wrong is over.
    mutating func succeeded() {
        if isFailing { tryAgain() }
        failures = 0
    }

    /// What a look has found; with work, a run has begun. Returns who is to be answered: nothing will come.
    mutating func looked(_ finding: Finding) -> [Question] {
        mayHaveWork = false
        switch finding {
        case .nothing: return told(of: nil)
        case .work:
            isRunning = true
            return []
        }
    }

    /// A run has ended, or could not begin. Returns who is to be answered.
    mutating func ended(_ end: End, _ now: ContinuousClock.Instant) -> [Question] {
        isRunning = false
        // It may have been of one batch, or have come too early for the last file.
        mayHaveWork = true
        switch end {
        case .completed:
            (failures, refusals, rest) = (0, 0, nil)
            return []
        case .busy:
            rest = now + Self.busyRests[min(refusals, Self.busyRests.count - 1)]
            refusals += 1
            return []
        case .failed:
            rest = now + Self.rests[min(failures, Self.rests.count - 1)]
            failures += 1
            return told(of: nil)
        }
    }
}
