@testable import BackupEngine
import BackupModel
import RepositoryFormats
import Testing

/// Random chains of backups and random policies: the plan against a slow model that asks, backup by backup and segment
/// by segment, what the rules say, and against what must hold whatever they say.
@Suite struct RetentionModelTests {
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return mixed ^ mixed >> 31
        }
    }

    struct Scene {
        var info: BackupInfo
        var policy: RetentionPolicy
        var now: Int64
        /// By database: all segments in the archive.
        var wal: [Int: [String]]
    }

    static func scene(_ random: inout Generator) throws -> Scene {
        var manifests: [Manifest] = []
        var wal: [Int: [String]] = [:]
        var timeline = 1
        var segment = 1
        var database = 1
        let count = Int.random(in: 0...14, using: &random)
        for day in 1...max(1, count) where count > 0 {
            // An upgrade needs a full backup, and begins its WAL anew.
            if day > 1, database == 1, Int.random(in: 0..<12, using: &random) == 0 {
                database = 2
                timeline = 1
                segment = 1
            } else if Int.random(in: 0..<8, using: &random) == 0 {
                timeline += 1
            }
            let set = manifests.last { $0.database.id == database && $0.type == .full }
            let kind = set == nil ? 0 : Int.random(in: 0..<4, using: &random)
            var manifest: Manifest
            if kind == 0 {
                manifest = try BackupSeries.manifest("\(day)F", database: database)
            } else {
                let members = manifests.filter { $0.label.prefix(16) == set?.label.prefix(16) }
                let prior = kind == 1 ? set : members.randomElement(using: &random)
                let label = "\(set?.label ?? "")_\(BackupSeries.label("\(day)\(kind == 1 ? "D" : "I")"))"
                manifest = try BackupSeries.manifest("\(day)F", database: database)
                manifest.label = label
                manifest.type = kind == 1 ? .diff : .incr
                manifest.prior = prior?.label
                manifest.references = (prior?.references ?? []) + [label]
            }
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                wal[database, default: []].append(BackupSeries.segment(segment, timeline: timeline))
                segment += Int.random(in: 1...120, using: &random)
            }
            if Int.random(in: 0..<15, using: &random) == 0 {
                manifest.archiveStart = nil
                manifest.archiveStop = nil
            } else {
                let length = Int.random(in: 1...3, using: &random)
                let needed = (0..<length).map { BackupSeries.segment(segment + $0, timeline: timeline) }
                manifest.archiveStart = needed.first
                manifest.archiveStop = needed.last
                wal[database, default: []] += needed
                segment += length
            }
            // A stop an hour after the start, and now and then a clock that ran ahead.
            manifest.timestampStop += Int.random(in: 0..<20, using: &random) == 0 ? 3 * 86400 : 0
            if Int.random(in: 0..<6, using: &random) == 0 { manifest.annotations[Hold.key] = "kept" }
            manifests.append(manifest)
        }
        for id in 1...2 { wal[id, default: []].append(BackupSeries.segment(segment + 9, timeline: timeline)) }
        func some(_ range: ClosedRange<Int>) -> Int? {
            Bool.random(using: &random) ? Int.random(in: range, using: &random) : nil
        }
        let type = [BackupType.full, .diff, .incr].randomElement(using: &random) ?? .full
        let policy = RetentionPolicy(
            fullType: Bool.random(using: &random) ? .count : .time, full: some(1...6), diff: some(1...5),
            archiveType: type, archive: some(1...5))
        return Scene(
            info: try BackupSeries.info(manifests, databases: 2), policy: policy,
            now: BackupSeries.time(Int.random(in: 1...18, using: &random), hours: 5), wal: wal)
    }

    // MARK: - The model

    struct Model {
        var scene: Scene
        var backups: [BackupInfoEntry] { scene.info.backups }
        func isHeld(_ backup: BackupInfoEntry) -> Bool { backup.annotations["hold"] != nil }
        func chain(_ backup: BackupInfoEntry) -> [BackupInfoEntry] {
            var chain = [backup]
            while let prior = chain.last?.prior, let next = backups.first(where: { $0.label == prior }) {
                chain.append(next)
            }
            return chain
        }
        func newer(than backup: BackupInfoEntry, _ types: Set<BackupType>) -> [BackupInfoEntry] {
            backups.filter { $0.label > backup.label && types.contains($0.type) && !isHeld($0) }
        }
        /// By its full backup alone.
        func isFullBeyond(_ backup: BackupInfoEntry) -> Bool {
            guard let full = chain(backup).last, let kept = scene.policy.full else { return false }
            let later = newer(than: full, [.full])
            switch scene.policy.fullType {
            case .count: return later.count >= kept
            case .time: return later.contains { $0.timestampStop < scene.now - Int64(kept) * 86400 }
            }
        }
        func isRemovable(_ backup: BackupInfoEntry) -> Bool {
            if isFullBeyond(backup) { return true }
            guard let kept = scene.policy.diff else { return false }
            return chain(backup).contains { $0.type == .diff && newer(than: $0, [.full, .diff]).count >= kept }
        }
        func isKept(_ backup: BackupInfoEntry) -> Bool {
            !isRemovable(backup)
                || backups.contains { isHeld($0) && chain($0).contains { $0.label == backup.label } }
        }
        var kept: [BackupInfoEntry] { backups.filter(isKept) }
        /// Those that retention of WAL counts.
        var counted: [BackupInfoEntry] {
            let types: Set<BackupType> =
                switch scene.policy.archiveType {
                case .full: [.full]
                case .diff: [.full, .diff]
                case .incr: [.full, .diff, .incr]
                }
            return backups.filter { types.contains($0.type) && !isRemovable($0) && !isHeld($0) }
        }
        var archiveCount: Int? {
            let policy = scene.policy
            if let archive = policy.archive { return archive }
            switch (policy.archiveType, policy.fullType) {
            case (.full, .count): return policy.full
            case (.full, .time):
                guard let days = policy.full else { return nil }
                let limit = scene.now - Int64(days) * 86400
                let fulls = backups.filter { $0.type == .full && !isHeld($0) }
                guard let base = fulls.last(where: { $0.timestampStop < limit }) else { return nil }
                return fulls.count { $0.label >= base.label }
            case (.diff, _): return policy.diff
            case (.incr, _): return nil
            }
        }
        func isKept(_ segment: String, database: Int) -> Bool {
            guard let count = archiveCount, counted.count >= count else { return true }
            let own = kept.filter { $0.databaseID == database }
            guard !own.isEmpty else { return database == scene.info.currentID }
            let isNeeded = own.contains { backup in
                guard let start = backup.archiveStart, let stop = backup.archiveStop else { return false }
                return segment >= start && segment <= stop
            }
            if isNeeded { return true }
            let first =
                counted.suffix(count).first { $0.databaseID == database }
                ?? counted.last { $0.databaseID == database } ?? own[own.count - 1]
            guard let start = first.archiveStart else { return true }
            return segment >= start
        }
    }

    /// The segments that a plan leaves of a database.
    static func left(_ scene: Scene, _ plan: ExpirePlan, database: Int) -> [String] {
        let all = scene.wal[database] ?? []
        guard let count = plan.archiveRetention else { return all }
        let gone = Set(plan.expired.map(\.label))
        let retention = ArchiveRetention(
            backups: scene.info.backups.filter { !gone.contains($0.label) }, uncounted: plan.uncounted,
            type: plan.archiveType, count: count)
        switch retention.decide(databaseID: database, isCurrent: database == scene.info.currentID) {
        case .keepAll: return all
        case .removeAll: return []
        case .keep(let ranges, _):
            return all.filter { segment in
                let directory = String(segment.prefix(16))
                if ranges.exclude(directory: directory) { return false }
                // Not listed, so that nothing of it goes.
                return ranges.includeAll(of: directory) || !ranges.exclude(file: segment)
            }
        }
    }

    @Test("Plans do what the rules say", arguments: 0..<20)
    func random(_ seed: UInt64) throws {
        var random = Generator(state: seed)
        for round in 0..<40 {
            let scene = try Self.scene(&random)
            let comment: Comment = "seed \(seed), round \(round): \(scene.policy)"
            let plan = ExpirePlan.byRetention(scene.info, scene.policy, now: scene.now)
            let model = Model(scene: scene)
            let kept = Set(model.kept.map(\.label))
            let gone = Set(plan.expired.map(\.label))
            try #require(gone == Set(scene.info.backups.map(\.label)).subtracting(kept), comment)
            #expect(gone.count == plan.expired.count, comment)
            #expect(plan.archiveRetention == model.archiveCount, comment)

            // Nothing that stays lacks what it rests on, and nothing that is held goes.
            for backup in model.kept {
                #expect(backup.prior.map(kept.contains) ?? true, comment)
                #expect(backup.references.allSatisfy(kept.contains), comment)
            }
            #expect(scene.info.backups.allSatisfy { $0.hold == nil || kept.contains($0.label) }, comment)
            // Some full backup stays.
            #expect(scene.info.backups.isEmpty || model.kept.contains { $0.type == .full }, comment)
            // Every backup that goes and every one held back has a rule.
            #expect(plan.expired.allSatisfy { $0.dependsOn != $0.label }, comment)
            #expect(plan.heldBack.allSatisfy { kept.contains($0.label) && kept.contains($0.keeper) }, comment)

            for database in 1...2 {
                let left = Set(Self.left(scene, plan, database: database))
                for segment in scene.wal[database] ?? [] {
                    try #require(
                        left.contains(segment) == model.isKept(segment, database: database),
                        "\(comment) \(segment) of \(database)")
                }
                for backup in model.kept where backup.databaseID == database {
                    guard let start = backup.archiveStart, let stop = backup.archiveStop else { continue }
                    #expect(
                        (scene.wal[database] ?? []).allSatisfy { $0 < start || $0 > stop || left.contains($0) },
                        comment)
                }
            }

            // A second run finds nothing more.
            var after = scene
            after.info.backups.removeAll { gone.contains($0.label) }
            for database in 1...2 { after.wal[database] = Self.left(scene, plan, database: database) }
            let second = ExpirePlan.byRetention(after.info, scene.policy, now: scene.now)
            #expect(second.expired.isEmpty, comment)
            for database in 1...2 {
                #expect(Self.left(after, second, database: database) == after.wal[database], comment)
            }
        }
    }

    @Test("A requested set goes with what rests on it, or not at all", arguments: 0..<10)
    func requestedSets(_ seed: UInt64) throws {
        var random = Generator(state: seed &+ 1000)
        for _ in 0..<40 {
            let scene = try Self.scene(&random)
            let model = Model(scene: scene)
            guard let backup = scene.info.backups.randomElement(using: &random) else { continue }
            let dependents = scene.info.backups.filter { model.chain($0).contains { $0.label == backup.label } }
            let fulls = scene.info.backups.filter { $0.type == .full }
            let isLastFull =
                fulls.last?.label == backup.label
                && (fulls.count == 1 || fulls[fulls.count - 2].databaseID != backup.databaseID)
            let plan = try? ExpirePlan.bySet(backup.label, scene.info, scene.policy)
            if isLastFull || dependents.contains(where: { model.isHeld($0) }) {
                #expect(plan == nil, "seed \(seed): \(backup.label)")
            } else {
                #expect(plan?.expired.map(\.label) == dependents.map(\.label), "seed \(seed): \(backup.label)")
            }
        }
    }
}
