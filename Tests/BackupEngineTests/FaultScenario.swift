@testable import BackupEngine
import BackupModel
import Foundation
import PostgresFormats
import RepositoryFormats
import RepositoryStorage
import StreamFilters
import Testing

/// A command that is disturbed: what there is before it, the command, and what there must be after an undisturbed run.
struct FaultScenario: Sendable, CustomTestStringConvertible {
    var name: String
    var prepare: @Sendable () async throws -> FaultWorld
    var run: @Sendable (inout FaultWorld, _ retrying: Bool) async throws -> Void
    var requireDone: @Sendable (FaultWorld) async throws -> Void
    /// Whether half of it may leave no stanza at all.
    var mayLackStanza = false
    /// Whether half of it may leave info files of which one knows less than the other: archive-push and backup refuse
    /// them then.
    var mayDisagree = false
    /// Whether it goes on where it cannot read, and says so in a report.
    var reports = false

    var testDescription: String { name }

    /// With each way to fail; of the further kinds of backup one way each, unless `PERMAFROST_ALL=1`.
    static let allWithEffects: [(FaultScenario, FaultEffect)] = {
        let runsAll = FaultSweeps.areWhole
        let once = Set(backups.dropFirst().map(\.name))
        return all.enumerated().flatMap { index, scenario in
            FaultEffect.allCases.enumerated()
                .filter { runsAll || !once.contains(scenario.name) || $0.offset == index % 3 }
                .map { (scenario, $0.element) }
        }
    }()

    /// All commands, and a backup of each kind; with `PERMAFROST_FAULTS=<text>` those whose name has the text in it.
    static let all: [FaultScenario] = {
        let wanted = ProcessInfo.processInfo.environment["PERMAFROST_FAULTS"] ?? ""
        let commands = [
            create, upgrade, delete, push, pushFar, pushHistory, pushToTwo, get, getFromTwo, expire, expireFar,
            annotate,
            restore, restoreFar, verify, verifyInTurns, backupToTwo,
        ]
        return (commands + backups).filter { wanted.isEmpty || $0.name.contains(wanted) }
    }()

    static let backups = BackupKind.all.map { kind in
        FaultScenario(
            name: "backup: \(kind.name)", prepare: { try await stanza(kind, backups: kind.types) },
            run: { world, retrying in try await world.backup(kind.type, retrying: retrying) },
            requireDone: { world async throws in
                let listed = try await world.labels()
                #expect(listed.count > kind.types.count)
                // Nothing of an interrupted run is left.
                let labels = try await world.repositories[0].listAll("backup/main").map(\.name)
                    .filter { BackupLabel($0) != nil }
                #expect(labels == listed)
                #expect(try await infoCopiesAgree(world))
            })
    }

    static let create = FaultScenario(
        name: "stanza-create", prepare: { try FaultWorld() },
        run: { world, _ in
            world.now += 1000
            try await world.create()
        }, requireDone: { try await requireInfoFiles($0) }, mayLackStanza: true)

    static let upgrade = FaultScenario(
        name: "stanza-upgrade",
        prepare: {
            var world = try await stanza(backups: ["full"])
            // It is of the earlier database, which archive-get does not look for.
            world.release(backups: [], allSegments: true)
            var control = GeneratedCluster.control()
            control.put(GeneratedCluster.systemIdentifier + 1, 8, at: 0)
            control.seal()
            try world.cluster.write("global/pg_control", control)
            return world
        },
        run: { world, _ in
            world.now += 1000
            let context = try world.context("stanza-upgrade")
            try await CommandLocks.inRepositories(context.repositories, context) {
                try await StanzaCommands(context).upgrade()
            }
        },
        requireDone: { world async throws in
            #expect(try await world.repositories[0].loadBackupInfo(stanza: "main").history.map(\.id) == [1, 2])
            #expect(try await world.repositories[0].loadArchiveInfo(stanza: "main").history.map(\.id) == [1, 2])
        }, mayDisagree: true)

