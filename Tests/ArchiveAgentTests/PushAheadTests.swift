import Testing

@testable import ArchiveAgent

/// By reference, as expectations want it.
private final class Machine {
    private var push = PushAhead()
    var due: PushAhead.Due? { push.due }
    var isRunning: Bool { push.isRunning }
    var isFailing: Bool { push.isFailing }
    func isDue(_ now: ContinuousClock.Instant) -> Bool { push.isDue(now) }
    func changed() { push.changed() }
    func tryAgain() { push.tryAgain() }
    func succeeded() { push.succeeded() }
    func gone(_ asker: Int) { push.gone(asker) }
    func told(of file: String?) -> [PushAhead.Question] { push.told(of: file) }
    func looked(_ finding: PushAhead.Finding) -> [PushAhead.Question] { push.looked(finding) }
    func ended(_ end: PushAhead.End, _ now: ContinuousClock.Instant) -> [PushAhead.Question] { push.ended(end, now) }
    func asked(by asker: Int, for file: String, _ now: ContinuousClock.Instant) -> Bool {
        push.asked(by: asker, for: file, now)
    }
}

@Suite struct PushAheadTests {
    private let start = ContinuousClock.now
    private let one = "000000010000000000000001"
    private let two = "000000010000000000000002"

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    /// One that has found nothing to do.
    private func idle() -> Machine {
        let push = Machine()
        #expect(push.due == .now)
        #expect(push.looked(.nothing) == [])
        #expect(push.due == nil && !push.isRunning)
        return push
    }

    @Test("looks at the start, and after each change; never beside a run")
    func looks() {
        let push = idle()
        push.changed()
        #expect(push.isDue(start))
        #expect(push.looked(.work) == [])
        push.changed()
        #expect(push.isRunning && push.due == nil)
        #expect(push.ended(.completed, at(1)) == [])
        #expect(push.due == .now)
        #expect(push.looked(.nothing) == [] && push.due == nil)
    }

    @Test("two ask for one file, a third for another")
    func asked() {
        let push = idle()
        #expect(push.asked(by: 1, for: one, start) && push.asked(by: 2, for: one, start))
        #expect(push.isDue(start) && push.looked(.work) == [])
        #expect(push.asked(by: 3, for: two, start))
        push.succeeded()
        #expect(push.told(of: one) == [.init(asker: 1, fileName: one), .init(asker: 2, fileName: one)])
        #expect(push.told(of: one) == [])
        // The run was of a time before the third asked: there is another look for it.
        #expect(push.ended(.completed, at(1)) == [])
        #expect(push.isDue(at(1)))
        #expect(push.looked(.nothing) == [.init(asker: 3, fileName: two)])
    }

    @Test("who hangs up is told nothing")
    func gone() {
        let push = idle()
        #expect(push.asked(by: 1, for: one, start) && push.asked(by: 2, for: two, start))
        push.gone(1)
        #expect(push.told(of: nil) == [.init(asker: 2, fileName: two)])
    }

    @Test("after failures it waits longer and longer, and leaves files to the calls")
    func failures() {
        let push = idle()
        #expect(push.asked(by: 1, for: one, start))
        _ = push.looked(.work)
        #expect(push.ended(.failed, start) == [.init(asker: 1, fileName: one)])
        #expect(push.isFailing && push.due == .at(at(1)))
        #expect(!push.asked(by: 2, for: one, at(0.5)))
        push.changed()
        #expect(!push.isDue(at(0.9)) && push.isDue(at(1)))
        for rest in [5, 20, 60, 60] as [Double] {
            _ = push.looked(.work)
            // While it is tried, who asks may wait.
            #expect(push.asked(by: 3, for: one, start))
            #expect(push.ended(.failed, start) == [.init(asker: 3, fileName: one)])
            #expect(push.due == .at(at(rest)))
        }
        // A call has pushed something.
        push.succeeded()
        #expect(!push.isFailing && push.due == .now && push.asked(by: 4, for: one, start))
        _ = push.looked(.work)
        _ = push.ended(.failed, start)
        push.tryAgain()
        #expect(push.isFailing && push.due == .now && push.asked(by: 5, for: one, start))
    }

    @Test("beside another process it waits, and so may who asks")
    func busy() {
        let push = idle()
        #expect(push.asked(by: 1, for: one, start))
        for rest in [0.1, 0.25, 0.5, 0.5] {
            #expect(push.looked(.work) == [])
            #expect(push.ended(.busy, start) == [])
            #expect(push.due == .at(at(rest)) && !push.isFailing)
        }
        #expect(push.asked(by: 2, for: two, start))
        #expect(push.told(of: one) == [.init(asker: 1, fileName: one)])
        _ = push.looked(.work)
        #expect(push.ended(.completed, start) == [])
        #expect(push.due == .now)
    }
}
