@testable import BackupEngine
import BackupModel
import Foundation
import PostgresFormats
import RepositoryStorage
import Testing

/// The k-th call of a store fails, for every k: the run fails with its reason, what was good before is good, and the
/// same command run again ends as if nothing had happened.
///
/// All of it is an hour of work: every k with `PERMAFROST_ALL=1`, as `make test-all` has it, otherwise a few of them.
@Suite struct FaultSweepTests {
    @Test(arguments: FaultScenario.allWithEffects)
    func everyCall(_ scenario: FaultScenario, _ effect: FaultEffect) async throws {
        let base = try await prepared(scenario)
        let proofs = RestoreProofs()
        var call = FaultSweeps.first(scenario.name)
        while true {
            var world = base.fresh()
            world.faults.arm(PlannedFault(call: call, effect: effect))
            let failure = await error { try await scenario.run(&world, false) }
            guard let hit = world.faults.disarm() else {
                #expect(failure == nil)
                break
            }
            let comment: Comment =
                "\(scenario.name), call \(call) (\(hit)) \(effect.rawValue): \(failure.map { "\($0)" } ?? "succeeded")"
            await check(failure, hit, scenario, world, comment)
            if !scenario.mayLackStanza { await world.requireSound(proofs, mayDisagree: scenario.mayDisagree, comment) }
            await converge(scenario, &world, proofs, comment)
            call += FaultSweeps.step
        }
        #expect(call > 4)
    }

    @Test("A store that retries heals every single fault", arguments: FaultScenario.allWithEffects)
    func retried(_ scenario: FaultScenario, _ effect: FaultEffect) async throws {
        // Those of stanzas are few calls without a store of their own.
        guard effect != .partial, !scenario.name.hasPrefix("stanza-") else { return }
        let base = try await prepared(scenario)
        let proofs = RestoreProofs()
        var call = FaultSweeps.first(scenario.name)
        while true {
            var world = base.fresh()
            world.faults.arm(PlannedFault(call: call, effect: effect, isRetryable: true))
            let failure = await error { try await scenario.run(&world, true) }
            guard let hit = world.faults.disarm() else { break }
            let comment: Comment = "\(scenario.name), call \(call) (\(hit)) \(effect.rawValue)"
            if failure != nil, isTooLarge(hit) {
                call += FaultSweeps.step
                continue
            }
            #expect(failure == nil, comment)
            await requireDone(scenario, world, comment)
            await world.requireSound(proofs, mayDisagree: scenario.mayDisagree, comment)
            call += FaultSweeps.step
        }
    }

    @Test("When power fails at any call, what is durable is a repository", arguments: FaultScenario.all)
    func powerLoss(_ scenario: FaultScenario) async throws {
        let base = try await prepared(scenario)
        let proofs = RestoreProofs()
        var call = FaultSweeps.first(scenario.name)
        while true {
            var hit: FaultSwitch.Call?
            for (effect, keeps) in Self.losses(call) {
                var world = base.fresh()
                world.faults.arm(PlannedFault(call: call, effect: effect, isLasting: true))
                let failure = await error { try await scenario.run(&world, false) }
                hit = world.faults.disarm()
                guard let hit else { break }
                let comment: Comment = "\(scenario.name), power lost at call \(call) (\(hit)) \(effect.rawValue)"
                world.losePower(keeping: keeps)
                // Done before the last call, which gives the lock back: then it is done for good.
                if failure == nil { await requireDone(scenario, world, comment) }
                if !scenario.mayLackStanza {
                    await world.requireSound(proofs, mayDisagree: scenario.mayDisagree, comment)
                }
                await converge(scenario, &world, proofs, comment)
            }
            if hit == nil { break }
            call += FaultSweeps.step
        }
        #expect(call > 4)
    }

    // MARK: -

    /// How the last call ends, and which unsynced files are written out all the same. One after the other, or all with
    /// `PERMAFROST_ALL=1`.
    private static func losses(_ call: Int) -> [(FaultEffect, @Sendable (String) -> Bool)] {
        let all: [(FaultEffect, @Sendable (String) -> Bool)] = [
            (.before, { _ in false }), (.partial, { _ in true }),
            // Some of it, by no order: the cache of a disk knows none.
            (.after, { path in path.utf8.reduce(call) { $0 &* 31 &+ Int($1) } & 8 == 0 }),
            (.before, { _ in true }), (.partial, { _ in false }), (.after, { _ in false }),
        ]
        if FaultSweeps.areWhole { return all }
        return [all[call % 3], all[3 + (call + 1) % 3]]
    }

    private func prepared(_ scenario: FaultScenario) async throws -> FaultWorld {
        let base = try await scenario.prepare()
        var trial = base.fresh()
        try await scenario.run(&trial, false)
        try await scenario.requireDone(trial)
        return base
    }

    /// The reason must be the one that was planted, told by the repository and the path; or the run could do without.
    private func check(
        _ failure: (any Error)?, _ hit: FaultSwitch.Call, _ scenario: FaultScenario, _ world: FaultWorld,
        _ comment: Comment
    ) async {
        guard let failure else {
            // What has a copy or a second repository, and the lock that is given back at the end.
            await requireDone(scenario, world, comment)
            return
        }
        guard let error = failure as? BackupError else {
            Issue.record("\(comment): not a BackupError")
            return
        }
        #expect(error.code == .fileRead || error.code == .fileWrite, comment)
        // The report names what could not be read.
        if scenario.reports, error.message.contains("could not be verified") { return }
        #expect(error.message.contains(FaultSwitch.mark), comment)
        #expect(error.message.contains("'\(hit.path)'"), comment)
        #expect(error.message.contains("repo1") || error.message.contains("repo2"), comment)
    }

    private func converge(
        _ scenario: FaultScenario, _ world: inout FaultWorld, _ proofs: RestoreProofs, _ comment: Comment
    ) async {
        // The lock object that is left runs out.
        world.now += 1000
        if let failure = await error({ try await scenario.run(&world, false) }) {
            Issue.record("again, after \(comment): \(failure)")
            return
        }
        await requireDone(scenario, world, "again, after \(comment)")
        if !scenario.mayLackStanza {
            await world.requireSound(proofs, mayDisagree: scenario.mayDisagree, "again, after \(comment)")
        }
    }

    /// What the store cannot write again as a whole, its callers would have to.
    private func isTooLarge(_ hit: FaultSwitch.Call) -> Bool {
        (hit.operation == .append || hit.operation == .commit) && hit.path.hasSuffix("16384")
    }

    private func requireDone(_ scenario: FaultScenario, _ world: FaultWorld, _ comment: Comment) async {
        do {
            try await scenario.requireDone(world)
        } catch {
            Issue.record("\(comment): \(error)")
        }
    }

    private func error(_ body: () async throws -> Void) async -> (any Error)? {
        do {
            try await body()
            return nil
        } catch {
            return error
        }
    }
}

enum FaultSweeps {
    static let areWhole = ProcessInfo.processInfo.environment["PERMAFROST_ALL"] == "1"
    /// From one call that is disturbed to the next.
    static let step = areWhole ? 1 : 13

    /// Another one for each scenario, so that together they meet every kind of call.
    static func first(_ name: String) -> Int { 1 + name.utf8.reduce(0) { $0 + Int($1) } % min(step, 4) }
}