    static let delete = FaultScenario(
        name: "stanza-delete",
        prepare: {
            var world = try await stanza(backups: ["full"])
            _ = try StopFile.create(stanza: "main", lockPath: "\(world.cluster.scratch)/lock")
            world.release(backups: world.kept, allSegments: true)
            return world
        },
        run: { world, _ in
            world.now += 1000
            let context = try world.context("stanza-delete")
            try await CommandLocks.inRepositories(context.repositories, context) {
                try await StanzaCommands(context).delete()
            }
        },
        requireDone: { world in #expect(world.stores[0].content.keys.filter { !$0.hasPrefix("permafrost/") } == []) },
        mayLackStanza: true)

    static let push = FaultScenario(
        name: "archive-push",
        prepare: {
            let world = try await stanza(backups: [])
            try world.cluster.makeSegment(9)
            return world
        },
        run: { world, retrying in
            try await world.push("\(world.cluster.scratch)/\(BackupSeries.segment(9))", retrying: retrying)
        }, requireDone: { try await requireSegment(9, in: $0) })

    static let pushFar = FaultScenario(
        name: "archive-push, far",
        prepare: {
            let world = try await stanza(BackupKind(name: "far", isFar: true), backups: [])
            try world.cluster.makeSegment(9)
            return world
        }, run: push.run, requireDone: push.requireDone)

    static let pushHistory = FaultScenario(
        name: "archive-push of a history file",
        prepare: {
            let world = try await stanza(backups: [])
            try Data("1\t0/3000000\tno reason\n".utf8).write(
                to: URL(fileURLWithPath: "\(world.cluster.scratch)/00000002.history"))
            return world
        },
        run: { world, retrying in try await world.push("\(world.cluster.scratch)/00000002.history", retrying: retrying)
        },
        requireDone: { world async throws in
            #expect(try await world.get("00000002.history") == world.bytes("\(world.cluster.scratch)/00000002.history"))
        })

    static let pushToTwo = FaultScenario(
        name: "archive-push to two repositories",
        prepare: {
            let world = try await stanza(backups: [], repositories: 2)
            try world.cluster.makeSegment(9)
            return world
        }, run: push.run, requireDone: { try await requireSegment(9, in: $0) })

    static let get = FaultScenario(
        name: "archive-get", prepare: { try await stanza(backups: []) }, run: fetch, requireDone: { _ in })

    static let getFromTwo = FaultScenario(
        name: "archive-get from two repositories", prepare: { try await stanza(backups: [], repositories: 2) },
        run: fetch, requireDone: { _ in })

    /// A file that is there must never be called missing: PostgreSQL would take it for the end of WAL.
    private static let fetch: @Sendable (inout FaultWorld, Bool) async throws -> Void = { world, retrying in
        let name = BackupSeries.segment(2)
        let found = try await world.get(name, retrying: retrying)
        if !isSame(found, world.segments[name]) {
            Issue.record("archive-get gave \(found.map { "\($0.count) bytes" } ?? "nothing")")
        }
    }

    static let expire = expire("expire", BackupKind(name: "full"))
    static let expireFar = expire("expire, far", BackupKind(name: "full", isFar: true))

    private static func expire(_ name: String, _ kind: BackupKind) -> FaultScenario {
        FaultScenario(
            name: name,
            prepare: {
                var world = try await stanza(kind, backups: ["full", "full", "full"])
                let labels = try await world.labels()
                world.release(backups: labels.dropLast())
                return world
            },
            run: { world, retrying in
                world.now += 1000
                try await ExpireCommand(
                    world.context("expire", ["--repo1-retention-full=1"], retrying: retrying)
                ).run()
            },
            requireDone: { world async throws in
                #expect(try await world.labels() == world.kept.sorted())
                let names = try await world.repositories[0].listAll("backup/main").map(\.name)
                #expect(names.filter { BackupLabel($0) != nil } == world.kept.sorted())
            })
    }

    static let annotate = FaultScenario(
        name: "annotate", prepare: { try await stanza(backups: ["full", "full"]) },
        run: { world, retrying in
            world.now += 1000
            let set = try #require(world.kept.min())
            try await AnnotateCommand(
                world.context("annotate", ["--set=\(set)", "--annotation=note=kept"], retrying: retrying)
            ).run()
        },
        requireDone: { world async throws in
            let entry = try await world.repositories[0].loadBackupInfo(stanza: "main").backups.first
            #expect(entry?.annotations == ["note": "kept"])
        })

    static let restore = restore("restore", BackupKind(name: "full, gz", options: ["compress-type": "gz"]))
    static let restoreFar = restore(
        "restore, far", BackupKind(name: "full, gz", options: ["compress-type": "gz"], isFar: true))

    private static func restore(_ name: String, _ kind: BackupKind) -> FaultScenario {
        FaultScenario(
            name: name,
            prepare: { try await stanza(kind, backups: ["full"]) },
            run: { world, retrying in
                try await world.restore(from: world.context("restore", retrying: retrying).repositories, delta: true)
            },
            requireDone: { world async throws in
                let newest = try #require(world.kept.max())
                #expect(try differences(world.restored(), world.backups[newest] ?? [:]) == [])
                try world.removeRestored()
            })
    }

    static let verify = FaultScenario(
        name: "verify", prepare: { try await stanza(backups: ["full", "diff"]) },
        run: { world, retrying in
            try await VerifyCommand(world.context("verify", retrying: retrying)).run { _ in }
        }, requireDone: { _ in }, reports: true)

    static let verifyInTurns = FaultScenario(
        name: "verify with a budget", prepare: { try await stanza(backups: ["full", "diff"]) },
        run: { world, retrying in
            try await VerifyCommand(
                world.context("verify", ["--verify-budget=1h"], retrying: retrying)
            ).run { _ in }
        },
        requireDone: { world in
            // A round is over: the next begins anew.
            #expect(world.stores[0].content.keys.filter { $0.hasPrefix("permafrost/main/verify.") } == [])
        }, reports: true)

    static let backupToTwo = FaultScenario(
        name: "backup: to two repositories",
        prepare: {
            var world = try await stanza(backups: [], repositories: 2)
            for type in ["full", "incr"] { try await world.backup(type, ["--repo=all"]) }
            try world.cluster.write("base/1/1259", GeneratedCluster.pages(5, seed: 77))
            return world
        },
        run: { world, retrying in try await world.backup("incr", ["--repo=all"], retrying: retrying) },
        requireDone: { world async throws in
            for index in [0, 1] {
                let listed = try await world.labels(index)
                #expect(listed.count > 2)
                let found = try await world.repositories[index].listAll("backup/main").map(\.name)
                #expect(found.filter { BackupLabel($0) != nil } == listed)
            }
        })

    // MARK: -

    /// A stanza with three segments of WAL and backups, between which the cluster changes.
    private static func stanza(
        _ kind: BackupKind = BackupKind(name: "full"), backups: [String], repositories: Int = 1
    ) async throws -> FaultWorld {
        var world = try FaultWorld(kind, repositories: repositories)
        try await world.create()
        for number in 1...3 { try await world.push(world.cluster.makeSegment(number)) }
        for (index, type) in backups.enumerated() {
            try await world.backup(type)
            try world.cluster.write("base/1/1259", GeneratedCluster.pages(3 + index, seed: UInt64(10 + index)))
            try world.cluster.write("base/5/\(20000 + index)", GeneratedCluster.pages(1, seed: UInt64(20 + index)))
        }
        return world
    }

    /// Encrypted, each has a salt of its own.
    private static func infoCopiesAgree(_ world: FaultWorld) async throws -> Bool {
        let repository = try world.repositories[0]
        let form = StoredForm(compress: .none, cipherPass: repository.cipherPass)
        return try await isSame(
            repository.readWhole("backup/main/backup.info", as: form),
            repository.readWhole("backup/main/backup.info.copy", as: form))
    }

    private static func requireInfoFiles(_ world: FaultWorld) async throws {
        for path in ["archive/main/archive.info", "backup/main/backup.info"] {
            let content = world.stores[0].content
            #expect(isSame(content[path], content[path + ".copy"]))
        }
    }

    private static func requireSegment(_ number: Int, in world: FaultWorld) async throws {
        let name = BackupSeries.segment(number)
        #expect(try await isSame(world.get(name), world.bytes("\(world.cluster.scratch)/\(name)")))
        for store in world.stores {
            #expect(store.content.keys.filter { $0.contains(name) }.count == 1)
        }
    }
}
