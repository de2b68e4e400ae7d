@testable import BackupEngine
import BackupModel
import RepositoryStorage
import Synchronization
import Testing

/// Another command runs, from begin to end, right before the k-th call that a backup or expiry makes, for every k: as
/// from another host, which shares the repository and no lock files.
@Suite struct FaultIntrusionTests {
    enum Disturbed: String, CaseIterable { case backup, expire, annotate }

    enum Intruder: String, CaseIterable {
        case backup, expire, create, push, get, restore, annotate

        /// Whether the lock of the repository must keep it out.
        var needsLock: Bool { [.backup, .expire, .create, .annotate].contains(self) }
    }

    @Test(arguments: Disturbed.allCases, Intruder.allCases)
    func meanwhile(_ disturbed: Disturbed, _ intruder: Intruder) async throws {
        try await intrude(disturbed, intruder, after: 5)
    }

    @Test("So late that the lock has run out: the first one slept", arguments: Disturbed.allCases, Intruder.allCases)
    func late(_ disturbed: Disturbed, _ intruder: Intruder) async throws {
        try await intrude(disturbed, intruder, after: 500)
    }

    /// - Parameter seconds: by which the intruder's clock is ahead.
    private func intrude(_ disturbed: Disturbed, _ intruder: Intruder, after seconds: Int64) async throws {
        let base = try await prepared()
        let proofs = RestoreProofs()
        var call = FaultSweeps.first("\(disturbed) \(intruder)")
        var keptOut = 0
        while true {
            var world = base.fresh()
            let other = base.sharing(world)
            let outcome = Mutex<(world: FaultWorld, failure: (any Error)?)?>(nil)
            world.faults.intrude(before: call) {
                var other = other
                other.now += 1000 + seconds
                let failure: (any Error)?
                do {
                    try await Self.run(intruder, &other)
                    failure = nil
                } catch {
                    failure = error
                }
                outcome.withLock { [other] in $0 = (other, failure) }
            }
            world.now += 1000
            let failure = await Self.failure { try await Self.run(disturbed, &world) }
            guard let hit = world.faults.disarm(), let done = outcome.withLock({ $0 }) else {
                #expect(failure == nil)
                break
            }
            let comment: Comment =
                "\(disturbed), \(intruder) before call \(call) (\(hit)): \(failure.map { "\($0)" } ?? "")"
            if let failure = done.failure {
                // Kept out by the lock, or too late: then a newer label is there already.
                let code = (failure as? BackupError)?.code
                let isAllowed = intruder.needsLock && (code == .lockAcquire || code == .clock)
                if code == .lockAcquire { keptOut += 1 }
                if !isAllowed { Issue.record("\(comment): the intruder failed: \(failure)") }
            }
            if let failure {
                // It came first, and has made a backup that is newer than ours could be, or holds the lock.
                let code = (failure as? BackupError)?.code
                if done.failure != nil || (code != .clock && code != .lockAcquire) { Issue.record(comment) }
            }
            world.adopt(done.world)
            if disturbed == .expire || intruder == .expire { world.release(backups: world.kept.filter { $0 < "3" }) }
            if seconds > 300 {
                // What one wrote about the other's work may be outdated until the next command looks.
                world.now += 5000
                let again = await Self.failure { try await ExpireCommand(world.context("expire")).run() }
                #expect(again == nil, comment)
            }
            // Between the last proof of the lock and the manifest nothing helps, see docs/write-ordering.md.
            let isTooLate =
                seconds > 300 && disturbed == .backup && call > 40
                && ["/lock", "/backup.manifest", "/backup.manifest.copy"].contains { hit.path.hasSuffix($0) }
            if !isTooLate { await world.requireSound(proofs, comment) }
            call += FaultSweeps.step
        }
        #expect(intruder.needsLock && seconds < 300 ? keptOut > (FaultSweeps.areWhole ? 4 : 0) : keptOut == 0)
    }

    @Test("A clock that was set back makes no backup, and loses none")
    func clock() async throws {
        var world = try await prepared()
        let before = world.stores[0].content
        world.now -= 40 * 86400
        let code = await errorCode { try await world.backup() }
        #expect(code == .clock)
        #expect(world.stores[0].content == before)
        try await ExpireCommand(
            world.context("expire", ["--repo1-retention-full=30", "--repo1-retention-full-type=time"])
        ).run()
        await world.requireSound(RestoreProofs(), "after expire")
        // Set right, it goes on.
        world.now += 41 * 86400
        try await world.backup()
        await world.requireSound(RestoreProofs(), "set right")
    }

    // MARK: -

    private func prepared() async throws -> FaultWorld {
        var world = try FaultWorld()
        try await world.create()
        try await world.push(world.cluster.makeSegment(1))
        try world.cluster.makeSegment(2)
        try await world.backup()
        try await world.backup()
        return world
    }

    private static func run(_ disturbed: Disturbed, _ world: inout FaultWorld) async throws {
        switch disturbed {
        case .backup: try await backup(&world)
        case .expire: try await expire(world)
        case .annotate: try await annotate(world)
        }
    }

    private static func run(_ intruder: Intruder, _ world: inout FaultWorld) async throws {
        switch intruder {
        case .backup: try await backup(&world)
        case .expire: try await expire(world)
        case .create: try await world.create()
        case .push: try await world.push("\(world.cluster.scratch)/\(BackupSeries.segment(2))")
        case .get:
            let name = BackupSeries.segment(1)
            #expect(try await isSame(world.get(name), world.segments[name]))
        case .restore:
            try world.removeRestored()
            try await world.restore()
        case .annotate: try await annotate(world)
        }
    }

    /// Now, and not a while later.
    private static func backup(_ world: inout FaultWorld) async throws {
        world.now -= 1000
        try await world.backup()
    }

    private static func expire(_ world: FaultWorld) async throws {
        try await ExpireCommand(world.context("expire", ["--repo1-retention-full=1"])).run()
    }

    private static func annotate(_ world: FaultWorld) async throws {
        let newest = try await #require(world.labels().last)
        try await AnnotateCommand(world.context("annotate", ["--set=\(newest)", "--annotation=a=b"])).run()
    }

    private static func failure(_ body: () async throws -> Void) async -> (any Error)? {
        do {
            try await body()
            return nil
        } catch {
            return error
        }
    }
}
